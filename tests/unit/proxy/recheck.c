/* What lives on is judged again: batches, what comes and goes between them, and trust that is away. */
#include "recheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cert_builder.h"
#include "clock.h"
#include "identity.h"
#include "inbound.h"
#include "mesh_fixture.h"
#include "no_ports.h"
#include "proxy_state.h"
#include "telemetry_hub.h"

#define PEER_ID "spiffe://td/ns/shop/sa/peer"
#define OUR_ID  "spiffe://td/ns/shop/sa/sa"

enum {
    WATCHDOG_MS = 20 * 1000,
    BATCH_OF_SESSIONS = 256, /* recheck.c's */
    TUNNELS = 40,            /* more than two batches of peers */
};

static struct world {
    struct net_loop *loop;
    struct net_timer *watchdog;
    struct net_timer *stop;
    struct telemetry_hub *hub;
    struct telemetry *telemetry;
    struct proxy *proxy;
    struct cert_built *root, *next_root;
    /* The peers, by one pool with a connection for each tunnel. */
    struct tls_io *io;
    struct hbone_pool *pool;
    struct net_listener *listener, *app_listener;
    struct stream *tunnels[TUNNELS];
    struct stream *apps[TUNNELS];
    size_t num_tunnels, num_apps;
} world;

/* --------------------------------------------------------------------------------- the loop -- */

static void on_stop(void *owner)
{
    net_loop_stop(world.loop);
}

static void on_watchdog(void *owner)
{
    fail_msg("what the test waits for did not come");
}

/* Until `ms` of the loop's time have passed. What was due by then before, has run. */
static void run_for(uint64_t ms)
{
    net_timer_start(world.stop, ms);
    net_loop_run(world.loop);
}

static void run_until(bool (*is_so)(void))
{
    net_timer_start(world.watchdog, WATCHDOG_MS);
    while (!is_so())
        run_for(1);
    net_timer_stop(world.watchdog);
}

/* -------------------------------------------------------------------------- two ends of each -- */

static void on_over(struct stream **slot)
{
    struct stream *stream = *slot;
    *slot = NULL;
    stream_abort(stream);
}

static void end_on_read(void *owner, const uint8_t *bytes, size_t len)
{
}

static void end_on_eof(void *owner)
{
    on_over(owner);
}

static void end_on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    on_over(owner);
}

static const struct stream_handler end_handler = {
    .on_read = end_on_read, .on_eof = end_on_eof, .on_failed = end_on_failed};

static void hold(struct stream *stream, struct stream **slot)
{
    *slot = stream;
    stream_set_handler(stream, &end_handler, slot);
    stream_read_start(stream);
}

static void on_peer(void *owner, struct net_tcp *tcp)
{
    inbound_hbone_on_accept(world.proxy, tcp);
}

static void on_app(void *owner, struct net_tcp *tcp)
{
    assert_true(world.num_apps < TUNNELS);
    hold(net_tcp_stream(tcp), &world.apps[world.num_apps++]);
}

static void on_overload(void *owner)
{
    fail_msg("there are descriptors enough");
}

static void on_tunnel(void *owner, struct stream *stream, const struct hbone_pool_answer *answer)
{
    if (stream == NULL)
        fail_msg("reason %d: %s", (int)answer->reason, answer->err ? answer->err->message : "");
    hold(stream, &world.tunnels[world.num_tunnels++]);
}

static struct net_listener *listen_by(void (*on_accept)(void *owner, struct net_tcp *tcp))
{
    const struct addr at = fixture_addr("127.0.0.1:0");
    struct err err;
    struct net_listener *listener = net_listener_new(
        world.loop, &at, &(struct net_listener_options){0}, on_accept, on_overload, NULL, &err);
    assert_non_null(listener);
    return listener;
}

static bool all_tunnels_are_open(void)
{
    return world.num_tunnels == TUNNELS && world.num_apps == TUNNELS;
}

static void open_tunnels(void)
{
    static const char *const expected[] = {OUR_ID};
    char authority[ADDR_TEXT_MAX];
    addr_format(net_listener_addr(world.app_listener), authority);
    const struct hbone_pool_request request = {
        .peer = *net_listener_addr(world.listener),
        .expected = expected,
        .num_expected = 1,
        .authority = authority,
    };
    for (unsigned i = 0; i < TUNNELS; i++)
        assert_non_null(hbone_pool_connect(world.pool, &request, on_tunnel, NULL));
    run_until(all_tunnels_are_open);
    assert_int_equal(world.proxy->num_tunnels, TUNNELS);
}

/* ------------------------------------------------------------------------------------ trust -- */

