/* The protocol's machine against the model, step by step; and what no server should say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "recorder.h"
#include "xds_delta_impl.h"
#include "xds_wire.h"

struct world {
    struct istiod *istiod;
    struct istiod_stream *stream;
    struct recorder client;
};

static void connect_to(struct world *world)
{
    if (world->stream != NULL)
        istiod_stream_free(world->stream);
    world->stream = istiod_stream_new(world->istiod);
    xds_delta_start(world->client.delta);
}

static void set_up(struct world *world, bool wildcard)
{
    world->istiod = istiod_new();
    world->stream = NULL;
    recorder_init(&world->client, wildcard);
}

static void tear_down(struct world *world)
{
    assert_int_equal(istiod_seen(world->stream)->num_without_node, 0);
    recorder_done(&world->client);
    istiod_stream_free(world->stream);
    istiod_free(world->istiod);
}

static void push(struct world *world)
{
    istiod_push(world->stream);
    recorder_talk(&world->client, world->stream);
}

static void assert_held(const struct world *world, const char *name, bool expected)
{
    const char *held = recorder_held(&world->client, XDS_ADDRESS, name);
    const char *version = istiod_version(world->istiod, XDS_ADDRESS, name);
    if (!expected) {
        assert_null(held);
        return;
    }
    assert_non_null(held);
    assert_string_equal(held, version);
}

/* --------------------------------------------------------------------------------- who we are -- */

typedef Envoy__Service__Discovery__V3__Node Node;

static const char *metadata(const Node *node, const char *name)
{
    for (size_t i = 0; i < node->metadata->n_fields; i++) {
        if (strcmp(node->metadata->fields[i]->key, name) == 0)
            return node->metadata->fields[i]->value->string_value;
    }
    return NULL;
}

static Node *written(const struct xds_node *node)
{
    struct buf bytes = {0};
    struct err err;
    assert_int_equal(xds_node_write(&bytes, node, &err), 0);
    Node *read =
        envoy__service__discovery__v3__node__unpack(NULL, buf_len(&bytes), buf_head(&bytes));
    assert_non_null(read);
    buf_done(&bytes);
    return read;
}

static void the_node_says_what_istiod_wants_to_know(void **state)
{
    static const struct xds_node_field more[] = {{"MESH_ID", "m"}, {"EMPTY", ""}};
    const struct xds_node full = {.pod_name = "cart-1",
                                  .namespace_ = "shop",
                                  .service_account = "cart",
                                  .ips = "10.0.0.1,fd00::1",
                                  .cluster_id = "c1",
                                  .network = "n1",
                                  .node_name = "worker",
                                  .more = more,
                                  .num_more = 2};
    static const char *const fields[][2] = {
        {"NAME", "cart-1"},   {"NAMESPACE", "shop"},   {"SERVICE_ACCOUNT", "cart"},
        {"CLUSTER_ID", "c1"}, {"NETWORK", "n1"},       {"INSTANCE_IPS", "10.0.0.1,fd00::1"},
        {"MESH_ID", "m"},     {"NODE_NAME", "worker"},
    };
    Node *node = written(&full);
    assert_string_equal(node->id, "ztunnel~10.0.0.1~cart-1.shop~shop.svc.cluster.local");
    assert_int_equal(node->metadata->n_fields, 8);
    for (size_t i = 0; i < 8; i++)
        assert_string_equal(metadata(node, fields[i][0]), fields[i][1]);
    envoy__service__discovery__v3__node__free_unpacked(node, NULL);

    node = written(&(struct xds_node){.pod_name = "cart-1", .namespace_ = "shop"});
    assert_string_equal(node->id, "ztunnel~1.1.1.1~cart-1.shop~shop.svc.cluster.local");
    assert_int_equal(node->metadata->n_fields, 2);
    envoy__service__discovery__v3__node__free_unpacked(node, NULL);
}

/* ---------------------------------------------------------------------------------- wildcard -- */

