/* The source of discovery, over a stream that ends in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "source_world.h"

static bool has_own(struct world *world)
{
    return world_has_workload(world, "own");
}

/* A world in which the agent knows itself. */
static void start_well(struct world *world)
{
    istiod_put_workload(world->istiod, "own", "10.0.0.1", NULL);
    world_start(world);
    world_run(world, has_own);
}

/* ---------------------------------------------------------------------------------- beginning -- */

static bool has_sent_both(struct world *world)
{
    struct xds_source_stats stats;
    xds_source_stats(world->source, &stats);
    return world->num_withheld > 0 && stats.num_answers[XDS_ADDRESS] > 0;
}

static void nothing_is_given_out_before_the_policies_are_there(void **state)
{
    struct world *world = *state;
    istiod_put_workload(world->istiod, "own", "10.0.0.1", NULL);
    istiod_put_policy(world->istiod, "shop/deny", true);
    world->withhold[XDS_AUTHORIZATION] = true;
    world_start(world);
    world_run(world, has_sent_both);
    assert_int_equal(world->num_snapshots, 0);
    world_release(world);
    world_run(world, has_own);
    assert_int_equal(world->num_snapshots, 1);
    assert_non_null(mesh_snapshot_policy(world->snapshot, "shop/deny"));
    assert_true(mesh_snapshot_is_on_demand(world->snapshot));
}

static void nothing_is_given_out_before_the_pods_own_name_is_answered(void **state)
{
    struct world *world = *state;
    world->withhold[XDS_ADDRESS] = true;
    istiod_put_workload(world->istiod, "own", "10.0.0.1", NULL);
    world_start(world);
    bool done = false;
    for (int i = 0; i < 50; i++) {
        done = true;
        peer_run(world->peer, &done);
    }
    assert_int_equal(world->num_snapshots, 0);
    world_release(world);
    world_run(world, has_own);
    assert_int_equal(world->num_snapshots, 1);
}

static bool has_a_thousand(struct world *world)
{
    return world->snapshot != NULL && mesh_snapshot_counts(world->snapshot).workloads == 1000;
}

static bool has_policies(struct world *world)
{
    struct xds_source_stats stats;
    xds_source_stats(world->source, &stats);
    return stats.num_answers[XDS_AUTHORIZATION] > 0;
}

static void the_whole_mesh_comes_in_wildcard_mode(void **state)
{
    struct world *world = *state;
    char name[32];
    char ip[32];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "w/%d", i);
        snprintf(ip, sizeof(ip), "10.2.%d.%d", i / 250, i % 250);
        istiod_put_workload(world->istiod, name, ip, NULL);
    }
    world->options.wildcard = true;
    istiod_set_chunk(world->istiod, 100);
    world->max_at_once = 1; /* waits for each to be acknowledged */
    world->withhold[XDS_ADDRESS] = true;
    world_start(world);
    world_run(world, has_policies);
    world_release(world);
    world_run(world, has_a_thousand);
    assert_int_equal(world->num_snapshots, 1); /* of a part of it, the rest would be strangers */
    assert_false(mesh_snapshot_is_on_demand(world->snapshot));
    world_ask(world, "/10.9.9.9"); /* all is known: nothing to ask */
    assert_int_equal(istiod_seen(world_stream(world))->num_subscribed, 0);
}

static bool never_ceases(struct world *world)
{
    istiod_put_workload(world->istiod, "own", "10.0.0.1", world->num_snapshots % 2 ? "a/b" : "c/d");
    world_push(world);
    return has_own(world);
}

static void a_mesh_that_never_ceases_to_change_is_given_out(void **state)
{
    struct world *world = *state;
    world->options.wildcard = true;
    istiod_put_workload(world->istiod, "own", "10.0.0.1", NULL);
    world_start(world);
    world_run(world, never_ceases);
}

/* ------------------------------------------------------------------------------------- asking -- */

static bool knows_ten(struct world *world)
{
    return world_is_answered(world, "/10.0.0.10");
}

