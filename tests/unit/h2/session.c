/* Requests, answers, ends, pings and farewells between two sessions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "h2_pair.h"

static const size_t CHUNKS[] = {1, 13, 1 << 20};

enum { NUM_CHUNKS = sizeof(CHUNKS) / sizeof(CHUNKS[0]), WHOLE = 1 << 20 };

static const struct h2_header ok[] = {{.name = ":status", .value = "200"},
                                      {.name = "baggage", .value = "service.name=cart"}};

static void write_text(struct seen *seen, const char *text)
{
    h2_stream_write(seen->stream, (const uint8_t *)text, strlen(text));
}

static void assert_data(const struct seen *seen, const char *text)
{
    assert_int_equal(buf_len(&seen->data), strlen(text));
    assert_memory_equal(buf_head(&seen->data), text, strlen(text));
}

static void a_request_and_its_answer_go_through(void **state)
{
    for (size_t i = 0; i < NUM_CHUNKS; i++) {
        struct pair pair;
        pair_init(&pair, NULL, NULL);
        struct seen *request = pair_connect(&pair);
        pair_pump(&pair, CHUNKS[i]);
        assert_int_equal(pair.server.num_streams, 1);
        struct seen *arrived = pair_at_server(&pair, 0);
        assert_string_equal(arrived->headers, ":method=CONNECT;:authority=10.0.0.1:80;"
                                              "baggage=k8s.namespace.name=shop;"
                                              "traceparent=00-1-2-00;");
        assert_false(arrived->ended);
        assert_int_equal(request->num_headers, 0);

        assert_int_equal(h2_stream_respond(arrived->stream, ok, 2, false), 0);
        pair_pump(&pair, CHUNKS[i]);
        assert_string_equal(request->headers, ":status=200;baggage=service.name=cart;");
        assert_false(request->ended);
        assert_int_equal(h2_session_num_streams(pair.client.session), 1);
        assert_int_equal(h2_session_num_streams(pair.server.session), 1);
        pair_done(&pair);
    }
}

static void bytes_go_both_ways_and_each_direction_ends_by_itself(void **state)
{
    for (size_t i = 0; i < NUM_CHUNKS; i++) {
        struct pair pair;
        pair_init(&pair, NULL, NULL);
        pair.server.answer = true;
        struct seen *near = pair_connect(&pair);
        pair_pump(&pair, CHUNKS[i]);
        struct seen *far = pair_at_server(&pair, 0);

        write_text(near, "hello");
        h2_stream_end(near->stream);
        pair_pump(&pair, CHUNKS[i]);
        assert_data(far, "hello");
        assert_true(far->ended);
        assert_true(near->end_sent);
        assert_false(near->ended);
        assert_false(near->closed);

        write_text(far, "and ");
        write_text(far, "goodbye");
        pair_pump(&pair, CHUNKS[i]);
        h2_stream_end(far->stream);
        pair_pump(&pair, CHUNKS[i]);
        assert_data(near, "and goodbye");
        assert_true(near->ended);
        assert_true(near->closed && far->closed);
        assert_int_equal(near->code, H2_NO_ERROR);
        assert_int_equal(far->code, H2_NO_ERROR);
        assert_int_equal(h2_session_num_streams(pair.client.session), 0);
        assert_int_equal(h2_session_num_streams(pair.server.session), 0);
        pair_done(&pair);
    }
}

static void an_end_without_a_byte_arrives(void **state)
{
    struct pair pair;
    pair_init(&pair, NULL, NULL);
    pair.server.answer = true;
    struct seen *near = pair_connect(&pair);
    h2_stream_end(near->stream);
    pair_pump(&pair, WHOLE);
    struct seen *far = pair_at_server(&pair, 0);
    assert_true(far->ended);
    assert_int_equal(buf_len(&far->data), 0);
    pair_done(&pair);
}

static void a_reset_arrives_with_its_code_and_without_a_callback_at_home(void **state)
{
    struct pair pair;
    pair_init(&pair, NULL, NULL);
    pair.server.answer = true;
    struct seen *near = pair_connect(&pair);
    pair_pump(&pair, WHOLE);
    h2_stream_reset(near->stream, H2_CONNECT_ERROR);
    pair_pump(&pair, WHOLE);
    struct seen *far = pair_at_server(&pair, 0);
    assert_true(far->closed && far->by_peer);
    assert_int_equal(far->code, H2_CONNECT_ERROR);
    assert_false(near->closed);
    assert_int_equal(h2_session_num_streams(pair.client.session), 0);
    assert_int_equal(h2_session_num_streams(pair.server.session), 0);
    pair_done(&pair);
}

static void a_request_that_is_reset_before_it_left_never_arrives(void **state)
{
    struct pair pair;
    pair_init(&pair, NULL, NULL);
    struct seen *near = pair_connect(&pair);
    h2_stream_reset(near->stream, H2_CANCEL);
    pair_pump(&pair, WHOLE);
    assert_int_equal(pair.server.num_streams, 0);
    assert_int_equal(h2_session_num_streams(pair.client.session), 0);
    pair_done(&pair);
}

static void a_refusal_ends_the_stream_on_both_sides(void **state)
{
    struct pair pair;
    pair_init(&pair, NULL, NULL);
    struct seen *near = pair_connect(&pair);
    pair_pump(&pair, WHOLE);
    struct seen *far = pair_at_server(&pair, 0);
    const struct h2_header refused[] = {{.name = ":status", .value = "401"}};
    assert_int_equal(h2_stream_respond(far->stream, refused, 1, true), 0);
    h2_stream_reset(far->stream, H2_NO_ERROR);
    pair_pump(&pair, WHOLE);
    assert_string_equal(near->headers, ":status=401;");
    assert_true(near->ended && near->closed && near->by_peer);
    assert_int_equal(near->code, H2_NO_ERROR);
    assert_int_equal(h2_session_num_streams(pair.server.session), 0);
    pair_done(&pair);
}

static void trailers_come_after_all_data(void **state)
{
    struct pair pair;
    pair_init(&pair, NULL, NULL);
    pair.server.answer = true;
    struct seen *near = pair_connect(&pair);
    pair_pump(&pair, WHOLE);
    struct seen *far = pair_at_server(&pair, 0);
    static uint8_t big[600 * 1024];
    const struct h2_header trailers[] = {{.name = "grpc-status", .value = "0"},
                                         {.name = "grpc-message", .value = "fine"}};
    h2_stream_write(far->stream, big, sizeof(big));
    assert_int_equal(h2_stream_trailers(far->stream, trailers, 2), 0);
    pair_pump(&pair, 4096);
    assert_int_equal(buf_len(&near->data), sizeof(big));
    assert_int_equal(near->num_trailers, 1);
    assert_string_equal(near->headers, "grpc-status=0;grpc-message=fine;");
    assert_true(near->ended && far->end_sent);
    h2_stream_end(near->stream);
    pair_pump(&pair, WHOLE);
    assert_true(near->closed && far->closed);
    pair_done(&pair);
}

static void an_answer_may_be_trailers_only(void **state)
{
    struct pair pair;
    pair_init(&pair, NULL, NULL);
    struct seen *near = pair_connect(&pair);
    h2_stream_end(near->stream);
    pair_pump(&pair, WHOLE);
    assert_int_equal(h2_stream_respond(pair_at_server(&pair, 0)->stream, ok, 1, true), 0);
    pair_pump(&pair, WHOLE);
    assert_true(near->ended && near->closed);
    assert_int_equal(near->num_headers, 1);
    assert_int_equal(near->code, H2_NO_ERROR);
    pair_done(&pair);
}

static void a_ping_comes_back(void **state)
{
    struct pair pair;
    pair_init(&pair, NULL, NULL);
    pair_pump(&pair, WHOLE);
    assert_int_equal(h2_session_ping(pair.client.session, 4711), 0);
    pair_pump(&pair, WHOLE);
    assert_int_equal(pair.client.ping_ack, 4711);
    assert_int_equal(pair.client.num_settings, 1);
    pair_done(&pair);
}

static void a_draining_server_lets_streams_finish_and_is_then_done(void **state)
{
    struct pair pair;
    pair_init(&pair, NULL, NULL);
    pair.server.answer = true;
    struct seen *near = pair_connect(&pair);
    pair_pump(&pair, WHOLE);
    assert_true(h2_session_takes_requests(pair.client.session));
    h2_session_start_drain(pair.server.session);
    pair_pump(&pair, WHOLE);
    assert_int_equal(pair.client.num_goaways, 2);
    assert_false(h2_session_takes_requests(pair.client.session));
    assert_false(h2_session_is_finished(pair.server.session));
    assert_false(h2_session_is_finished(pair.client.session));
    assert_int_equal(pair.server.ping_ack, 0); /* the PING in it is the session's own */

    struct seen *far = pair_at_server(&pair, 0);
    write_text(near, "still here");
    h2_stream_end(near->stream);
    h2_stream_end(far->stream);
    pair_pump(&pair, WHOLE);
    assert_data(far, "still here");
    assert_true(h2_session_is_finished(pair.server.session));
    assert_true(h2_session_is_finished(pair.client.session));
    pair_done(&pair);
}

