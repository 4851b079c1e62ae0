/* The pool: sharing, opening, retrying, renewing, giving up. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "hbone_world.h"

static struct world world;

static int setup(void **state)
{
    world_init(&world);
    return 0;
}

static int teardown(void **state)
{
    world_done(&world);
    return 0;
}

static struct hbone_pool_stats stats(void)
{
    struct hbone_pool_stats all;
    hbone_pool_get_stats(world.pool, &all);
    return all;
}

static void call_times(unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        world_call(&world);
}

/* Ends a tunnel in good order from both sides. */
static void finish_tunnel(struct end *near, struct end *far)
{
    stream_shutdown(near->stream);
    stream_shutdown(far->stream);
    world_settle(&world);
    assert_true(near->eof && near->shutdown);
    end_close(near);
    end_close(far);
    world_settle(&world);
}

static void assert_all_are(enum reason reason)
{
    for (unsigned i = 0; i < world.num_calls; i++) {
        if (world.calls[i].reason != reason)
            fail_msg("call %u: %s (%s)", i, reason_name(world.calls[i].reason),
                     world.calls[i].error);
    }
}

/* ----------------------------------------------------------------------------------- sharing -- */

static void tunnels_to_one_peer_share_a_connection(void **state)
{
    world_open(&world);
    call_times(30);
    assert_int_equal(stats().waiting, 30);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_DONE);
    assert_int_equal(world.num_servers, 1);
    assert_int_equal(stats().tunnels, 30);
    assert_int_equal(stats().connections, 1);
    assert_int_equal(stats().waiting, 0);
    assert_int_equal(stats().dials, 1);
}

static void a_connection_is_used_again_once_its_tunnels_have_ended(void **state)
{
    world.pool_options.max_streams = 2;
    world_open(&world);
    for (unsigned i = 0; i < 20; i++) {
        world_call(&world);
        world_until(&world, all_calls_done);
        finish_tunnel(&world.calls[i].end, &world.gots[i].end);
    }
    assert_all_are(REASON_DONE);
    assert_int_equal(world.num_servers, 1);
    assert_int_equal(stats().dials, 1);
    assert_int_equal(stats().reuses, 19);
    assert_int_equal(stats().tunnels, 0);
}

static void as_many_connections_as_the_queue_needs_are_opened_at_once(void **state)
{
    world.pool_options.max_streams = 10;
    world_open(&world);
    call_times(45);
    world_settle(&world);
    assert_int_equal(stats().dials, 5);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_DONE);
    assert_int_equal(world.num_servers, 5);
    assert_int_equal(stats().connections, 5);
}

static void the_peers_limit_on_streams_is_kept_by_more_connections(void **state)
{
    world.server_options.conn.h2.max_streams = 7;
    world_open(&world);
    world_call(&world);
    world_until(&world, all_calls_done);
    call_times(20);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_DONE);
    assert_int_equal(world.num_servers, 3);
}

static void requests_refused_for_want_of_streams_go_onto_other_connections(void **state)
{
    /* All are sent before the peer's SETTINGS can say that there is room for four only. */
    world.server_options.conn.h2.max_streams = 4;
    world_open(&world);
    call_times(10);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_DONE);
    assert_int_equal(stats().tunnels, 10);
}

/* --------------------------------------------------------------------------------- observing -- */

static struct {
    enum reason connected, handshaken, closed;
    unsigned num_connected, num_handshaken, num_closed;
    struct addr peer;
} observed;

static void on_connected(void *owner, enum reason reason, uint64_t duration_ms)
{
    observed.connected = reason;
    observed.num_connected++;
}

static void on_handshaken(void *owner, const struct addr *peer, enum reason reason,
                          const struct err *err, uint64_t duration_ms)
{
    assert_int_equal(err != NULL, reason != REASON_DONE);
    observed.handshaken = reason;
    observed.peer = *peer;
    observed.num_handshaken++;
}

static void on_closed(void *owner, enum reason reason)
{
    observed.closed = reason;
    observed.num_closed++;
}

