/* Peers that break the protocol, or wear us out: frames made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "h2_pair.h"

enum {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    CONTINUATION = 9
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

/* A server whose client speaks by hand; the client's preface is in. */
static void start(struct side *server)
{
    side_init(server, H2_SERVER, NULL);
    struct buf bytes = {0};
    assert_int_equal(buf_append_str(&bytes, FRAME_PREFACE), 0);
    frame_put(&bytes, SETTINGS, 0, 0, "", 0);
    side_send(server);
    frame_put(&bytes, SETTINGS, ACK, 0, "", 0);
    side_recv(server, buf_head(&bytes), buf_len(&bytes));
    buf_done(&bytes);
    side_send(server);
    buf_clear(&server->out, 1 << 20);
}

static void send_fields(struct side *server, uint32_t stream, const char *const (*fields)[2],
                        size_t num_fields)
{
    struct buf block = {0};
    struct buf bytes = {0};
    for (size_t i = 0; i < num_fields && fields[i][0] != NULL; i++)
        frame_put_field(&block, fields[i][0], fields[i][1]);
    frame_put(&bytes, HEADERS, END_HEADERS, stream, buf_head(&block), buf_len(&block));
    side_recv(server, buf_head(&bytes), buf_len(&bytes));
    side_send(server);
    buf_done(&block);
    buf_done(&bytes);
}

/* The code of the first RST_STREAM for `stream` in what the server says, or -1. */
static int find_reset(const struct side *server, uint32_t stream)
{
    const uint8_t *at = buf_head(&server->out);
    const uint8_t *end = at + buf_len(&server->out);
    while (at < end) {
        size_t len = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
        uint32_t id = (uint32_t)at[5] << 24 | (uint32_t)at[6] << 16 | (uint32_t)at[7] << 8 | at[8];
        if (at[3] == RST_STREAM && id == stream)
            return at[12];
        at += 9 + len;
    }
    return -1;
}

static bool says_goaway(const struct side *server)
{
    const uint8_t *at = buf_head(&server->out);
    const uint8_t *end = at + buf_len(&server->out);
    while (at < end) {
        if (at[3] == GOAWAY)
            return true;
        at += 9 + ((size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2]);
    }
    return false;
}

enum { FIELDS_MAX = 6 };

static const struct {
    const char *what;
    const char *fields[FIELDS_MAX][2];
} malformed[] = {
    {"CONNECT with :scheme",
     {{":method", "CONNECT"}, {":scheme", "http"}, {":authority", "10.0.0.1:80"}}},
    {"CONNECT with :path", {{":method", "CONNECT"}, {":path", "/"}, {":authority", "10.0.0.1:80"}}},
    {"CONNECT with :protocol",
     {{":method", "CONNECT"}, {":protocol", "websocket"}, {":authority", "10.0.0.1:80"}}},
    {"CONNECT without :authority", {{":method", "CONNECT"}}},
    {"no :method", {{":authority", "10.0.0.1:80"}}},
    {"two :authority",
     {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}, {":authority", "10.0.0.2:80"}}},
    {"two :method",
     {{":method", "CONNECT"}, {":method", "CONNECT"}, {":authority", "10.0.0.1:80"}}},
    {"an unknown pseudo-header",
     {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}, {":secret", "1"}}},
    {"a pseudo-header after a field",
     {{":method", "CONNECT"}, {"baggage", "a=b"}, {":authority", "10.0.0.1:80"}}},
    {"upper case in a name",
     {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}, {"Baggage", "a=b"}}},
    {"a connection-specific field",
     {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}, {"connection", "close"}}},
    {"GET without :path", {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}}},
};

static void a_malformed_request_ends_its_stream_and_nothing_else(void **state)
{
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        struct side server;
        start(&server);
        send_fields(&server, 1, malformed[i].fields, FIELDS_MAX);
        if (find_reset(&server, 1) != H2_PROTOCOL_ERROR)
            fail_msg("%s: reset with %d", malformed[i].what, find_reset(&server, 1));
        assert_int_equal(server.num_streams, 0);
        assert_int_equal(server.num_malformed, 1);
        assert_true(strlen(server.malformed) > 0);
        assert_false(says_goaway(&server));
        assert_int_equal(h2_session_num_streams(server.session), 0);

        static const char *const good[][2] = {{":method", "CONNECT"},
                                              {":authority", "10.0.0.1:80"}};
        send_fields(&server, 3, good, 2);
        assert_int_equal(server.num_streams, 1);
        assert_int_equal(server.recv_result, 0);
        side_done(&server);
    }
}