static void everything_comes_and_goes_in_wildcard_mode(void **state)
{
    struct world world;
    set_up(&world, true);
    istiod_put_workload(world.istiod, "w/1", "10.0.0.1", "shop/web");
    istiod_put_service(world.istiod, "shop/web", "10.1.0.1");
    istiod_put_policy(world.istiod, "shop/allow", false);
    assert_false(recorder_send_one(&world.client, NULL)); /* no stream yet */
    connect_to(&world);
    recorder_talk(&world.client, world.stream);
    assert_held(&world, "w/1", true);
    assert_held(&world, "shop/web", true);
    assert_non_null(recorder_held(&world.client, XDS_AUTHORIZATION, "shop/allow"));
    assert_true(xds_delta_is_answered(world.client.delta, XDS_ADDRESS));
    assert_true(xds_delta_is_answered(world.client.delta, XDS_AUTHORIZATION));
    assert_string_equal(xds_delta_server_version(world.client.delta), "model/1");

    istiod_put_workload(world.istiod, "w/1", "10.0.0.9", NULL);
    istiod_put_workload(world.istiod, "w/2", "10.0.0.2", NULL);
    istiod_remove(world.istiod, XDS_ADDRESS, "shop/web");
    istiod_remove(world.istiod, XDS_AUTHORIZATION, "shop/allow");
    push(&world);
    assert_held(&world, "w/1", true);
    assert_held(&world, "w/2", true);
    assert_held(&world, "shop/web", false);
    assert_int_equal(xds_delta_num_held(world.client.delta, XDS_AUTHORIZATION), 0);
    assert_int_equal(istiod_seen(world.stream)->num_nacks, 0);
    assert_int_equal(istiod_seen(world.stream)->num_stale, 0);
    assert_int_equal(istiod_seen(world.stream)->num_useless, 0);
    tear_down(&world);
}

static void only_what_differs_comes_after_a_gap(void **state)
{
    struct world world;
    set_up(&world, true);
    istiod_put_workload(world.istiod, "same", "10.0.0.1", NULL);
    istiod_put_workload(world.istiod, "changes", "10.0.0.2", NULL);
    istiod_put_workload(world.istiod, "goes", "10.0.0.3", NULL);
    istiod_put_policy(world.istiod, "shop/goes", false);
    istiod_put_policy(world.istiod, "shop/stays", false);
    connect_to(&world);
    recorder_talk(&world.client, world.stream);
    istiod_put_workload(world.istiod, "changes", "10.0.0.4", NULL);
    istiod_remove(world.istiod, XDS_ADDRESS, "goes");
    istiod_put_workload(world.istiod, "comes", "10.0.0.5", NULL);
    istiod_remove(world.istiod, XDS_AUTHORIZATION, "shop/goes");
    world.client.num_told = 0;
    connect_to(&world);
    recorder_talk(&world.client, world.stream);
    assert_held(&world, "same", true);
    assert_held(&world, "changes", true);
    assert_held(&world, "goes", false);
    assert_held(&world, "comes", true);
    assert_null(recorder_held(&world.client, XDS_AUTHORIZATION, "shop/goes"));
    assert_non_null(recorder_held(&world.client, XDS_AUTHORIZATION, "shop/stays"));
    assert_int_equal(world.client.num_told, 3); /* policies have no version: they come again */
    tear_down(&world);
}

static void ten_thousand_come_in_chunks(void **state)
{
    struct world world;
    char name[32];
    char ip[32];
    set_up(&world, true);
    istiod_set_chunk(world.istiod, 333);
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof(name), "w/%05d", i);
        snprintf(ip, sizeof(ip), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        istiod_put_workload(world.istiod, name, ip, NULL);
    }
    connect_to(&world);
    recorder_talk(&world.client, world.stream);
    assert_int_equal(xds_delta_num_held(world.client.delta, XDS_ADDRESS), 10000);
    assert_int_equal(world.client.num_told, 10000);
    assert_int_equal(istiod_seen(world.stream)->num_stale + istiod_seen(world.stream)->num_acks,
                     31 + 1);
    assert_int_equal(xds_delta_num_unconfirmed(world.client.delta, XDS_ADDRESS), 0);
    tear_down(&world);
}

