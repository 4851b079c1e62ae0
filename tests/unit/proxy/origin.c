/* TLS to the destination itself: which rule a connection is for, and that nothing of it ever goes in clear. */
#include "origin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cert_builder.h"
#include "clock.h"
#include "mesh_fixture.h"
#include "port_files.h"
#include "proxy_state.h"
#include "telemetry_hub.h"
#include "tls_handshake.h"

#define OUR_ID      "spiffe://td/ns/shop/sa/sa"
#define SERVER_ID   "spiffe://td/ns/shop/sa/server"
#define STRANGER_ID "spiffe://td/ns/shop/sa/stranger"

/* -------------------------------------------------------------------------------- matching -- */

static struct cidr cidr_of(const char *text)
{
    struct cidr cidr;
    struct err err;
    assert_int_equal(cidr_parse(&cidr, text, &err), 0);
    return cidr;
}

static void a_rule_matches_by_address_or_by_what_discovery_calls_the_destination(void **state)
{
    const struct {
        const char *host, *cidr;
        uint16_t port;
        const char *dialled, *target, *service_host, *workload_host;
        enum origin_match match;
    } rows[] = {
        /* by the address that was dialled, or by the endpoint's */
        {NULL, "10.0.0.0/24", 80, "10.0.0.7:80", "10.0.0.7:80", NULL, NULL, ORIGIN_YES},
        {NULL, "10.0.0.0/24", 80, "10.0.0.7:80", "10.9.0.1:8080", "s.example", NULL, ORIGIN_YES},
        {NULL, "10.9.0.0/24", 8080, "10.0.0.7:80", "10.9.0.1:8080", "s.example", NULL, ORIGIN_YES},
        {NULL, "10.9.0.0/24", 80, "10.0.0.7:80", "10.9.0.1:8080", "s.example", NULL, ORIGIN_NO},
        {NULL, "10.0.0.0/24", 8080, "10.0.0.7:80", "10.9.0.1:8080", NULL, NULL, ORIGIN_NO},
        {NULL, "10.0.0.0/24", 81, "10.0.0.7:80", "10.0.0.7:80", NULL, NULL, ORIGIN_NO},
        {NULL, "10.0.1.0/24", 80, "10.0.0.7:80", "10.0.0.7:80", NULL, NULL, ORIGIN_NO},
        {NULL, "fd00::/8", 80, "[fd00::1]:80", "[fd00::1]:80", NULL, NULL, ORIGIN_YES},
        {NULL, "0.0.0.0/0", 80, "[fd00::1]:80", "[fd00::1]:80", NULL, NULL, ORIGIN_NO},
        /* by the service's name, at its port; another service's is not it, whatever DNS says */
        {"s.example", NULL, 80, "10.0.0.7:80", "10.9.0.1:8080", "s.example", NULL, ORIGIN_YES},
        {"s.example", NULL, 80, "10.0.0.7:80", "10.9.0.1:8080", "S.Example", NULL, ORIGIN_YES},
        {"s.example", NULL, 8080, "10.0.0.7:80", "10.9.0.1:8080", "s.example", NULL, ORIGIN_NO},
        {"s.example", NULL, 80, "10.0.0.7:80", "10.9.0.1:8080", "t.example", NULL, ORIGIN_NO},
        {"s.example", NULL, 80, "10.0.0.7:80", "10.9.0.1:80", "s.example.", NULL, ORIGIN_NO},
        /* by the workload's, at its own */
        {"w.example", NULL, 8080, "10.0.0.7:80", "10.9.0.1:8080", "t.example", "w.example",
         ORIGIN_YES},
        {"w.example", NULL, 80, "10.0.0.7:80", "10.9.0.1:8080", "t.example", "w.example",
         ORIGIN_NO},
        {"w.example", NULL, 80, "10.0.0.7:80", "10.0.0.7:80", NULL, "", ORIGIN_LOOK_UP},
        /* where there is no service, DNS says */
        {"d.example", NULL, 80, "10.0.0.7:80", "10.0.0.7:80", NULL, NULL, ORIGIN_LOOK_UP},
        {"d.example", NULL, 81, "10.0.0.7:80", "10.0.0.7:80", NULL, NULL, ORIGIN_NO},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ports_destination rule = {.host = rows[i].host, .port = rows[i].port};
        if (rows[i].cidr != NULL)
            rule.cidr = cidr_of(rows[i].cidr);
        const struct origin_aim aim = {
            .dialled = fixture_addr(rows[i].dialled),
            .target = fixture_addr(rows[i].target),
            .service_host = rows[i].service_host,
            .workload_host = rows[i].workload_host,
        };
        print_message("row %zu\n", i);
        assert_int_equal(origin_match(&rule, &aim), rows[i].match);
    }
}

