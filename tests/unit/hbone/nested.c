/*
 * Tunnels inside tunnels. The world's server is both: the gateway, which connects each outer CONNECT to the world's listener
 * again and forwards bytes, and whoever serves in the other network.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hbone_nested.h"
#include "hbone_world.h"
#include "relay.h"

enum { BRIDGES_MAX = 8 };

/* ------------------------------------------------------------------------------------------------- failing allocations -- */

static unsigned countdown; /* the allocation that fails; 0: none */
static bool has_failed;

static bool is_to_fail(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    has_failed = true;
    return true;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t num, size_t size);
void *__wrap_calloc(size_t num, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    return is_to_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t num, size_t size)
{
    return is_to_fail() ? NULL : __real_calloc(num, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return is_to_fail() ? NULL : __real_realloc(old, size);
}

static struct world world;

/* What the gateway does for one outer CONNECT. */
struct bridge {
    struct got *got;
    struct net_connect *connecting;
    struct stream *tunnel;
    struct stream *tcp;
    struct relay relay;
    bool over;
};

static struct bridge bridges[BRIDGES_MAX];
static unsigned num_bridges;

struct nested_call {
    struct hbone_nested *nested;
    bool done;
    enum reason reason;
    unsigned status;
    char baggage[200];
    char peer[200];
    char error[512];
    struct end end;
};

static struct nested_call call;

/* ------------------------------------------------------------------------------------------------------------ the gateway -- */

static void close_bridge(struct bridge *bridge)
{
    net_connect_cancel(bridge->connecting);
    stream_abort(bridge->tunnel);
    stream_abort(bridge->tcp);
    bridge->connecting = NULL;
    bridge->tunnel = bridge->tcp = NULL;
    bridge->over = true;
}

static void on_bridge_done(void *owner)
{
    struct bridge *bridge = owner;
    stream_close(bridge->tunnel);
    stream_close(bridge->tcp);
    bridge->tunnel = bridge->tcp = NULL;
    bridge->over = true;
}

static void on_bridge_failed(void *owner, enum relay_side side, enum stream_fault fault,
                             const struct err *err)
{
    close_bridge(owner);
}

static const struct relay_handler bridge_handler = {
    .on_done = on_bridge_done,
    .on_failed = on_bridge_failed,
};

static void on_bridged(void *owner, struct net_tcp *tcp, const struct err *err)
{
    struct bridge *bridge = owner;
    struct hbone_request *request = bridge->got->request;
    bridge->connecting = NULL;
    bridge->got->request = NULL;
    bridge->tcp = tcp != NULL ? net_tcp_stream(tcp) : NULL;
    if (request != NULL && tcp != NULL)
        bridge->tunnel = hbone_request_accept(request, "service.name=gateway");
    else if (request != NULL)
        hbone_request_refuse(request, 503);
    if (bridge->tunnel == NULL) { /* the client is gone, or there is no memory */
        close_bridge(bridge);
        return;
    }
    relay_start(&bridge->relay, world.loop, bridge->tunnel, bridge->tcp, &bridge_handler, bridge);
}

/* The gateway takes the outer CONNECT that came last. */
static void forward(struct got *got)
{
    const struct net_tcp_options options = {0};
    struct err err;
    assert_true(num_bridges < BRIDGES_MAX);
    struct bridge *bridge = &bridges[num_bridges++];
    *bridge = (struct bridge){.got = got};
    bridge->connecting =
        net_connect_start(world.loop, &world.addr, &options, 10000, on_bridged, bridge, &err);
    if (bridge->connecting == NULL) {
        assert_true(world.is_tolerant);
        hbone_request_refuse(got->request, 503);
        got->request = NULL;
    }
}

/* ---------------------------------------------------------------------------------------------------------------- asking -- */

static void on_done(void *owner, struct stream *stream, const struct hbone_pool_answer *answer)
{
    assert_false(call.done);
    assert_int_equal(stream != NULL, answer->reason == REASON_DONE);
    call.nested = NULL;
    call.done = true;
    call.reason = answer->reason;
    call.status = answer->status;
    snprintf(call.baggage, sizeof(call.baggage), "%s", answer->baggage ? answer->baggage : "");
    snprintf(call.peer, sizeof(call.peer), "%s", answer->peer ? answer->peer->id.uri : "");
    snprintf(call.error, sizeof(call.error), "%s", answer->err ? answer->err->message : "");
    if (stream != NULL)
        end_attach(&call.end, stream);
}

static void ask(const char *gateway, const char *behind)
{
    const struct hbone_nested_request request = {
        .outer =
            {
                .peer = world.addr,
                .expected = &gateway,
                .num_expected = 1,
                .authority = "web.shop.svc.cluster.local:80",
                .baggage = "k8s.namespace.name=shop",
                .forwarded = "for=\"127.0.0.1:4000\"",
                .network = "east",
            },
        .expected = &behind,
        .num_expected = 1,
    };
    call.nested = hbone_nested_start(world.pool, &request, on_done, &call);
    assert_true(call.nested != NULL || world.is_tolerant);
    assert_false(call.done);
}

static bool one_request(struct world *w)
{
    return w->num_gots == 1;
}

static bool two_requests(struct world *w)
{
    return w->num_gots == 2;
}

static bool is_done(struct world *w)
{
    return call.done;
}

static bool handshake_began(struct world *w)
{
    return w->num_servers == 2;
}

/* The outer tunnel stands, and the inner CONNECT has arrived. */
static void reach_inner(void)
{
    ask(SERVER_ID, SERVER_ID);
    world_until(&world, one_request);
    forward(&world.gots[0]);
    world_until(&world, two_requests);
}

static void open_nested(void)
{
    reach_inner();
    struct stream *far = hbone_request_accept(world.gots[1].request, "service.name=web");
    world.gots[1].request = NULL;
    end_attach(&world.gots[1].end, far);
    world_until(&world, is_done);
    assert_int_equal(call.reason, REASON_DONE);
}

static int set_up(void **state)
{
    memset(&call, 0, sizeof(call));
    num_bridges = 0;
    world_init(&world);
    world.mode = WORLD_HOLD;
    world.pool_options.conn.tls_timeout_ms = 20000;
    world_open(&world);
    return 0;
}

static bool outer_is_idle(struct world *w)
{
    struct hbone_pool_stats stats;
    hbone_pool_get_stats(w->pool, &stats);
    return stats.tunnels == 0;
}

/* Whatever happened, no outer tunnel is left once the owner has let go. */
static int tear_down(void **state)
{
    hbone_nested_cancel(call.nested);
    end_close(&call.end);
    buf_done(&call.end.data);
    world_until(&world, outer_is_idle);
    for (unsigned i = 0; i < num_bridges; i++)
        close_bridge(&bridges[i]);
    world_done(&world);
    return 0;
}

/* ----------------------------------------------------------------------------------------------------------------- tests -- */

static void both_requests_name_the_service_and_only_the_inner_one_our_network(void **state)
{
    open_nested();
    char text[HBONE_AUTHORITY_TEXT];
    for (unsigned i = 0; i < 2; i++) {
        assert_string_equal(hbone_authority_format(&world.gots[i].authority, text),
                            "web.shop.svc.cluster.local:80");
        assert_string_equal(world.gots[i].baggage, "k8s.namespace.name=shop");
        assert_string_equal(world.gots[i].forwarded, "for=\"127.0.0.1:4000\"");
        assert_string_equal(world.gots[i].network, i == 0 ? "(none)" : "east");
    }
    assert_int_not_equal(world.gots[0].server, world.gots[1].server);
    assert_int_equal(call.status, 200);
    assert_string_equal(call.baggage, "service.name=web");
    assert_string_equal(call.peer, SERVER_ID);
}

static bool far_has_hello(struct world *w)
{
    return end_has(&w->gots[1].end, "hello");
}

static bool far_is_at_the_end(struct world *w)
{
    return w->gots[1].end.eof && call.end.shutdown;
}

static bool near_has_goodbye(struct world *w)
{
    return end_has(&call.end, "goodbye") && call.end.eof;
}

static bool inner_is_closed(struct world *w)
{
    return w->servers[1].closed;
}

static void each_direction_ends_by_itself_and_then_the_whole_inner_connection(void **state)
{
    open_nested();
    end_write(&call.end, "hello");
    world_until(&world, far_has_hello);
    stream_shutdown(call.end.stream);
    world_until(&world, far_is_at_the_end);
    assert_false(call.end.eof);
    end_write(&world.gots[1].end, "goodbye");
    stream_shutdown(world.gots[1].end.stream);
    world_until(&world, near_has_goodbye);
    end_close(&call.end);
    end_close(&world.gots[1].end);
    world_until(&world, inner_is_closed);
    assert_int_equal(world.servers[1].reason, REASON_DONE);
    assert_false(call.end.failed || world.gots[1].end.failed);
    assert_int_equal(world_num_connections(&world), 1); /* the outer one stays for the next */
}

static void two_tunnels_share_the_outer_connection_and_nothing_else(void **state)
{
    open_nested();
    struct nested_call first = call;
    memset(&call, 0, sizeof(call));
    stream_set_handler(first.end.stream, first.end.stream->handler, &first.end);
    ask(SERVER_ID, SERVER_ID);
    while (world.num_gots < 3)
        world_settle(&world);
    forward(&world.gots[2]);
    while (world.num_gots < 4)
        world_settle(&world);
    assert_int_equal(world.gots[2].server, world.gots[0].server);
    assert_int_not_equal(world.gots[3].server, world.gots[1].server);
    end_close(&first.end);
    buf_done(&first.end.data);
}

static void a_refusal_of_the_gateway_is_told_as_such(void **state)
{
    ask(SERVER_ID, SERVER_ID);
    world_until(&world, one_request);
    hbone_request_refuse(world.gots[0].request, 503);
    world.gots[0].request = NULL;
    world_until(&world, is_done);
    assert_int_equal(call.reason, REASON_PEER_UNREACHABLE);
    assert_non_null(strstr(call.error, "network gateway"));
    assert_string_equal(call.peer, SERVER_ID);
}

static void a_refusal_behind_the_gateway_is_told_as_such(void **state)
{
    reach_inner();
    hbone_request_refuse(world.gots[1].request, 401);
    world.gots[1].request = NULL;
    world_until(&world, is_done);
    assert_int_equal(call.reason, REASON_PEER_REFUSED);
    assert_non_null(strstr(call.error, "in the other network"));
    world_until(&world, inner_is_closed);
}

static void a_gateway_that_is_somebody_else_gets_no_request(void **state)
{
    ask(STRANGER_ID, SERVER_ID);
    world_until(&world, is_done);
    assert_int_equal(call.reason, REASON_IDENTITY_MISMATCH);
    assert_non_null(strstr(call.error, "network gateway"));
    assert_int_equal(world.num_gots, 0);
}

static void a_peer_behind_the_gateway_that_is_somebody_else_gets_no_request(void **state)
{
    ask(SERVER_ID, STRANGER_ID);
    world_until(&world, one_request);
    forward(&world.gots[0]);
    world_until(&world, is_done);
    assert_int_equal(call.reason, REASON_IDENTITY_MISMATCH);
    assert_non_null(strstr(call.error, "in the other network"));
    world_settle(&world);
    assert_int_equal(world.num_gots, 1);
}

static bool near_failed(struct world *w)
{
    return call.end.failed;
}

static void a_lost_outer_tunnel_breaks_the_inner_one(void **state)
{
    open_nested();
    close_bridge(&bridges[0]);
    world_until(&world, near_failed);
    assert_int_equal(call.end.fault, STREAM_FAULT_LOST);
    assert_false(call.end.eof);
}

static void an_outer_tunnel_lost_before_the_answer_is_a_failure(void **state)
{
    reach_inner();
    close_bridge(&bridges[0]);
    world_until(&world, is_done);
    assert_int_equal(call.reason, REASON_TUNNEL_LOST);
}

static bool client_hello_came(struct world *w)
{
    return buf_len(&w->gots[0].end.data) > 0;
}

static void an_outer_tunnel_lost_in_the_handshake_is_a_failure(void **state)
{
    ask(SERVER_ID, SERVER_ID);
    world_until(&world, one_request);
    struct stream *tunnel = hbone_request_accept(world.gots[0].request, NULL);
    world.gots[0].request = NULL;
    end_attach(&world.gots[0].end, tunnel);
    world_until(&world, client_hello_came);
    stream_abort(tunnel);
    world.gots[0].end.stream = NULL;
    world_until(&world, is_done);
    assert_int_equal(call.reason, REASON_TLS_FAILED);
}

/* The gateway lets through what it held back: the tunnel's bytes so far, and then all. */
static void on_bridged_late(void *owner, struct net_tcp *tcp, const struct err *err)
{
    struct bridge *bridge = owner;
    struct end *held = &bridge->got->end;
    bridge->connecting = NULL;
    assert_non_null(tcp);
    bridge->tcp = net_tcp_stream(tcp);
    bridge->tunnel = held->stream;
    held->stream = NULL;
    stream_write(bridge->tcp, buf_head(&held->data), buf_len(&held->data));
    relay_start(&bridge->relay, world.loop, bridge->tunnel, bridge->tcp, &bridge_handler, bridge);
}

/* The inner handshake has begun when the pool's context is replaced by this one (NULL: none). */
static void replace_context_in_the_handshake(struct tls_context *context)
{
    const struct net_tcp_options options = {0};
    struct err err;
    ask(SERVER_ID, SERVER_ID);
    world_until(&world, one_request);
    struct got *got = &world.gots[0];
    end_attach(&got->end, hbone_request_accept(got->request, NULL));
    got->request = NULL;
    world_until(&world, client_hello_came);
    hbone_pool_set_context(world.pool, context);
    struct bridge *bridge = &bridges[num_bridges++];
    *bridge = (struct bridge){.got = got};
    bridge->connecting =
        net_connect_start(world.loop, &world.addr, &options, 10000, on_bridged_late, bridge, &err);
    assert_non_null(bridge->connecting);
}

static struct tls_context *context_that_trusts(struct cert_built *root)
{
    struct cert_built *usual = world.root;
    world.root = root;
    struct tls_context *context = world_context(&world, world.leaf_client, 2);
    world.root = usual;
    return context;
}

static void a_peer_that_is_not_trusted_any_more_at_the_handshakes_end_gets_no_request(void **state)
{
    struct cert_built *other = cert_builder_root("another");
    struct tls_context *context = context_that_trusts(other);
    replace_context_in_the_handshake(context);
    world_until(&world, is_done);
    assert_int_equal(call.reason, REASON_CERT_UNTRUSTED);
    world_settle(&world);
    assert_int_equal(world.num_gots, 1);
    tls_context_unref(context);
    cert_builder_free(other);
}

static void a_handshake_outlasts_a_new_certificate(void **state)
{
    struct tls_context *context = context_that_trusts(world.root);
    replace_context_in_the_handshake(context);
    world_until(&world, two_requests);
    tls_context_unref(context);
}

static void an_identity_lost_in_the_handshake_is_a_failure(void **state)
{
    replace_context_in_the_handshake(NULL);
    world_until(&world, is_done);
    assert_int_equal(call.reason, REASON_NO_IDENTITY);
}

static void a_reset_of_the_inner_tunnel_is_a_reset(void **state)
{
    open_nested();
    stream_abort(world.gots[1].end.stream);
    world.gots[1].end.stream = NULL;
    world_until(&world, near_failed);
    assert_int_equal(call.end.fault, STREAM_FAULT_RESET);
}

static void silence_behind_the_gateway_is_not_waited_out(void **state)
{
    world_done(&world);
    world_init(&world);
    world.mode = WORLD_HOLD;
    world.pool_options.answer_timeout_ms = 300;
    world_open(&world);
    ask(SERVER_ID, SERVER_ID);
    world_until(&world, one_request);
    forward(&world.gots[0]);
    world_until(&world, is_done);
    assert_int_equal(call.reason, REASON_PEER_SILENT);
}

static size_t written;

static bool all_came(struct world *w)
{
    return buf_len(&w->gots[1].end.data) == written;
}

static void a_reader_that_stops_holds_the_writer_back(void **state)
{
    static uint8_t chunk[64 * 1024];
    open_nested();
    stream_read_stop(world.gots[1].end.stream);
    for (written = 0; stream_queued(call.end.stream) < STREAM_HIGH_WATER;) {
        assert_true(written < (size_t)64 * 1024 * 1024); /* held back at last */
        memset(chunk, (int)(written / sizeof(chunk)), sizeof(chunk));
        stream_write(call.end.stream, chunk, sizeof(chunk));
        written += sizeof(chunk);
        world_settle(&world);
    }
    assert_int_equal(buf_len(&world.gots[1].end.data), 0);
    stream_read_start(world.gots[1].end.stream);
    world_until(&world, all_came);
    assert_true(call.end.num_writable > 0);
    const uint8_t *bytes = buf_head(&world.gots[1].end.data);
    for (size_t i = 0; i < written; i += sizeof(chunk))
        assert_int_equal(bytes[i], (uint8_t)(i / sizeof(chunk)));
}

static bool outer_is_gone(struct world *w)
{
    return w->gots[0].gone || bridges[0].over;
}

static void it_can_be_cancelled_at_every_step(void **state)
{
    /* Before anything was sent; while the gateway is silent; in the handshake; while the peer is silent. */
    for (unsigned step = 0; step < 4; step++) {
        if (step > 0) {
            world_done(&world);
            memset(&call, 0, sizeof(call));
            num_bridges = 0;
            world_init(&world);
            world.mode = WORLD_HOLD;
            world_open(&world);
        }
        ask(SERVER_ID, SERVER_ID);
        if (step > 0)
            world_until(&world, one_request);
        if (step > 1) {
            forward(&world.gots[0]);
            world_until(&world, step == 2 ? handshake_began : two_requests);
        }
        hbone_nested_cancel(call.nested);
        call.nested = NULL;
        if (step > 0)
            world_until(&world, outer_is_gone);
        world_settle(&world);
        assert_false(call.done);
        for (unsigned i = 0; i < num_bridges; i++)
            close_bridge(&bridges[i]);
        if (step < 3)
            num_bridges = 0;
    }
}

static void a_certificate_that_is_gone_by_then_is_missing(void **state)
{
    ask(SERVER_ID, SERVER_ID);
    world_until(&world, one_request);
    hbone_pool_set_context(world.pool, NULL);
    forward(&world.gots[0]);
    world_until(&world, is_done);
    assert_int_equal(call.reason, REASON_NO_IDENTITY);
}

static void the_pool_may_go_while_an_inner_connection_ends(void **state)
{
    open_nested();
    end_close(&call.end); /* the inner connection says goodbye while everything is taken down */
}

static bool first_came(struct world *w)
{
    return call.done || w->num_gots > 0;
}

static bool second_came(struct world *w)
{
    return call.done || w->num_gots > 1;
}

static bool is_at_the_end(const struct end *end)
{
    return end->failed || (end->eof && end->shutdown);
}

static bool tunnel_is_over(struct world *w)
{
    return is_at_the_end(&call.end) || is_at_the_end(&w->gots[1].end);
}

/* Both ends say something and end. */
static void use_tunnel(void)
{
    end_write(&call.end, "hello");
    stream_shutdown(call.end.stream);
    end_write(&world.gots[1].end, "goodbye");
    stream_shutdown(world.gots[1].end.stream);
    world_until(&world, tunnel_is_over);
}

/* Asks, and lets the gateway and the peer do their part as far as it comes. */
static void go_through(void)
{
    ask(SERVER_ID, SERVER_ID);
    if (call.nested == NULL)
        return;
    world_until(&world, first_came);
    if (!call.done && world.gots[0].request != NULL)
        forward(&world.gots[0]);
    world_until(&world, second_came);
    if (!call.done && world.gots[1].request != NULL) {
        struct stream *far = hbone_request_accept(world.gots[1].request, "service.name=web");
        world.gots[1].request = NULL;
        if (far != NULL)
            end_attach(&world.gots[1].end, far);
    }
    world_until(&world, is_done);
    if (call.end.stream != NULL && world.gots[1].end.stream != NULL)
        use_tunnel();
}

/* True when all went well, because nothing failed. */
static bool live_through(unsigned failing)
{
    memset(&call, 0, sizeof(call));
    num_bridges = 0;
    has_failed = false;
    world_init(&world);
    world.is_tolerant = true;
    world.mode = WORLD_HOLD;
    world.pool_options.answer_timeout_ms = 300;
    world.pool_options.conn.tls_timeout_ms = 300;
    world_open(&world);
    call.end.is_tolerant = true;
    world.gots[1].end.is_tolerant = true;
    countdown = failing;
    go_through();
    countdown = 0;
    bool well = call.done && call.reason == REASON_DONE && !has_failed;
    hbone_nested_cancel(call.nested);
    call.nested = NULL;
    end_close(&call.end);
    buf_done(&call.end.data);
    for (unsigned i = 0; i < num_bridges; i++)
        close_bridge(&bridges[i]);
    world_done(&world);
    return well;
}

static void every_allocation_may_fail(void **state)
{
    unsigned failing = 1;
    while (!live_through(failing))
        failing++;
    print_message("%u allocations\n", failing - 1);
    assert_true(failing > 40);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_requests_name_the_service_and_only_the_inner_one_our_network),
        TEST(each_direction_ends_by_itself_and_then_the_whole_inner_connection),
        TEST(two_tunnels_share_the_outer_connection_and_nothing_else),
        TEST(a_refusal_of_the_gateway_is_told_as_such),
        TEST(a_refusal_behind_the_gateway_is_told_as_such),
        TEST(a_gateway_that_is_somebody_else_gets_no_request),
        TEST(a_peer_behind_the_gateway_that_is_somebody_else_gets_no_request),
        TEST(a_lost_outer_tunnel_breaks_the_inner_one),
        TEST(an_outer_tunnel_lost_before_the_answer_is_a_failure),
        TEST(an_outer_tunnel_lost_in_the_handshake_is_a_failure),
        TEST(a_peer_that_is_not_trusted_any_more_at_the_handshakes_end_gets_no_request),
        TEST(a_handshake_outlasts_a_new_certificate),
        TEST(an_identity_lost_in_the_handshake_is_a_failure),
        TEST(a_reset_of_the_inner_tunnel_is_a_reset),
        TEST(silence_behind_the_gateway_is_not_waited_out),
        TEST(a_reader_that_stops_holds_the_writer_back),
        TEST(it_can_be_cancelled_at_every_step),
        TEST(a_certificate_that_is_gone_by_then_is_missing),
        TEST(the_pool_may_go_while_an_inner_connection_ends),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