/* Ours or the peers', issued by `root`, trusting `trusted`. */
static struct tls_context *context_of(const char *id, struct cert_built *root,
                                      struct cert_built *trusted)
{
    struct err err;
    struct cert_built *leaf = cert_builder_leaf(root, id);
    const char *key = cert_builder_key_pem(leaf), *chain = cert_builder_chain_pem(leaf);
    const char *roots = cert_builder_pem(trusted);
    struct svid *svid = svid_new_pem(key, strlen(key), chain, strlen(chain), &err);
    struct trust_bundle *bundle = trust_bundle_new_pem("td", roots, strlen(roots), &err);
    assert_true(svid != NULL && bundle != NULL);
    const struct trust trust = {.bundles = &bundle, .num_bundles = 1};
    struct identity *identity = identity_new(svid, &trust, 1, &err);
    struct tls_context *context = tls_context_new_mesh(identity, NULL, &err);
    assert_non_null(context);
    identity_unref(identity);
    trust_bundle_unref(bundle);
    svid_unref(svid);
    cert_builder_free(leaf);
    return context;
}

static void trust_only(struct cert_built *trusted)
{
    struct tls_context *context = context_of(OUR_ID, world.root, trusted);
    proxy_set_tls(world.proxy, context);
    tls_context_unref(context);
}

/* --------------------------------------------------------------------------------- the mesh -- */

/* This pod at 127.0.0.1; `denied`: its one policy allows nobody. */
static void publish(bool denied)
{
    static const struct mesh_policy nobody = {.namespace_ = "shop",
                                              .name = "p",
                                              .scope = MESH_POLICY_WORKLOAD_SELECTOR,
                                              .action = MESH_ALLOW};
    const char *listed = "shop/p";
    struct err err = {0};
    struct mesh_builder *builder = mesh_builder_new(NULL);
    fixture_add_workload(builder, &(struct mesh_workload){.uid = "me",
                                                          .name = "me",
                                                          .namespace_ = "shop",
                                                          .service_account = "sa",
                                                          .trust_domain = "td",
                                                          .network = "",
                                                          .tunnel = MESH_TUNNEL_HBONE,
                                                          IPS(fixture_ip("127.0.0.1")),
                                                          .authorization_policies = &listed,
                                                          .num_authorization_policies = denied});
    if (denied)
        assert_int_equal(mesh_builder_add_policy(builder, &nobody, &err), 0);
    struct mesh_snapshot *snapshot = fixture_build(builder);
    proxy_set_mesh(world.proxy, snapshot);
    mesh_snapshot_unref(snapshot);
}

static void assert_metric(const char *line)
{
    struct buf page = {0};
    const struct telemetry_control control = {0};
    assert_int_equal(telemetry_hub_write(world.hub, &control, METRICS_PROMETHEUS, &page), 0);
    assert_int_equal(buf_append(&page, "", 1), 0);
    if (strstr((const char *)buf_head(&page), line) == NULL)
        fail_msg("\"%s\" is not in:\n%s", line, buf_head(&page));
    buf_done(&page);
}

/* ---------------------------------------------------------------------------- making, ending -- */

static const struct proxy_options usual = {
    .pod_name = "me",
    .pod_namespace = "shop",
    .service_account = "sa",
    .network = "",
    .cluster_id = "c",
    .connect_timeout_ms = 5000,
    .tls_timeout_ms = 5000,
    .tunnel_answer_timeout_ms = 5000,
    .http2_ping_interval_ms = 10000,
    .http2_ping_timeout_ms = 10000,
    .http2_stream_window = 65535,
    .http2_connection_window = 65535,
    .http2_frame_size = 16384,
    .http2_max_streams = 100,
    .pool_max_streams = 100,
    .pool_idle_timeout_ms = 60000,
    .peer_expiry_grace_ms = 60000,
    .max_sessions = 1000,
};

static int set_up(void **state)
{
    struct err err;
    memset(&world, 0, sizeof(world));
    world.loop = net_loop_new(&err);
    world.stop = net_timer_new(world.loop, on_stop, NULL);
    world.watchdog = net_timer_new(world.loop, on_watchdog, NULL);
    world.hub = telemetry_hub_new(&(struct telemetry_hub_options){.access_log = false}, &err);
    world.telemetry = telemetry_new(world.hub);
    world.proxy = proxy_new(world.loop, &usual, world.telemetry, &err);
    no_ports_set(world.proxy);
    world.root = cert_builder_root("root");
    world.next_root = cert_builder_root("next");
    world.io = tls_io_new(world.loop);
    struct hbone_pool_options options;
    hbone_pool_options_default(&options);
    options.max_streams = 1;
    world.pool = hbone_pool_new(world.io, &options, &err);
    struct tls_context *context = context_of(PEER_ID, world.root, world.root);
    hbone_pool_set_context(world.pool, context);
    tls_context_unref(context);
    world.listener = listen_by(on_peer);
    world.app_listener = listen_by(on_app);
    publish(false);
    trust_only(world.root);
    return 0;
}

static int tear_down(void **state)
{
    proxy_free(world.proxy);
    for (size_t i = 0; i < TUNNELS; i++) {
        stream_abort(world.tunnels[i]);
        stream_abort(world.apps[i]);
    }
    hbone_pool_free(world.pool);
    tls_io_free(world.io);
    net_listener_free(world.listener);
    net_listener_free(world.app_listener);
    telemetry_free(world.telemetry);
    telemetry_hub_free(world.hub, 0);
    net_timer_free(world.stop);
    net_timer_free(world.watchdog);
    cert_builder_free(world.root);
    cert_builder_free(world.next_root);
    return net_loop_free(world.loop);
}

