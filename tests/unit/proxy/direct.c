/* Connections to the application's ports without a tunnel: who may enter how, and that no byte is lost or comes twice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cert_builder.h"
#include "clock.h"
#include "identity.h"
#include "inbound.h"
#include "mesh_fixture.h"
#include "no_ports.h"
#include "port_files.h"
#include "proxy_state.h"
#include "sniff.h"
#include "telemetry_hub.h"
#include "tls_handshake.h"

#define OUR_ID  "spiffe://td/ns/shop/sa/sa"
#define PEER_ID "spiffe://td/ns/shop/sa/peer"

enum {
    WATCHDOG_MS = 20 * 1000,
    LONG_MS = 60 * 1000,
    SHORT_MS = 30, /* a wait that is to end */
};

/* A TLS ClientHello's first bytes, and what only begins like one. */
static const char half_hello[] = "\x16\x03\x01\x02\x10\x01";

static struct world {
    struct net_loop *loop;
    struct net_timer *watchdog, *round;
    struct telemetry_hub *hub;
    struct telemetry *telemetry;
    struct proxy *proxy;
    struct cert_built *root;
    struct net_listener
        *listener; /* of the client, whose destination it is, and so of the application */
    unsigned num_accepted, num_clients;
    void (*on_taken)(void); /* what happens once the client's connection is a session; or NULL */
    int client;             /* -1: it is a stream */
    struct stream *application;
    struct buf got; /* by the application */
    bool application_ended;
    bool application_failed; /* which is an end, too */
    const char *greeting;    /* of the application; NULL: it does not speak first */
    /* A client of TLS. */
    struct tls_io *io;
    struct tls_handshake *handshake;
    struct stream *tls;
    int tls_fd;     /* below it */
    bool is_narrow; /* the client's kernel takes next to nothing that it has not read */
    struct buf answer;
} world;

/* --------------------------------------------------------------------------------------------------- the two sides -- */

static void application_on_read(void *owner, const uint8_t *bytes, size_t len)
{
    assert_int_equal(buf_append(&world.got, bytes, len), 0);
    stream_write(world.application, bytes, len);
}

static void application_on_eof(void *owner)
{
    world.application_ended = true;
    stream_shutdown(world.application);
}

static void application_on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    world.application_ended = true;
    world.application_failed = true;
}

static const struct stream_handler application_handler = {
    .on_read = application_on_read,
    .on_eof = application_on_eof,
    .on_failed = application_on_failed,
};

static void on_accept(void *owner, struct net_tcp *tcp)
{
    if (world.num_accepted++ < world.num_clients) {
        inbound_direct_on_accept(world.proxy, tcp);
        if (world.on_taken != NULL)
            world.on_taken();
        return;
    }
    world.application = net_tcp_stream(tcp);
    stream_set_handler(world.application, &application_handler, NULL);
    stream_read_start(world.application);
    if (world.greeting != NULL)
        stream_write(world.application, (const uint8_t *)world.greeting, strlen(world.greeting));
}

static void on_overload(void *owner)
{
    fail_msg("there are descriptors enough");
}

static void client_on_read(void *owner, const uint8_t *bytes, size_t len)
{
    assert_int_equal(buf_append(&world.answer, bytes, len), 0);
}

static void client_on_end(void *owner)
{
}

static void client_on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
}

static const struct stream_handler client_handler = {
    .on_read = client_on_read, .on_eof = client_on_end, .on_failed = client_on_failed};

static void on_handshake(void *owner, struct stream *stream, enum reason reason,
                         const struct err *err)
{
    world.handshake = NULL;
    world.tls = stream;
    if (stream == NULL)
        return;
    stream_set_handler(stream, &client_handler, NULL);
    stream_write(stream, (const uint8_t *)"hello", 5);
    stream_read_start(stream);
}

/* ------------------------------------------------------------------------------------------------------- the world -- */

static void stop(void *owner)
{
    net_loop_stop(world.loop);
}

static void on_watchdog(void *owner)
{
    fail_msg("what was waited for does not come");
}

static void run_until(bool (*holds)(void))
{
    net_timer_start(world.watchdog, WATCHDOG_MS);
    while (!holds()) {
        net_timer_start(world.round, 1);
        net_loop_run(world.loop);
    }
    net_timer_stop(world.watchdog);
}