/* Names of a kilobyte: three megabytes of them do not fit one request. */
static void what_a_new_stream_could_not_be_told_is_confirmed_or_removed(void **state)
{
    struct world world;
    char name[1001];
    set_up(&world, true);
    memset(name, 'x', 1000);
    for (int i = 0; i < 4000; i++) {
        snprintf(name + 990, 11, "%010d", i);
        recorder_restore(&world.client, name, "old");
        if (i % 2 == 0)
            istiod_put_workload(world.istiod, name, "10.0.0.1", NULL);
    }
    connect_to(&world);
    assert_int_equal(xds_delta_num_unconfirmed(world.client.delta, XDS_ADDRESS), 0);
    while (recorder_send_one(&world.client, world.stream))
        ;
    size_t num = xds_delta_num_unconfirmed(world.client.delta, XDS_ADDRESS);
    assert_true(num > 500 && num < 1500);
    recorder_talk(&world.client, world.stream);
    assert_int_equal(xds_delta_num_held(world.client.delta, XDS_ADDRESS), 2000 + (num + 1) / 2);
    xds_delta_remove_unconfirmed(world.client.delta, XDS_ADDRESS);
    assert_int_equal(xds_delta_num_unconfirmed(world.client.delta, XDS_ADDRESS), 0);
    assert_int_equal(xds_delta_num_held(world.client.delta, XDS_ADDRESS), 2000);
    assert_int_equal(world.client.num_held, 2000);
    assert_held(&world, name, false);
    tear_down(&world);
}

/* --------------------------------------------------------------------------------- on demand -- */

static void nothing_is_subscribed_until_it_is_asked_for(void **state)
{
    struct world world;
    set_up(&world, false);
    istiod_put_workload(world.istiod, "w/1", "10.0.0.1", NULL);
    connect_to(&world);
    recorder_talk(&world.client, world.stream);
    assert_int_equal(xds_delta_num_held(world.client.delta, XDS_ADDRESS), 0);
    assert_true(xds_delta_is_answered(world.client.delta, XDS_ADDRESS));
    istiod_put_workload(world.istiod, "w/1", "10.0.0.2", NULL);
    push(&world);
    assert_int_equal(xds_delta_num_held(world.client.delta, XDS_ADDRESS), 0);
    tear_down(&world);
}

static void ten_questions_for_one_name_are_one_request(void **state)
{
    struct world world;
    set_up(&world, false);
    istiod_put_workload(world.istiod, "w/1", "10.0.0.1", NULL);
    connect_to(&world);
    recorder_talk(&world.client, world.stream);
    size_t before = istiod_seen(world.stream)->num_subscribed;
    for (int i = 0; i < 10; i++)
        recorder_subscribe(&world.client, "/10.0.0.1");
    recorder_talk(&world.client, world.stream);
    recorder_subscribe(&world.client, "/10.0.0.1");
    recorder_talk(&world.client, world.stream);
    assert_int_equal(istiod_seen(world.stream)->num_subscribed, before + 1);
    assert_string_equal(recorder_answer(&world.client, "/10.0.0.1"), "w/1");
    assert_held(&world, "w/1", true);
    tear_down(&world);
}

static void a_service_comes_with_its_endpoints_and_goes_with_them(void **state)
{
    struct world world;
    set_up(&world, false);
    istiod_put_workload(world.istiod, "own", "10.0.0.1", NULL);
    istiod_put_service(world.istiod, "shop/web", "10.1.0.1");
    istiod_put_workload(world.istiod, "e/1", "10.0.0.2", "shop/web");
    istiod_put_workload(world.istiod, "e/2", "10.0.0.3", "shop/web");
    connect_to(&world);
    recorder_subscribe(&world.client, "/10.0.0.1");
    recorder_talk(&world.client, world.stream);
    recorder_subscribe(&world.client, "/10.1.0.1");
    recorder_talk(&world.client, world.stream);
    assert_string_equal(recorder_answer(&world.client, "/10.1.0.1"), "shop/web");
    assert_held(&world, "e/1", true);
    assert_held(&world, "e/2", true);
    assert_true(xds_delta_is_needed(world.client.delta, "shop/web"));
    assert_false(xds_delta_is_needed(world.client.delta, "e/1"));

    recorder_unsubscribe(&world.client, "/10.1.0.1");
    xds_delta_drop(world.client.delta, "shop/web");
    xds_delta_drop(world.client.delta, "e/1");
    xds_delta_drop(world.client.delta, "e/2");
    recorder_talk(&world.client, world.stream);
    static const char *const gone[] = {"/10.1.0.1", "shop/web", "e/1", "e/2"};
    for (size_t i = 0; i < 4; i++)
        assert_false(istiod_has_subscribed(world.stream, XDS_ADDRESS, gone[i]));
    assert_true(istiod_has_subscribed(world.stream, XDS_ADDRESS, "own"));
    assert_held(&world, "own", true); /* istiod has not removed what stays */
    assert_int_equal(xds_delta_num_held(world.client.delta, XDS_ADDRESS), 1);
    tear_down(&world);
}

