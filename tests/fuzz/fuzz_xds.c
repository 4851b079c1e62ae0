/*
 * Any bytes as answers of a control plane, into the protocol's machine, the resources' codec and the mesh. The input is a row
 * of messages, each with two bytes of length in front; what the first byte says is wildcard or on demand. Between messages the
 * stream is asked for requests, names are asked for and given up, and the stream is opened anew.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "xds_delta.h"
#include "xds_mesh.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct client {
    struct xds_delta *delta;
    struct xds_mesh mesh;
};

static int on_resource(void *owner, const struct xds_resource *resource, struct err *err)
{
    struct client *client = owner;
    assert(resource->name[0] != '\0' && resource->bytes != NULL);
    return xds_mesh_put(&client->mesh, resource, err);
}

static void on_removed(void *owner, enum xds_type type, const char *name)
{
    struct client *client = owner;
    xds_mesh_remove(&client->mesh, type, name);
}

static void on_answered(void *owner, const char *name, const char *by)
{
    struct client *client = owner;
    struct mesh_interest *interest = mesh_interest_new(name);
    assert(interest != NULL);
    xds_mesh_put_answered(&client->mesh, interest);
    mesh_interest_unref(interest);
}

static void on_unanswered(void *owner, const char *name)
{
    struct client *client = owner;
    xds_mesh_remove_answered(&client->mesh, name);
}

static void on_rejected(void *owner, enum xds_type type, const char *name, const char *reason)
{
    (void)owner;
    (void)type;
    assert(name[0] != '\0' && reason[0] != '\0');
}

static const struct xds_delta_handler handler = {
    .on_resource = on_resource,
    .on_removed = on_removed,
    .on_answered = on_answered,
    .on_unanswered = on_unanswered,
    .on_rejected = on_rejected,
};

static const char *const names[] = {"/10.0.0.1", "/10.1.0.1", "shop/web", "w/1"};

static void drain(struct client *client)
{
    struct buf request = {0};
    struct err err;
    int due;
    while ((due = xds_delta_next_request(client->delta, &request, &err)) > 0) {
        assert(buf_len(&request) > 0);
        buf_clear(&request, 4096);
    }
    assert(due == 0);
    buf_done(&request);
}

/* The mesh holds what the machine says is held, and no more. */
static void check(struct client *client)
{
    struct err err;
    if (xds_mesh_is_changed(&client->mesh) && xds_mesh_build(&client->mesh, NULL, &err) < 0)
        abort();
    if (client->mesh.snapshot == NULL)
        return;
    struct mesh_counts counts = mesh_snapshot_counts(client->mesh.snapshot);
    assert(counts.workloads + counts.services == xds_delta_num_held(client->delta, XDS_ADDRESS));
    assert(counts.policies == xds_delta_num_held(client->delta, XDS_AUTHORIZATION));
}

static void act(struct client *client, uint8_t action)
{
    struct err err;
    const char *name = names[action >> 2 & 3];
    switch (action & 3) {
    case 0:
        xds_delta_subscribe(client->delta, name, &err);
        break;
    case 1:
        xds_delta_unsubscribe(client->delta, name);
        break;
    case 2:
        xds_delta_ask_again(client->delta, name);
        break;
    default:
        xds_delta_start(client->delta);
        break;
    }
    if ((action & 0x80) != 0)
        drain(client);
}

static void run(struct client *client, const uint8_t *bytes, size_t len)
{
    struct xds_delta_answer answer;
    struct err err;
    while (len >= 3) {
        size_t message = (size_t)bytes[1] << 8 | bytes[2];
        act(client, bytes[0]);
        bytes += 3;
        len -= 3;
        if (message > len)
            message = len;
        if (xds_delta_receive(client->delta, bytes, message, &answer, &err) == 0)
            check(client);
        bytes += message;
        len -= message;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const struct xds_node node = {.pod_name = "cart", .namespace_ = "shop"};
    struct client client = {0};
    struct err err;
    bool wildcard = len > 0 && (bytes[0] & 1) != 0;
    if (len == 0)
        return 0;
    client.delta = xds_delta_new(&(struct xds_delta_options){.node = &node, .wildcard = wildcard},
                                 &handler, &client, &err);
    assert(client.delta != NULL);
    xds_mesh_init(&client.mesh, !wildcard);
    xds_delta_start(client.delta);
    run(&client, bytes + 1, len - 1);
    drain(&client);
    xds_delta_free(client.delta);
    xds_mesh_done(&client.mesh);
    return 0;
}