static const struct hbone_pool_observer observer = {
    .on_connected = on_connected,
    .on_handshaken = on_handshaken,
    .on_closed = on_closed,
};

static bool a_connection_was_closed(struct world *w)
{
    return observed.num_closed > 0;
}

static void connections_that_permit_no_stream_are_not_hoarded(void **state)
{
    world.server_options.conn.h2.max_streams = 0;
    world_open(&world);
    for (unsigned i = 0; i < 4; i++) {
        world_call(&world);
        world_until(&world, all_calls_done);
    }
    assert_all_are(REASON_PEER_RESET);
    world_settle(&world);
    assert_int_equal(stats().connections, 0);
}

static void no_connection_gets_more_requests_than_http2_assumes_before_the_settings(void **state)
{
    world.pool_options.max_streams = 1000;
    world.server_options.conn.h2.max_streams = 200;
    world_open(&world);
    call_times(150);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_DONE);
    assert_int_equal(stats().tunnels, 150);
}

static void what_becomes_of_connections_is_told_to_the_observer(void **state)
{
    static const char *const other[] = {STRANGER_ID};
    memset(&observed, 0, sizeof(observed));
    world.pool_options.observer = &observer;
    world_open(&world);
    world_call(&world);
    world_until(&world, all_calls_done);
    assert_int_equal(observed.num_connected, 1);
    assert_int_equal(observed.connected, REASON_DONE);
    assert_int_equal(observed.num_handshaken, 1);
    assert_int_equal(observed.handshaken, REASON_DONE);
    assert_true(addr_equal(&observed.peer, &world.addr));

    const struct hbone_pool_request request = {
        .peer = world.addr, .expected = other, .num_expected = 1, .authority = "127.0.0.1:80"};
    world_call_as(&world, &request);
    world_until(&world, all_calls_done);
    assert_int_equal(observed.num_connected, 2);
    assert_int_equal(observed.num_handshaken, 2);
    assert_int_equal(observed.handshaken, REASON_IDENTITY_MISMATCH);
    assert_int_equal(observed.num_closed, 0); /* it was never open */

    net_listener_free(world.listener);
    world.listener = NULL;
    world_call_as(&world, &request);
    world_until(&world, all_calls_done);
    assert_int_equal(observed.num_connected, 3);
    assert_int_equal(observed.connected, REASON_TUNNEL_CONNECT_REFUSED);
    assert_int_equal(observed.num_handshaken, 2);

    hbone_server_close(world.servers[0].server, REASON_DRAINED, NULL);
    world_until(&world, a_connection_was_closed);
    assert_int_equal(observed.num_closed, 1);
    assert_int_equal(observed.closed, REASON_TUNNEL_LOST);
}

static void a_burst_is_spread_by_the_limit_that_the_first_refusals_taught(void **state)
{
    world.server_options.conn.h2.max_streams = 4;
    world_open(&world);
    call_times(60);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_DONE);
    assert_int_equal(stats().tunnels, 60);
    assert_int_equal(stats().dials, 15);
}

static void expected_identities_are_part_of_the_key(void **state)
{
    static const char *const both[] = {STRANGER_ID, SERVER_ID};
    world_open(&world);
    world_call(&world);
    const struct hbone_pool_request request = {
        .peer = world.addr, .expected = both, .num_expected = 2, .authority = "127.0.0.1:80"};
    world_call_as(&world, &request);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_DONE);
    assert_int_equal(world.num_servers, 2);
    assert_string_equal(world.gots[1].baggage, "(none)");
}

/* ----------------------------------------------------------------------------------- failing -- */

static void a_peer_of_another_identity_is_refused_before_anything_is_sent(void **state)
{
    static const char *const other[] = {STRANGER_ID};
    world_open(&world);
    const struct hbone_pool_request request = {
        .peer = world.addr, .expected = other, .num_expected = 1, .authority = "127.0.0.1:80"};
    world_call_as(&world, &request);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_IDENTITY_MISMATCH);
    assert_true(strlen(world.calls[0].error) > 0);
    assert_int_equal(world.num_gots, 0);
    world_until(&world, all_servers_closed);
    assert_int_equal(stats().connections, 0);
    assert_int_equal(stats().connecting, 0);
}