static void what_is_not_there_is_answered_and_found_when_asked_again(void **state)
{
    struct world world;
    set_up(&world, false);
    istiod_put_workload(world.istiod, "own", "10.0.0.1", NULL);
    connect_to(&world);
    recorder_subscribe(&world.client, "/10.0.0.1");
    recorder_subscribe(&world.client, "/10.0.0.2");
    recorder_talk(&world.client, world.stream);
    assert_string_equal(recorder_answer(&world.client, "/10.0.0.2"), "");
    istiod_put_workload(world.istiod, "w/2", "10.0.0.2", NULL);
    push(&world);
    assert_string_equal(recorder_answer(&world.client, "/10.0.0.2"), "");
    xds_delta_ask_again(world.client.delta, "/10.0.0.2");
    recorder_talk(&world.client, world.stream);
    assert_string_equal(recorder_answer(&world.client, "/10.0.0.2"), "w/2");
    assert_held(&world, "own", true);
    assert_int_equal(istiod_seen(world.stream)->num_useless, 0);
    tear_down(&world);
}

static void a_new_endpoint_is_found_when_the_service_is_asked_for_again(void **state)
{
    struct world world;
    set_up(&world, false);
    istiod_put_service(world.istiod, "shop/web", "10.1.0.1");
    istiod_put_workload(world.istiod, "e/1", "10.0.0.2", "shop/web");
    connect_to(&world);
    recorder_subscribe(&world.client, "/10.1.0.1");
    recorder_talk(&world.client, world.stream);
    istiod_put_workload(world.istiod, "e/2", "10.0.0.3", "shop/web");
    push(&world);
    assert_held(&world, "e/2", false);
    world.client.num_told = 0;
    xds_delta_ask_again_by(world.client.delta, "shop/web");
    recorder_talk(&world.client, world.stream);
    assert_held(&world, "e/2", true);
    assert_int_equal(world.client.num_told, 1); /* what is held already is not told again */
    tear_down(&world);
}

static void an_address_that_passes_to_another_pod_is_asked_for_again(void **state)
{
    struct world world;
    set_up(&world, false);
    istiod_put_workload(world.istiod, "w/1", "10.0.0.2", NULL);
    connect_to(&world);
    recorder_subscribe(&world.client, "/10.0.0.2");
    recorder_talk(&world.client, world.stream);
    assert_string_equal(recorder_answer(&world.client, "/10.0.0.2"), "w/1");
    istiod_remove(world.istiod, XDS_ADDRESS, "w/1");
    istiod_put_workload(world.istiod, "w/2", "10.0.0.2", NULL);
    push(&world);
    assert_int_equal(world.client.num_unanswered, 1);
    assert_string_equal(recorder_answer(&world.client, "/10.0.0.2"), "w/2");
    assert_held(&world, "w/1", false);

    istiod_put_workload(world.istiod, "w/2", "10.0.0.7",
                        NULL); /* keeps its name, not its address */
    push(&world);
    assert_int_equal(world.client.num_unanswered, 2);
    assert_string_equal(recorder_answer(&world.client, "/10.0.0.2"), "");
    assert_held(&world, "w/2", true);
    tear_down(&world);
}

static void names_that_waited_are_asked_for_on_the_next_stream(void **state)
{
    struct world world;
    set_up(&world, false);
    istiod_put_service(world.istiod, "shop/web", "10.1.0.1");
    istiod_put_workload(world.istiod, "e/1", "10.0.0.2", "shop/web");
    connect_to(&world);
    recorder_subscribe(&world.client, "/10.1.0.1");
    recorder_talk(&world.client, world.stream);
    /* The pod is held as an endpoint: a server that is told so need not tell it again. */
    recorder_subscribe(&world.client, "/10.0.0.2");
    recorder_subscribe(&world.client, "/10.0.0.9");
    recorder_send_one(&world.client, world.stream);
    world.client.num_told = 0;
    connect_to(&world);
    recorder_talk(&world.client, world.stream);
    assert_string_equal(recorder_answer(&world.client, "/10.1.0.1"), "shop/web");
    assert_string_equal(recorder_answer(&world.client, "/10.0.0.2"), "e/1");
    assert_string_equal(recorder_answer(&world.client, "/10.0.0.9"), "");
    assert_int_equal(world.client.num_told, 0);
    tear_down(&world);
}

