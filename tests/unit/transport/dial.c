/* Connecting and TLS as one step. */
#include "dial.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tls_ends.h"

static struct ends ends;
static struct net_listener *listener;
static struct addr addr;
static bool silent; /* accept and say nothing */
static bool asked;  /* wait to be asked for TLS, as a PostgreSQL does */
static struct net_tcp *accepted;
static unsigned num_connected;

static void server_on_asked(void *owner, const uint8_t *bytes, size_t len)
{
    struct stream *stream = net_tcp_stream(accepted);
    assert_int_equal(len, 8);
    stream_read_stop(stream);
    stream_write(stream, (const uint8_t *)"S", 1);
    ends_shake(&ends, &ends.server, TLS_SERVER, stream, NULL, 5000);
}

static const struct stream_handler asked_handler = {.on_read = server_on_asked};

static void on_accept(void *owner, struct net_tcp *tcp)
{
    if (silent && accepted != NULL)
        stream_close(net_tcp_stream(accepted));
    accepted = tcp;
    if (silent)
        return;
    if (asked) {
        stream_set_handler(net_tcp_stream(tcp), &asked_handler, NULL);
        stream_read_start(net_tcp_stream(tcp));
    } else
        ends_shake(&ends, &ends.server, TLS_SERVER, net_tcp_stream(tcp), NULL, 5000);
}

static void on_overload(void *owner)
{
    fail_msg("out of descriptors");
}

static int setup(void **state)
{
    struct err err;
    const struct net_listener_options options = {0};
    struct addr any;
    silent = false;
    asked = false;
    accepted = NULL;
    num_connected = 0;
    ends_init(&ends);
    assert_int_equal(addr_parse(&any, "127.0.0.1:0", &err), 0);
    listener = net_listener_new(ends.loop, &any, &options, on_accept, on_overload, NULL, &err);
    assert_non_null(listener);
    addr = *net_listener_addr(listener);
    return 0;
}

static int teardown(void **state)
{
    net_listener_free(listener);
    listener = NULL;
    if (silent && accepted != NULL)
        stream_close(net_tcp_stream(accepted));
    ends_done(&ends);
    return 0;
}

static void on_connected(void *owner)
{
    num_connected++;
}

static void on_dialed(void *owner, struct stream *stream, enum reason reason, const struct err *err)
{
    struct end *end = &ends.client;
    assert_false(end->shaken);
    end->shaken = true;
    end->reason = reason;
    assert_int_equal(stream != NULL, reason == REASON_DONE);
    if (stream != NULL)
        end_attach(end, stream);
    else
        snprintf(end->error, sizeof(end->error), "%s", err->message);
}

static struct dial *start(const char *expected, uint64_t tls_timeout_ms)
{
    struct err err;
    const struct dial_params params = {
        .to = addr,
        .context = ends.client_tls,
        .expected = &expected,
        .num_expected = 1,
        .connect_timeout_ms = 5000,
        .starttls = asked ? STARTTLS_POSTGRESQL : STARTTLS_NONE,
        .tls_timeout_ms = tls_timeout_ms,
        .on_connected = on_connected,
    };
    struct dial *dial = dial_start(ends.io, &params, on_dialed, &ends, &err);
    assert_non_null(dial);
    return dial;
}

static bool client_is_done(struct ends *e)
{
    return e->client.shaken;
}

static void a_dial_gives_a_stream_to_the_expected_peer(void **state)
{
    start(SERVER_ID, 5000);
    ends_until(&ends, ends_both_shaken);
    assert_int_equal(ends.client.reason, REASON_DONE);
    assert_int_equal(num_connected, 1);
    end_write(&ends.client, "hello");
    ends_settle(&ends);
    assert_true(end_has(&ends.server, "hello"));
}

static void a_server_that_wants_to_be_asked_for_tls_is_asked(void **state)
{
    asked = true;
    start(SERVER_ID, 5000);
    ends_until(&ends, ends_both_shaken);
    assert_int_equal(ends.client.reason, REASON_DONE);
    assert_int_equal(num_connected, 1);
    end_write(&ends.client, "hello");
    ends_settle(&ends);
    assert_true(end_has(&ends.server, "hello"));
}

static void a_server_that_wants_to_be_asked_is_verified_like_any_other(void **state)
{
    asked = true;
    start(STRANGER_ID, 5000);
    ends_until(&ends, ends_both_shaken);
    assert_int_equal(ends.client.reason, REASON_IDENTITY_MISMATCH);
}