static void a_closed_port_fails_all_who_wait_for_it_at_once(void **state)
{
    world_open(&world);
    net_listener_free(world.listener);
    world.listener = NULL;
    call_times(25);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_TUNNEL_CONNECT_REFUSED);
    assert_int_equal(stats().dials, 1);
    assert_int_equal(stats().waiting, 0);
    world_call(&world); /* a new request tries anew */
    world_until(&world, all_calls_done);
    assert_int_equal(stats().dials, 2);
}

static void a_peer_that_does_not_speak_tls_times_out(void **state)
{
    world.pool_options.conn.tls_timeout_ms = 50;
    world_open(&world);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    world.addr.port = ntohs(sa.sin_port);
    call_times(3);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_TLS_TIMEOUT);
    assert_int_equal(stats().dials, 1);
    close(fd);
}

static void a_peer_that_refuses_our_certificate_is_named_as_the_cause(void **state)
{
    struct cert_built *other_root = cert_builder_root("other");
    struct cert_built *leaf = cert_builder_leaf(other_root, CLIENT_ID);
    world_open(&world);
    struct tls_context *context = world_context(&world, leaf, 2);
    hbone_pool_set_context(world.pool, context);
    call_times(3);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_TLS_PEER_REFUSED_US);
    assert_int_equal(stats().dials, 1);
    assert_string_equal(world.calls[0].peer, SERVER_ID);
    tls_context_unref(context);
    cert_builder_free(leaf);
    cert_builder_free(other_root);
}

static void without_a_certificate_requests_fail(void **state)
{
    world_open(&world);
    hbone_pool_set_context(world.pool, NULL);
    call_times(2);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_NO_IDENTITY);
    assert_int_equal(stats().dials, 0);
}

static void the_peers_answer_becomes_the_reason(void **state)
{
    static const struct {
        unsigned status;
        enum reason reason;
    } answers[] = {
        {401, REASON_PEER_REFUSED},
        {503, REASON_PEER_UNREACHABLE},
        {400, REASON_PEER_STATUS},
        {504, REASON_PEER_STATUS},
    };
    world.mode = WORLD_REFUSE;
    world_open(&world);
    for (unsigned i = 0; i < 4; i++) {
        world.refuse_status = answers[i].status;
        world_call(&world);
        world_until(&world, all_calls_done);
        assert_int_equal(world.calls[i].reason, answers[i].reason);
        assert_int_equal(world.calls[i].status, answers[i].status);
        assert_string_equal(world.calls[i].peer, SERVER_ID);
    }
    world_settle(&world);
    assert_int_equal(world.num_servers, 1);
    assert_int_equal(stats().tunnels, 0);
}

static void a_silent_peer_fails_only_the_request(void **state)
{
    world.mode = WORLD_HOLD;
    world.pool_options.answer_timeout_ms = 60;
    world_open(&world);
    call_times(3);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_PEER_SILENT);
    world_settle(&world);
    for (unsigned i = 0; i < 3; i++)
        assert_true(world.gots[i].gone);
    assert_int_equal(stats().connections, 1);
}

static bool a_request_is_held(struct world *w)
{
    return w->num_gots > 0;
}

static void a_connection_that_breaks_before_its_first_answer_fails_its_requests(void **state)
{
    world.mode = WORLD_HOLD;
    world_open(&world);
    call_times(2);
    world_until(&world, a_request_is_held);
    /* It was heard (SETTINGS), but it was new when the requests went onto it. */
    hbone_server_close(world.servers[0].server, REASON_DRAINED, NULL);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_TUNNEL_LOST);
}

static bool second_request_is_held(struct world *w)
{
    return w->num_gots > 1;
}

