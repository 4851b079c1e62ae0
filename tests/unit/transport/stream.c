/* A TLS stream over a stream in memory: records, rounds, ends, faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pipe.h"
#include "tls_ends.h"

enum { RECORD = 16384, SEALED = RECORD + 22, MEGA = 1 << 20 };

static struct ends ends;
static struct pipe_end pipes[2]; /* the client's, the server's */

static uint8_t pattern[2 * MEGA];

static int setup(void **state)
{
    uint32_t x = 3;
    for (size_t i = 0; i < sizeof(pattern); i++) {
        x = x * 1664525u + 1013904223u;
        pattern[i] = (uint8_t)(x >> 24);
    }
    ends_init(&ends);
    pipe_init(pipes, ends.loop);
    ends_shake(&ends, &ends.client, TLS_CLIENT, &pipes[0].stream, SERVER_ID, 5000);
    ends_shake(&ends, &ends.server, TLS_SERVER, &pipes[1].stream, NULL, 5000);
    ends_until(&ends, ends_both_shaken);
    assert_int_equal(ends.client.reason, REASON_DONE);
    assert_int_equal(ends.server.reason, REASON_DONE);
    ends_settle(&ends);
    pipes[0].num_writes = pipes[1].num_writes = 0;
    pipes[0].num_bytes = pipes[1].num_bytes = 0;
    return 0;
}

static int teardown(void **state)
{
    ends_done(&ends);
    pipe_done(pipes);
    return 0;
}

static void both_ends_know_whom_they_speak_with(void **state)
{
    assert_string_equal(tls_stream_peer(ends.client.stream)->id.uri, SERVER_ID);
    assert_string_equal(tls_stream_peer(ends.server.stream)->id.uri, CLIENT_ID);
    assert_string_equal(tls_stream_info(ends.client.stream).alpn, "h2");
    assert_ptr_equal(tls_stream_context(ends.server.stream), ends.server_tls);
    assert_int_equal(tls_stream_reason(ends.client.stream), REASON_DONE);
}

static void the_writes_of_a_round_are_one_record_and_one_write(void **state)
{
    for (unsigned i = 0; i < 100; i++)
        end_write(&ends.client, "0123456789");
    assert_int_equal(stream_queued(ends.client.stream), 1000);
    assert_int_equal(pipes[0].num_writes, 0);
    ends_settle(&ends);
    assert_int_equal(pipes[0].num_writes, 1);
    assert_int_equal(pipes[0].num_bytes, 1000 + 22);
    assert_int_equal(buf_len(&ends.server.data), 1000);
    assert_int_equal(stream_queued(ends.client.stream), 0);
}

static void a_frame_and_its_header_are_exactly_four_full_records(void **state)
{
    stream_write(ends.client.stream, pattern, 9);
    stream_write(ends.client.stream, pattern + 9, 4 * RECORD - 9);
    ends_settle(&ends);
    assert_int_equal(pipes[0].num_writes, 1);
    assert_int_equal(pipes[0].num_bytes, 4 * SEALED);
    assert_int_equal(buf_len(&ends.server.data), 4 * RECORD);
    assert_memory_equal(buf_head(&ends.server.data), pattern, 4 * RECORD);
}

static void much_goes_down_before_the_round_ends(void **state)
{
    stream_write(ends.client.stream, pattern, 8 * RECORD);
    assert_int_equal(pipes[0].num_writes, 1);
    assert_int_equal(pipes[0].num_bytes, 8 * SEALED);
    ends_settle(&ends);
    assert_int_equal(pipes[0].num_writes, 1);
}

static void flushing_does_not_wait_for_the_round(void **state)
{
    end_write(&ends.client, "now");
    tls_stream_flush(ends.client.stream);
    assert_int_equal(pipes[0].num_writes, 1);
}