static void a_server_that_does_not_answer_the_asking_times_out(void **state)
{
    asked = true;
    silent = true;
    start(SERVER_ID, 50);
    ends_until(&ends, client_is_done);
    assert_int_equal(ends.client.reason, REASON_TLS_TIMEOUT);
    ends_settle(&ends);
}

static void a_closed_port_is_refused(void **state)
{
    net_listener_free(listener);
    listener = NULL;
    ends_settle(&ends);
    start(SERVER_ID, 5000);
    ends_until(&ends, client_is_done);
    assert_int_equal(ends.client.reason, REASON_CONNECT_REFUSED);
    assert_int_equal(num_connected, 0);
}

static void a_peer_of_another_identity_is_refused(void **state)
{
    start(STRANGER_ID, 5000);
    ends_until(&ends, ends_both_shaken);
    assert_int_equal(ends.client.reason, REASON_IDENTITY_MISMATCH);
    assert_int_equal(num_connected, 1);
}

static void a_peer_that_accepts_and_says_nothing_times_out(void **state)
{
    silent = true;
    start(SERVER_ID, 50);
    ends_until(&ends, client_is_done);
    assert_int_equal(ends.client.reason, REASON_TLS_TIMEOUT);
    ends_settle(&ends);
}

static bool client_is_connected(struct ends *e)
{
    return num_connected > 0;
}

static void a_cancelled_dial_is_silent_at_every_stage(void **state)
{
    silent = true;
    dial_cancel(start(SERVER_ID, 5000));
    struct dial *dial = start(SERVER_ID, 5000);
    ends_until(&ends, client_is_connected);
    dial_cancel(dial);
    asked = true;
    num_connected = 0;
    dial = start(SERVER_ID, 5000);
    ends_until(&ends, client_is_connected);
    dial_cancel(dial);
    dial_cancel(NULL);
    ends_settle(&ends);
    assert_false(ends.client.shaken);
}

static void a_peer_without_expected_identities_is_an_error_of_the_caller(void **state)
{
    struct err err;
    const struct dial_params params = {
        .to = addr, .context = ends.client_tls, .connect_timeout_ms = 5000, .tls_timeout_ms = 5000};
    silent = true;
    assert_non_null(dial_start(ends.io, &params, on_dialed, &ends, &err));
    ends_until(&ends, client_is_done);
    assert_int_equal(ends.client.reason, REASON_TLS_FAILED);
    assert_non_null(strstr(ends.client.error, "expected"));
}

static void failures_to_connect_have_reasons(void **state)
{
    static const struct {
        struct err err;
        enum reason reason;
    } table[] = {
        {{.kind = ERR_TIMEOUT}, REASON_CONNECT_TIMEOUT},
        {{.kind = ERR_NOMEM}, REASON_NO_MEMORY},
        {{.kind = ERR_SYSTEM, .sys = ECONNREFUSED}, REASON_CONNECT_REFUSED},
        {{.kind = ERR_SYSTEM, .sys = ETIMEDOUT}, REASON_CONNECT_TIMEOUT},
        {{.kind = ERR_SYSTEM, .sys = EMFILE}, REASON_OUT_OF_DESCRIPTORS},
        {{.kind = ERR_SYSTEM, .sys = ENFILE}, REASON_OUT_OF_DESCRIPTORS},
        {{.kind = ERR_SYSTEM, .sys = ENOBUFS}, REASON_NO_MEMORY},
        {{.kind = ERR_SYSTEM, .sys = EHOSTUNREACH}, REASON_CONNECT_FAILED},
        {{.kind = ERR_SYSTEM, .sys = EADDRNOTAVAIL}, REASON_CONNECT_FAILED},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_int_equal(dial_connect_reason(&table[i].err), table[i].reason);
}

#define DIAL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DIAL_TEST(a_dial_gives_a_stream_to_the_expected_peer),
        DIAL_TEST(a_server_that_wants_to_be_asked_for_tls_is_asked),
        DIAL_TEST(a_server_that_wants_to_be_asked_is_verified_like_any_other),
        DIAL_TEST(a_server_that_does_not_answer_the_asking_times_out),
        DIAL_TEST(a_closed_port_is_refused),
        DIAL_TEST(a_peer_of_another_identity_is_refused),
        DIAL_TEST(a_peer_that_accepts_and_says_nothing_times_out),
        DIAL_TEST(a_cancelled_dial_is_silent_at_every_stage),
        DIAL_TEST(a_peer_without_expected_identities_is_an_error_of_the_caller),
        cmocka_unit_test(failures_to_connect_have_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
