#include "source_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"

/* The test's only one: scripts of the peer know nothing of it. */
static struct world *the_world;

static struct istiod_stream **stream_of(struct world *world,
                                        const struct peer_connection *connection)
{
    for (unsigned i = 0; i < world->peer->num_connections; i++) {
        if (world->peer->connections[i] == connection)
            return &world->streams[i];
    }
    abort();
}

static void flush(struct world *world, struct peer_connection *connection)
{
    struct buf message;
    struct istiod_stream *stream = *stream_of(world, connection);
    size_t left = world->max_at_once == 0 ? SIZE_MAX : world->max_at_once;
    while (connection->stream != NULL && stream != NULL && left > 0 &&
           istiod_next(stream, &message)) {
        peer_send(connection, buf_head(&message), buf_len(&message));
        buf_done(&message);
        left--;
    }
}

static void on_request(struct peer_connection *connection)
{
    struct istiod_stream **stream = stream_of(the_world, connection);
    if (*stream != NULL)
        istiod_stream_free(*stream);
    *stream = istiod_stream_new(the_world->istiod);
    peer_respond(connection);
}

static bool is_withheld(const struct world *world, const uint8_t *message, size_t len)
{
    for (int type = 0; type < XDS_NUM_TYPES; type++) {
        const char *url = xds_type_url((enum xds_type)type);
        if (world->withhold[type] && memmem(message, len, url, strlen(url)) != NULL)
            return true;
    }
    return false;
}

static void on_message(struct peer_connection *connection, const uint8_t *message, size_t len)
{
    struct world *world = the_world;
    if (is_withheld(world, message, len)) {
        assert_true(world->num_withheld < 16);
        buf_append(&world->withheld[world->num_withheld++], message, len);
        return;
    }
    istiod_receive(*stream_of(world, connection), message, len);
    flush(world, connection);
}

/* ----------------------------------------------------------------------------- the source's owner -- */

static void on_snapshot(void *owner, struct mesh_snapshot *snapshot,
                        const struct mesh_warnings *warnings)
{
    struct world *world = owner;
    mesh_snapshot_unref(world->snapshot);
    world->snapshot = mesh_snapshot_ref(snapshot);
    world->num_snapshots++;
}

static void on_connected(void *owner)
{
    struct world *world = owner;
    world->num_connected++;
}

static void on_disconnected(void *owner, enum xds_end end, const struct err *err, uint64_t retry_ms)
{
    struct world *world = owner;
    world->num_disconnected++;
    world->num_ends[end]++;
    world->last_end = end;
    world->last_err = err == NULL ? (struct err){0} : *err;
}

static void on_rejected(void *owner, enum xds_type type, const char *name, const char *reason)
{
    struct world *world = owner;
    snprintf(world->rejected, sizeof(world->rejected), "%s %s: %s", xds_type_name(type), name,
             reason);
}

static void on_trouble(void *owner, const struct err *err)
{
    struct world *world = owner;
    snprintf(world->trouble, sizeof(world->trouble), "%s", err->message);
}

static const struct xds_source_handler handler = {
    .on_snapshot = on_snapshot,
    .on_connected = on_connected,
    .on_disconnected = on_disconnected,
    .on_rejected = on_rejected,
    .on_trouble = on_trouble,
};

/* -------------------------------------------------------------------------------------- life -- */

int world_setup(void **state)
{
    static const char *const own_names[] = {"/10.0.0.1"};
    struct world *world = calloc(1, sizeof(*world));
    void *peer;
    peer_setup(&peer);
    world->peer = peer;
    world->istiod = istiod_new();
    world->peer->script = (struct peer_script){.on_request = on_request, .on_message = on_message};
    peer_listen(world->peer);
    world->options = (struct xds_source_options){
        .client = {.channel = {.address = world->peer->address}},
        .node = {.pod_name = "cart", .namespace_ = "shop", .ips = "10.0.0.1"},
        .own_names = own_names,
        .num_own_names = 1,
        .coalesce_ms = 5,
    };
    the_world = world;
    *state = world;
    return 0;
}

int world_teardown(void **state)
{
    struct world *world = *state;
    void *peer = world->peer;
    xds_source_free(world->source);
    mesh_snapshot_unref(world->snapshot);
    for (size_t i = 0; i < PEER_CONNECTIONS_MAX; i++) {
        if (world->streams[i] != NULL)
            istiod_stream_free(world->streams[i]);
    }
    for (size_t i = 0; i < world->num_withheld; i++)
        buf_done(&world->withheld[i]);
    peer_teardown(&peer);
    istiod_free(world->istiod);
    free(world);
    return 0;
}

void world_start(struct world *world)
{
    struct err err;
    world->source = xds_source_new(world->peer->io, &world->options, &handler, world, &err);
    if (world->source == NULL)
        fail_msg("%s", err.message);
}

void world_run(struct world *world, bool (*condition)(struct world *world))
{
    uint64_t until_ms = clock_mono_ms() + 10 * 1000;
    while (!condition(world)) {
        bool now = true;
        if (clock_mono_ms() > until_ms)
            fail_msg("it did not happen within ten seconds");
        peer_run(world->peer, &now);
    }
}

void world_push(struct world *world)
{
    for (unsigned i = 0; i < world->peer->num_connections; i++) {
        if (world->streams[i] == NULL || world->peer->connections[i]->stream == NULL)
            continue;
        istiod_push(world->streams[i]);
        flush(world, world->peer->connections[i]);
    }
}

void world_release(struct world *world)
{
    struct peer_connection *connection = peer_newest(world->peer);
    memset(world->withhold, 0, sizeof(world->withhold));
    for (size_t i = 0; i < world->num_withheld; i++) {
        istiod_receive(world_stream(world), buf_head(&world->withheld[i]),
                       buf_len(&world->withheld[i]));
        buf_done(&world->withheld[i]);
    }
    world->num_withheld = 0;
    flush(world, connection);
}

bool world_has_workload(struct world *world, const char *uid)
{
    return world->snapshot != NULL && mesh_snapshot_workload_by_uid(world->snapshot, uid) != NULL;
}

bool world_is_answered(struct world *world, const char *name)
{
    return world->snapshot != NULL && mesh_snapshot_answered(world->snapshot, name) != NULL;
}

void world_ask(struct world *world, const char *name)
{
    struct err err;
    if (xds_source_ask(world->source, name, &err) < 0)
        fail_msg("%s", err.message);
}

void world_touch(struct world *world, const char *name)
{
    struct mesh_interest *interest = mesh_snapshot_answered(world->snapshot, name);
    assert_non_null(interest);
    mesh_interest_touch(interest, (uint32_t)(clock_mono_ms() / 1000));
}

struct istiod_stream *world_stream(struct world *world)
{
    return world->streams[world->peer->num_connections - 1];
}