static struct identity *identity_of(const char *id)
{
    struct err err;
    struct cert_built *leaf = cert_builder_leaf(world.root, id);
    const char *key = cert_builder_key_pem(leaf), *chain = cert_builder_chain_pem(leaf);
    const char *roots = cert_builder_pem(world.root);
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

/* The port's entry; "" for none. */
static void set_port(const char *entry)
{
    char text[256] = "{}";
    struct err err = {0};
    if (entry[0] != '\0')
        snprintf(text, sizeof(text), "ports: [{port: %u, %s}]",
                 net_listener_addr(world.listener)->port, entry);
    struct ports_config *config = ports_config_parse("ports", text, strlen(text), &err);
    struct port_files *files = port_files_new(config, &err);
    struct identity *identity = identity_of(OUR_ID);
    struct port_table *table = port_table_new(files, identity, true, &err);
    assert_non_null(table);
    proxy_set_ports(world.proxy, table);
    port_table_unref(table);
    port_files_unref(files);
    identity_unref(identity);
}

/* This pod at 127.0.0.1; a policy allows one principal and nobody else. NULL: there is none. */
static void publish_for(const char *principal)
{
    const struct mesh_pattern peer[] = {{MESH_EXACT, principal}};
    const struct mesh_match match[] = {{.principals = {peer, 1}}};
    const struct mesh_clause clause[] = {{match, 1}};
    const struct mesh_rule rule[] = {{clause, 1}};
    const struct mesh_policy policy = {.namespace_ = "shop",
                                       .name = "p",
                                       .scope = MESH_POLICY_NAMESPACE,
                                       .action = MESH_ALLOW,
                                       .rules = rule,
                                       .num_rules = 1};
    struct err err = {0};
    struct mesh_builder *builder = mesh_builder_new(NULL);
    fixture_add_workload(builder, &(struct mesh_workload){.uid = "me",
                                                          .name = "me",
                                                          .namespace_ = "shop",
                                                          .service_account = "sa",
                                                          .trust_domain = "td",
                                                          .network = "",
                                                          IPS(fixture_ip("127.0.0.1"))});
    if (principal != NULL)
        assert_int_equal(mesh_builder_add_policy(builder, &policy, &err), 0);
    struct mesh_snapshot *snapshot = fixture_build(builder);
    proxy_set_mesh(world.proxy, snapshot);
    mesh_snapshot_unref(snapshot);
}

static void publish(bool only_peer)
{
    publish_for(only_peer ? "td/ns/shop/sa/peer" : NULL);
}

static const struct proxy_options permissive = {
    .pod_name = "me",
    .pod_namespace = "shop",
    .service_account = "sa",
    .network = "",
    .cluster_id = "c",
    .connect_timeout_ms = 5000,
    .tls_timeout_ms = LONG_MS,
    .tunnel_answer_timeout_ms = 5000,
    .http2_ping_interval_ms = 10000,
    .http2_ping_timeout_ms = 10000,
    .http2_stream_window = 65535,
    .http2_connection_window = 65535,
    .http2_frame_size = 16384,
    .http2_max_streams = 100,
    .pool_max_streams = 100,
    .pool_idle_timeout_ms = 1000,
    .max_sessions = 100,
    .discovery_timeout_ms = LONG_MS,
};

static void start(const struct proxy_options *options)
{
    struct err err = {0};
    world = (struct world){.client = -1, .num_clients = 1};
    world.loop = net_loop_new(&err);
    world.watchdog = net_timer_new(world.loop, on_watchdog, NULL);
    world.round = net_timer_new(world.loop, stop, NULL);
    world.hub = telemetry_hub_new(&(struct telemetry_hub_options){.access_log = false}, &err);
    world.telemetry = telemetry_new(world.hub);
    world.proxy = proxy_new(world.loop, options, world.telemetry, &err);
    world.io = tls_io_new(world.loop);
    world.root = cert_builder_root("root");
    const struct addr at = fixture_addr("127.0.0.1:0");
    world.listener = net_listener_new(world.loop, &at, &(struct net_listener_options){0}, on_accept,
                                      on_overload, NULL, &err);
    assert_non_null(world.listener);
}

static void start_usual(const struct proxy_options *options, const char *entry)
{
    start(options);
    set_port(entry);
    publish(false);
}

static struct proxy_options strict(void)
{
    struct proxy_options options = permissive;
    options.strict = true;
    return options;
}

static struct proxy_options hasty(struct proxy_options options)
{
    options.tls_timeout_ms = SHORT_MS;
    return options;
}

static int end(void **state)
{
    if (world.client >= 0)
        close(world.client);
    tls_handshake_cancel(world.handshake);
    stream_close(world.tls);
    proxy_free(world.proxy);
    stream_close(world.application);
    net_listener_free(world.listener);
    tls_io_free(world.io);
    telemetry_free(world.telemetry);
    telemetry_hub_free(world.hub, 0);
    net_timer_free(world.watchdog);
    net_timer_free(world.round);
    buf_done(&world.got);
    buf_done(&world.answer);
    cert_builder_free(world.root);
    assert_int_equal(net_loop_free(world.loop), 0);
    return 0;
}

static int dial(void)
{
    struct sockaddr_storage to;
    socklen_t len = addr_to_sockaddr(net_listener_addr(world.listener), &to);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int narrow = 1; /* the kernel's least */
    if (world.is_narrow)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &narrow, sizeof(narrow));
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, len), 0);
    return fd;
}

