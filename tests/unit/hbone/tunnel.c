/* What a tunnel is as a stream: bytes, half-close, resets, back-pressure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hbone_world.h"

static struct world world;

/* The one tunnel of these tests, from both sides. */
static struct end *near_end(void)
{
    return &world.calls[0].end;
}

static struct end *far_end(void)
{
    return &world.gots[0].end;
}

static int open_tunnel(void **state)
{
    world_init(&world);
    world.accept_baggage = "service.name=cart";
    world_open(&world);
    world_call(&world);
    world_until(&world, all_calls_done);
    assert_int_equal(world.calls[0].reason, REASON_DONE);
    assert_non_null(near_end()->stream);
    return 0;
}

static int close_tunnel(void **state)
{
    world_done(&world);
    return 0;
}

static void the_request_arrives_with_its_headers_and_both_know_each_other(void **state)
{
    const struct got *got = &world.gots[0];
    char text[HBONE_AUTHORITY_TEXT];
    assert_string_equal(hbone_authority_format(&got->authority, text), "127.0.0.1:8080");
    assert_string_equal(got->baggage, "k8s.namespace.name=shop");
    assert_string_equal(got->forwarded, "for=\"127.0.0.1:4000\"");
    assert_string_equal(got->traceparent,
                        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
    assert_int_equal(world.calls[0].status, 200);
    assert_string_equal(world.calls[0].baggage, "service.name=cart");
    assert_string_equal(world.calls[0].peer, SERVER_ID);
    const struct hbone_server *server = world.servers[0].server;
    assert_string_equal(hbone_server_peer(server)->id.uri, CLIENT_ID);
    assert_string_equal(hbone_server_tls_info(server).version, "TLSv1.3");
    assert_int_equal(hbone_server_num_streams(server), 1);
}

static bool far_has_hello(struct world *w)
{
    return end_has(far_end(), "hello");
}

static bool near_has_goodbye(struct world *w)
{
    return end_has(near_end(), "goodbye") && near_end()->eof;
}

static bool far_is_at_the_end(struct world *w)
{
    return far_end()->eof && near_end()->shutdown;
}

static bool far_is_sent(struct world *w)
{
    return far_end()->shutdown;
}

static void each_direction_ends_by_itself(void **state)
{
    end_write(near_end(), "hello");
    world_until(&world, far_has_hello);
    stream_shutdown(near_end()->stream);
    world_until(&world, far_is_at_the_end);
    assert_false(near_end()->eof);
    end_write(far_end(), "good");
    end_write(far_end(), "bye");
    stream_shutdown(far_end()->stream);
    world_until(&world, near_has_goodbye);
    world_until(&world, far_is_sent);
    end_close(near_end());
    end_close(far_end());
    world_settle(&world);
    assert_false(near_end()->failed || far_end()->failed);
    assert_int_equal(hbone_server_num_streams(world.servers[0].server), 0);
}

static void the_server_may_end_first(void **state)
{
    end_write(far_end(), "goodbye");
    stream_shutdown(far_end()->stream);
    world_until(&world, near_has_goodbye);
    end_write(near_end(), "hello");
    world_until(&world, far_has_hello);
    stream_shutdown(near_end()->stream);
    world_until(&world, far_is_at_the_end);
    assert_false(near_end()->failed || far_end()->failed);
}

static bool far_failed(struct world *w)
{
    return far_end()->failed;
}

static bool near_failed(struct world *w)
{
    return near_end()->failed;
}

static void an_abort_is_a_reset_on_the_other_side(void **state)
{
    stream_abort(near_end()->stream);
    near_end()->stream = NULL;
    world_until(&world, far_failed);
    assert_int_equal(far_end()->fault, STREAM_FAULT_RESET);
    assert_false(far_end()->eof);
    assert_false(near_end()->failed);
}

static void an_abort_of_the_server_is_a_reset_too(void **state)
{
    stream_abort(far_end()->stream);
    far_end()->stream = NULL;
    world_until(&world, near_failed);
    assert_int_equal(near_end()->fault, STREAM_FAULT_RESET);
    assert_int_equal(world_num_connections(&world), 1);
}

static void a_close_before_the_end_is_a_reset_on_the_other_side(void **state)
{
    end_write(far_end(), "goodbye");
    end_close(far_end());
    world_until(&world, near_failed);
    assert_int_equal(near_end()->fault, STREAM_FAULT_RESET);
}

static void a_reset_comes_after_the_bytes_before_it(void **state)
{
    stream_read_stop(far_end()->stream);
    end_write(near_end(), "hello");
    world_settle(&world);
    stream_abort(near_end()->stream);
    near_end()->stream = NULL;
    world_settle(&world);
    assert_false(far_end()->failed);
    stream_read_start(far_end()->stream);
    world_until(&world, far_failed);
    assert_true(end_has(far_end(), "hello"));
}

static void a_lost_connection_fails_its_tunnels_as_lost(void **state)
{
    hbone_server_free(world.servers[0].server);
    world.servers[0].server = NULL;
    assert_true(far_end()->failed);
    world_until(&world, near_failed);
    assert_int_equal(near_end()->fault, STREAM_FAULT_LOST);
    assert_int_equal(far_end()->fault, STREAM_FAULT_LOST);
    assert_false(near_end()->eof);
}

/* Writes after the other side is gone go nowhere and hurt nobody. */
static void writing_into_a_failed_tunnel_is_harmless(void **state)
{
    stream_abort(far_end()->stream);
    far_end()->stream = NULL;
    world_until(&world, near_failed);
    end_write(near_end(), "is anybody there");
    assert_int_equal(stream_queued(near_end()->stream), 0);
    stream_shutdown(near_end()->stream);
    world_settle(&world);
    assert_false(near_end()->shutdown);
}

/* --------------------------------------------------------------------------------- much data -- */

enum { MEGA = 1 << 20, TOTAL = 24 * MEGA, PIECE = 65527 };

static uint8_t pattern[TOTAL];
static struct {
    struct end *from;
    size_t sent;
    size_t max_queued;
} pump;

static void make_pattern(void)
{
    uint32_t x = 7;
    for (size_t i = 0; i < sizeof(pattern); i++) {
        x = x * 1664525u + 1013904223u;
        pattern[i] = (uint8_t)(x >> 24);
    }
}

static void pump_some(void)
{
    struct stream *stream = pump.from->stream;
    while (pump.sent < TOTAL && stream_queued(stream) < STREAM_HIGH_WATER) {
        size_t len = TOTAL - pump.sent < PIECE ? TOTAL - pump.sent : PIECE;
        stream_write(stream, pattern + pump.sent, len);
        pump.sent += len;
    }
    if (stream_queued(stream) > pump.max_queued)
        pump.max_queued = stream_queued(stream);
}

static bool all_has_arrived(struct world *w)
{
    static unsigned writable;
    if (pump.from->num_writable != writable) {
        writable = pump.from->num_writable;
        pump_some();
    }
    const struct end *to = pump.from == near_end() ? far_end() : near_end();
    return buf_len(&to->data) == TOTAL;
}

static void send_much(struct end *from)
{
    make_pattern();
    pump.from = from;
    pump.sent = 0;
    pump.max_queued = 0;
    from->num_writable = 0;
    pump_some();
    assert_true(pump.sent < TOTAL);
    world_until(&world, all_has_arrived);
    assert_true(pump.max_queued < STREAM_HIGH_WATER + PIECE);
    const struct end *to = from == near_end() ? far_end() : near_end();
    assert_memory_equal(buf_head(&to->data), pattern, TOTAL);
}

static void much_data_goes_up_bounded_by_the_high_mark(void **state)
{
    send_much(near_end());
}

static void much_data_goes_down_bounded_by_the_high_mark(void **state)
{
    send_much(far_end());
}

static bool far_has_all(struct world *w)
{
    return buf_len(&far_end()->data) == (size_t)STREAM_HIGH_WATER + 2 * MEGA;
}

static void a_reader_that_stops_pushes_back_and_goes_on_later(void **state)
{
    make_pattern();
    stream_read_stop(far_end()->stream);
    stream_write(near_end()->stream, pattern, STREAM_HIGH_WATER + 2 * MEGA);
    world_settle(&world);
    assert_int_equal(buf_len(&far_end()->data), 0);
    /* No more than the stream's window has left. */
    assert_int_equal(stream_queued(near_end()->stream), 2 * MEGA);
    stream_read_start(far_end()->stream);
    world_until(&world, far_has_all);
    assert_memory_equal(buf_head(&far_end()->data), pattern, STREAM_HIGH_WATER + 2 * MEGA);
    assert_int_equal(near_end()->num_writable, 1);
}

static void stop_reading(struct end *end)
{
    stream_read_stop(end->stream);
}

static bool far_has_more(struct world *w)
{
    return buf_len(&far_end()->data) > 0 && far_end()->on_read != NULL;
}

static void a_reader_may_stop_inside_its_handler(void **state)
{
    make_pattern();
    far_end()->on_read = stop_reading;
    stream_write(near_end()->stream, pattern, 200 * 1000);
    stream_shutdown(near_end()->stream);
    size_t had = 0;
    while (buf_len(&far_end()->data) < 200 * 1000) {
        world_until(&world, far_has_more);
        world_settle(&world);
        assert_true(buf_len(&far_end()->data) > had);
        assert_false(far_end()->eof);
        had = buf_len(&far_end()->data);
        stream_read_start(far_end()->stream);
        world_settle(&world);
    }
    assert_memory_equal(buf_head(&far_end()->data), pattern, 200 * 1000);
    stream_read_start(far_end()->stream);
    world_until(&world, far_is_at_the_end);
}

static void close_itself(struct end *end)
{
    end_close(end);
}

static bool far_closed_itself(struct world *w)
{
    return far_end()->stream == NULL;
}

static void a_stream_may_be_closed_inside_its_handler(void **state)
{
    far_end()->on_read = close_itself;
    end_write(near_end(), "hello");
    world_until(&world, far_closed_itself);
    world_until(&world, near_failed);
    assert_int_equal(near_end()->fault, STREAM_FAULT_RESET);
}

#define TUNNEL_TEST(name) cmocka_unit_test_setup_teardown(name, open_tunnel, close_tunnel)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TUNNEL_TEST(the_request_arrives_with_its_headers_and_both_know_each_other),
        TUNNEL_TEST(each_direction_ends_by_itself),
        TUNNEL_TEST(the_server_may_end_first),
        TUNNEL_TEST(an_abort_is_a_reset_on_the_other_side),
        TUNNEL_TEST(an_abort_of_the_server_is_a_reset_too),
        TUNNEL_TEST(a_close_before_the_end_is_a_reset_on_the_other_side),
        TUNNEL_TEST(a_reset_comes_after_the_bytes_before_it),
        TUNNEL_TEST(a_lost_connection_fails_its_tunnels_as_lost),
        TUNNEL_TEST(writing_into_a_failed_tunnel_is_harmless),
        TUNNEL_TEST(much_data_goes_up_bounded_by_the_high_mark),
        TUNNEL_TEST(much_data_goes_down_bounded_by_the_high_mark),
        TUNNEL_TEST(a_reader_that_stops_pushes_back_and_goes_on_later),
        TUNNEL_TEST(a_reader_may_stop_inside_its_handler),
        TUNNEL_TEST(a_stream_may_be_closed_inside_its_handler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