static void bytes_of_all_sizes_keep_their_order(void **state)
{
    size_t sent = 0;
    for (unsigned i = 0; sent < sizeof(pattern); i++) {
        size_t len = (i * 7919) % 70000 + 1;
        if (len > sizeof(pattern) - sent)
            len = sizeof(pattern) - sent;
        stream_write(ends.server.stream, pattern + sent, len);
        sent += len;
        if (i % 5 == 0)
            ends_settle(&ends);
    }
    ends_settle(&ends);
    assert_int_equal(buf_len(&ends.client.data), sizeof(pattern));
    assert_memory_equal(buf_head(&ends.client.data), pattern, sizeof(pattern));
}

static void each_direction_ends_by_itself(void **state)
{
    end_write(&ends.client, "hello");
    stream_shutdown(ends.client.stream);
    ends_settle(&ends);
    assert_true(ends.server.eof && ends.client.shutdown);
    assert_false(ends.client.eof);
    assert_true(end_has(&ends.server, "hello"));
    end_write(&ends.server, "goodbye");
    stream_shutdown(ends.server.stream);
    ends_settle(&ends);
    assert_true(ends.client.eof && ends.server.shutdown);
    assert_true(end_has(&ends.client, "goodbye"));
    assert_false(ends.client.failed || ends.server.failed);
}

static void an_end_without_close_notify_is_a_fault(void **state)
{
    end_write(&ends.client, "hello");
    ends_settle(&ends);
    stream_shutdown(&pipes[0].stream); /* below TLS */
    ends_settle(&ends);
    assert_true(end_has(&ends.server, "hello"));
    assert_false(ends.server.eof);
    assert_true(ends.server.failed);
    assert_int_equal(ends.server.fault, STREAM_FAULT_LOST);
    assert_int_equal(tls_stream_reason(ends.server.stream), REASON_TUNNEL_LOST);
    ends.client.failed = true;
    stream_abort(ends.client.stream);
    ends.client.stream = NULL;
}

static void a_broken_record_is_a_fault(void **state)
{
    stream_write(&pipes[0].stream,
                 (const uint8_t *)"\x17\x03\x03\x00\x20 this is not sealed at all 1234", 37);
    ends_settle(&ends);
    assert_true(ends.server.failed);
    assert_int_equal(ends.server.fault, STREAM_FAULT_PROTOCOL);
    assert_int_equal(tls_stream_reason(ends.server.stream), REASON_TLS_FAILED);
    assert_true(pipes[1].num_writes > 0); /* the alert */
}

static void a_fault_below_is_passed_on(void **state)
{
    pipe_fail(&pipes[0], STREAM_FAULT_TIMEOUT);
    assert_true(ends.client.failed);
    assert_int_equal(ends.client.fault, STREAM_FAULT_TIMEOUT);
    assert_int_equal(tls_stream_reason(ends.client.stream), REASON_PEER_TIMEOUT);
    end_write(&ends.client, "into the void");
    assert_int_equal(stream_queued(ends.client.stream), 0);
}

static void closing_says_goodbye(void **state)
{
    end_write(&ends.client, "last words");
    end_close(&ends.client);
    assert_true(pipes[0].closed);
    ends_settle(&ends);
    assert_true(end_has(&ends.server, "last words"));
    assert_true(ends.server.eof);
    assert_false(ends.server.failed);
}

static void aborting_aborts_what_is_below(void **state)
{
    end_write(&ends.client, "never mind");
    stream_abort(ends.client.stream);
    ends.client.stream = NULL;
    assert_true(pipes[0].aborted);
    assert_int_equal(pipes[0].num_writes, 0);
}

static void who_is_denied_is_told_after_what_was_written(void **state)
{
    end_write(&ends.server, "last words");
    tls_stream_deny(ends.server.stream);
    ends.server.stream = NULL;
    ends_settle(&ends);
    assert_true(end_has(&ends.client, "last words"));
    assert_false(ends.client.eof);
    assert_true(ends.client.failed);
    assert_int_equal(ends.client.fault, STREAM_FAULT_PROTOCOL);
    assert_int_equal(tls_stream_reason(ends.client.stream), REASON_TLS_PEER_REFUSED_US);
    assert_false(pipes[1].closed); /* the other end has a moment to take it */
    pipe_fail(&pipes[1], STREAM_FAULT_RESET);
    assert_true(pipes[1].closed);
}