static void nothing_is_remembered_of_a_name_given_up_when_a_stream_ends(void **state)
{
    struct world world;
    struct err err;
    set_up(&world, false);
    connect_to(&world);
    assert_int_equal(xds_delta_subscribe(world.client.delta, "w/1", &err), 0);
    recorder_talk(&world.client, world.stream);
    xds_delta_unsubscribe(world.client.delta, "w/1");
    assert_non_null(xds_names_find(&world.client.delta->names[XDS_ADDRESS], "w/1"));
    connect_to(&world);
    assert_null(xds_names_find(&world.client.delta->names[XDS_ADDRESS], "w/1"));
    recorder_talk(&world.client, world.stream);
    tear_down(&world);
}

static void a_name_that_is_held_is_answered_without_a_request(void **state)
{
    struct world world;
    struct err err;
    set_up(&world, false);
    istiod_put_service(world.istiod, "shop/web", "10.1.0.1");
    connect_to(&world);
    recorder_subscribe(&world.client, "/10.1.0.1");
    recorder_talk(&world.client, world.stream);
    size_t before = istiod_seen(world.stream)->num_requests;
    assert_int_equal(xds_delta_subscribe(world.client.delta, "shop/web", &err), 1);
    recorder_talk(&world.client, world.stream);
    assert_int_equal(istiod_seen(world.stream)->num_requests, before);
    tear_down(&world);
}

static void no_request_is_made_of_what_is_no_name(void **state)
{
    struct world world;
    struct err err;
    char longest[XDS_NAME_MAX + 2];
    set_up(&world, false);
    memset(longest, 'x', sizeof(longest));
    longest[XDS_NAME_MAX + 1] = '\0';
    const char *const names[] = {"", "*", "a\nb", "\xff", longest};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(xds_delta_subscribe(world.client.delta, names[i], &err), -1);
        assert_int_equal(err.kind, ERR_INVALID);
    }
    longest[XDS_NAME_MAX] = '\0';
    assert_int_equal(xds_delta_subscribe(world.client.delta, longest, &err), 0);
    connect_to(&world);
    tear_down(&world);
}

static void the_number_of_names_is_bounded(void **state)
{
    struct world world;
    struct err err;
    char name[32];
    set_up(&world, false);
    for (int i = 0; i < XDS_SUBSCRIBED_MAX; i++) {
        snprintf(name, sizeof(name), "/%d", i);
        assert_int_equal(xds_delta_subscribe(world.client.delta, name, &err), 0);
    }
    assert_int_equal(xds_delta_subscribe(world.client.delta, "/one more", &err), -1);
    assert_int_equal(err.kind, ERR_LIMIT);
    xds_delta_unsubscribe(world.client.delta, "/7");
    assert_int_equal(xds_delta_subscribe(world.client.delta, "/one more", &err), 0);
    connect_to(&world);
    tear_down(&world);
}

/* --------------------------------------------------------------------------------- rejecting -- */

static void one_bad_resource_is_named_and_the_good_ones_apply(void **state)
{
    struct world world;
    set_up(&world, true);
    istiod_put_workload(world.istiod, "bad", "10.0.0.1", NULL);
    istiod_put_workload(world.istiod, "good", "10.0.0.2", NULL);
    world.client.reject = "bad";
    world.client.reason = "its capacity is odd";
    connect_to(&world);
    recorder_talk(&world.client, world.stream);
    assert_held(&world, "bad", false);
    assert_held(&world, "good", true);
    assert_int_equal(istiod_seen(world.stream)->num_nacks, 1);
    assert_string_equal(istiod_seen(world.stream)->nack, "bad: its capacity is odd");
    assert_string_equal(world.client.rejected, "bad: its capacity is odd");

    world.client.reject = NULL;
    connect_to(&world); /* it is not told as held, so it comes again */
    recorder_talk(&world.client, world.stream);
    assert_held(&world, "bad", true);
    tear_down(&world);
}

