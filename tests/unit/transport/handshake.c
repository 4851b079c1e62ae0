/* Handshakes over sockets: who is let in, who is told why not, what time limits do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tls_ends.h"

static struct ends ends;
static struct net_tcp *client_tcp, *server_tcp;
static int fds[2];

static int setup(void **state)
{
    ends_init(&ends);
    ends_sockets(&ends, &client_tcp, &server_tcp, fds);
    return 0;
}

static int teardown(void **state)
{
    ends_done(&ends);
    return 0;
}

static void shake_both(const char *expected)
{
    ends_shake(&ends, &ends.client, TLS_CLIENT, net_tcp_stream(client_tcp), expected, 5000);
    ends_shake(&ends, &ends.server, TLS_SERVER, net_tcp_stream(server_tcp), NULL, 5000);
    ends_until(&ends, ends_both_shaken);
}

static void both_sides_get_a_stream(void **state)
{
    shake_both(SERVER_ID);
    assert_int_equal(ends.client.reason, REASON_DONE);
    assert_int_equal(ends.server.reason, REASON_DONE);
    end_write(&ends.client, "hello");
    ends_settle(&ends);
    assert_true(end_has(&ends.server, "hello"));
}

static void bytes_that_come_with_the_handshakes_end_are_not_lost(void **state)
{
    ends.server.hold = true;
    ends_shake(&ends, &ends.client, TLS_CLIENT, net_tcp_stream(client_tcp), SERVER_ID, 5000);
    ends_shake(&ends, &ends.server, TLS_SERVER, net_tcp_stream(server_tcp), NULL, 5000);
    while (!ends.client.shaken)
        ends_settle(&ends);
    end_write(&ends.client, "early");
    stream_shutdown(ends.client.stream);
    ends_until(&ends, ends_both_shaken);
    ends_settle(&ends);
    assert_int_equal(buf_len(&ends.server.data), 0);
    stream_read_start(ends.server.stream);
    assert_int_equal(buf_len(&ends.server.data), 0); /* not from inside */
    ends_settle(&ends);
    assert_true(end_has(&ends.server, "early"));
    assert_true(ends.server.eof);
}

static bool client_shaken(struct ends *e)
{
    return e->client.shaken;
}

static bool server_shaken(struct ends *e)
{
    return e->server.shaken;
}

static void a_server_of_another_identity_is_refused_and_told(void **state)
{
    shake_both(STRANGER_ID);
    assert_int_equal(ends.client.reason, REASON_IDENTITY_MISMATCH);
    assert_int_equal(ends.server.reason, REASON_TLS_PEER_REFUSED_US);
    assert_null(ends.client.stream);
    assert_null(ends.server.stream);
}

static bool client_failed(struct ends *e)
{
    return e->client.failed;
}

static void a_client_that_is_not_trusted_hears_of_it(void **state)
{
    struct cert_built *other = cert_builder_root("other");
    struct cert_built *leaf = cert_builder_leaf(other, CLIENT_ID);
    tls_context_unref(ends.client_tls);
    ends.client_tls = ends_context(&ends, leaf, ends.root);
    ends_shake(&ends, &ends.client, TLS_CLIENT, net_tcp_stream(client_tcp), SERVER_ID, 5000);
    ends_shake(&ends, &ends.server, TLS_SERVER, net_tcp_stream(server_tcp), NULL, 5000);
    ends_until(&ends, client_shaken);
    assert_int_equal(ends.client.reason, REASON_DONE); /* as far as it knows yet */
    /* Unread bytes at the server do not make the kernel destroy the alert. */
    end_write(&ends.client, "a preface that nobody will read");
    ends_until(&ends, client_failed);
    assert_int_equal(tls_stream_reason(ends.client.stream), REASON_TLS_PEER_REFUSED_US);
    assert_int_equal(ends.server.reason, REASON_CERT_UNTRUSTED);
    cert_builder_free(leaf);
    cert_builder_free(other);
}

static void a_silent_client_is_given_up_in_time(void **state)
{
    ends_shake(&ends, &ends.server, TLS_SERVER, net_tcp_stream(server_tcp), NULL, 50);
    ends_until(&ends, server_shaken);
    assert_int_equal(ends.server.reason, REASON_TLS_TIMEOUT);
    stream_close(net_tcp_stream(client_tcp));
}

static void a_client_that_sends_a_byte_now_and_then_is_given_up_all_the_same(void **state)
{
    ends_shake(&ends, &ends.server, TLS_SERVER, net_tcp_stream(server_tcp), NULL, 100);
    static const uint8_t hello[] = {0x16, 0x03, 0x01, 0x10, 0x00, 0x01, 0x00, 0x0f, 0xfc, 0x03};
    for (size_t i = 0; i < sizeof(hello); i++) {
        stream_write(net_tcp_stream(client_tcp), &hello[i], 1);
        ends_settle(&ends);
    }
    ends_until(&ends, server_shaken);
    assert_int_equal(ends.server.reason, REASON_TLS_TIMEOUT);
    stream_close(net_tcp_stream(client_tcp));
}

static void what_is_not_tls_is_refused(void **state)
{
    ends_shake(&ends, &ends.server, TLS_SERVER, net_tcp_stream(server_tcp), NULL, 5000);
    stream_write(net_tcp_stream(client_tcp), (const uint8_t *)"GET / HTTP/1.1\r\n\r\n", 18);
    ends_until(&ends, server_shaken);
    assert_int_equal(ends.server.reason, REASON_TLS_FAILED);
    assert_true(strlen(ends.server.error) > 0);
    stream_close(net_tcp_stream(client_tcp));
}

