/* Clients that do anything at any time, over a mesh that changes at random: when all is told and acknowledged, each holds what
 * the mesh says of what it asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "discovery_client.h"
#include "discovery_fixture.h"
#include "discovery_names.h"
#include "envoy/service/discovery/v3/discovery.pb-c.h"

enum { SEEDS = 300, STEPS = 60, PODS = 8, SERVICES = 3, TEXT = 32 };

typedef Envoy__Service__Discovery__V3__DeltaDiscoveryResponse response;

struct model {
    uint64_t seed;
    struct discovery_table *table;
    struct discovery_client *client;
    bool wildcard;
    struct discovery_names held;  /* `version` is what counts */
    struct discovery_names asked; /* on demand */
    char nonce[DISCOVERY_NONCE_MAX];
};

static unsigned below(struct model *model, unsigned max)
{
    model->seed = model->seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(model->seed >> 33) % max;
}

/* ------------------------------------------------------------------------------------ mesh -- */

static void add(struct discovery_table *table, struct discovery_resource *resource)
{
    assert_int_equal(discovery_table_add(table, resource), 0);
    discovery_resource_unref(resource);
}

/* Each pod and each service is there or not; addresses wander between pods. */
static struct discovery_table *make_table(struct model *model)
{
    struct discovery_table *table = discovery_table_new(1);
    char name[TEXT], ip[TEXT], service[TEXT], revision[TEXT];
    assert_non_null(table);
    for (unsigned i = 0; i < PODS; i++) {
        snprintf(name, sizeof(name), "c//Pod/ns/p%u", i);
        snprintf(ip, sizeof(ip), "10.0.0.%u", 1 + below(model, PODS));
        snprintf(service, sizeof(service), "ns/s%u", below(model, SERVICES));
        snprintf(revision, sizeof(revision), "%u", below(model, 2));
        if (below(model, 4) > 0)
            add(table, fixture_workload(name, ip, below(model, 3) == 0 ? NULL : service, revision));
    }
    for (unsigned i = 0; i < SERVICES; i++) {
        snprintf(name, sizeof(name), "s%u", i);
        snprintf(ip, sizeof(ip), "10.1.0.%u", 1 + i);
        if (below(model, 4) > 0)
            add(table, fixture_service(name, ip, below(model, 2) == 0 ? NULL : "10.2.0.0/16"));
    }
    assert_int_equal(discovery_table_seal(table, NULL, NULL), 0);
    return table;
}

static void change(struct model *model)
{
    discovery_table_unref(model->table);
    model->table = make_table(model);
    discovery_client_set_table(model->client, model->table);
}

/* ---------------------------------------------------------------------------------- client -- */

static void pick_name(struct model *model, char out[TEXT])
{
    switch (below(model, 5)) {
    case 0:
        snprintf(out, TEXT, "c//Pod/ns/p%u", below(model, PODS));
        break;
    case 1:
        snprintf(out, TEXT, "ns/s%u", below(model, SERVICES));
        break;
    case 2:
        snprintf(out, TEXT, "/10.0.0.%u", 1 + below(model, PODS));
        break;
    case 3:
        snprintf(out, TEXT, "/10.1.0.%u", 1 + below(model, SERVICES));
        break;
    default:
        snprintf(out, TEXT, "/10.2.0.%u", 1 + below(model, 2));
        break;
    }
}

static void send_request(struct model *model, const struct discovery_request *request)
{
    struct discovery_outcome outcome;
    struct err err;
    assert_int_equal(discovery_client_request(model->client, request, &outcome, &err), 0);
}

static struct discovery_request new_request(void)
{
    return (struct discovery_request){
        .type_url = discovery_type_url(DISCOVERY_ADDRESS), .nonce = "", .nack_reason = ""};
}

static void ask(struct model *model)
{
    char name[TEXT];
    const char *names[] = {name};
    struct discovery_request request = new_request();
    pick_name(model, name);
    request.subscribe = names;
    request.num_subscribe = 1;
    assert_non_null(discovery_names_put(&model->asked, name));
    send_request(model, &request);
}

struct cover {
    const struct model *model;
    const char *name;
    bool covered;
};

static void look_for_cover(void *owner, struct discovery_name *name)
{
    struct cover *cover = owner;
    struct discovery_list found = {0};
    if (strcmp(name->text, cover->name) == 0)
        return;
    assert_int_equal(
        discovery_table_resolve(cover->model->table, DISCOVERY_ADDRESS, name->text, &found), 0);
    for (size_t i = 0; i < found.num; i++)
        cover->covered |= strcmp(found.values[i]->name, cover->name) == 0;
    discovery_list_done(&found);
}

/* Whoever unsubscribes from a name lets go of what it holds under it, which makes no sense while
 * another name still asks for it. */