static void what_was_held_stays_when_its_change_is_rejected(void **state)
{
    struct world world;
    set_up(&world, true);
    istiod_put_workload(world.istiod, "w/1", "10.0.0.1", NULL);
    connect_to(&world);
    recorder_talk(&world.client, world.stream);
    world.client.reject = "w/1";
    world.client.reason = "no";
    istiod_put_workload(world.istiod, "w/1", "10.0.0.2", NULL);
    push(&world);
    assert_string_equal(recorder_held(&world.client, XDS_ADDRESS, "w/1"), "1");
    assert_string_equal(xds_delta_version(world.client.delta, XDS_ADDRESS, "w/1"), "1");
    world.client.reject = NULL;
    connect_to(&world);
    recorder_talk(&world.client, world.stream);
    assert_held(&world, "w/1", true);
    tear_down(&world);
}

static void what_is_there_and_rejected_is_not_absent(void **state)
{
    struct world world;
    set_up(&world, false);
    istiod_put_workload(world.istiod, "own", "10.0.0.1", NULL);
    connect_to(&world);
    recorder_subscribe(&world.client, "/10.0.0.1");
    recorder_subscribe(&world.client, "/10.0.0.2");
    recorder_talk(&world.client, world.stream);
    assert_string_equal(recorder_answer(&world.client, "/10.0.0.2"), "");
    istiod_put_workload(world.istiod, "w/2", "10.0.0.2", NULL);
    world.client.reject = "w/2";
    world.client.reason = "no";
    xds_delta_ask_again(world.client.delta, "/10.0.0.2");
    recorder_talk(&world.client, world.stream);
    assert_string_equal(recorder_answer(&world.client, "/10.0.0.2"), "?");
    assert_string_equal(recorder_answer(&world.client, "/10.0.0.1"), "own");
    world.client.reject = NULL;
    xds_delta_ask_again(world.client.delta, "/10.0.0.2");
    recorder_talk(&world.client, world.stream);
    assert_string_equal(recorder_answer(&world.client, "/10.0.0.2"), "w/2");
    tear_down(&world);
}

static void a_server_that_takes_no_acknowledgements_is_left(void **state)
{
    static const uint8_t answer[] = "\x22\x03"
                                    "any"
                                    "\x2a\x01"
                                    "n"; /* type URL, nonce */
    struct world world;
    struct xds_delta_answer taken;
    struct err err = {0};
    size_t num = 0;
    set_up(&world, false);
    connect_to(&world);
    while (num < 100000 &&
           xds_delta_receive(world.client.delta, answer, sizeof(answer) - 1, &taken, &err) == 0)
        num++;
    assert_int_equal(num, XDS_ACKS_MAX);
    assert_int_equal(err.kind, ERR_PROTOCOL);
    connect_to(&world); /* the next one is told nothing of it */
    assert_int_equal(
        xds_delta_receive(world.client.delta, answer, sizeof(answer) - 1, &taken, &err), 0);
    tear_down(&world);
}

static void the_reasons_are_bounded_and_what_is_left_out_is_counted(void **state)
{
    struct world world;
    char name[32];
    set_up(&world, true);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "w/%d", i);
        istiod_put_raw(world.istiod, XDS_ADDRESS, name, "x", 1);
    }
    world.client.reject = "*";
    world.client.reason = "it is not understood";
    connect_to(&world);
    recorder_talk(&world.client, world.stream);
    const char *nack = istiod_seen(world.stream)->nack;
    assert_int_equal(istiod_seen(world.stream)->num_nacks, 1);
    assert_true(strlen(nack) > XDS_REASONS_MAX / 2 && strlen(nack) < XDS_REASONS_MAX + 64);
    assert_int_equal(strncmp(nack, "w/0: it is not understood, w/1: ", 32), 0);
    const char *end = strstr(nack, ", and ");
    assert_non_null(end);
    assert_non_null(strstr(end, " more"));
    assert_int_equal(xds_delta_num_held(world.client.delta, XDS_ADDRESS), 0);
    tear_down(&world);
}

/* --------------------------------------------------------------------------- what none should say -- */

/* A response out of raw fields. */
struct response {
    struct buf bytes;
};

static void add_text(struct response *response, uint32_t number, const char *text)
{
    assert_int_equal(xds_wire_put_text(&response->bytes, number, text), 0);
}

