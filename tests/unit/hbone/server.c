/*
 * The serving side: what it refuses, what it waits for, how it ends. The client here speaks TLS and
 * HTTP/2 by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "dial.h"
#include "h2_session.h"
#include "hbone_world.h"
#include "tls_stream.h"

static struct world world;

/* -------------------------------------------------------------------------- a client by hand -- */

enum { RAW_STREAMS_MAX = 8 };

static struct raw {
    struct stream *tls;
    struct h2_session *h2; /* NULL: not even a preface is sent */
    enum reason reason;
    bool dialed;
    bool over; /* the server closed */
    bool eof;
    struct {
        struct h2_stream *stream;
        char status[8];
        bool ended;
        bool closed;
        uint32_t code;
    } streams[RAW_STREAMS_MAX];
    unsigned num_streams;
    unsigned num_goaways;
} raw;

static void raw_flush(void)
{
    if (raw.h2 != NULL && raw.tls != NULL && !raw.over)
        h2_session_send(raw.h2, NULL);
}

static void raw_on_read(void *owner, const uint8_t *bytes, size_t len)
{
    if (raw.h2 != NULL) {
        h2_session_recv(raw.h2, bytes, len, NULL);
        raw_flush();
    }
}

static void raw_on_eof(void *owner)
{
    raw.over = raw.eof = true;
}

static void raw_on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    raw.over = true;
}

static const struct stream_handler raw_tls_handler = {
    .on_read = raw_on_read,
    .on_eof = raw_on_eof,
    .on_failed = raw_on_failed,
};

static void raw_on_output(void *owner, const uint8_t *bytes, size_t len)
{
    if (!raw.over)
        stream_write(raw.tls, bytes, len);
}

static void raw_on_wants_send(void *owner)
{
}

static unsigned raw_index(struct h2_stream *stream)
{
    return (unsigned)(uintptr_t)h2_stream_owner(stream);
}

static void raw_on_headers(void *owner, struct h2_stream *stream, const struct h2_header *headers,
                           size_t num_headers, bool end)
{
    unsigned i = raw_index(stream);
    snprintf(raw.streams[i].status, sizeof(raw.streams[i].status), "%.7s",
             h2_header_find(headers, num_headers, ":status"));
    raw.streams[i].ended = end;
}

static void raw_on_data(void *owner, struct h2_stream *stream, const uint8_t *bytes, size_t len)
{
    h2_stream_consume(stream, len);
}

static void raw_on_end(void *owner, struct h2_stream *stream)
{
    raw.streams[raw_index(stream)].ended = true;
}

static void raw_on_closed(void *owner, struct h2_stream *stream, uint32_t code, bool by_peer)
{
    unsigned i = raw_index(stream);
    raw.streams[i].closed = true;
    raw.streams[i].code = code;
    raw.streams[i].stream = NULL;
}

static void raw_on_goaway(void *owner, uint32_t code)
{
    raw.num_goaways++;
}

static const struct h2_handler raw_h2_handler = {
    .on_output = raw_on_output,
    .on_wants_send = raw_on_wants_send,
    .on_headers = raw_on_headers,
    .on_data = raw_on_data,
    .on_end = raw_on_end,
    .on_closed = raw_on_closed,
    .on_goaway = raw_on_goaway,
};

static void raw_on_dialed(void *owner, struct stream *tls, enum reason reason,
                          const struct err *err)
{
    raw.dialed = true;
    raw.reason = reason;
    raw.tls = tls;
    if (tls == NULL)
        return;
    stream_set_handler(tls, &raw_tls_handler, NULL);
    stream_read_start(tls);
}

static bool raw_is_dialed(struct world *w)
{
    return raw.dialed;
}