static void a_request_on_its_way_when_the_server_drains_is_still_served(void **state)
{
    struct pair pair;
    pair_init(&pair, NULL, NULL);
    pair.server.answer = true;
    pair_pump(&pair, WHOLE);
    h2_session_start_drain(pair.server.session);
    struct seen *near = pair_connect(&pair);
    pair_pump(&pair, WHOLE);
    assert_string_equal(near->headers, ":status=200;");
    assert_false(near->closed);
    pair_done(&pair);
}

static void a_request_after_the_final_goaway_is_refused_and_can_go_elsewhere(void **state)
{
    struct pair pair;
    pair_init(&pair, NULL, NULL);
    pair.server.answer = true;
    struct seen *first = pair_connect(&pair);
    pair_pump(&pair, WHOLE);
    /* The client has sent when the server's GOAWAY is under way. */
    struct seen *second = pair_connect(&pair);
    h2_session_goaway(pair.server.session, H2_NO_ERROR);
    side_send(&pair.server);
    side_send(&pair.client);
    side_recv(&pair.client, buf_head(&pair.server.out), buf_len(&pair.server.out));
    side_send(&pair.client);
    assert_true(second->closed);
    assert_int_equal(second->code, H2_REFUSED_STREAM);
    assert_false(first->closed);
    pair_done(&pair);
}