static void say(const char *text, size_t len)
{
    assert_int_equal(send(world.client, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void reset_client(void)
{
    const struct linger now = {.l_onoff = 1};
    setsockopt(world.client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(world.client);
    world.client = -1;
}

typedef struct tls_context *make_context(struct identity *, const struct cert_rules *,
                                         struct err *);

/* A client of TLS that says "hello" once it may. */
static void shake(int fd, make_context *make)
{
    static const char *const expected[] = {OUR_ID};
    struct err err = {0};
    struct identity *identity = identity_of(PEER_ID);
    struct tls_context *context = make(identity, NULL, &err);
    const struct tls_conn_params params = {
        .role = TLS_CLIENT, .now_ms = clock_wall_ms(), .expected = expected, .num_expected = 1};
    struct net_tcp *tcp = net_tcp_from_fd(world.loop, fd, &(struct net_tcp_options){0}, &err);
    world.tls_fd = fd;
    world.handshake = tls_handshake_start(world.io, net_tcp_stream(tcp), context, &params, LONG_MS,
                                          on_handshake, NULL, &err);
    assert_non_null(world.handshake);
    tls_context_unref(context);
    identity_unref(identity);
}

static void dial_tls(make_context *make)
{
    shake(dial(), make);
}

/* ---------------------------------------------------------------------------------------------------- what is seen -- */

static bool is_accepted(void)
{
    return world.num_accepted > 0;
}

static bool is_undecided(void)
{
    const struct session *session = TAILQ_FIRST(&world.proxy->sessions);
    return session != NULL && session->sniff != NULL;
}

static bool is_undecided_and_connected(void)
{
    return is_undecided() && world.application != NULL &&
           TAILQ_FIRST(&world.proxy->sessions)->far != NULL;
}

static bool is_waiting(void)
{
    const struct session *session = TAILQ_FIRST(&world.proxy->sessions);
    return session != NULL && session->waiting.handler != NULL;
}

static bool is_over(void)
{
    return world.num_accepted > 0 && proxy_num_sessions(world.proxy) == 0;
}

static bool has_answer(void)
{
    char bytes[64];
    ssize_t len = recv(world.client, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (len > 0)
        assert_int_equal(buf_append(&world.answer, bytes, (size_t)len), 0);
    return buf_len(&world.answer) >= 5;
}

static bool tls_has_answer(void)
{
    return buf_len(&world.answer) >= 5;
}

static bool is_crowded(void)
{
    return world.num_accepted == 4;
}

static bool application_has_ten(void)
{
    return buf_len(&world.got) >= 10;
}

static bool application_has_five(void)
{
    return buf_len(&world.got) >= 5;
}

static bool application_has_ended(void)
{
    return world.application_ended;
}

static void assert_got(const char *text, size_t len)
{
    assert_int_equal(buf_len(&world.got), len);
    assert_memory_equal(buf_head(&world.got), text, len);
}

static void assert_answer(const char *text)
{
    assert_int_equal(buf_len(&world.answer), strlen(text));
    assert_memory_equal(buf_head(&world.answer), text, strlen(text));
}

static void assert_told(const char *reason)
{
    char line[128];
    struct buf page = {0};
    const struct telemetry_control control = {0};
    snprintf(line, sizeof(line),
             "remora_session_ends_total{direction=\"inbound\",reason=\"%s\"} 1\n", reason);
    assert_int_equal(telemetry_hub_write(world.hub, &control, METRICS_PROMETHEUS, &page), 0);
    assert_int_equal(buf_append(&page, "", 1), 0);
    if (strstr((const char *)buf_head(&page), line) == NULL)
        fail_msg("\"%s\" is not in:\n%s", line, buf_head(&page));
    buf_done(&page);
}

static void assert_ended_by(const char *reason)
{
    run_until(is_over);
    assert_told(reason);
}

/* ------------------------------------------------------------------------------------------ where clear text may enter -- */

static void a_server_that_speaks_first_is_heard_before_the_client_says_anything(void **state)
{
    start_usual(&permissive, "");
    world.greeting = "ready";
    world.client = dial();
    run_until(has_answer);
    assert_answer("ready");
    say("hello", 5);
    run_until(application_has_five);
    assert_got("hello", 5);
}

static void a_client_that_speaks_first_is_heard_once(void **state)
{
    start_usual(&permissive, "");
    world.client = dial();
    run_until(is_undecided_and_connected);
    say("hello", 5);
    run_until(has_answer);
    assert_got("hello", 5);
}

static void an_end_that_comes_first_reaches_the_application(void **state)
{
    start_usual(&permissive, "");
    world.client = dial();
    say(half_hello, 3);
    shutdown(world.client, SHUT_WR);
    run_until(application_has_ended);
    assert_got(half_hello, 3);
    assert_ended_by("done");
}

static void a_hello_that_stays_half_is_the_application_s(void **state)
{
    struct proxy_options options = hasty(permissive);
    start_usual(&options, "");
    world.client = dial();
    say(half_hello, 6);
    run_until(application_has_five);
    assert_got(half_hello, 6);
}

static void a_server_that_speaks_into_half_a_hello_decides(void **state)
{
    start_usual(&permissive, "");
    world.client = dial();
    say(half_hello, 6);
    run_until(is_undecided_and_connected);
    stream_write(world.application, (const uint8_t *)"ready", 5);
    run_until(has_answer);
    run_until(application_has_five);
    assert_got(half_hello, 6);
}

static void who_says_nothing_for_the_idle_timeout_is_idle(void **state)
{
    struct proxy_options options = permissive;
    options.idle_timeout_ms = SHORT_MS;
    start_usual(&options, "");
    world.client = dial();
    assert_ended_by("idle");
}

static void who_goes_before_anything_is_said_is_told(void **state)
{
    start_usual(&permissive, "");
    world.client = dial();
    run_until(is_undecided_and_connected);
    reset_client();
    assert_ended_by("client_gone");
}

static void an_application_that_resets_first_is_told(void **state)
{
    start_usual(&permissive, "");
    world.client = dial();
    run_until(is_undecided_and_connected);
    stream_abort(world.application);
    world.application = NULL;
    assert_ended_by("app_reset");
}

static void istio_s_tls_ends_here_though_clear_text_may_enter(void **state)
{
    start_usual(&permissive, "");
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
    assert_got("hello", 5);
    assert_answer("hello");
}

static void who_is_refused_as_nobody_may_enter_by_istio_s_tls(void **state)
{
    start_usual(&permissive, "");
    publish(true);
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
    assert_got("hello", 5);
}

static void who_is_refused_as_nobody_is_refused_by_the_policy(void **state)
{
    start_usual(&permissive, "");
    publish(true);
    world.client = dial();
    say("hello", 5);
    assert_ended_by("not_allowed");
    assert_int_equal(world.num_accepted, 1);
}

/* ----------------------------------------------------------------------------------------------- where it may not -- */

static void strict_takes_istio_s_tls(void **state)
{
    struct proxy_options options = strict();
    start_usual(&options, "");
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
    assert_got("hello", 5);
}

static void refused(const struct proxy_options *options, const char *entry, const char *text,
                    size_t len, const char *reason)
{
    start_usual(options, entry);
    world.client = dial();
    if (len > 0)
        say(text, len);
    assert_ended_by(reason);
    assert_int_equal(world.num_accepted, 1);
    end(NULL);
}

/* Each is another agent. */
static void what_a_port_does_not_take_is_refused_before_the_application_hears_of_it(void **state)
{
    struct proxy_options stern = hasty(strict());
    struct proxy_options lax = hasty(permissive);
    refused(&stern, "", "hello", 5, "plaintext_refused");
    refused(&stern, "", "", 0, "plaintext_refused");
    refused(&stern, "", half_hello, 6, "tls_timeout");
    refused(&lax, "mode: mesh", "hello", 5, "plaintext_refused");
    refused(&lax, "mode: mtls", "hello", 5, "tls_expected");
    refused(&lax, "mode: mtls", "", 0, "tls_timeout");
    refused(&lax, "mode: mtls", half_hello, 6, "tls_timeout");
    refused(&lax, "mode: passthrough", "hello", 5, "tls_expected");
    refused(&lax, "mode: passthrough", "", 0, "tls_timeout");
    refused(&lax, "mode: passthrough", "\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, "tls_expected");
    start_usual(&lax, "");
}

static void gone(const struct proxy_options *options, const char *entry, size_t len)
{
    start_usual(options, entry);
    world.client = dial();
    if (len > 0)
        say(half_hello, len);
    shutdown(world.client, SHUT_WR);
    assert_ended_by("client_gone");
    assert_int_equal(world.num_accepted, 1);
    end(NULL);
}

/* Browsers open connections that they may need; others only look whether somebody listens. */
static void who_leaves_before_its_tls_is_no_failure(void **state)
{
    struct proxy_options stern = strict();
    gone(&stern, "", 0);
    gone(&permissive, "mode: mesh", 3);
    gone(&permissive, "mode: mtls", 0);
    gone(&permissive, "mode: mtls", 6);
    gone(&permissive, "mode: passthrough", 0);
    start_usual(&permissive, "");
}

/* A client of TLS sends its hello and no more. */
static void say_hello(void)
{
    static const char *const expected[] = {OUR_ID};
    const struct tls_conn_params params = {
        .role = TLS_CLIENT, .now_ms = clock_wall_ms(), .expected = expected, .num_expected = 1};
    struct identity *identity = identity_of(PEER_ID);
    struct tls_context *context = tls_context_new_istio(identity, NULL, NULL);
    struct tls_conn *conn = tls_conn_new(context, &params, NULL);
    assert_non_null(conn);
    const struct buf *hello = tls_conn_output(conn);
    say((const char *)buf_head(hello), buf_len(hello));
    tls_conn_free(conn);
    tls_context_unref(context);
    identity_unref(identity);
}

static bool is_answered(void)
{
    char byte;
    return recv(world.client, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
}

static void begin_handshake(void)
{
    start_usual(&permissive, "mode: mtls, alpn: [istio]");
    world.client = dial();
    say_hello();
    run_until(is_answered);
}

/* A browser leaves when it is asked for a certificate, asks its user, and comes back. */
static void who_leaves_in_the_handshake_is_no_failure(void **state)
{
    begin_handshake();
    shutdown(world.client, SHUT_WR);
    assert_ended_by("client_gone");
    end(NULL);
    begin_handshake();
    reset_client();
    assert_ended_by("client_gone");
}

static void plaintext_is_not_looked_at_in_strict_mode_either(void **state)
{
    struct proxy_options options = strict();
    start_usual(&options, "mode: plaintext");
    world.client = dial();
    say(half_hello, 6);
    run_until(application_has_five);
    assert_got(half_hello, 6);
}

static void a_port_s_own_tls_ends_here(void **state)
{
    start_usual(&permissive, "mode: mtls, alpn: [istio]");
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
    assert_got("hello", 5);
    assert_int_equal(TAILQ_FIRST(&world.proxy->sessions)->direct, SESSION_DIRECT_PORT);
}

static void a_proxy_header_comes_before_the_first_byte(void **state)
{
    start_usual(&permissive, "mode: mtls, alpn: [istio], proxy-protocol: v2");
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
    const char *got = (const char *)buf_head(&world.got);
    size_t len = buf_len(&world.got);
    assert_memory_equal(got, "\r\n\r\n\0\r\nQUIT\n", 12);
    assert_non_null(memmem(got, len, PEER_ID, strlen(PEER_ID)));
}

/* ------------------------------------------------------------------------------------------------------- half handshakes -- */

static void start_with_room_for(size_t max_sessions)
{
    struct proxy_options options = permissive;
    options.max_sessions = max_sessions;
    start_usual(&options, "mode: mtls, alpn: [istio]");
    world.num_clients = 2;
}

static void half_a_handshake_gives_way_to_one_that_is_ended(void **state)
{
    start_with_room_for(3); /* of which one may be half */
    world.client = dial();
    say(half_hello, 6);
    run_until(is_undecided);
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
    assert_told("crowded_out");
    assert_int_equal(proxy_num_sessions(world.proxy), 1);
}

/* Our own messages are out by then, and the session's stream is the handshake's. */
static void a_handshake_that_is_answered_gives_way_too(void **state)
{
    start_with_room_for(3);
    world.client = dial();
    say_hello();
    run_until(is_answered);
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
    assert_told("crowded_out");
    assert_int_equal(proxy_num_sessions(world.proxy), 1);
}

/* Which has connected to the application already, because as nobody it may enter. */
static void a_handshake_beside_its_application_gives_way_too(void **state)
{
    struct proxy_options options = permissive;
    options.max_sessions = 3;
    start_usual(&options, "");
    world.client = dial();
    run_until(is_undecided_and_connected);
    say_hello();
    run_until(is_answered);
    struct stream *application = world.application;
    world.num_clients = 3; /* the second one that is accepted was the application */
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
    run_until(application_has_ended);
    assert_told("crowded_out");
    assert_true(world.application_failed);
    assert_int_equal(proxy_num_sessions(world.proxy), 1);
    stream_close(application);
}

static void where_there_is_no_more_room_at_all_half_a_handshake_gives_way(void **state)
{
    start_with_room_for(2);
    world.num_clients = 1;
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
    world.num_clients = 4; /* the application is there */
    world.client = dial();
    say(half_hello, 6);
    int second = dial();
    run_until(is_crowded);
    assert_told("crowded_out");
    assert_int_equal(proxy_num_sessions(world.proxy), 2);
    stream_write(world.tls, (const uint8_t *)"again", 5);
    run_until(application_has_ten);
    close(second);
}

static bool is_shaking(void)
{
    const struct session *session = TAILQ_FIRST(&world.proxy->sessions);
    return session != NULL && session->handshaking != NULL;
}

static bool is_later(void)
{
    const struct session *session = TAILQ_FIRST(&world.proxy->sessions);
    return session != NULL && net_loop_now_ms(world.loop) > session->started_at_ms + SHORT_MS;
}

static void silence_hello_and_handshake_have_one_time_together(void **state)
{
    start_usual(&permissive, "mode: mtls, alpn: [istio]");
    int fd = dial();
    run_until(is_later);
    const struct session *session = TAILQ_FIRST(&world.proxy->sessions);
    uint64_t until_ms = sniff_until_ms(session->sniff);
    shake(fd, tls_context_new_istio);
    run_until(is_shaking);
    assert_int_equal(session->tls_until_ms, until_ms);
}

static void silence_is_no_part_of_the_handshake_s_duration(void **state)
{
    start_usual(&permissive, "");
    int fd = dial();
    run_until(is_later);
    shake(fd, tls_context_new_istio);
    run_until(is_shaking);
    const struct session *session = TAILQ_FIRST(&world.proxy->sessions);
    assert_true(session->tls_since_ms > session->started_at_ms + SHORT_MS);
    run_until(tls_has_answer);
}

/* --------------------------------------------------------------------------------------------------- how TLS ends here -- */

static void start_tls(void)
{
    start_usual(&permissive, "mode: mtls, alpn: [istio]");
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
}

static bool application_has_failed(void)
{
    return world.application_failed;
}

static bool is_application_s_end_read(void)
{
    return TAILQ_FIRST(&world.proxy->sessions)->relay.from_far.eof;
}

static void who_says_goodbye_and_does_not_wait_for_ours_has_finished(void **state)
{
    start_tls();
    stream_close(world.tls);
    world.tls = NULL;
    assert_ended_by("done");
    run_until(application_has_ended);
    assert_false(world.application_failed);
}

static void who_leaves_without_a_word_after_our_goodbye_has_finished(void **state)
{
    start_tls();
    stream_shutdown(world.application);
    run_until(is_application_s_end_read);
    shutdown(world.tls_fd, SHUT_WR);
    assert_ended_by("done");
    /* But what it might have said still was not whole. */
    run_until(application_has_ended);
    assert_true(world.application_failed);
}

static void who_resets_after_our_goodbye_has_finished(void **state)
{
    start_tls();
    stream_read_stop(world.tls);
    stream_shutdown(world.application);
    run_until(is_application_s_end_read);
    stream_abort(world.tls);
    world.tls = NULL;
    assert_ended_by("done");
}

static void who_leaves_without_a_word_while_the_application_listens_is_told(void **state)
{
    start_tls();
    shutdown(world.tls_fd, SHUT_WR);
    assert_ended_by("peer_reset");
    run_until(application_has_failed);
}

static void who_resets_before_all_is_delivered_is_told(void **state)
{
    static const uint8_t much[64 * 1024];
    start(&permissive);
    set_port("mode: mtls, alpn: [istio]");
    publish(false);
    world.is_narrow = true;
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
    stream_read_stop(world.tls);
    stream_write(world.application, much, sizeof(much));
    stream_shutdown(world.application);
    run_until(is_application_s_end_read);
    stream_abort(world.tls);
    world.tls = NULL;
    assert_ended_by("peer_reset");
}

/* ------------------------------------------------------------------------------------------------ what is not known yet -- */

static void without_a_table_nothing_is_taken(void **state)
{
    start(&permissive);
    publish(false);
    world.client = dial();
    assert_ended_by("ports_unknown");
}

static void without_an_identity_tls_is_refused(void **state)
{
    struct proxy_options options = strict();
    start(&options);
    no_ports_set(world.proxy);
    publish(false);
    dial_tls(tls_context_new_istio);
    assert_ended_by("no_identity");
}

static void who_has_shaken_hands_waits_for_discovery(void **state)
{
    struct proxy_options options = strict();
    start(&options);
    set_port("");
    dial_tls(tls_context_new_istio);
    run_until(is_waiting);
    publish(true);
    run_until(tls_has_answer);
    assert_got("hello", 5);
}

static void publish_for_the_peer(void)
{
    publish(true);
}

static void discovery_that_comes_during_the_handshake_is_heard(void **state)
{
    struct proxy_options options = strict();
    start(&options);
    set_port("");
    world.on_taken = publish_for_the_peer;
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
    assert_got("hello", 5);
}

static void publish_for_another(void)
{
    publish_for("td/ns/shop/sa/another");
}

/* Twice, so that nothing of the first is left but what a session holds. */
static void publish_twice(void)
{
    publish_for_another();
    publish_for_the_peer();
}

static void a_policy_that_comes_during_the_handshake_is_obeyed(void **state)
{
    struct proxy_options options = strict();
    start_usual(&options, "");
    world.on_taken = publish_for_another;
    dial_tls(tls_context_new_istio);
    assert_ended_by("not_allowed");
    assert_int_equal(world.num_accepted, 1);
}

static void what_a_session_was_decided_with_lives_as_long_as_it(void **state)
{
    struct proxy_options options = strict();
    start_usual(&options, "");
    world.on_taken = publish_twice;
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
    publish_twice();
    assert_got("hello", 5);
}

static void clear_text_waits_for_discovery_unread(void **state)
{
    start(&permissive);
    set_port("");
    world.client = dial();
    say("hello", 5);
    run_until(is_waiting);
    publish(false);
    run_until(has_answer);
    assert_got("hello", 5);
}

/* ---------------------------------------------------------------------------------------------------- what changes -- */

static bool ports_are_judged(void)
{
    return !world.proxy->recheck.ports_pending;
}

static void a_connection_that_its_port_takes_no_more_is_ended(void **state)
{
    start_usual(&permissive, "mode: mtls, alpn: [istio]");
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
    set_port("mode: mtls, alpn: [istio]");
    assert_int_equal(proxy_num_sessions(world.proxy), 1);
    set_port("mode: plaintext");
    assert_ended_by("port_changed");
}

static void nobody_may_not_stay_where_a_certificate_is_required_now(void **state)
{
    start_usual(&permissive, "mode: mtls, alpn: [istio], client-certificate: optional");
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
    struct session *session = TAILQ_FIRST(&world.proxy->sessions);
    peer_cert_unref(session->peer);
    session->peer = NULL; /* as if it had come without a certificate */
    set_port("mode: mtls, alpn: [istio], client-certificate: optional");
    run_until(ports_are_judged);
    assert_int_equal(proxy_num_sessions(world.proxy), 1);
    set_port("mode: mtls, alpn: [istio]");
    assert_ended_by("port_changed");
}

static void clear_text_that_may_not_enter_any_more_is_ended(void **state)
{
    start_usual(&permissive, "");
    world.client = dial();
    say("hello", 5);
    run_until(has_answer);
    set_port("mode: mesh");
    assert_ended_by("port_changed");
}

/* As if the path by which the peer was verified led to a root that has been renewed since. */
static void end_path_of(struct session *session)
{
    session->peer->not_after_ms = clock_wall_ms() - 3600 * 1000;
    net_timer_start(world.proxy->recheck.timer, 1);
}

static bool path_is_of_now(void)
{
    return TAILQ_FIRST(&world.proxy->sessions)->peer->not_after_ms > clock_wall_ms();
}

static void who_is_vouched_for_by_another_path_stays(void **state)
{
    start_usual(&permissive, "mode: mtls, alpn: [istio]");
    dial_tls(tls_context_new_istio);
    run_until(tls_has_answer);
    end_path_of(TAILQ_FIRST(&world.proxy->sessions));
    run_until(path_is_of_now);
    assert_false(world.proxy->recheck.time_pending);

    cert_builder_free(world.root);
    world.root = cert_builder_root("another");
    set_port("mode: mtls, alpn: [istio]");
    world.proxy->recheck.ports_pending = false; /* so that only the time is looked at */
    end_path_of(TAILQ_FIRST(&world.proxy->sessions));
    assert_ended_by("cert_expired");
}

/* A silent client may come to speak hours later: our certificate has been renewed by then, and so may the roots have been. */
static void who_speaks_late_gets_the_identity_of_now(void **state)
{
    start_usual(&permissive, "");
    int fd = dial();
    run_until(is_undecided_and_connected);
    cert_builder_free(world.root);
    world.root = cert_builder_root("another");
    set_port("");
    shake(fd, tls_context_new_istio);
    run_until(tls_has_answer);
    assert_got("hello", 5);
}

static void what_is_undecided_ends_with_the_proxy(void **state)
{
    start_usual(&permissive, "");
    world.client = dial();
    say(half_hello, 6);
    run_until(is_undecided_and_connected);
}

static void a_handshake_ends_with_the_proxy(void **state)
{
    start_usual(&permissive, "mode: mtls, alpn: [istio]");
    dial_tls(tls_context_new_istio);
    run_until(is_accepted);
}

#define DIRECT_TEST(f) cmocka_unit_test_teardown(f, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DIRECT_TEST(a_server_that_speaks_first_is_heard_before_the_client_says_anything),
        DIRECT_TEST(a_client_that_speaks_first_is_heard_once),
        DIRECT_TEST(an_end_that_comes_first_reaches_the_application),
        DIRECT_TEST(a_hello_that_stays_half_is_the_application_s),
        DIRECT_TEST(a_server_that_speaks_into_half_a_hello_decides),
        DIRECT_TEST(who_says_nothing_for_the_idle_timeout_is_idle),
        DIRECT_TEST(who_goes_before_anything_is_said_is_told),
        DIRECT_TEST(an_application_that_resets_first_is_told),
        DIRECT_TEST(istio_s_tls_ends_here_though_clear_text_may_enter),
        DIRECT_TEST(who_is_refused_as_nobody_may_enter_by_istio_s_tls),
        DIRECT_TEST(who_is_refused_as_nobody_is_refused_by_the_policy),
        DIRECT_TEST(strict_takes_istio_s_tls),
        DIRECT_TEST(what_a_port_does_not_take_is_refused_before_the_application_hears_of_it),
        DIRECT_TEST(who_leaves_before_its_tls_is_no_failure),
        DIRECT_TEST(who_leaves_in_the_handshake_is_no_failure),
        DIRECT_TEST(plaintext_is_not_looked_at_in_strict_mode_either),
        DIRECT_TEST(a_port_s_own_tls_ends_here),
        DIRECT_TEST(a_proxy_header_comes_before_the_first_byte),
        DIRECT_TEST(half_a_handshake_gives_way_to_one_that_is_ended),
        DIRECT_TEST(a_handshake_that_is_answered_gives_way_too),
        DIRECT_TEST(a_handshake_beside_its_application_gives_way_too),
        DIRECT_TEST(where_there_is_no_more_room_at_all_half_a_handshake_gives_way),
        DIRECT_TEST(silence_hello_and_handshake_have_one_time_together),
        DIRECT_TEST(silence_is_no_part_of_the_handshake_s_duration),
        DIRECT_TEST(who_says_goodbye_and_does_not_wait_for_ours_has_finished),
        DIRECT_TEST(who_leaves_without_a_word_after_our_goodbye_has_finished),
        DIRECT_TEST(who_resets_after_our_goodbye_has_finished),
        DIRECT_TEST(who_leaves_without_a_word_while_the_application_listens_is_told),
        DIRECT_TEST(who_resets_before_all_is_delivered_is_told),
        DIRECT_TEST(without_a_table_nothing_is_taken),
        DIRECT_TEST(without_an_identity_tls_is_refused),
        DIRECT_TEST(who_has_shaken_hands_waits_for_discovery),
        DIRECT_TEST(discovery_that_comes_during_the_handshake_is_heard),
        DIRECT_TEST(a_policy_that_comes_during_the_handshake_is_obeyed),
        DIRECT_TEST(what_a_session_was_decided_with_lives_as_long_as_it),
        DIRECT_TEST(clear_text_waits_for_discovery_unread),
        DIRECT_TEST(a_connection_that_its_port_takes_no_more_is_ended),
        DIRECT_TEST(nobody_may_not_stay_where_a_certificate_is_required_now),
        DIRECT_TEST(clear_text_that_may_not_enter_any_more_is_ended),
        DIRECT_TEST(who_is_vouched_for_by_another_path_stays),
        DIRECT_TEST(who_speaks_late_gets_the_identity_of_now),
        DIRECT_TEST(what_is_undecided_ends_with_the_proxy),
        DIRECT_TEST(a_handshake_ends_with_the_proxy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