static void raw_dial(struct tls_context *context)
{
    static const char *const expected[] = {SERVER_ID};
    const struct dial_params params = {
        .to = world.addr,
        .context = context,
        .expected = expected,
        .num_expected = 1,
        .connect_timeout_ms = 5000,
        .tls_timeout_ms = 5000,
    };
    struct err err;
    memset(&raw, 0, sizeof(raw));
    assert_non_null(dial_start(world.io, &params, raw_on_dialed, NULL, &err));
    world_until(&world, raw_is_dialed);
}

/* TLS, and HTTP/2 with its preface. */
static void raw_open(void)
{
    struct err err;
    struct h2_options options;
    raw_dial(world.client_tls);
    assert_non_null(raw.tls);
    h2_options_default(&options, H2_CLIENT);
    raw.h2 = h2_session_new(H2_CLIENT, &options, &raw_h2_handler, NULL, &err);
    assert_non_null(raw.h2);
    raw_flush();
}

static unsigned raw_request(const struct h2_header *headers, size_t num_headers)
{
    struct err err;
    unsigned i = raw.num_streams++;
    raw.streams[i].stream =
        h2_session_request(raw.h2, headers, num_headers, false, (void *)(uintptr_t)i, &err);
    assert_non_null(raw.streams[i].stream);
    raw_flush();
    return i;
}

static unsigned raw_connect(const char *authority)
{
    const struct h2_header headers[] = {{.name = ":method", .value = "CONNECT"},
                                        {.name = ":authority", .value = authority}};
    return raw_request(headers, 2);
}

static void raw_close(void)
{
    stream_close(raw.tls);
    h2_session_free(raw.h2);
    memset(&raw, 0, sizeof(raw));
}

static bool first_stream_closed(struct world *w)
{
    return raw.streams[0].closed;
}

static bool second_stream_answered(struct world *w)
{
    return raw.streams[1].status[0] != '\0';
}

static bool raw_is_over(struct world *w)
{
    return raw.over;
}

static int setup(void **state)
{
    world_init(&world);
    return 0;
}

static int teardown(void **state)
{
    raw_close();
    world_done(&world);
    return 0;
}

/* ------------------------------------------------------------------------ malformed requests -- */

enum { FIELDS_MAX = 6 };

static const struct {
    const char *what;
    const char *status; /* "": the stream is reset instead */
    const char *fields[FIELDS_MAX][2];
} malformed[] = {
    {"GET",
     "400",
     {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "10.0.0.1:80"}}},
    {"GET without authority",
     "400",
     {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {"host", "a"}}},
    {"PRI",
     "400",
     {{":method", "PRI"}, {":scheme", "https"}, {":path", "/"}, {":authority", "10.0.0.1:80"}}},
    {"no port", "400", {{":method", "CONNECT"}, {":authority", "10.0.0.1"}}},
    {"an empty port", "400", {{":method", "CONNECT"}, {":authority", "10.0.0.1:"}}},
    {"port 0", "400", {{":method", "CONNECT"}, {":authority", "10.0.0.1:0"}}},
    {"port 65536", "400", {{":method", "CONNECT"}, {":authority", "10.0.0.1:65536"}}},
    {"a port that is no number", "400", {{":method", "CONNECT"}, {":authority", "10.0.0.1:http"}}},
    {"an address out of range", "400", {{":method", "CONNECT"}, {":authority", "10.0.0.256:80"}}},
    {"IPv6 without brackets", "400", {{":method", "CONNECT"}, {":authority", "fd00::1:80"}}},
    {"IPv6 without end", "400", {{":method", "CONNECT"}, {":authority", "[fd00::1:80"}}},
    {"only a port", "400", {{":method", "CONNECT"}, {":authority", ":80"}}},
    {"a user part", "400", {{":method", "CONNECT"}, {":authority", "me@10.0.0.1:80"}}},
    {"a path", "", {{":method", "CONNECT"}, {":authority", "10.0.0.1:80/x"}}},
    {"a URL", "", {{":method", "CONNECT"}, {":authority", "http://10.0.0.1:80"}}},
    {"no :authority", "", {{":method", "CONNECT"}}},
    {":scheme", "", {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}, {":scheme", "http"}}},
    {":path", "", {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}, {":path", "/"}}},
    {":protocol",
     "",
     {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}, {":protocol", "connect-udp"}}},
    {"a connection-specific field",
     "",
     {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}, {"transfer-encoding", "chunked"}}},
};