static void a_request_on_an_old_connection_that_turns_out_dead_goes_onto_a_new_one(void **state)
{
    world_open(&world);
    world_call(&world);
    world_until(&world, all_calls_done);
    finish_tunnel(&world.calls[0].end, &world.gots[0].end);
    world.mode = WORLD_HOLD;
    world_call(&world);
    world_until(&world, second_request_is_held);
    hbone_server_close(world.servers[0].server, REASON_DRAINED, NULL);
    world.mode = WORLD_ACCEPT;
    world_until(&world, all_calls_done);
    assert_int_equal(world.calls[1].reason, REASON_DONE);
    assert_int_equal(world.num_servers, 2);
    assert_true(world.gots[1].gone);
}

static void a_peer_that_resets_the_request_is_told_apart(void **state)
{
    world.mode = WORLD_HOLD;
    world_open(&world);
    world_call(&world);
    world_until(&world, a_request_is_held);
    struct stream *stream = hbone_request_accept(world.gots[0].request, NULL);
    world.gots[0].request = NULL;
    stream_abort(stream); /* before the answer went out: the reset overtakes it */
    world_until(&world, all_calls_done);
    assert_int_equal(world.calls[0].reason, REASON_PEER_RESET);
}

/* ----------------------------------------------------------------------- GOAWAY, idle, drain -- */

static void a_peer_that_drains_keeps_its_tunnels_and_new_ones_go_elsewhere(void **state)
{
    world_open(&world);
    world_call(&world);
    world_until(&world, all_calls_done);
    hbone_server_drain(world.servers[0].server);
    world_settle(&world);
    world_call(&world);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_DONE);
    assert_int_equal(world.num_servers, 2);
    assert_int_equal(world.gots[1].server, 1);
    end_write(&world.calls[0].end, "still");
    world_settle(&world);
    assert_true(end_has(&world.gots[0].end, "still"));
    finish_tunnel(&world.calls[0].end, &world.gots[0].end);
    world_settle(&world);
    assert_true(world.servers[0].closed);
    assert_int_equal(world.servers[0].reason, REASON_DRAINED);
    assert_int_equal(stats().connections, 1);
}

static void a_peer_with_a_newer_certificate_keeps_its_tunnels_and_shows_it_to_new_ones(void **state)
{
    world_open(&world);
    world_call(&world);
    world_until(&world, all_calls_done);
    hbone_server_retire(world.servers[0].server);
    world_settle(&world);
    world_call(&world);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_DONE);
    assert_int_equal(world.gots[1].server, 1);
    end_write(&world.calls[0].end, "still");
    world_settle(&world);
    assert_true(end_has(&world.gots[0].end, "still"));
    finish_tunnel(&world.calls[0].end, &world.gots[0].end);
    world_settle(&world);
    assert_true(world.servers[0].closed);
    assert_int_equal(world.servers[0].reason, REASON_DONE);
}

static bool a_server_has_accepted(struct world *w)
{
    return w->num_servers == 1;
}

static void a_newer_certificate_during_the_handshake_fails_no_request(void **state)
{
    world_open(&world);
    world_call(&world);
    world_until(&world, a_server_has_accepted);
    assert_false(world.servers[0].handshaken);
    hbone_server_retire(world.servers[0].server);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_DONE);
    world_settle(&world);
    world_call(&world);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_DONE);
    assert_int_equal(world.num_servers, 2);
}

static void requests_that_cross_a_goaway_are_sent_again(void **state)
{
    world_open(&world);
    world_call(&world);
    world_until(&world, all_calls_done);
    for (unsigned i = 0; i < 10; i++) {
        /* In the same round: the request leaves before the GOAWAY arrives. */
        hbone_server_drain(world.servers[world.num_servers - 1].server);
        call_times(5);
        world_until(&world, all_calls_done);
    }
    assert_all_are(REASON_DONE);
}

static bool no_connection_is_left(struct world *w)
{
    return world_num_connections(w) == 0;
}

static void an_idle_connection_is_closed_in_good_order(void **state)
{
    world.pool_options.conn.idle_timeout_ms = 50;
    world_open(&world);
    world_call(&world);
    world_until(&world, all_calls_done);
    finish_tunnel(&world.calls[0].end, &world.gots[0].end);
    world_until(&world, no_connection_is_left);
    world_until(&world, all_servers_closed);
    assert_int_equal(world.servers[0].reason, REASON_DONE);
    world_call(&world);
    world_until(&world, all_calls_done);
    assert_int_equal(world.calls[1].reason, REASON_DONE);
    assert_int_equal(world.num_servers, 2);
}