static void a_header_list_that_is_too_large_ends_its_stream_and_nothing_else(void **state)
{
    struct side server;
    start(&server);
    struct buf block = {0};
    struct buf bytes = {0};
    char value[100];
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    frame_put_field(&block, ":method", "CONNECT");
    frame_put_field(&block, ":authority", "10.0.0.1:80");
    for (unsigned i = 0; i < 600; i++)
        frame_put_field(&block, "baggage", value);
    frame_put(&bytes, HEADERS, END_HEADERS, 1, buf_head(&block), buf_len(&block));
    side_recv(&server, buf_head(&bytes), buf_len(&bytes));
    side_send(&server);
    assert_int_equal(find_reset(&server, 1), H2_ENHANCE_YOUR_CALM);
    assert_string_equal(server.malformed, "the header list is too large");
    assert_int_equal(server.num_streams, 0);
    assert_int_equal(server.recv_result, 0);
    static const char *const good[][2] = {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}};
    send_fields(&server, 3, good, 2);
    assert_int_equal(server.num_streams, 1);
    buf_done(&block);
    buf_done(&bytes);
    side_done(&server);
}

static void garbage_instead_of_the_preface_is_refused(void **state)
{
    static const char *const openings[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                           "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                                           "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX and more than that"};
    for (size_t i = 0; i < 3; i++) {
        struct side server;
        side_init(&server, H2_SERVER, NULL);
        side_recv(&server, openings[i], strlen(openings[i]));
        assert_int_equal(server.recv_result, -1);
        assert_int_equal(server.err.kind, ERR_PROTOCOL);
        side_done(&server);
    }
}

/* One connection error each: the GOAWAY goes out, and the session says that it is broken. */
static void assert_broken(struct side *server)
{
    side_send(server);
    assert_true(server->recv_result < 0 || server->send_result < 0);
    assert_true(says_goaway(server));
    assert_int_equal(server->err.kind, ERR_PROTOCOL);
}

static void a_connection_error_says_goaway_and_breaks_the_session(void **state)
{
    static const struct {
        const char *what;
        uint8_t type, flags;
        uint32_t stream;
        const char *payload;
        size_t len;
    } frames[] = {
        {"DATA on stream 0", DATA, 0, 0, "x", 1},
        {"DATA on an idle stream", DATA, 0, 5, "x", 1},
        {"HEADERS on an even stream", HEADERS, END_HEADERS, 2, "\x82", 1},
        {"a broken header block", HEADERS, END_HEADERS, 1, "\xff\xff\xff\xff\xff\xff", 6},
        {"CONTINUATION without HEADERS", CONTINUATION, END_HEADERS, 1, "", 0},
        {"RST_STREAM on an idle stream", RST_STREAM, 0, 1, "\0\0\0\0", 4},
        {"SETTINGS of a wrong length", SETTINGS, 0, 0, "\0\0\0", 3},
        {"PING of a wrong length", PING, 0, 0, "\0", 1},
        {"PUSH_PROMISE from a client", PUSH_PROMISE, END_HEADERS, 1, "\0\0\0\2", 4},
        {"WINDOW_UPDATE beyond the maximum", 8, 0, 0, "\x7f\xff\xff\xff", 4},
        {"WINDOW_UPDATE by zero", 8, 0, 0, "\0\0\0\0", 4},
    };
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        struct side server;
        struct buf bytes = {0};
        start(&server);
        frame_put(&bytes, frames[i].type, frames[i].flags, frames[i].stream, frames[i].payload,
                  frames[i].len);
        side_recv(&server, buf_head(&bytes), buf_len(&bytes));
        print_message("%s\n", frames[i].what);
        assert_broken(&server);
        buf_done(&bytes);
        side_done(&server);
    }
}

static void a_frame_larger_than_we_permit_breaks_the_connection(void **state)
{
    struct side server;
    start(&server);
    const uint8_t head[9] = {0x10, 0, 1, DATA, 0, 0, 0, 0, 1}; /* 1 MiB and a byte */
    side_recv(&server, head, sizeof(head));
    assert_broken(&server);
    assert_non_null(strstr(server.err.message, "too large frame size"));
    side_done(&server);
}