static void a_queued_request_is_refused_when_goaway_arrives_first(void **state)
{
    struct pair pair;
    pair_init(&pair, NULL, NULL);
    pair_pump(&pair, WHOLE);
    struct seen *near = pair_connect(&pair); /* not sent yet */
    h2_session_start_drain(pair.server.session);
    side_send(&pair.server);
    side_recv(&pair.client, buf_head(&pair.server.out), buf_len(&pair.server.out));
    side_send(&pair.client);
    assert_true(near->closed);
    assert_int_equal(near->code, H2_REFUSED_STREAM);
    assert_int_equal(h2_session_num_streams(pair.client.session), 0);
    pair_done(&pair);
}

static void a_draining_client_asks_nothing_more_and_finishes(void **state)
{
    struct pair pair;
    pair_init(&pair, NULL, NULL);
    pair.server.answer = true;
    struct seen *near = pair_connect(&pair);
    pair_pump(&pair, WHOLE);
    h2_session_start_drain(pair.client.session);
    assert_false(h2_session_takes_requests(pair.client.session));
    pair_pump(&pair, WHOLE);
    assert_int_equal(pair.server.num_goaways, 1);
    assert_false(near->closed);
    write_text(near, "x");
    h2_stream_end(near->stream);
    h2_stream_end(pair_at_server(&pair, 0)->stream);
    pair_pump(&pair, WHOLE);
    assert_data(pair_at_server(&pair, 0), "x");
    assert_true(h2_session_is_finished(pair.client.session));
    assert_true(h2_session_is_finished(pair.server.session));
    pair_done(&pair);
}