static void add_resource(struct response *response, const char *name, const char *type_url,
                         const char *version)
{
    struct buf any = {0};
    struct buf resource = {0};
    if (type_url != NULL) {
        xds_wire_put_text(&any, 1, type_url);
        xds_wire_put_bytes(&any, 2, "x", 1);
        xds_wire_put_bytes(&resource, 2, buf_head(&any), buf_len(&any));
    }
    xds_wire_put_text(&resource, 1, version);
    xds_wire_put_text(&resource, 3, name);
    xds_wire_put_bytes(&response->bytes, 2, buf_head(&resource), buf_len(&resource));
    buf_done(&any);
    buf_done(&resource);
}

static int receive(struct recorder *recorder, struct response *response, struct err *err)
{
    int result = xds_delta_receive(recorder->delta, buf_head(&response->bytes),
                                   buf_len(&response->bytes), &recorder->last, err);
    buf_done(&response->bytes);
    return result;
}

static void envelopes_that_are_wrong_are_rejected_by_name(void **state)
{
    const char *address = xds_type_url(XDS_ADDRESS);
    char long_name[XDS_NAME_MAX + 2];
    char long_version[XDS_VERSION_MAX + 2];
    memset(long_name, 'x', sizeof(long_name));
    long_name[XDS_NAME_MAX + 1] = '\0';
    memset(long_version, 'x', sizeof(long_version));
    long_version[XDS_VERSION_MAX + 1] = '\0';
    const struct {
        const char *name;
        const char *type_url;
        const char *version;
        const char *rejected;
    } cases[] = {
        {"", address, "1", "?: has no name"},
        {"w/1", NULL, "1", "w/1: has no content"},
        {"w/1", xds_type_url(XDS_AUTHORIZATION), "1", "w/1: is of another type"},
        {"w/1", "", "1", "w/1: is of another type"},
        {long_name, address, "1", "?: its name is too long"},
        {"a\nb", address, "1", "?: its name is too long or no text"},
        {"w/1", address, long_version, "w/1: its version is too long"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct recorder recorder;
        struct response response = {0};
        struct err err;
        recorder_init(&recorder, true);
        xds_delta_start(recorder.delta);
        add_text(&response, 4, address);
        add_text(&response, 5, "n");
        add_resource(&response, cases[i].name, cases[i].type_url, cases[i].version);
        add_resource(&response, "good", address, "1");
        assert_int_equal(receive(&recorder, &response, &err), 0);
        assert_int_equal(recorder.last.num_rejected, 1);
        assert_int_equal(recorder.last.num_changed, 1);
        if (strncmp(recorder.rejected, cases[i].rejected, strlen(cases[i].rejected)) != 0)
            fail_msg("%zu: %s", i, recorder.rejected);
        assert_non_null(recorder_held(&recorder, XDS_ADDRESS, "good"));
        recorder_done(&recorder);
    }
}

static void types_that_nobody_knows_are_acknowledged(void **state)
{
    struct istiod *istiod = istiod_new();
    struct istiod_stream *stream = istiod_stream_new(istiod);
    struct recorder recorder;
    struct response response = {0};
    struct buf request = {0};
    struct err err;
    recorder_init(&recorder, true);
    xds_delta_start(recorder.delta);
    add_resource(&response, "x", "type.googleapis.com/x.Y", "1");
    add_text(&response, 4, "type.googleapis.com/x.Y");
    add_text(&response, 5, "nonce-7");
    assert_int_equal(receive(&recorder, &response, &err), 0);
    assert_false(recorder.last.known);
    assert_int_equal(recorder.num_told, 0);
    assert_int_equal(xds_delta_next_request(recorder.delta, &request, &err), 1);
    struct buf expected = {0};
    xds_wire_put_text(&expected, 2, "type.googleapis.com/x.Y");
    xds_wire_put_text(&expected, 6, "nonce-7");
    assert_int_equal(buf_len(&request), buf_len(&expected));
    assert_memory_equal(buf_head(&request), buf_head(&expected), buf_len(&expected));
    buf_done(&expected);
    buf_done(&request);
    recorder_done(&recorder);
    istiod_stream_free(stream);
    istiod_free(istiod);
}

static void a_name_that_comes_twice_is_as_it_came_last(void **state)
{
    struct recorder recorder;
    struct response response = {0};
    struct err err;
    recorder_init(&recorder, true);
    add_text(&response, 6, "w/1");
    add_resource(&response, "w/1", xds_type_url(XDS_ADDRESS), "1");
    add_resource(&response, "w/1", xds_type_url(XDS_ADDRESS), "2");
    add_text(&response, 6, "w/1");
    add_text(&response, 4, xds_type_url(XDS_ADDRESS));
    assert_int_equal(receive(&recorder, &response, &err), 0);
    assert_string_equal(recorder_held(&recorder, XDS_ADDRESS, "w/1"), "2");
    assert_int_equal(xds_delta_num_held(recorder.delta, XDS_ADDRESS), 1);
    recorder_done(&recorder);
}

static void garbage_is_told_from_answers_and_changes_nothing(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"\x22", 1},
        {"\x22\x05"
         "abc",
         5},
        {"\x0b\x00", 2},
        {"\xff\xff\xff\xff\xff", 5},
        {"\x12\x02\x0a\x09", 4},
        {"\x2a\x02\xff\xfe", 4},
        {"\x20\x01", 2},
        {"\x12\x01\x07", 3},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct recorder recorder;
        struct err err;
        recorder_init(&recorder, true);
        int result = xds_delta_receive(recorder.delta, (const uint8_t *)cases[i].bytes,
                                       cases[i].len, &recorder.last, &err);
        if (result != -1)
            fail_msg("%zu was taken", i);
        assert_int_equal(err.kind, ERR_PROTOCOL);
        assert_int_equal(recorder.num_told, 0);
        recorder_done(&recorder);
    }
}