/*
 * Sends a frame over and over to a server that is not allowed to answer. True: it gave the peer up.
 */
static bool is_given_up(uint8_t type, const char *payload, size_t len, unsigned times)
{
    struct side server;
    struct buf bytes = {0};
    start(&server);
    h2_session_set_blocked(server.session, true);
    frame_put(&bytes, type, 0, 0, payload, len);
    for (unsigned i = 0; i < times && server.recv_result == 0; i++)
        side_recv(&server, buf_head(&bytes), buf_len(&bytes));
    bool given_up = server.recv_result < 0;
    buf_done(&bytes);
    side_done(&server);
    return given_up;
}

static void a_flood_of_pings_or_settings_is_given_up(void **state)
{
    assert_false(is_given_up(PING, "12345678", 8, 500));
    assert_true(is_given_up(PING, "12345678", 8, 2000));
    assert_false(is_given_up(SETTINGS, "", 0, 500));
    assert_true(is_given_up(SETTINGS, "", 0, 2000));
}

static void a_rapid_reset_is_given_up(void **state)
{
    struct side server;
    struct buf bytes = {0};
    struct buf block = {0};
    start(&server);
    frame_put_field(&block, ":method", "CONNECT");
    frame_put_field(&block, ":authority", "10.0.0.1:80");
    unsigned num_streams = 0;
    for (uint32_t id = 1; id < 200000 && server.recv_result == 0 && server.send_result == 0;
         id += 2) {
        buf_clear(&bytes, 1 << 16);
        frame_put(&bytes, HEADERS, END_HEADERS, id, buf_head(&block), buf_len(&block));
        frame_put(&bytes, RST_STREAM, 0, id, "\0\0\0\x8", 4);
        side_recv(&server, buf_head(&bytes), buf_len(&bytes));
        side_send(&server);
        server.num_streams = 0;
        memset(server.streams, 0, sizeof(server.streams[0]));
        num_streams++;
    }
    assert_true(server.recv_result < 0 || server.send_result < 0);
    assert_true(num_streams > 10000); /* what an application may do in earnest */
    buf_done(&bytes);
    buf_done(&block);
    side_done(&server);
}

static void endless_continuation_is_given_up(void **state)
{
    struct side server;
    struct buf bytes = {0};
    start(&server);
    frame_put(&bytes, HEADERS, 0, 1, "", 0);
    side_recv(&server, buf_head(&bytes), buf_len(&bytes));
    buf_clear(&bytes, 100);
    frame_put(&bytes, CONTINUATION, 0, 1, "", 0);
    unsigned num_frames = 0;
    for (; num_frames < 100000 && server.recv_result == 0 && server.send_result == 0;
         num_frames++) {
        side_recv(&server, buf_head(&bytes), buf_len(&bytes));
        side_send(&server);
    }
    assert_true(num_frames < 100);
    buf_done(&bytes);
    side_done(&server);
}

static void more_streams_than_permitted_are_refused(void **state)
{
    struct side server;
    struct h2_options options;
    h2_options_default(&options, H2_SERVER);
    options.max_streams = 2;
    side_init(&server, H2_SERVER, &options);
    struct buf bytes = {0};
    assert_int_equal(buf_append_str(&bytes, FRAME_PREFACE), 0);
    frame_put(&bytes, SETTINGS, 0, 0, "", 0);
    side_recv(&server, buf_head(&bytes), buf_len(&bytes));
    side_send(&server);
    buf_clear(&server.out, 1 << 16);
    static const char *const good[][2] = {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}};
    /* Our SETTINGS are not acknowledged: the peer may not know. */
    for (uint32_t id = 1; id <= 5; id += 2)
        send_fields(&server, id, good, 2);
    assert_int_equal(server.num_streams, 2);
    assert_int_equal(find_reset(&server, 5), H2_REFUSED_STREAM);
    assert_int_equal(server.recv_result, 0);
    assert_int_equal(server.num_malformed, 0);
    buf_done(&bytes);
    side_done(&server);
}