static void a_connection_cut_during_the_handshake_fails_it(void **state)
{
    ends_shake(&ends, &ends.client, TLS_CLIENT, net_tcp_stream(client_tcp), SERVER_ID, 5000);
    assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
    ends_until(&ends, client_shaken);
    assert_int_equal(ends.client.reason, REASON_TLS_FAILED);
    stream_close(net_tcp_stream(server_tcp));
}

static void a_client_that_leaves_during_the_handshake_is_gone(void **state)
{
    ends_shake(&ends, &ends.server, TLS_SERVER, net_tcp_stream(server_tcp), NULL, 5000);
    stream_close(net_tcp_stream(client_tcp));
    ends_until(&ends, server_shaken);
    assert_int_equal(ends.server.reason, REASON_CLIENT_GONE);
    assert_non_null(strstr(ends.server.error, "during the TLS handshake"));
}

static void a_client_that_resets_during_the_handshake_is_gone(void **state)
{
    ends_shake(&ends, &ends.server, TLS_SERVER, net_tcp_stream(server_tcp), NULL, 5000);
    stream_abort(net_tcp_stream(client_tcp));
    ends_until(&ends, server_shaken);
    assert_int_equal(ends.server.reason, REASON_CLIENT_GONE);
}

static void a_connection_reset_during_the_handshake_fails_it(void **state)
{
    ends_shake(&ends, &ends.client, TLS_CLIENT, net_tcp_stream(client_tcp), SERVER_ID, 5000);
    stream_abort(net_tcp_stream(server_tcp));
    ends_until(&ends, client_shaken);
    assert_int_equal(ends.client.reason, REASON_TLS_FAILED);
    assert_non_null(strstr(ends.client.error, "TLS handshake"));
}

static void a_cancelled_handshake_is_silent(void **state)
{
    ends_shake(&ends, &ends.client, TLS_CLIENT, net_tcp_stream(client_tcp), SERVER_ID, 5000);
    ends_shake(&ends, &ends.server, TLS_SERVER, net_tcp_stream(server_tcp), NULL, 5000);
    tls_handshake_cancel(ends.client.handshake);
    ends.client.handshake = NULL;
    ends_until(&ends, server_shaken);
    assert_false(ends.client.shaken);
    assert_int_equal(ends.server.reason, REASON_CLIENT_GONE);
}

static void a_client_without_expectations_does_not_start(void **state)
{
    struct err err;
    const struct tls_conn_params params = {.role = TLS_CLIENT};
    assert_null(tls_handshake_start(ends.io, net_tcp_stream(client_tcp), ends.client_tls, &params,
                                    5000, NULL, NULL, &err));
    assert_int_equal(err.kind, ERR_INVALID);
    stream_close(net_tcp_stream(client_tcp)); /* still ours */
    stream_close(net_tcp_stream(server_tcp));
}

static bool server_failed(struct ends *e)
{
    return e->server.failed;
}

static void a_reset_of_the_connection_is_a_reset_of_the_stream(void **state)
{
    shake_both(SERVER_ID);
    stream_abort(ends.client.stream);
    ends.client.stream = NULL;
    ends_until(&ends, server_failed);
    assert_int_equal(ends.server.fault, STREAM_FAULT_RESET);
    assert_int_equal(tls_stream_reason(ends.server.stream), REASON_TUNNEL_LOST);
}

static void a_truncated_connection_is_lost(void **state)
{
    shake_both(SERVER_ID);
    end_write(&ends.client, "hello");
    tls_stream_flush(ends.client.stream);
    assert_int_equal(shutdown(fds[0], SHUT_WR), 0); /* behind TLS's back */
    ends_until(&ends, server_failed);
    assert_int_equal(ends.server.fault, STREAM_FAULT_LOST);
    assert_true(end_has(&ends.server, "hello"));
    assert_false(ends.server.eof);
}

#define HANDSHAKE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HANDSHAKE_TEST(both_sides_get_a_stream),
        HANDSHAKE_TEST(bytes_that_come_with_the_handshakes_end_are_not_lost),
        HANDSHAKE_TEST(a_server_of_another_identity_is_refused_and_told),
        HANDSHAKE_TEST(a_client_that_is_not_trusted_hears_of_it),
        HANDSHAKE_TEST(a_silent_client_is_given_up_in_time),
        HANDSHAKE_TEST(a_client_that_sends_a_byte_now_and_then_is_given_up_all_the_same),
        HANDSHAKE_TEST(what_is_not_tls_is_refused),
        HANDSHAKE_TEST(a_connection_cut_during_the_handshake_fails_it),
        HANDSHAKE_TEST(a_client_that_leaves_during_the_handshake_is_gone),
        HANDSHAKE_TEST(a_client_that_resets_during_the_handshake_is_gone),
        HANDSHAKE_TEST(a_connection_reset_during_the_handshake_fails_it),
        HANDSHAKE_TEST(a_cancelled_handshake_is_silent),
        HANDSHAKE_TEST(a_client_without_expectations_does_not_start),
        HANDSHAKE_TEST(a_reset_of_the_connection_is_a_reset_of_the_stream),
        HANDSHAKE_TEST(a_truncated_connection_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