/* -------------------------------------------------------------------------------- the world -- */

enum { WATCHDOG_MS = 20 * 1000 };

enum server {
    SERVER_IN_CLEAR, /* notes what it gets */
    SERVER_ISTIO,    /* Istio's mutual TLS */
};

/*
 * Nobody redirects: where the application goes is the listener itself. What is accepted first is the application's and the proxy's
 * to take; what comes then is what the proxy has made of it.
 */
static struct world {
    struct net_loop *loop;
    struct net_timer *watchdog, *stop;
    struct telemetry_hub *hub;
    struct telemetry *telemetry;
    struct proxy *proxy;
    struct net_listener *listener;
    struct tls_io *io;
    struct cert_built *root, *next_root;
    bool ends_at_once;      /* the session, as soon as it is accepted */
    void (*on_taken)(void); /* what happens once there is a session; or NULL */
    enum server server;
    struct tls_context *server_tls;
    struct tls_handshake *handshake;
    struct stream *served;
    int application;
    size_t num_accepted, num_in_clear, num_shaken;
} world;

static void on_stop(void *owner)
{
    net_loop_stop(world.loop);
}

static void on_watchdog(void *owner)
{
    fail_msg("what the test waits for did not come");
}

static void run_until(bool (*is_so)(void))
{
    net_timer_start(world.watchdog, WATCHDOG_MS);
    while (!is_so()) {
        net_timer_start(world.stop, 1);
        net_loop_run(world.loop);
    }
    net_timer_stop(world.watchdog);
}

static void on_over(void)
{
    stream_abort(world.served);
    world.served = NULL;
}

static void served_on_read(void *owner, const uint8_t *bytes, size_t len)
{
    stream_write(world.served, bytes, len);
}

static void served_on_eof(void *owner)
{
    on_over();
}

static void served_on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    on_over();
}

static const struct stream_handler served_handler = {
    .on_read = served_on_read, .on_eof = served_on_eof, .on_failed = served_on_failed};

static void serve(struct stream *stream)
{
    world.served = stream;
    stream_set_handler(stream, &served_handler, NULL);
    stream_read_start(stream);
}

static void on_shaken(void *owner, struct stream *stream, enum reason reason, const struct err *err)
{
    world.handshake = NULL;
    world.num_shaken++;
    if (stream != NULL)
        serve(stream);
}

static void on_accept(void *owner, struct net_tcp *tcp)
{
    struct err err;
    if (world.num_accepted++ == 0) {
        outbound_on_accept(world.proxy, tcp);
        if (world.ends_at_once)
            session_close(TAILQ_FIRST(&world.proxy->sessions), REASON_DRAINED, NULL);
        if (world.on_taken != NULL)
            world.on_taken();
    } else if (world.server == SERVER_IN_CLEAR) {
        world.num_in_clear++;
        serve(net_tcp_stream(tcp));
    } else {
        const struct tls_conn_params params = {.role = TLS_SERVER, .now_ms = clock_wall_ms()};
        world.handshake = tls_handshake_start(world.io, net_tcp_stream(tcp), world.server_tls,
                                              &params, 5000, on_shaken, NULL, &err);
        assert_non_null(world.handshake);
    }
}