static void a_draining_pool_closes_what_is_idle_and_the_rest_when_it_ends(void **state)
{
    static const char *const other[] = {SERVER_ID, STRANGER_ID};
    world_open(&world);
    const struct hbone_pool_request request = {
        .peer = world.addr, .expected = other, .num_expected = 2, .authority = "127.0.0.1:80"};
    world_call(&world);
    world_call_as(&world, &request);
    world_until(&world, all_calls_done);
    /* Which connection was accepted first is not known: look for the tunnels' own. */
    unsigned first = strcmp(world.gots[0].forwarded, "(none)") != 0 ? 0 : 1;
    finish_tunnel(&world.calls[0].end, &world.gots[first].end);
    assert_int_equal(stats().connections, 2);
    hbone_pool_drain(world.pool);
    world_settle(&world);
    assert_int_equal(stats().connections, 1);
    assert_false(world.calls[1].end.failed);
    finish_tunnel(&world.calls[1].end, &world.gots[1 - first].end);
    world_until(&world, no_connection_is_left);
    world_call(&world); /* still taken */
    world_until(&world, all_calls_done);
    assert_all_are(REASON_DONE);
    finish_tunnel(&world.calls[2].end, &world.gots[2].end);
    world_until(&world, no_connection_is_left);
}

/* ---------------------------------------------------------------------------------- rotation -- */

static void closing_ends_open_connections_and_their_tunnels(void **state)
{
    world_open(&world);
    call_times(2);
    world_until(&world, all_calls_done);
    hbone_pool_close(world.pool);
    hbone_pool_close(world.pool);
    assert_int_equal(stats().connections, 1); /* until the end of the round */
    world_until(&world, no_connection_is_left);
    world_settle(&world);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(world.calls[i].end.failed);
        assert_int_equal(world.calls[i].end.fault, STREAM_FAULT_LOST);
    }
    world_call(&world); /* it still takes requests */
    world_until(&world, all_calls_done);
    assert_all_are(REASON_DONE);
}

static void after_a_rotation_tunnels_live_on_and_new_ones_use_the_new_certificate(void **state)
{
    struct cert_built *renewed = cert_builder_leaf(world.root, CLIENT_ID);
    struct tls_context *context = world_context(&world, renewed, 2);
    world_open(&world);
    world_call(&world);
    world_until(&world, all_calls_done);
    char old_serial[CERT_SERIAL_TEXT_MAX];
    strcpy(old_serial, hbone_server_peer(world.servers[0].server)->serial);

    hbone_pool_set_context(world.pool, context);
    world_call(&world);
    world_until(&world, all_calls_done);
    assert_all_are(REASON_DONE);
    assert_int_equal(world.num_servers, 2);
    assert_string_not_equal(hbone_server_peer(world.servers[1].server)->serial, old_serial);
    end_write(&world.calls[0].end, "old");
    world_settle(&world);
    assert_true(end_has(&world.gots[0].end, "old"));
    finish_tunnel(&world.calls[0].end, &world.gots[0].end);
    world_settle(&world);
    assert_true(world.servers[0].closed);
    assert_false(world.servers[1].closed);
    tls_context_unref(context);
    cert_builder_free(renewed);
}

static void a_rotation_under_way_fails_no_request(void **state)
{
    struct cert_built *renewed = cert_builder_leaf(world.root, CLIENT_ID);
    world.pool_options.max_streams = 5;
    world_open(&world);
    for (unsigned i = 0; i < 6; i++) {
        struct tls_context *context = world_context(&world, renewed, 2 + i);
        call_times(12); /* waiting, connecting, sent: whatever they have come to */
        if (i % 2 == 0)
            world_settle(&world);
        hbone_pool_set_context(world.pool, context);
        tls_context_unref(context);
    }
    world_until(&world, all_calls_done);
    assert_all_are(REASON_DONE);
    assert_int_equal(stats().tunnels, 72);
    cert_builder_free(renewed);
}