static void send_malformed(size_t index)
{
    struct h2_header headers[FIELDS_MAX] = {0};
    size_t num = 0;
    for (; num < FIELDS_MAX && malformed[index].fields[num][0] != NULL; num++) {
        headers[num].name = malformed[index].fields[num][0];
        headers[num].value = malformed[index].fields[num][1];
    }
    raw_request(headers, num);
}

static void every_malformed_connect_ends_its_stream_and_not_the_connection(void **state)
{
    world_open(&world);
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        print_message("%s\n", malformed[i].what);
        world.num_malformed = 0;
        world.num_gots = 0;
        raw_open();
        send_malformed(i);
        world_until(&world, first_stream_closed);
        assert_string_equal(raw.streams[0].status, malformed[i].status);
        assert_int_equal(raw.streams[0].code,
                         malformed[i].status[0] != '\0' ? H2_NO_ERROR : H2_PROTOCOL_ERROR);
        assert_int_equal(world.num_malformed, 1);
        assert_true(strlen(world.malformed) > 0);
        assert_int_equal(world.num_gots, 0);

        raw_connect("10.0.0.1:80");
        world_until(&world, second_stream_answered);
        assert_string_equal(raw.streams[1].status, "200");
        assert_int_equal(world.num_gots, 1);
        end_close(&world.gots[0].end);
        raw_close();
        world_until(&world, all_servers_closed);
    }
}

static void all_ways_to_write_a_destination_are_understood(void **state)
{
    static const struct {
        const char *authority;
        const char *host;
        const char *ip;
    } good[] = {
        {"10.0.0.1:80", "", "10.0.0.1"},
        {"[fd00::1]:443", "", "fd00::1"},
        {"[::ffff:10.0.0.1]:80", "", "10.0.0.1"},
        {"cart.shop.svc.cluster.local:8080", "cart.shop.svc.cluster.local", NULL},
        {"Cart:1", "cart", NULL},
    };
    world_open(&world);
    raw_open();
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        raw_connect(good[i].authority);
        world_settle(&world);
        assert_int_equal(world.num_gots, i + 1);
        const struct hbone_authority *authority = &world.gots[i].authority;
        char text[ADDR_TEXT_MAX];
        assert_string_equal(authority->host, good[i].host);
        if (good[i].ip != NULL)
            assert_string_equal(ip_format(&authority->ip, text), good[i].ip);
        else
            assert_int_equal(authority->ip.family, IP_NONE);
    }
}

static void baggage_on_several_lines_is_one_list(void **state)
{
    const struct h2_header headers[] = {{.name = ":method", .value = "CONNECT"},
                                        {.name = ":authority", .value = "10.0.0.1:80"},
                                        {.name = "baggage", .value = "a=1,b=2"},
                                        {.name = "forwarded", .value = "for=\"1.2.3.4:5\""},
                                        {.name = "baggage", .value = "c=3"}};
    world_open(&world);
    raw_open();
    raw_request(headers, 5);
    world_settle(&world);
    assert_string_equal(world.gots[0].baggage, "a=1,b=2,c=3");
    assert_string_equal(world.gots[0].forwarded, "for=\"1.2.3.4:5\"");
    assert_string_equal(world.gots[0].traceparent, "(none)");
}

static void a_refusal_is_a_status_with_end_stream_and_no_body(void **state)
{
    world.mode = WORLD_REFUSE;
    world.refuse_status = 401;
    world_open(&world);
    raw_open();
    raw_connect("10.0.0.1:80");
    world_until(&world, first_stream_closed);
    assert_string_equal(raw.streams[0].status, "401");
    assert_true(raw.streams[0].ended);
    assert_int_equal(raw.streams[0].code, H2_NO_ERROR);
    assert_false(raw.over);
}