/* The number of requests after which a peer that reads none of its refusals is given up, or `times`. */
static unsigned refusals_until_given_up(unsigned times)
{
    struct side server;
    struct h2_options options;
    h2_options_default(&options, H2_SERVER);
    options.max_streams = 1;
    side_init(&server, H2_SERVER, &options);
    struct buf bytes = {0};
    struct buf block = {0};
    assert_int_equal(buf_append_str(&bytes, FRAME_PREFACE), 0);
    frame_put(&bytes, SETTINGS, 0, 0, "", 0);
    side_recv(&server, buf_head(&bytes), buf_len(&bytes));
    side_send(&server);
    h2_session_set_blocked(server.session, true);
    frame_put_field(&block, ":method", "CONNECT");
    frame_put_field(&block, ":authority", "10.0.0.1:80");
    unsigned num = 0;
    for (; num < times && server.recv_result == 0; num++) {
        buf_clear(&bytes, 1 << 16);
        frame_put(&bytes, HEADERS, END_HEADERS, 2 * num + 1, buf_head(&block), buf_len(&block));
        side_recv(&server, buf_head(&bytes), buf_len(&bytes));
    }
    buf_done(&bytes);
    buf_done(&block);
    side_done(&server);
    return num;
}

static void refusals_that_nobody_reads_do_not_pile_up(void **state)
{
    assert_int_equal(refusals_until_given_up(1000), 1000);
    assert_true(refusals_until_given_up(100000) < 10000);
}

static void data_beyond_the_window_resets_the_stream(void **state)
{
    struct side server;
    struct buf bytes = {0};
    start(&server);
    server.keep = true;
    static const char *const good[][2] = {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}};
    send_fields(&server, 1, good, 2);
    static const char zeros[65536];
    for (unsigned i = 0; i < 6; i++)
        frame_put(&bytes, DATA, 0, 1, zeros, sizeof(zeros));
    side_recv(&server, buf_head(&bytes), buf_len(&bytes));
    side_send(&server);
    assert_int_equal(find_reset(&server, 1), H2_FLOW_CONTROL_ERROR);
    assert_true(buf_len(&server.streams[0].data) <= 5 * sizeof(zeros)); /* not the sixth */
    assert_true(server.streams[0].closed);
    assert_int_equal(server.streams[0].code, H2_FLOW_CONTROL_ERROR);
    assert_false(server.streams[0].by_peer);
    buf_done(&bytes);
    side_done(&server);
}

static void an_informational_response_is_swallowed(void **state)
{
    struct side client;
    struct buf bytes = {0};
    struct buf block = {0};
    side_init(&client, H2_CLIENT, NULL);
    struct seen *seen = &client.streams[client.num_streams++];
    const struct h2_header request[] = {{.name = ":method", .value = "CONNECT"},
                                        {.name = ":authority", .value = "a:1"}};
    seen->stream = h2_session_request(client.session, request, 2, false, seen, &client.err);
    side_send(&client);
    frame_put(&bytes, SETTINGS, 0, 0, "", 0);
    frame_put_field(&block, ":status", "103");
    frame_put(&bytes, HEADERS, END_HEADERS, 1, buf_head(&block), buf_len(&block));
    side_recv(&client, buf_head(&bytes), buf_len(&bytes));
    assert_int_equal(seen->num_headers, 0);
    buf_clear(&block, 100);
    buf_clear(&bytes, 100);
    frame_put_field(&block, ":status", "200");
    frame_put(&bytes, HEADERS, END_HEADERS, 1, buf_head(&block), buf_len(&block));
    side_recv(&client, buf_head(&bytes), buf_len(&bytes));
    assert_int_equal(seen->num_headers, 1);
    assert_string_equal(seen->headers, ":status=200;");
    assert_int_equal(seen->num_trailers, 0);
    buf_done(&bytes);
    buf_done(&block);
    side_done(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_malformed_request_ends_its_stream_and_nothing_else),
        cmocka_unit_test(a_header_list_that_is_too_large_ends_its_stream_and_nothing_else),
        cmocka_unit_test(garbage_instead_of_the_preface_is_refused),
        cmocka_unit_test(a_connection_error_says_goaway_and_breaks_the_session),
        cmocka_unit_test(a_frame_larger_than_we_permit_breaks_the_connection),
        cmocka_unit_test(a_flood_of_pings_or_settings_is_given_up),
        cmocka_unit_test(a_rapid_reset_is_given_up),
        cmocka_unit_test(endless_continuation_is_given_up),
        cmocka_unit_test(refusals_that_nobody_reads_do_not_pile_up),
        cmocka_unit_test(more_streams_than_permitted_are_refused),
        cmocka_unit_test(data_beyond_the_window_resets_the_stream),
        cmocka_unit_test(an_informational_response_is_swallowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