/* ----------------------------------------------------------------------------------- policies -- */

/* In clear, let in by the policies of now. */
static struct session *let_in(void)
{
    const struct addr from = fixture_addr("10.0.0.1:1"), to = fixture_addr("127.0.0.1:80");
    struct session *session = session_new(world.proxy, SESSION_INBOUND, &from, &to);
    assert_non_null(session);
    session->target_addr = to;
    session->has_target = true;
    session->authorized_by = world.proxy->recheck.policy_generation;
    return session;
}

static bool one_is_left(void)
{
    return proxy_num_sessions(world.proxy) == 1;
}

static void more_sessions_than_a_batch_are_judged_while_some_end_and_some_come(void **state)
{
    enum { MANY = 2 * BATCH_OF_SESSIONS + 88 };
    struct session *last = NULL;
    for (unsigned i = 0; i < MANY; i++)
        last = let_in();
    run_for(0); /* what set_up has left */
    publish(true);
    run_for(1);
    assert_int_equal(proxy_num_sessions(world.proxy), MANY - BATCH_OF_SESSIONS);
    session_close(TAILQ_FIRST(&world.proxy->sessions), REASON_DONE, NULL);
    session_close(last, REASON_DONE, NULL);
    struct session *newcomer = let_in(); /* by the new policies: not judged twice */
    run_until(one_is_left);
    run_for(5);
    assert_ptr_equal(TAILQ_FIRST(&world.proxy->sessions), newcomer);
    assert_metric(
        "remora_recheck_closed_total{direction=\"inbound\",reason=\"not_allowed\"} 598\n");
}

static void who_waits_for_its_application_is_judged_and_who_is_not_let_in_yet_is_not(void **state)
{
    let_in();
    struct session *undecided = let_in();
    undecided->authorized_by = 0;
    publish(true);
    run_until(one_is_left);
    assert_ptr_equal(TAILQ_FIRST(&world.proxy->sessions), undecided);
}

static void a_second_change_between_two_batches_judges_all_anew(void **state)
{
    for (unsigned i = 0; i < BATCH_OF_SESSIONS + 10; i++)
        let_in();
    publish(true);
    publish(false); /* taken back before anybody was judged */
    run_for(5);
    assert_int_equal(proxy_num_sessions(world.proxy), BATCH_OF_SESSIONS + 10);
    publish(true);
    run_for(20);
    assert_int_equal(proxy_num_sessions(world.proxy), 0);
}

/* ------------------------------------------------------------------------------------- trust -- */

static bool no_tunnel_is_left(void)
{
    return world.proxy->num_tunnels == 0 && proxy_num_sessions(world.proxy) == 0;
}

static void every_tunnel_of_a_root_that_is_withdrawn_ends_with_the_reason(void **state)
{
    open_tunnels();
    trust_only(world.next_root);
    run_until(no_tunnel_is_left);
    assert_metric(
        "remora_recheck_closed_total{direction=\"inbound\",reason=\"cert_untrusted\"} 40\n");
}

static void a_new_certificate_with_the_same_trust_ends_nothing(void **state)
{
    open_tunnels();
    trust_only(world.root);
    assert_false(world.proxy->recheck.trust_pending);
    run_for(5);
    assert_int_equal(world.proxy->num_tunnels, TUNNELS);
}

/* The loop must neither hang nor forget: both were so when a batch without an identity made the next. */
static void what_is_pending_waits_for_an_identity_without_a_loop(void **state)
{
    open_tunnels();
    trust_only(world.next_root);
    proxy_set_tls(world.proxy, NULL);
    run_for(20);
    assert_int_equal(world.proxy->num_tunnels, TUNNELS); /* nothing to judge by */
    trust_only(world.next_root);                         /* the same trust as was to be judged by */
    run_until(no_tunnel_is_left);
}

static void a_handshake_by_a_former_trust_is_judged_by_the_one_of_now(void **state)
{
    struct tls_context *former = tls_context_ref(world.proxy->tls);
    trust_only(world.next_root);
    run_for(5);
    assert_false(world.proxy->recheck.trust_pending);
    assert_int_equal(recheck_generation_of(world.proxy, world.proxy->tls), 2);
    assert_false(world.proxy->recheck.trust_pending);
    assert_int_equal(recheck_generation_of(world.proxy, former), 0);
    assert_true(world.proxy->recheck.trust_pending);
    tls_context_unref(former);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(more_sessions_than_a_batch_are_judged_while_some_end_and_some_come),
        TEST(who_waits_for_its_application_is_judged_and_who_is_not_let_in_yet_is_not),
        TEST(a_second_change_between_two_batches_judges_all_anew),
        TEST(every_tunnel_of_a_root_that_is_withdrawn_ends_with_the_reason),
        TEST(a_new_certificate_with_the_same_trust_ends_nothing),
        TEST(what_is_pending_waits_for_an_identity_without_a_loop),
        TEST(a_handshake_by_a_former_trust_is_judged_by_the_one_of_now),
    };
    return cmocka_run_group_tests_name("recheck", tests, NULL, NULL);
}