static bool a_request_is_held(struct world *w)
{
    return w->num_gots > 0;
}

static bool the_request_is_gone(struct world *w)
{
    return w->gots[0].gone;
}

static void a_client_that_gives_up_takes_its_request_along(void **state)
{
    world.mode = WORLD_HOLD;
    world_open(&world);
    raw_open();
    raw_connect("10.0.0.1:80");
    world_until(&world, a_request_is_held);
    h2_stream_reset(raw.streams[0].stream, H2_CANCEL);
    raw_flush();
    world_until(&world, the_request_is_gone);
    assert_false(world.servers[0].closed);
}

static void a_connection_that_breaks_takes_its_requests_along(void **state)
{
    world.mode = WORLD_HOLD;
    world_open(&world);
    raw_open();
    raw_connect("10.0.0.1:80");
    world_until(&world, a_request_is_held);
    stream_abort(raw.tls);
    raw.tls = NULL;
    world_until(&world, all_servers_closed);
    assert_true(world.gots[0].gone);
    assert_int_equal(world.servers[0].reason, REASON_TUNNEL_LOST);
}

static bool data_is_parked_and_request_held(struct world *w)
{
    return w->num_gots > 0;
}

static void bytes_sent_before_the_answer_wait_for_it(void **state)
{
    world.mode = WORLD_HOLD;
    world_open(&world);
    raw_open();
    raw_connect("10.0.0.1:80");
    h2_stream_write(raw.streams[0].stream, (const uint8_t *)"early", 5);
    h2_stream_end(raw.streams[0].stream);
    raw_flush();
    world_until(&world, data_is_parked_and_request_held);
    world_settle(&world);
    struct got *got = &world.gots[0];
    end_attach(&got->end, hbone_request_accept(got->request, NULL));
    got->request = NULL;
    assert_int_equal(buf_len(&got->end.data), 0);
    world_settle(&world);
    assert_true(end_has(&got->end, "early"));
    assert_true(got->end.eof);
}

/* ------------------------------------------------------------------------------------ limits -- */

static void a_client_that_never_speaks_tls_is_closed_in_time(void **state)
{
    world.server_options.conn.tls_timeout_ms = 50;
    world_open(&world);
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&world.addr, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
    world_settle(&world);
    assert_int_equal(world.num_servers, 1);
    world_until(&world, all_servers_closed);
    assert_false(world.servers[0].handshaken);
    assert_int_equal(world.servers[0].reason, REASON_TLS_TIMEOUT);
    close(fd);
}

static void a_client_that_never_sends_a_preface_is_closed_in_time(void **state)
{
    world.server_options.first_request_timeout_ms = 50;
    world_open(&world);
    raw_dial(world.client_tls);
    world_until(&world, all_servers_closed);
    assert_true(world.servers[0].handshaken);
    assert_int_equal(world.servers[0].reason, REASON_PEER_TIMEOUT);
    world_until(&world, raw_is_over);
}

static void a_client_that_never_finishes_its_headers_is_closed_in_time(void **state)
{
    world.server_options.first_request_timeout_ms = 50;
    world_open(&world);
    raw_open();
    world_settle(&world); /* past the SETTINGS and their acknowledgements */
    /* A HEADERS frame without END_HEADERS; nothing follows. */
    static const uint8_t head[] = {0, 0, 0, 1, 0, 0, 0, 0, 1};
    stream_write(raw.tls, head, sizeof(head));
    world_until(&world, all_servers_closed);
    assert_int_equal(world.servers[0].reason, REASON_PEER_TIMEOUT);
    assert_string_equal(world.servers[0].error, "no request came in time");
}