static bool knows_eleven(struct world *world)
{
    return world_is_answered(world, "/10.0.0.11");
}

static void ten_workers_that_ask_for_one_name_make_one_request(void **state)
{
    struct world *world = *state;
    struct xds_source_stats stats;
    istiod_put_workload(world->istiod, "ten", "10.0.0.10", NULL);
    start_well(world);
    size_t before = istiod_seen(world_stream(world))->num_subscribed;
    for (int i = 0; i < 10; i++)
        world_ask(world, "/10.0.0.10");
    world_run(world, knows_ten);
    assert_true(world_has_workload(world, "ten"));
    world_ask(world, "/10.0.0.10");
    world_ask(world, "/10.0.0.11");
    world_run(world, knows_eleven);
    assert_false(world_has_workload(world, "eleven"));
    assert_int_equal(istiod_seen(world_stream(world))->num_subscribed, before + 2);
    xds_source_stats(world->source, &stats);
    assert_int_equal(stats.num_asked, 2);
    assert_int_equal(stats.num_subscribed, 3);
    assert_int_equal(istiod_seen(world_stream(world))->num_nacks, 0);
}

static void what_cannot_be_a_name_is_refused(void **state)
{
    struct world *world = *state;
    struct err err;
    start_well(world);
    assert_int_equal(xds_source_ask(world->source, "*", &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
}

static bool has_eleven(struct world *world)
{
    if (world_is_answered(world, "/10.0.0.11"))
        world_touch(world, "/10.0.0.11");
    return world_has_workload(world, "eleven");
}

static void what_was_not_there_is_found_while_it_is_in_use(void **state)
{
    struct world *world = *state;
    world->options.absent_ms = 20;
    start_well(world);
    world_ask(world, "/10.0.0.11");
    world_run(world, knows_eleven);
    istiod_put_workload(world->istiod, "eleven", "10.0.0.11", NULL);
    world_push(world); /* which tells nobody */
    world_run(world, has_eleven);
}

static bool has_forgotten_eleven(struct world *world)
{
    return !world_is_answered(world, "/10.0.0.11") &&
           !istiod_has_subscribed(world_stream(world), XDS_ADDRESS, "/10.0.0.11");
}

/* A pod that has come meanwhile would be taken for something outside of the mesh. */
static void nobody_goes_by_an_absence_of_long_ago(void **state)
{
    struct world *world = *state;
    world->options.absent_ms = 20;
    start_well(world);
    world_ask(world, "/10.0.0.11");
    world_run(world, knows_eleven);
    world_run(world, has_forgotten_eleven);
    istiod_put_workload(world->istiod, "eleven", "10.0.0.11", NULL);
    world_ask(world, "/10.0.0.11");
    world_run(world, knows_eleven);
    assert_true(world_has_workload(world, "eleven"));
}

static bool has_first_endpoint(struct world *world)
{
    return world_has_workload(world, "e/1");
}

static bool has_second_endpoint(struct world *world)
{
    world_touch(world, "/10.1.0.1");
    return world_has_workload(world, "e/2");
}

static void a_new_endpoint_is_found_while_its_service_is_in_use(void **state)
{
    struct world *world = *state;
    world->options.refresh_ms = 20;
    istiod_put_service(world->istiod, "shop/web", "10.1.0.1");
    istiod_put_workload(world->istiod, "e/1", "10.0.0.2", "shop/web");
    start_well(world);
    world_ask(world, "/10.1.0.1");
    world_run(world, has_first_endpoint);
    istiod_put_workload(world->istiod, "e/2", "10.0.0.3", "shop/web");
    world_run(world, has_second_endpoint);
}

static bool knows_web(struct world *world)
{
    return world_is_answered(world, "/10.1.0.1");
}

static bool web_has_endpoint(struct world *world)
{
    world_touch(world, "/10.1.0.1");
    return has_first_endpoint(world);
}

static void the_first_endpoint_of_a_service_is_found_as_soon_as_what_was_absent(void **state)
{
    struct world *world = *state;
    world->options.absent_ms = 20;
    istiod_put_service(world->istiod, "shop/web", "10.1.0.1");
    start_well(world);
    world_ask(world, "/10.1.0.1");
    world_run(world, knows_web);
    istiod_put_workload(world->istiod, "e/1", "10.0.0.2", "shop/web");
    world_run(world, web_has_endpoint);
}

static bool was_rolled(struct world *world)
{
    return world_has_workload(world, "e/2") && !world_has_workload(world, "e/1");
}

static void a_service_whose_endpoints_are_replaced_is_asked_for_at_once(void **state)
{
    struct world *world = *state;
    istiod_put_service(world->istiod, "shop/web", "10.1.0.1");
    istiod_put_workload(world->istiod, "e/1", "10.0.0.2", "shop/web");
    start_well(world);
    world_ask(world, "/10.1.0.1");
    world_run(world, has_first_endpoint);
    istiod_put_workload(world->istiod, "e/2", "10.0.0.3", "shop/web");
    istiod_remove(world->istiod, XDS_ADDRESS, "e/1");
    world_push(world);
    world_run(world, was_rolled);
}

static bool web_is_gone(struct world *world)
{
    return world->num_snapshots > 0 && !world_has_workload(world, "e/1") &&
           mesh_snapshot_service(world->snapshot, "shop/web") == NULL &&
           !world_is_answered(world, "/10.1.0.1") &&
           !istiod_has_subscribed(world_stream(world), XDS_ADDRESS, "e/1");
}

static void what_nobody_uses_goes_with_all_that_came_with_it(void **state)
{
    struct world *world = *state;
    struct xds_source_stats stats;
    world->options.unused_ms = 100;
    istiod_put_service(world->istiod, "shop/web", "10.1.0.1");
    istiod_put_workload(world->istiod, "e/1", "10.0.0.2", "shop/web");
    start_well(world);
    world_ask(world, "/10.1.0.1");
    world_run(world, has_first_endpoint);
    world_run(world, web_is_gone);
    assert_true(world_has_workload(world, "own"));
    xds_source_stats(world->source, &stats);
    assert_int_equal(stats.num_expired, 1);
    assert_int_equal(stats.num_held[XDS_ADDRESS], 1);
    assert_int_equal(stats.num_subscribed, 1);
    world_ask(world, "/10.1.0.1"); /* and comes again */
    world_run(world, has_first_endpoint);
}

/* ------------------------------------------------------------------------------------ updates -- */

static bool own_moved(struct world *world)
{
    const struct mesh_workload *own = mesh_snapshot_workload_by_uid(world->snapshot, "own");
    return own != NULL && own->num_services == 1 &&
           strcmp(own->services[0].service, "shop/last") == 0;
}

static void a_storm_of_updates_makes_few_snapshots(void **state)
{
    struct world *world = *state;
    char service[32];
    world->options.coalesce_ms = 200;
    start_well(world);
    size_t before = world->num_snapshots;
    for (int i = 0; i < 1000; i++) {
        snprintf(service, sizeof(service), "shop/%d", i);
        istiod_put_workload(world->istiod, "own", "10.0.0.1", service);
        world_push(world);
    }
    istiod_put_workload(world->istiod, "own", "10.0.0.1", "shop/last");
    world_push(world);
    world_run(world, own_moved);
    assert_true(world->num_snapshots - before < 100);
}

static bool policy_is_there(struct world *world)
{
    return mesh_snapshot_policy(world->snapshot, "shop/p") != NULL;
}

static bool policy_is_gone(struct world *world)
{
    return mesh_snapshot_policy(world->snapshot, "shop/p") == NULL;
}

static void policies_come_and_go(void **state)
{
    struct world *world = *state;
    start_well(world);
    istiod_put_policy(world->istiod, "shop/p", true);
    world_push(world);
    world_run(world, policy_is_there);
    istiod_remove(world->istiod, XDS_AUTHORIZATION, "shop/p");
    world_push(world);
    world_run(world, policy_is_gone);
}

static bool was_rejected(struct world *world)
{
    return istiod_seen(world_stream(world))->num_nacks > 0 && policy_is_there(world);
}

static void one_bad_resource_does_not_hold_up_the_good_ones(void **state)
{
    struct world *world = *state;
    struct xds_source_stats stats;
    start_well(world);
    istiod_put_raw(world->istiod, XDS_AUTHORIZATION, "shop/bad",
                   "\x0a\x03"
                   "bad"
                   "\x12\x04shop\x20\x07",
                   13);
    istiod_put_policy(world->istiod, "shop/p", true);
    world_push(world);
    world_run(world, was_rejected);
    assert_int_equal(strncmp(world->rejected, "authorization shop/bad: ", 24), 0);
    assert_int_equal(strncmp(istiod_seen(world_stream(world))->nack, "shop/bad: ", 10), 0);
    xds_source_stats(world->source, &stats);
    assert_int_equal(stats.num_rejected[XDS_AUTHORIZATION], 1);
    assert_int_equal(stats.num_nacks, 1);
}

static void put_policy_of(struct world *world, char scope, char action, char dry_run)
{
    /* A condition that nobody knows, in a match in a clause in a rule. */
    char bytes[] = "\x0a\x03"
                   "new"
                   "\x12\x04shop\x18\x00\x20\x00\x30\x00\x2a\x08\x0a\x06\x12\x04\xfa\x06\x01x";
    bytes[12] = scope;
    bytes[14] = action;
    bytes[16] = dry_run;
    istiod_put_raw(world->istiod, XDS_AUTHORIZATION, "shop/new", bytes, sizeof(bytes) - 1);
}

static bool has_nacked(struct world *world)
{
    return istiod_seen(world_stream(world))->num_nacks > 0 && policy_is_there(world);
}

static bool new_is_gone(struct world *world)
{
    return mesh_snapshot_policy(world->snapshot, "shop/new") == NULL;
}

static void a_policy_that_is_not_understood_permits_nothing(void **state)
{
    struct world *world = *state;
    start_well(world);
    put_policy_of(world, MESH_POLICY_NAMESPACE, MESH_ALLOW, 0);
    istiod_put_policy(world->istiod, "shop/p", true);
    world_push(world);
    world_run(world, has_nacked);
    const struct mesh_policy *policy = mesh_snapshot_policy(world->snapshot, "shop/new");
    assert_non_null(policy);
    assert_int_equal(policy->scope, MESH_POLICY_NAMESPACE);
    assert_int_equal(policy->action, MESH_ALLOW);
    assert_int_equal(policy->num_rules, 0);
    istiod_remove(world->istiod, XDS_AUTHORIZATION, "shop/new");
    world_push(world);
    world_run(world, new_is_gone);
}

static void an_earlier_version_of_a_policy_is_better_than_a_stand_in(void **state)
{
    struct world *world = *state;
    istiod_put_policy(world->istiod, "shop/new", true);
    start_well(world);
    put_policy_of(world, MESH_POLICY_GLOBAL, MESH_DENY, 0);
    istiod_put_policy(world->istiod, "shop/p", true);
    world_push(world);
    world_run(world, has_nacked);
    const struct mesh_policy *policy = mesh_snapshot_policy(world->snapshot, "shop/new");
    assert_int_equal(policy->scope, MESH_POLICY_NAMESPACE);
    assert_int_equal(policy->num_rules, 0);
}

static void a_resource_under_another_name_than_its_own_is_rejected(void **state)
{
    struct world *world = *state;
    start_well(world);
    istiod_put_raw(world->istiod, XDS_AUTHORIZATION, "shop/other",
                   "\x0a\x03"
                   "bad"
                   "\x12\x04shop",
                   11);
    istiod_put_policy(world->istiod, "shop/p", true);
    world_push(world);
    world_run(world, was_rejected);
    assert_non_null(strstr(world->rejected, "shop/other: is shop/bad by its content"));
    assert_null(mesh_snapshot_policy(world->snapshot, "shop/bad"));
}

/* ------------------------------------------------------------------------------ streams that end -- */

static bool is_back(struct world *world)
{
    return world->num_connected == 2 && world_has_workload(world, "ten");
}

static void cut_connection(struct world *world)
{
    stream_shutdown(peer_newest(world->peer)->link.stream);
}

static bool is_disconnected(struct world *world)
{
    return world->num_disconnected > 0;
}

static void a_change_during_the_gap_is_learnt_and_nothing_is_lost(void **state)
{
    struct world *world = *state;
    istiod_put_workload(world->istiod, "ten", "10.0.0.10", NULL);
    start_well(world);
    world_ask(world, "/10.0.0.11");
    world_run(world, knows_eleven);
    cut_connection(world);
    world_run(world, is_disconnected);
    assert_true(world_has_workload(world, "own"));
    assert_int_equal(world->last_end, XDS_END_BROKEN);
    assert_non_null(strstr(world->last_err.message, "control plane tcp://"));
    world_ask(world, "/10.0.0.10"); /* nobody is there to be asked */
    istiod_put_workload(world->istiod, "own", "10.0.0.1", "shop/last");
    world_run(world, is_back);
    world_run(world, own_moved);
    assert_true(world_is_answered(world, "/10.0.0.11"));
}

static bool has_two_streams(struct world *world)
{
    return world->num_connected == 2;
}

static void an_old_connection_serves_until_the_new_one_stands(void **state)
{
    struct world *world = *state;
    start_well(world);
    h2_session_start_drain(world->peer->connections[0]->link.session);
    world_run(world, has_two_streams);
    assert_int_equal(world->num_disconnected, 0);
    istiod_put_workload(world->istiod, "own", "10.0.0.1", "shop/last");
    world_push(world);
    world_run(world, own_moved);
    assert_int_equal(world->num_disconnected, 0);
}

static void finish(struct peer_connection *connection)
{
    peer_respond(connection);
    peer_finish(connection, "0", "");
}

static void refuse(struct peer_connection *connection)
{
    peer_respond(connection);
    peer_finish(connection, "16", "no such token");
}

static void garble(struct peer_connection *connection)
{
    peer_respond(connection);
    peer_send(connection, "\x22\x7f", 2);
}

static void reset(struct peer_connection *connection)
{
    h2_stream_reset(connection->stream, H2_INTERNAL_ERROR);
    connection->stream = NULL;
}

static bool has_failed_often(struct world *world)
{
    return world->num_disconnected >= 4;
}

static void whatever_a_server_does_wrong_is_named_and_got_over(void **state)
{
    static const struct {
        void (*on_request)(struct peer_connection *connection);
        enum xds_end end;
        enum err_kind kind;
        const char *words;
    } cases[] = {
        {finish, XDS_END_CLEAN, ERR_NONE, ""},
        {refuse, XDS_END_REFUSED, ERR_DENIED, "it refused the token (UNAUTHENTICATED)"},
        {garble, XDS_END_PROTOCOL, ERR_PROTOCOL, "its answer is no DeltaDiscoveryResponse"},
        {reset, XDS_END_PROTOCOL, ERR_PROTOCOL, "it reset the call"},
    };
    struct world *world = *state;
    istiod_put_workload(world->istiod, "own", "10.0.0.1", NULL);
    struct peer_script script = world->peer->script;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        world->num_disconnected = 0;
        world->peer->script = (struct peer_script){.on_request = cases[i].on_request};
        world->options.client.backoff_max_ms = 5;
        world_start(world);
        world_run(world, has_failed_often);
        if (world->last_end != cases[i].end || world->last_err.kind != cases[i].kind ||
            strstr(world->last_err.message, cases[i].words) == NULL)
            fail_msg("case %zu: %s, %s", i, xds_end_name(world->last_end), world->last_err.message);
        assert_int_equal(world->num_snapshots, 0);
        world->peer->script = script;
        world_run(world, has_own);
        xds_source_free(world->source);
        world->source = NULL;
        mesh_snapshot_unref(world->snapshot);
        world->snapshot = NULL;
        world->num_snapshots = 0;
    }
}

static void a_token_that_cannot_be_read_is_named_and_waited_for(void **state)
{
    struct world *world = *state;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/remora-xds-token-%p", (void *)world);
    world->options.client.token_file = path;
    world->options.client.cluster_id = "Kubernetes";
    world->options.client.backoff_max_ms = 5;
    istiod_put_workload(world->istiod, "own", "10.0.0.1", NULL);
    world_start(world);
    world_run(world, has_failed_often);
    assert_int_equal(world->last_end, XDS_END_CONNECT);
    assert_non_null(strstr(world->last_err.message, path));
    FILE *file = fopen(path, "w");
    fputs("token\n", file);
    fclose(file);
    world_run(world, has_own);
    const struct peer_connection *connection = peer_newest(world->peer);
    assert_string_equal(connection->token, "Bearer token");
    assert_string_equal(connection->cluster_id, "Kubernetes");
    assert_string_equal(
        connection->path,
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources");
    assert_string_equal(connection->timeout, "");
    remove(path);
}

static bool has_ended_once(struct world *world)
{
    return world->num_ends[XDS_END_CONNECT] >= 1;
}

static void a_server_that_is_not_there_is_tried_again(void **state)
{
    struct world *world = *state;
    struct xds_source_stats stats;
    world->options.client.channel.address = "tcp://127.0.0.1:1";
    world_start(world);
    world_run(world, has_ended_once);
    assert_int_equal(world->last_err.kind, ERR_SYSTEM);
    xds_source_retry_now(world->source);
    xds_source_stats(world->source, &stats);
    assert_false(stats.connected);
    assert_int_equal(stats.num_ends[XDS_END_CONNECT], world->num_ends[XDS_END_CONNECT]);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(nothing_is_given_out_before_the_policies_are_there),
        WORLD_TEST(nothing_is_given_out_before_the_pods_own_name_is_answered),
        WORLD_TEST(the_whole_mesh_comes_in_wildcard_mode),
        WORLD_TEST(a_mesh_that_never_ceases_to_change_is_given_out),
        WORLD_TEST(ten_workers_that_ask_for_one_name_make_one_request),
        WORLD_TEST(what_cannot_be_a_name_is_refused),
        WORLD_TEST(what_was_not_there_is_found_while_it_is_in_use),
        WORLD_TEST(nobody_goes_by_an_absence_of_long_ago),
        WORLD_TEST(a_new_endpoint_is_found_while_its_service_is_in_use),
        WORLD_TEST(the_first_endpoint_of_a_service_is_found_as_soon_as_what_was_absent),
        WORLD_TEST(a_service_whose_endpoints_are_replaced_is_asked_for_at_once),
        WORLD_TEST(what_nobody_uses_goes_with_all_that_came_with_it),
        WORLD_TEST(a_storm_of_updates_makes_few_snapshots),
        WORLD_TEST(policies_come_and_go),
        WORLD_TEST(one_bad_resource_does_not_hold_up_the_good_ones),
        WORLD_TEST(a_policy_that_is_not_understood_permits_nothing),
        WORLD_TEST(an_earlier_version_of_a_policy_is_better_than_a_stand_in),
        WORLD_TEST(a_resource_under_another_name_than_its_own_is_rejected),
        WORLD_TEST(a_change_during_the_gap_is_learnt_and_nothing_is_lost),
        WORLD_TEST(an_old_connection_serves_until_the_new_one_stands),
        WORLD_TEST(whatever_a_server_does_wrong_is_named_and_got_over),
        WORLD_TEST(a_token_that_cannot_be_read_is_named_and_waited_for),
        WORLD_TEST(a_server_that_is_not_there_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