static void on_overload(void *owner)
{
    fail_msg("there are descriptors enough");
}

static struct identity *identity_of(const char *id, struct cert_built *trusted)
{
    struct err err;
    struct cert_built *leaf = cert_builder_leaf(world.root, id);
    const char *key = cert_builder_key_pem(leaf), *chain = cert_builder_chain_pem(leaf);
    const char *roots = cert_builder_pem(trusted);
    struct svid *svid = svid_new_pem(key, strlen(key), chain, strlen(chain), &err);
    struct trust_bundle *bundle = trust_bundle_new_pem("td", roots, strlen(roots), &err);
    assert_true(svid != NULL && bundle != NULL);
    const struct trust trust = {.bundles = &bundle, .num_bundles = 1};
    struct identity *identity = identity_new(svid, &trust, 1, &err);
    assert_non_null(identity);
    trust_bundle_unref(bundle);
    svid_unref(svid);
    cert_builder_free(leaf);
    return identity;
}

/*
 * One rule, for the port that the application dials, with these keys beside `match`; `match` NULL: no rule. `trusted` NULL: there is
 * no identity.
 */
static void set_rule(const char *match, const char *keys, struct cert_built *trusted)
{
    char text[512] = "{}";
    struct err err = {0};
    if (match != NULL)
        snprintf(text, sizeof(text), "destinations: [{match: {%s, port: %u}, %s}]", match,
                 net_listener_addr(world.listener)->port, keys);
    struct ports_config *config = ports_config_parse("ports", text, strlen(text), &err);
    if (config == NULL)
        fail_msg("%s", err.message);
    struct port_files *files = port_files_new(config, &err);
    assert_int_equal(port_files_read(files, &err), 0);
    struct identity *identity = trusted != NULL ? identity_of(OUR_ID, trusted) : NULL;
    struct port_table *table = port_table_new(files, identity, identity != NULL, &err);
    if (table == NULL)
        fail_msg("%s", err.message);
    proxy_set_ports(world.proxy, table);
    port_table_unref(table);
    port_files_unref(files);
    identity_unref(identity);
}

/* This pod, and at 127.0.0.1 a server that discovery describes by `tunnel`. */
static void publish(enum mesh_tunnel tunnel)
{
    struct mesh_builder *builder = mesh_builder_new(NULL);
    const struct mesh_workload workloads[] = {
        {.uid = "me",
         .name = "me",
         .namespace_ = "shop",
         .service_account = "sa",
         .trust_domain = "td",
         .network = "",
         IPS(fixture_ip("10.9.9.9"))},
        {.uid = "server",
         .name = "server",
         .namespace_ = "shop",
         .service_account = "server",
         .trust_domain = "td",
         .network = "",
         .tunnel = tunnel,
         IPS(fixture_ip("127.0.0.1"))},
    };
    for (size_t i = 0; i < 2; i++)
        fixture_add_workload(builder, &workloads[i]);
    struct mesh_snapshot *snapshot = fixture_build(builder);
    proxy_set_mesh(world.proxy, snapshot);
    mesh_snapshot_unref(snapshot);
}

static void server_is(const char *id)
{
    struct err err;
    struct identity *identity = identity_of(id, world.root);
    world.server = SERVER_ISTIO;
    world.server_tls = tls_context_new_istio(identity, NULL, &err);
    assert_non_null(world.server_tls);
    identity_unref(identity);
}

/* A server of plain TLS, which knows no clients' certificates. */
static void server_asks_nobody(const char *id)
{
    struct err err;
    struct cert_built *leaf = cert_builder_leaf(world.root, id);
    const char *key = cert_builder_key_pem(leaf), *chain = cert_builder_chain_pem(leaf);
    world.server = SERVER_ISTIO;
    world.server_tls = tls_context_new_server(key, strlen(key), chain, strlen(chain), &err);
    assert_non_null(world.server_tls);
    cert_builder_free(leaf);
}

static void dial(void)
{
    struct sockaddr_storage to;
    socklen_t len = addr_to_sockaddr(net_listener_addr(world.listener), &to);
    world.application = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(world.application, (const struct sockaddr *)&to, len), 0);
}