/* Who may not be told any more is cut. */
static void who_has_been_told_of_the_end_is_not_denied(void **state)
{
    stream_shutdown(ends.server.stream);
    ends_settle(&ends);
    unsigned num_writes = pipes[1].num_writes;
    tls_stream_deny(ends.server.stream);
    ends.server.stream = NULL;
    assert_true(pipes[1].aborted);
    assert_int_equal(pipes[1].num_writes, num_writes);
}

static void who_has_failed_is_not_denied(void **state)
{
    pipe_fail(&pipes[1], STREAM_FAULT_RESET);
    assert_true(ends.server.failed);
    tls_stream_deny(ends.server.stream);
    ends.server.stream = NULL;
    assert_true(pipes[1].aborted);
}

static void a_stopped_reader_pushes_back(void **state)
{
    stream_read_stop(ends.server.stream);
    stream_write(ends.client.stream, pattern, MEGA);
    ends_settle(&ends);
    assert_int_equal(buf_len(&ends.server.data), 0);
    assert_true(stream_queued(ends.client.stream) >= MEGA);
    stream_read_start(ends.server.stream);
    ends_settle(&ends);
    assert_int_equal(buf_len(&ends.server.data), MEGA);
    assert_int_equal(ends.client.num_writable, 1);
}

static void a_full_queue_below_is_seen_above_and_writable_comes_when_it_has_drained(void **state)
{
    pipe_set_stuck(&pipes[0], true);
    size_t sent = 0;
    while (stream_queued(ends.client.stream) < STREAM_HIGH_WATER) {
        stream_write(ends.client.stream, pattern, 1000);
        sent += 1000;
    }
    assert_true(sent < STREAM_HIGH_WATER + RECORD);
    ends_settle(&ends);
    assert_int_equal(ends.client.num_writable, 0);
    pipe_set_stuck(&pipes[0], false);
    ends_settle(&ends);
    assert_int_equal(ends.client.num_writable, 1);
    assert_int_equal(buf_len(&ends.server.data), sent);
}

static void a_stream_may_be_closed_inside_its_handler(void **state)
{
    ends.server.close_on_read = true;
    end_write(&ends.client, "hello");
    ends_settle(&ends);
    assert_null(ends.server.stream);
    assert_true(end_has(&ends.server, "hello"));
}

#define STREAM_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_TEST(both_ends_know_whom_they_speak_with),
        STREAM_TEST(the_writes_of_a_round_are_one_record_and_one_write),
        STREAM_TEST(a_frame_and_its_header_are_exactly_four_full_records),
        STREAM_TEST(much_goes_down_before_the_round_ends),
        STREAM_TEST(flushing_does_not_wait_for_the_round),
        STREAM_TEST(bytes_of_all_sizes_keep_their_order),
        STREAM_TEST(each_direction_ends_by_itself),
        STREAM_TEST(an_end_without_close_notify_is_a_fault),
        STREAM_TEST(a_broken_record_is_a_fault),
        STREAM_TEST(a_fault_below_is_passed_on),
        STREAM_TEST(closing_says_goodbye),
        STREAM_TEST(aborting_aborts_what_is_below),
        STREAM_TEST(who_is_denied_is_told_after_what_was_written),
        STREAM_TEST(who_has_been_told_of_the_end_is_not_denied),
        STREAM_TEST(who_has_failed_is_not_denied),
        STREAM_TEST(a_stopped_reader_pushes_back),
        STREAM_TEST(a_full_queue_below_is_seen_above_and_writable_comes_when_it_has_drained),
        STREAM_TEST(a_stream_may_be_closed_inside_its_handler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