static void every_cut_of_an_answer_is_garbage_or_less_of_it(void **state)
{
    struct response response = {0};
    add_text(&response, 4, xds_type_url(XDS_ADDRESS));
    add_text(&response, 5, "n");
    add_resource(&response, "w/1", xds_type_url(XDS_ADDRESS), "1");
    add_text(&response, 6, "w/2");
    for (size_t len = 0; len <= buf_len(&response.bytes); len++) {
        struct recorder recorder;
        struct err err;
        uint8_t *copy = malloc(len + 1);
        recorder_init(&recorder, true);
        if (len > 0)
            memcpy(copy, buf_head(&response.bytes), len);
        if (xds_delta_receive(recorder.delta, copy, len, &recorder.last, &err) < 0)
            assert_int_equal(err.kind, ERR_PROTOCOL);
        free(copy);
        recorder_done(&recorder);
    }
    buf_done(&response.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_node_says_what_istiod_wants_to_know),
        cmocka_unit_test(everything_comes_and_goes_in_wildcard_mode),
        cmocka_unit_test(only_what_differs_comes_after_a_gap),
        cmocka_unit_test(ten_thousand_come_in_chunks),
        cmocka_unit_test(what_a_new_stream_could_not_be_told_is_confirmed_or_removed),
        cmocka_unit_test(nothing_is_subscribed_until_it_is_asked_for),
        cmocka_unit_test(ten_questions_for_one_name_are_one_request),
        cmocka_unit_test(a_service_comes_with_its_endpoints_and_goes_with_them),
        cmocka_unit_test(what_is_not_there_is_answered_and_found_when_asked_again),
        cmocka_unit_test(a_new_endpoint_is_found_when_the_service_is_asked_for_again),
        cmocka_unit_test(an_address_that_passes_to_another_pod_is_asked_for_again),
        cmocka_unit_test(names_that_waited_are_asked_for_on_the_next_stream),
        cmocka_unit_test(nothing_is_remembered_of_a_name_given_up_when_a_stream_ends),
        cmocka_unit_test(a_name_that_is_held_is_answered_without_a_request),
        cmocka_unit_test(no_request_is_made_of_what_is_no_name),
        cmocka_unit_test(the_number_of_names_is_bounded),
        cmocka_unit_test(one_bad_resource_is_named_and_the_good_ones_apply),
        cmocka_unit_test(what_was_held_stays_when_its_change_is_rejected),
        cmocka_unit_test(what_is_there_and_rejected_is_not_absent),
        cmocka_unit_test(a_server_that_takes_no_acknowledgements_is_left),
        cmocka_unit_test(the_reasons_are_bounded_and_what_is_left_out_is_counted),
        cmocka_unit_test(envelopes_that_are_wrong_are_rejected_by_name),
        cmocka_unit_test(types_that_nobody_knows_are_acknowledged),
        cmocka_unit_test(a_name_that_comes_twice_is_as_it_came_last),
        cmocka_unit_test(garbage_is_told_from_answers_and_changes_nothing),
        cmocka_unit_test(every_cut_of_an_answer_is_garbage_or_less_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