static bool is_over(void)
{
    return world.num_accepted > 0 && proxy_num_sessions(world.proxy) == 0;
}

static bool is_answered(void)
{
    char byte;
    return recv(world.application, &byte, 1, MSG_DONTWAIT) == 1;
}

static void assert_answers(void)
{
    assert_int_equal(send(world.application, "?", 1, MSG_NOSIGNAL), 1);
    run_until(is_answered);
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

static void assert_ended_by(const char *reason)
{
    char line[128];
    run_until(is_over);
    snprintf(line, sizeof(line),
             "remora_session_ends_total{direction=\"outbound\",reason=\"%s\"} 1\n", reason);
    assert_metric(line);
    assert_int_equal(world.num_in_clear, 0);
}

static const struct proxy_options usual = {
    .pod_name = "me",
    .pod_namespace = "shop",
    .service_account = "sa",
    .network = "",
    .cluster_id = "c",
    .connect_timeout_ms = 2000,
    .tls_timeout_ms = 5000,
    .tunnel_answer_timeout_ms = 5000,
    .http2_ping_interval_ms = 10000,
    .http2_ping_timeout_ms = 10000,
    .http2_stream_window = 65535,
    .http2_connection_window = 65535,
    .http2_frame_size = 16384,
    .http2_max_streams = 100,
    .pool_max_streams = 100,
    .pool_idle_timeout_ms = 1000,
    .peer_expiry_grace_ms = 60000,
    .max_sessions = 100,
};

static int set_up(void **state)
{
    struct err err;
    const struct addr at = fixture_addr("127.0.0.1:0");
    memset(&world, 0, sizeof(world));
    world.application = -1;
    world.loop = net_loop_new(&err);
    world.stop = net_timer_new(world.loop, on_stop, NULL);
    world.watchdog = net_timer_new(world.loop, on_watchdog, NULL);
    world.hub = telemetry_hub_new(&(struct telemetry_hub_options){.access_log = false}, &err);
    world.telemetry = telemetry_new(world.hub);
    world.proxy = proxy_new(world.loop, &usual, world.telemetry, &err);
    world.io = tls_io_new(world.loop);
    world.root = cert_builder_root("root");
    world.next_root = cert_builder_root("next");
    world.listener = net_listener_new(world.loop, &at, &(struct net_listener_options){0}, on_accept,
                                      on_overload, NULL, &err);
    assert_non_null(world.listener);
    publish(MESH_TUNNEL_NONE);
    return 0;
}

static int tear_down(void **state)
{
    if (world.application >= 0)
        close(world.application);
    proxy_free(world.proxy);
    tls_handshake_cancel(world.handshake);
    stream_abort(world.served);
    tls_io_free(world.io);
    tls_context_unref(world.server_tls);
    net_listener_free(world.listener);
    telemetry_free(world.telemetry);
    telemetry_hub_free(world.hub, 0);
    net_timer_free(world.stop);
    net_timer_free(world.watchdog);
    cert_builder_free(world.root);
    cert_builder_free(world.next_root);
    return net_loop_free(world.loop);
}

/* ---------------------------------------------------------------------------- with no identity -- */

static void what_no_rule_names_goes_in_clear(void **state)
{
    set_rule("cidr: 127.0.0.2/32", "spiffe-ids: [" SERVER_ID "]", NULL);
    dial();
    assert_answers();
    assert_int_equal(world.num_in_clear, 1);
}

static void what_a_rule_names_by_its_address_is_refused_without_an_identity(void **state)
{
    set_rule("cidr: 127.0.0.0/8", "spiffe-ids: [" SERVER_ID "]", NULL);
    dial();
    assert_ended_by("no_identity");
}

static void what_a_rule_names_by_a_host_is_looked_up(void **state)
{
    set_rule("host: localhost", "spiffe-ids: [" SERVER_ID "]", NULL);
    dial();
    assert_ended_by("no_identity");
}

static void what_a_rule_might_name_is_refused_when_that_cannot_be_known(void **state)
{
    set_rule("host: a.invalid", "spiffe-ids: [" SERVER_ID "]", NULL);
    dial();
    assert_ended_by("name_not_resolved");
}

static void a_search_ends_with_its_session(void **state)
{
    set_rule("host: b.invalid", "spiffe-ids: [" SERVER_ID "]", NULL);
    world.ends_at_once = true;
    dial();
    assert_ended_by("drained");
}

static void istios_mutual_tls_is_refused_without_an_identity(void **state)
{
    publish(MESH_TUNNEL_LEGACY_ISTIO_MTLS);
    dial(); /* nothing was said of ports at all */
    assert_ended_by("no_identity");
}

/* -------------------------------------------------------------------------------- with one -- */

static void reach_by_istio(void)
{
    publish(MESH_TUNNEL_LEGACY_ISTIO_MTLS);
    set_rule(NULL, NULL, world.root);
    server_is(SERVER_ID);
    dial();
    assert_answers();
    assert_int_equal(world.num_shaken, 1);
}

static void istios_mutual_tls_carries_bytes(void **state)
{
    reach_by_istio();
    const struct session *session = TAILQ_FIRST(&world.proxy->sessions);
    assert_string_equal(session->peer->principal, "td/ns/shop/sa/server");
    assert_metric("connection_security_policy=\"mutual_tls\"");
    assert_metric("destination_principal=\"" SERVER_ID "\"");
}

static void another_identity_at_its_address_gets_nothing(void **state)
{
    publish(MESH_TUNNEL_LEGACY_ISTIO_MTLS);
    set_rule(NULL, NULL, world.root);
    server_is(STRANGER_ID);
    dial();
    assert_ended_by("identity_mismatch");
}

static void a_connection_ends_with_the_trust_in_its_peer(void **state)
{
    reach_by_istio();
    set_rule(NULL, NULL, NULL); /* no identity for a while: nothing to judge by */
    set_rule(NULL, NULL, world.root);
    assert_answers();
    set_rule(NULL, NULL, world.next_root);
    assert_ended_by("cert_untrusted");
    assert_metric(
        "remora_recheck_closed_total{direction=\"outbound\",reason=\"cert_untrusted\"} 1\n");
}

/* The server speaks Istio's and takes only who offers it; what a rule names offers what the rule says. */
static void a_rule_reaches_its_server_by_spiffe_id(void **state)
{
    set_rule("cidr: 127.0.0.0/8", "alpn: [istio], spiffe-ids: [" STRANGER_ID ", " SERVER_ID "]",
             world.root);
    server_is(SERVER_ID);
    dial();
    assert_answers();
    assert_int_equal(world.num_shaken, 1);
    assert_metric("connection_security_policy=\"mutual_tls\"");
    assert_metric("source_principal=\"" OUR_ID "\"");
    /* The same destination wants somebody else now. */
    set_rule("cidr: 127.0.0.0/8", "alpn: [istio], spiffe-ids: [" STRANGER_ID "]", world.root);
    assert_ended_by("identity_mismatch");
}

static void who_we_are_is_not_said_of_a_connection_whose_server_did_not_ask(void **state)
{
    set_rule("cidr: 127.0.0.0/8", "alpn: [h2], spiffe-ids: [" SERVER_ID "]", world.root);
    server_asks_nobody(SERVER_ID);
    dial();
    assert_answers();
    assert_metric("connection_security_policy=\"unknown\"");
    assert_metric("source_principal=\"unknown\"");
    assert_metric("destination_principal=\"" SERVER_ID "\"");
}

/* A service where the application dials: nearly always first an endpoint where nothing listens, then one of Istio's. */
static void publish_two_endpoints(void)
{
    const uint16_t port = net_listener_addr(world.listener)->port;
    const struct mesh_network_address vip = {"", fixture_ip("127.0.0.1")};
    const struct mesh_port ports = {port, port, MESH_APP_UNKNOWN};
    const struct mesh_service service = {.namespace_ = "shop",
                                         .hostname = "s",
                                         .vips = &vip,
                                         .num_vips = 1,
                                         .ports = &ports,
                                         .num_ports = 1};
    const struct mesh_workload me = {.uid = "me",
                                     .name = "me",
                                     .namespace_ = "shop",
                                     .service_account = "sa",
                                     .trust_domain = "td",
                                     .network = "",
                                     IPS(fixture_ip("10.9.9.9"))};
    struct mesh_workload endpoint = {.uid = "closed",
                                     .namespace_ = "shop",
                                     .service_account = "server",
                                     .trust_domain = "td",
                                     .network = "",
                                     .capacity = 1000 * 1000,
                                     IPS(fixture_ip("127.0.0.2")),
                                     SERVICES({"shop/s", NULL, 0})};
    struct mesh_builder *builder = mesh_builder_new(NULL);
    fixture_add_workload(builder, &me);
    fixture_add_service(builder, &service);
    fixture_add_workload(builder, &endpoint);
    const struct ip open = fixture_ip("127.0.0.1");
    endpoint.uid = "open";
    endpoint.capacity = 1;
    endpoint.ips = &open;
    endpoint.tunnel = MESH_TUNNEL_LEGACY_ISTIO_MTLS;
    fixture_add_workload(builder, &endpoint);
    struct mesh_snapshot *snapshot = fixture_build(builder);
    proxy_set_mesh(world.proxy, snapshot);
    mesh_snapshot_unref(snapshot);
}

static void set_rule_for_the_closed_one(void)
{
    set_rule("cidr: 127.0.0.2/32", "spiffe-ids: [" SERVER_ID "]", world.root);
}

static void a_rule_lives_as_long_as_the_session_that_it_is_not_for_any_more(void **state)
{
    publish_two_endpoints();
    set_rule_for_the_closed_one();
    server_is(SERVER_ID);
    world.on_taken = set_rule_for_the_closed_one; /* another table */
    dial();
    assert_answers();
    const struct session *session = TAILQ_FIRST(&world.proxy->sessions);
    assert_int_equal(session->direct, SESSION_DIRECT_ISTIO);
    assert_int_equal(session->num_tried, 1);
    assert_non_null(session->origin);
    assert_ptr_not_equal(session->ports, world.proxy->ports);
    assert_metric("source_principal=\"" OUR_ID "\"");
}

static void a_rule_that_is_gone_leaves_its_connections(void **state)
{
    set_rule("cidr: 127.0.0.0/8", "alpn: [istio], spiffe-ids: [" SERVER_ID "]", world.root);
    server_is(SERVER_ID);
    dial();
    assert_answers();
    set_rule(NULL, NULL, world.next_root);
    assert_answers();
    assert_int_equal(proxy_num_sessions(world.proxy), 1);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_matches_by_address_or_by_what_discovery_calls_the_destination),
        IN_WORLD(what_no_rule_names_goes_in_clear),
        IN_WORLD(what_a_rule_names_by_its_address_is_refused_without_an_identity),
        IN_WORLD(what_a_rule_names_by_a_host_is_looked_up),
        IN_WORLD(what_a_rule_might_name_is_refused_when_that_cannot_be_known),
        IN_WORLD(a_search_ends_with_its_session),
        IN_WORLD(istios_mutual_tls_is_refused_without_an_identity),
        IN_WORLD(istios_mutual_tls_carries_bytes),
        IN_WORLD(another_identity_at_its_address_gets_nothing),
        IN_WORLD(a_connection_ends_with_the_trust_in_its_peer),
        IN_WORLD(a_rule_reaches_its_server_by_spiffe_id),
        IN_WORLD(who_we_are_is_not_said_of_a_connection_whose_server_did_not_ask),
        IN_WORLD(a_rule_lives_as_long_as_the_session_that_it_is_not_for_any_more),
        IN_WORLD(a_rule_that_is_gone_leaves_its_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