static void a_connection_without_tunnels_is_closed_when_idle(void **state)
{
    world.server_options.conn.idle_timeout_ms = 100;
    world_open(&world);
    raw_open();
    raw_connect("10.0.0.1:80");
    world_settle(&world);
    h2_stream_end(raw.streams[0].stream);
    raw_flush();
    stream_shutdown(world.gots[0].end.stream);
    world_until(&world, all_servers_closed);
    assert_int_equal(world.servers[0].reason, REASON_IDLE);
    world_until(&world, raw_is_over);
    assert_true(raw.eof);
    assert_true(raw.num_goaways > 0);
}

static bool some_time_has_passed(struct world *w)
{
    static uint64_t since;
    if (since == 0)
        since = net_loop_now_ms(w->loop);
    return net_loop_now_ms(w->loop) - since > 150;
}

static void an_idle_timeout_does_not_end_a_connection_with_a_tunnel(void **state)
{
    world.server_options.conn.idle_timeout_ms = 50;
    world_open(&world);
    raw_open();
    raw_connect("10.0.0.1:80");
    world_until(&world, some_time_has_passed);
    assert_false(world.servers[0].closed);
}

/* Stops answering, without closing anything. */
static void raw_fall_silent(void)
{
    stream_read_stop(raw.tls);
}

static void a_silent_peer_is_given_up_after_a_ping(void **state)
{
    world.server_options.conn.ping_after_ms = 30;
    world.server_options.conn.ping_timeout_ms = 60;
    world_open(&world);
    raw_open();
    raw_connect("10.0.0.1:80");
    world_settle(&world);
    raw_fall_silent();
    world_until(&world, all_servers_closed);
    assert_int_equal(world.servers[0].reason, REASON_PEER_TIMEOUT);
    assert_true(world.gots[0].end.failed);
    assert_int_equal(world.gots[0].end.fault, STREAM_FAULT_TIMEOUT);
}

static bool a_longer_time_has_passed(struct world *w)
{
    static uint64_t since;
    if (since == 0)
        since = net_loop_now_ms(w->loop);
    return net_loop_now_ms(w->loop) - since > 300;
}

static void a_peer_that_answers_pings_stays(void **state)
{
    world.server_options.conn.ping_after_ms = 20;
    world.server_options.conn.ping_timeout_ms = 2000;
    world_open(&world);
    raw_open();
    raw_connect("10.0.0.1:80");
    world_until(&world, a_longer_time_has_passed);
    assert_false(world.servers[0].closed);
}

static void a_peer_that_breaks_http2_is_told_so_and_closed(void **state)
{
    world_open(&world);
    raw_open();
    raw_connect("10.0.0.1:80");
    world_settle(&world);
    static const uint8_t data_on_stream_zero[] = {0, 0, 1, 0, 0, 0, 0, 0, 0, 'x'};
    stream_write(raw.tls, data_on_stream_zero, sizeof(data_on_stream_zero));
    world_until(&world, all_servers_closed);
    assert_int_equal(world.servers[0].reason, REASON_HTTP2_FAILED);
    assert_true(world.gots[0].end.failed);
    assert_int_equal(world.gots[0].end.fault, STREAM_FAULT_PROTOCOL);
    world_until(&world, raw_is_over);
    assert_int_equal(raw.num_goaways, 1);
}

/* --------------------------------------------------------------------------- ends and drains -- */

static void a_client_without_a_tunnel_may_leave_in_good_order(void **state)
{
    world_open(&world);
    raw_open();
    world_settle(&world);
    stream_shutdown(raw.tls);
    world_until(&world, all_servers_closed);
    assert_int_equal(world.servers[0].reason, REASON_DONE);
    assert_true(world.servers[0].handshaken);
}

static void draining_lets_the_tunnel_finish(void **state)
{
    world_open(&world);
    raw_open();
    raw_connect("10.0.0.1:80");
    world_settle(&world);
    hbone_server_drain(world.servers[0].server);
    world_settle(&world);
    assert_int_equal(raw.num_goaways, 2);
    assert_false(world.servers[0].closed);
    h2_stream_end(raw.streams[0].stream);
    raw_flush();
    stream_shutdown(world.gots[0].end.stream);
    world_until(&world, all_servers_closed);
    assert_int_equal(world.servers[0].reason, REASON_DRAINED);
    assert_false(world.gots[0].end.failed);
}