/* -------------------------------------------------------------------------------- cancelling -- */

static void cancel_all(void)
{
    for (unsigned i = 0; i < world.num_calls; i++) {
        hbone_pool_cancel(world.calls[i].wait);
        world.calls[i].wait = NULL;
    }
}

static bool a_dial_is_under_way(struct world *w)
{
    return stats().connecting > 0;
}

static void a_cancelled_request_is_never_answered(void **state)
{
    world_open(&world);
    call_times(3);
    cancel_all(); /* at once */
    world_settle(&world);
    assert_int_equal(stats().waiting, 0);
    assert_int_equal(stats().dials, 0);

    call_times(3);
    world_until(&world, a_dial_is_under_way);
    cancel_all();
    world_settle(&world);

    world.mode = WORLD_HOLD;
    call_times(3);
    world_until(&world, a_request_is_held); /* and when it was sent */
    cancel_all();
    world_settle(&world);
    for (unsigned i = 0; i < world.num_calls; i++)
        assert_false(world.calls[i].done);
    for (unsigned i = 0; i < world.num_gots; i++)
        assert_true(world.gots[i].gone);
    assert_int_equal(stats().tunnels, 0);
    assert_int_equal(stats().waiting, 0);
}

static void a_pool_may_be_freed_while_it_dials(void **state)
{
    world_open(&world);
    call_times(2);
    world_settle(&world);
    cancel_all();
}

#define POOL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(tunnels_to_one_peer_share_a_connection),
        POOL_TEST(a_connection_is_used_again_once_its_tunnels_have_ended),
        POOL_TEST(as_many_connections_as_the_queue_needs_are_opened_at_once),
        POOL_TEST(the_peers_limit_on_streams_is_kept_by_more_connections),
        POOL_TEST(requests_refused_for_want_of_streams_go_onto_other_connections),
        POOL_TEST(a_burst_is_spread_by_the_limit_that_the_first_refusals_taught),
        POOL_TEST(connections_that_permit_no_stream_are_not_hoarded),
        POOL_TEST(no_connection_gets_more_requests_than_http2_assumes_before_the_settings),
        POOL_TEST(what_becomes_of_connections_is_told_to_the_observer),
        POOL_TEST(expected_identities_are_part_of_the_key),
        POOL_TEST(a_peer_of_another_identity_is_refused_before_anything_is_sent),
        POOL_TEST(a_closed_port_fails_all_who_wait_for_it_at_once),
        POOL_TEST(a_peer_that_does_not_speak_tls_times_out),
        POOL_TEST(a_peer_that_refuses_our_certificate_is_named_as_the_cause),
        POOL_TEST(without_a_certificate_requests_fail),
        POOL_TEST(the_peers_answer_becomes_the_reason),
        POOL_TEST(a_silent_peer_fails_only_the_request),
        POOL_TEST(a_connection_that_breaks_before_its_first_answer_fails_its_requests),
        POOL_TEST(a_request_on_an_old_connection_that_turns_out_dead_goes_onto_a_new_one),
        POOL_TEST(a_peer_that_resets_the_request_is_told_apart),
        POOL_TEST(a_peer_that_drains_keeps_its_tunnels_and_new_ones_go_elsewhere),
        POOL_TEST(a_peer_with_a_newer_certificate_keeps_its_tunnels_and_shows_it_to_new_ones),
        POOL_TEST(a_newer_certificate_during_the_handshake_fails_no_request),
        POOL_TEST(requests_that_cross_a_goaway_are_sent_again),
        POOL_TEST(an_idle_connection_is_closed_in_good_order),
        POOL_TEST(a_draining_pool_closes_what_is_idle_and_the_rest_when_it_ends),
        POOL_TEST(closing_ends_open_connections_and_their_tunnels),
        POOL_TEST(after_a_rotation_tunnels_live_on_and_new_ones_use_the_new_certificate),
        POOL_TEST(a_rotation_under_way_fails_no_request),
        POOL_TEST(a_cancelled_request_is_never_answered),
        POOL_TEST(a_pool_may_be_freed_while_it_dials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