static void drop(struct model *model)
{
    char name[TEXT];
    const char *names[] = {name};
    struct discovery_request request = new_request();
    pick_name(model, name);
    struct cover cover = {.model = model, .name = name};
    discovery_names_each(&model->asked, look_for_cover, &cover);
    if (cover.covered)
        return;
    request.unsubscribe = names;
    request.num_unsubscribe = 1;
    discovery_names_remove(&model->asked, name);
    discovery_names_remove(&model->held, name);
    send_request(model, &request);
}

static void acknowledge(struct model *model)
{
    struct discovery_request request = new_request();
    if (model->nonce[0] == '\0')
        return;
    request.nonce = model->nonce;
    send_request(model, &request);
    model->nonce[0] = '\0';
}

static bool receive(struct model *model)
{
    struct buf bytes = {0};
    struct discovery_told told;
    int result = discovery_client_next(model->client, &bytes, &told);
    assert_int_not_equal(result, -1);
    if (result == 0)
        return false;
    response *message = envoy__service__discovery__v3__delta_discovery_response__unpack(
        NULL, buf_len(&bytes), buf_head(&bytes));
    assert_non_null(message);
    assert_int_equal(model->nonce[0], '\0'); /* one at a time */
    for (size_t i = 0; i < message->n_resources; i++) {
        struct discovery_name *name =
            discovery_names_put(&model->held, message->resources[i]->name);
        snprintf(name->version, sizeof(name->version), "%s", message->resources[i]->version);
    }
    for (size_t i = 0; i < message->n_removed_resources; i++)
        discovery_names_remove(&model->held, message->removed_resources[i]);
    snprintf(model->nonce, sizeof(model->nonce), "%s", message->nonce);
    envoy__service__discovery__v3__delta_discovery_response__free_unpacked(message, NULL);
    buf_done(&bytes);
    return true;
}

static void begin(struct model *model)
{
    static const char *const star[] = {"*"};
    struct discovery_request request = new_request();
    model->wildcard = below(model, 3) == 0;
    if (!model->wildcard) {
        request.subscribe = request.unsubscribe = star;
        request.num_subscribe = request.num_unsubscribe = 1;
    }
    send_request(model, &request);
}

/* -------------------------------------------------------------------------------- judgement -- */

/* Nothing old, and nothing that is not. */
static void is_current(void *owner, struct discovery_name *name)
{
    const struct model *model = owner;
    const struct discovery_resource *resource =
        discovery_table_find(model->table, DISCOVERY_ADDRESS, name->text);
    if (resource == NULL)
        fail_msg("%s is held and is not", name->text);
    else
        assert_string_equal(name->version, resource->version);
}

/* Everything that was asked for, with what belongs to it. */
static void is_answered(void *owner, struct discovery_name *name)
{
    const struct model *model = owner;
    struct discovery_list found = {0};
    assert_int_equal(discovery_table_resolve(model->table, DISCOVERY_ADDRESS, name->text, &found),
                     0);
    for (size_t i = 0; i < found.num; i++)
        if (discovery_names_find(&model->held, found.values[i]->name) == NULL)
            fail_msg("%s is asked for, and %s is not held", name->text, found.values[i]->name);
    discovery_list_done(&found);
}

static void judge(struct model *model)
{
    acknowledge(model);
    while (receive(model))
        acknowledge(model);
    discovery_names_each(&model->held, is_current, model);
    discovery_names_each(&model->asked, is_answered, model);
    if (model->wildcard)
        assert_int_equal(model->held.num,
                         discovery_table_all(model->table, DISCOVERY_ADDRESS)->num);
}

static void step(struct model *model)
{
    switch (below(model, 6)) {
    case 0:
        change(model);
        break;
    case 1:
        if (!model->wildcard)
            ask(model);
        break;
    case 2:
        /* Between an answer and its acknowledgement, letting go would only confuse the model. */
        if (!model->wildcard && model->nonce[0] == '\0')
            drop(model);
        break;
    case 3:
        acknowledge(model);
        break;
    case 4:
        if (model->nonce[0] == '\0')
            receive(model);
        break;
    default:
        judge(model);
        break;
    }
}

static void when_all_is_told_a_client_holds_what_it_asked_for(void **state)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct model model = {.seed = seed};
        model.table = make_table(&model);
        model.client = discovery_client_new(model.table);
        assert_non_null(model.client);
        begin(&model);
        for (unsigned i = 0; i < STEPS; i++)
            step(&model);
        judge(&model);
        discovery_client_free(model.client);
        discovery_table_unref(model.table);
        discovery_names_done(&model.held);
        discovery_names_done(&model.asked);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(when_all_is_told_a_client_holds_what_it_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