static void a_lost_connection_closes_every_stream_once(void **state)
{
    struct pair pair;
    pair_init(&pair, NULL, NULL);
    pair.server.answer = true;
    struct seen *a = pair_connect(&pair);
    struct seen *b = pair_connect(&pair);
    struct seen *c = pair_connect(&pair);
    pair_pump(&pair, WHOLE);
    h2_stream_reset(c->stream, H2_CANCEL);
    h2_session_end_streams(pair.client.session, H2_INTERNAL_ERROR);
    assert_true(a->closed && b->closed && !c->closed);
    assert_int_equal(a->code, H2_INTERNAL_ERROR);
    assert_false(a->by_peer);
    pair_done(&pair);
}

static void the_peers_limit_on_streams_is_kept(void **state)
{
    struct pair pair;
    struct h2_options options;
    h2_options_default(&options, H2_SERVER);
    options.max_streams = 3;
    pair_init(&pair, NULL, &options);
    assert_int_equal(h2_session_max_streams(pair.client.session), 100);
    pair_pump(&pair, WHOLE);
    assert_int_equal(h2_session_max_streams(pair.client.session), 3);
    struct seen *first = pair_connect(&pair);
    pair_connect(&pair);
    pair_connect(&pair);
    struct err err;
    const struct h2_header headers[] = {{.name = ":method", .value = "CONNECT"},
                                        {.name = ":authority", .value = "a:1"}};
    assert_null(h2_session_request(pair.client.session, headers, 2, false, NULL, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    h2_stream_reset(first->stream, H2_CANCEL);
    pair_pump(&pair, WHOLE);
    pair_connect(&pair);
    pair_done(&pair);
}

static void the_settings_are_those_of_the_field(void **state)
{
    struct side side;
    side_init(&side, H2_SERVER, NULL);
    side_send(&side);
    /* HEADER_TABLE_SIZE 4096, MAX_CONCURRENT_STREAMS 200, INITIAL_WINDOW_SIZE 256 KiB,
     * MAX_FRAME_SIZE 1 MiB, MAX_HEADER_LIST_SIZE 64 KiB, NO_RFC7540_PRIORITIES 1; WINDOW_UPDATE by
     * 16 MiB less 65535. */
    static const uint8_t expected[] = {
        0, 0, 36, 4,    0,    0,   0, 0, 0,               /* SETTINGS */
        0, 1, 0,  0,    0x10, 0,                          /**/
        0, 3, 0,  0,    0,    200,                        /**/
        0, 4, 0,  4,    0,    0,                          /**/
        0, 5, 0,  0x10, 0,    0,                          /**/
        0, 6, 0,  1,    0,    0,                          /**/
        0, 9, 0,  0,    0,    1,                          /**/
        0, 0, 4,  8,    0,    0,   0, 0, 0, 0, 0xff, 0, 1 /* WINDOW_UPDATE */
    };
    assert_int_equal(buf_len(&side.out), sizeof(expected));
    assert_memory_equal(buf_head(&side.out), expected, sizeof(expected));
    side_done(&side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_and_its_answer_go_through),
        cmocka_unit_test(bytes_go_both_ways_and_each_direction_ends_by_itself),
        cmocka_unit_test(an_end_without_a_byte_arrives),
        cmocka_unit_test(a_reset_arrives_with_its_code_and_without_a_callback_at_home),
        cmocka_unit_test(a_request_that_is_reset_before_it_left_never_arrives),
        cmocka_unit_test(a_refusal_ends_the_stream_on_both_sides),
        cmocka_unit_test(trailers_come_after_all_data),
        cmocka_unit_test(an_answer_may_be_trailers_only),
        cmocka_unit_test(a_ping_comes_back),
        cmocka_unit_test(a_draining_server_lets_streams_finish_and_is_then_done),
        cmocka_unit_test(a_request_on_its_way_when_the_server_drains_is_still_served),
        cmocka_unit_test(a_request_after_the_final_goaway_is_refused_and_can_go_elsewhere),
        cmocka_unit_test(a_queued_request_is_refused_when_goaway_arrives_first),
        cmocka_unit_test(a_draining_client_asks_nothing_more_and_finishes),
        cmocka_unit_test(a_lost_connection_closes_every_stream_once),
        cmocka_unit_test(the_peers_limit_on_streams_is_kept),
        cmocka_unit_test(the_settings_are_those_of_the_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