static void draining_without_a_tunnel_closes(void **state)
{
    world_open(&world);
    raw_open();
    world_settle(&world);
    hbone_server_drain(world.servers[0].server);
    world_until(&world, all_servers_closed);
    assert_int_equal(world.servers[0].reason, REASON_DRAINED);
}

static void draining_during_the_handshake_closes(void **state)
{
    world_open(&world);
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&world.addr, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
    world_settle(&world);
    hbone_server_drain(world.servers[0].server);
    world_until(&world, all_servers_closed);
    assert_int_equal(world.servers[0].reason, REASON_DRAINED);
    close(fd);
}

static void closing_ends_everything_with_the_given_reason(void **state)
{
    world_open(&world);
    raw_open();
    raw_connect("10.0.0.1:80");
    world_settle(&world);
    hbone_server_close(world.servers[0].server, REASON_DRAINED, NULL);
    assert_false(world.gots[0].end.failed);
    world_until(&world, all_servers_closed);
    assert_int_equal(world.servers[0].reason, REASON_DRAINED);
    assert_true(world.gots[0].end.failed);
    assert_int_equal(world.gots[0].end.fault, STREAM_FAULT_LOST);
}

static void a_refused_certificate_is_told_with_its_reason(void **state)
{
    struct cert_built *other_root = cert_builder_root("other");
    struct cert_built *leaf = cert_builder_leaf(other_root, CLIENT_ID);
    world_open(&world);
    struct cert_built *root = world.root;
    struct tls_context *context = world_context(&world, leaf, 1);
    raw_dial(context);
    world_until(&world, all_servers_closed);
    assert_int_equal(world.servers[0].reason, REASON_CERT_UNTRUSTED);
    assert_false(world.servers[0].handshaken);
    assert_true(strlen(world.servers[0].error) > 0);
    world_until(&world, raw_is_over);
    assert_int_equal(tls_stream_reason(raw.tls), REASON_TLS_PEER_REFUSED_US);
    tls_context_unref(context);
    world.root = root;
    cert_builder_free(leaf);
    cert_builder_free(other_root);
}

#define SERVER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(every_malformed_connect_ends_its_stream_and_not_the_connection),
        SERVER_TEST(all_ways_to_write_a_destination_are_understood),
        SERVER_TEST(baggage_on_several_lines_is_one_list),
        SERVER_TEST(a_refusal_is_a_status_with_end_stream_and_no_body),
        SERVER_TEST(a_client_that_gives_up_takes_its_request_along),
        SERVER_TEST(a_connection_that_breaks_takes_its_requests_along),
        SERVER_TEST(bytes_sent_before_the_answer_wait_for_it),
        SERVER_TEST(a_client_that_never_speaks_tls_is_closed_in_time),
        SERVER_TEST(a_client_that_never_sends_a_preface_is_closed_in_time),
        SERVER_TEST(a_client_that_never_finishes_its_headers_is_closed_in_time),
        SERVER_TEST(a_connection_without_tunnels_is_closed_when_idle),
        SERVER_TEST(an_idle_timeout_does_not_end_a_connection_with_a_tunnel),
        SERVER_TEST(a_silent_peer_is_given_up_after_a_ping),
        SERVER_TEST(a_peer_that_answers_pings_stays),
        SERVER_TEST(a_peer_that_breaks_http2_is_told_so_and_closed),
        SERVER_TEST(a_client_without_a_tunnel_may_leave_in_good_order),
        SERVER_TEST(draining_lets_the_tunnel_finish),
        SERVER_TEST(draining_without_a_tunnel_closes),
        SERVER_TEST(draining_during_the_handshake_closes),
        SERVER_TEST(closing_ends_everything_with_the_given_reason),
        SERVER_TEST(a_refused_certificate_is_told_with_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
