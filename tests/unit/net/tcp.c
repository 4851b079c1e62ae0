#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "recorder.h"

static struct net_loop *loop;

static int set_up(void **state)
{
    loop = net_loop_new(NULL);
    return loop == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    return net_loop_free(loop);
}

static void assert_got(const struct recorder *recorder, const char *text)
{
    assert_int_equal(buf_len(&recorder->got), strlen(text));
    assert_memory_equal(buf_head(&recorder->got), text, strlen(text));
}

/* Reads to the end. */
static void assert_reads(int fd, const char *text)
{
    char out[256];
    size_t len = 0;
    ssize_t n;
    while ((n = read(fd, out + len, sizeof(out) - len)) > 0)
        len += (size_t)n;
    assert_int_equal(n, 0);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(out, text, len);
}

/* ----------------------------------------------------------------------- ends, one at a time -- */

static void the_peers_end_leaves_our_direction_open(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    assert_int_equal(write(fds[1], "hello", 5), 5);
    shutdown(fds[1], SHUT_WR);
    recorder_read_start(&ours);
    ours.is_done = recorder_has_eof;
    net_loop_run(loop);
    assert_got(&ours, "hello");

    recorder_write(&ours, "good ", 5);
    recorder_write(&ours, "bye", 3);
    recorder_shutdown(&ours);
    ours.is_done = recorder_has_shutdown;
    net_loop_run(loop);
    assert_int_equal(ours.num_shutdown, 1);
    assert_reads(fds[1], "good bye");
    recorder_done(&ours);
    close(fds[1]);
}

static void our_end_leaves_the_peers_direction_open(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    recorder_write(&ours, "question", 8);
    recorder_shutdown(&ours);
    recorder_read_start(&ours);
    ours.is_done = recorder_has_shutdown;
    net_loop_run(loop);
    assert_reads(fds[1], "question");

    assert_int_equal(write(fds[1], "answer", 6), 6);
    close(fds[1]);
    ours.is_done = recorder_has_eof;
    net_loop_run(loop);
    assert_got(&ours, "answer");
    assert_int_equal(ours.num_failed, 0);
    recorder_done(&ours);
}

static void shutdown_is_told_even_when_nothing_else_keeps_the_loop(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    recorder_shutdown(&ours);
    assert_int_equal(ours.num_shutdown, 0);
    net_loop_run(loop);
    assert_int_equal(ours.num_shutdown, 1);
    recorder_done(&ours);
    close(fds[1]);
}

/* ------------------------------------------------------------------------------------ resets -- */

static void a_reset_is_a_failure_after_what_was_sent_before_it(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    assert_int_equal(write(fds[1], "last words", 10), 10);
    recorder_reset(fds[1]);
    recorder_read_start(&ours);
    net_loop_run(loop);
    assert_got(&ours, "last words");
    assert_int_equal(ours.num_eof, 0);
    assert_int_equal(ours.num_failed, 1);
    assert_int_equal(ours.fault, STREAM_FAULT_RESET);
    assert_int_equal(ours.err.kind, ERR_SYSTEM);
    assert_int_equal(ours.err.sys, ECONNRESET);
    /* All of these are quiet on a stream that has failed. */
    recorder_read_start(&ours);
    recorder_write(&ours, "x", 1);
    recorder_shutdown(&ours);
    assert_int_equal(stream_queued(ours.stream), 0);
    net_loop_run(loop);
    recorder_done(&ours);
}

static void a_reset_is_noticed_by_writing_when_reading_is_stopped(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    recorder_reset(fds[1]);
    recorder_write(&ours, "x", 1);
    recorder_write(&ours, "y", 1);
    assert_int_equal(ours.num_failed, 0);
    assert_int_equal(stream_queued(ours.stream), 0);
    net_loop_run(loop);
    assert_int_equal(ours.num_failed, 1);
    assert_int_equal(ours.fault, STREAM_FAULT_RESET);
    recorder_done(&ours);
}

static void who_does_not_read_can_ask_for_a_reset_and_is_not_told_of_an_end(void **state)
{
    static const bool ends_first[] = {false, true};
    for (size_t i = 0; i < 2; i++) {
        int fds[2];
        recorder_tcp_pair(fds);
        struct recorder ours;
        recorder_init(&ours, loop, fds[0]);
        assert_int_equal(write(fds[1], "question", 8), 8);
        if (ends_first[i])
            shutdown(fds[1], SHUT_WR);
        assert_false(net_tcp_is_broken(ours.tcp));
        recorder_reset(fds[1]);
        assert_true(net_tcp_is_broken(ours.tcp));
        assert_true(net_tcp_is_broken(ours.tcp)); /* also when asked again */
        assert_int_equal(ours.num_failed, 0);
        recorder_done(&ours);
        net_loop_run(loop);
    }
}

static void a_reset_is_noticed_by_shutdown(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    recorder_reset(fds[1]);
    recorder_shutdown(&ours);
    net_loop_run(loop);
    assert_int_equal(ours.num_shutdown, 0);
    assert_int_equal(ours.num_failed, 1);
    assert_int_equal(ours.fault, STREAM_FAULT_RESET);
    recorder_done(&ours);
}

static void an_answer_before_a_reset_is_read_when_a_write_meets_the_reset_first(void **state)
{
    for (int reading = 0; reading < 2; reading++) {
        int fds[2];
        recorder_tcp_pair(fds);
        struct recorder ours;
        recorder_init(&ours, loop, fds[0]);
        if (reading)
            recorder_read_start(&ours);
        assert_int_equal(write(fds[1], "413 too large", 13), 13);
        recorder_reset(fds[1]);
        recorder_write(&ours, "more", 4);
        if (!reading) {
            net_loop_run(loop);
            assert_int_equal(ours.num_failed, 0);
            recorder_read_start(&ours);
        }
        net_loop_run(loop);
        assert_got(&ours, "413 too large");
        assert_int_equal(ours.num_eof, 0);
        assert_int_equal(ours.num_failed, 1);
        assert_int_equal(ours.fault, STREAM_FAULT_RESET);
        recorder_done(&ours);
    }
}

static void a_reset_after_the_peers_end_is_noticed_by_the_next_write(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    recorder_read_start(&ours);
    close(fds[1]);
    ours.is_done = recorder_has_eof;
    net_loop_run(loop);
    /* Nobody is there to read it: the answer is RST. */
    recorder_write(&ours, "x", 1);
    net_loop_run(loop);
    assert_int_equal(ours.num_failed, 0);
    recorder_write(&ours, "y", 1);
    net_loop_run(loop);
    assert_int_equal(ours.num_failed, 1);
    assert_int_equal(ours.fault, STREAM_FAULT_RESET);
    recorder_done(&ours);
}

static void a_reset_ends_a_write_that_waits(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    static const char block[64 * 1024];
    while (stream_queued(ours.stream) < STREAM_HIGH_WATER)
        recorder_write(&ours, block, sizeof(block));
    recorder_reset(fds[1]);
    net_loop_run(loop);
    assert_int_equal(ours.num_failed, 1);
    assert_int_equal(ours.fault, STREAM_FAULT_RESET);
    assert_int_equal(ours.num_writable, 0);
    recorder_done(&ours);
}

static void a_reset_after_the_peers_end_does_not_undo_the_end(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    assert_int_equal(write(fds[1], "whole answer", 12), 12);
    shutdown(fds[1], SHUT_WR);
    recorder_reset(fds[1]);
    recorder_read_start(&ours);
    ours.is_done = recorder_has_eof;
    net_loop_run(loop);
    assert_got(&ours, "whole answer");
    assert_int_equal(ours.num_eof, 1);
    assert_int_equal(ours.num_failed, 0);
    recorder_write(&ours, "x", 1);
    net_loop_run(loop);
    assert_int_equal(ours.num_failed, 1);
    assert_int_equal(ours.fault, STREAM_FAULT_RESET);
    recorder_done(&ours);
}

static void abort_resets_the_peer(void **state)
{
    enum { PLAIN, AFTER_SHUTDOWN, WITH_QUEUE, NUM_WAYS };
    static const char block[64 * 1024];
    for (int way = 0; way < NUM_WAYS; way++) {
        int fds[2];
        recorder_tcp_pair(fds);
        struct recorder ours;
        recorder_init(&ours, loop, fds[0]);
        if (way == AFTER_SHUTDOWN)
            recorder_shutdown(&ours);
        while (way == WITH_QUEUE && stream_queued(ours.stream) == 0)
            recorder_write(&ours, block, sizeof(block));
        recorder_abort(&ours);
        char out[4096];
        ssize_t n;
        while ((n = read(fds[1], out, sizeof(out))) > 0)
            ;
        if (way == AFTER_SHUTDOWN)
            n = write(fds[1], "x", 1); /* the end came first, and is read first */
        assert_int_equal(n, -1);
        assert_int_equal(errno, way == AFTER_SHUTDOWN ? EPIPE : ECONNRESET);
        recorder_done(&ours);
        close(fds[1]);
        net_loop_run(loop);
    }
}

static void close_after_both_ends_is_no_reset(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    recorder_write(&ours, "x", 1);
    recorder_close(&ours);
    assert_reads(fds[1], "x");
    recorder_done(&ours);
    close(fds[1]);
}

/* ----------------------------------------------------------------------------- putting back -- */

static void unread(struct recorder *recorder, const char *text)
{
    stream_read_stop(recorder->stream);
    buf_clear(&recorder->got, 0);
    assert_int_equal(net_tcp_unread(recorder->tcp, (const uint8_t *)text, strlen(text)), 0);
}

static void what_is_put_back_comes_again_before_what_follows(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    assert_int_equal(write(fds[1], "first ", 6), 6);
    recorder_read_start(&ours);
    ours.is_done = recorder_has_bytes;
    net_loop_run(loop);
    unread(&ours, "first ");
    assert_int_equal(write(fds[1], "second", 6), 6);
    shutdown(fds[1], SHUT_WR);
    recorder_read_start(&ours);
    ours.is_done = recorder_has_eof;
    net_loop_run(loop);
    assert_got(&ours, "first second");
    assert_int_equal(ours.num_eof, 1);
    recorder_done(&ours);
    close(fds[1]);
}

static void stop_and_start_again(struct recorder *recorder, const char *event)
{
    stream_read_stop(recorder->stream);
    stream_read_start(recorder->stream);
}

/* Also when reading is stopped and started inside on_read. */
static void an_end_that_was_seen_comes_again_after_what_is_put_back(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    assert_int_equal(write(fds[1], "all", 3), 3);
    shutdown(fds[1], SHUT_WR);
    recorder_read_start(&ours);
    ours.is_done = recorder_has_eof;
    net_loop_run(loop);
    unread(&ours, "all");
    ours.num_eof = 0;
    ours.before = stop_and_start_again;
    recorder_read_start(&ours);
    net_loop_run(loop);
    assert_got(&ours, "all");
    assert_int_equal(ours.num_eof, 1);
    recorder_done(&ours);
    close(fds[1]);
}

static void reading_may_be_stopped_and_started_while_it_is_read_again(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    unread(&ours, "first ");
    assert_int_equal(write(fds[1], "second", 6), 6);
    close(fds[1]);
    ours.before = stop_and_start_again;
    ours.is_done = recorder_has_eof;
    recorder_read_start(&ours);
    net_loop_run(loop);
    assert_got(&ours, "first second");
    recorder_done(&ours);
}

static void nothing_that_is_put_back_comes_while_reading_is_stopped_or_after_close(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    unread(&ours, "bytes");
    recorder_read_start(&ours);
    stream_read_stop(ours.stream);
    net_loop_run(loop);
    assert_int_equal(buf_len(&ours.got), 0);
    recorder_read_start(&ours);
    recorder_done(&ours);
    close(fds[1]);
}

static void a_reset_is_noticed_after_what_is_put_back(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    unread(&ours, "bytes");
    recorder_reset(fds[1]);
    recorder_write(&ours, "x", 1);
    recorder_write(&ours, "x", 1);
    net_loop_run(loop);
    assert_int_equal(ours.num_failed, 0);
    recorder_read_start(&ours);
    net_loop_run(loop);
    assert_got(&ours, "bytes");
    assert_int_equal(ours.num_failed, 1);
    recorder_done(&ours);
}

/* ------------------------------------------------------------------- closing inside handlers -- */

struct closer {
    const char *event;
    bool abort;
    bool closed;
};

static void close_on_event(struct recorder *recorder, const char *event)
{
    struct closer *closer = recorder->test;
    if (strcmp(event, closer->event) != 0)
        return;
    closer->closed = true;
    if (closer->abort)
        recorder_abort(recorder);
    else
        recorder_close(recorder);
}

/* Both ends are ours. One writes until it has to wait and ends; the other reads it all, then
 * resets. The first thus sees each event, and closes in one of them; no handler comes afterwards
 * (recorder.c looks). */
static void closing_is_safe_inside_every_handler(void **state)
{
    static const char *const events[] = {"read", "eof", "writable", "shutdown", "failed"};
    static const char block[64 * 1024];
    for (unsigned i = 0; i < 10; i++) {
        struct closer closer = {.event = events[i / 2], .abort = i % 2};
        bool fails = i / 2 == 4;
        int fds[2];
        recorder_tcp_pair(fds);
        struct recorder ours, theirs;
        recorder_init(&ours, loop, fds[0]);
        recorder_init(&theirs, loop, fds[1]);
        ours.before = close_on_event;
        ours.test = &closer;
        recorder_write(&theirs, "some", 4);
        if (!fails)
            recorder_shutdown(&theirs);
        while (stream_queued(ours.stream) < STREAM_HIGH_WATER)
            recorder_write(&ours, block, sizeof(block));
        if (strcmp(closer.event, "shutdown") == 0)
            recorder_shutdown(&ours);
        recorder_read_start(&ours);
        if (fails)
            recorder_abort(&theirs);
        else
            recorder_read_start(&theirs);
        while (!closer.closed)
            net_loop_run(loop);
        net_loop_run(loop);
        recorder_done(&theirs);
        recorder_done(&ours);
    }
}

static void stop_reading(struct recorder *recorder, const char *event)
{
    stream_read_stop(recorder->stream);
    net_loop_stop(loop);
}

static void stopping_inside_on_read_stops_at_once(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    net_tcp_set_read_size(ours.tcp, 10);
    ours.before = stop_reading;
    assert_int_equal(write(fds[1], "0123456789abcdefghij0123456789", 30), 30);
    for (size_t i = 1; i <= 3; i++) {
        recorder_read_start(&ours);
        recorder_read_start(&ours); /* idempotent */
        net_loop_run(loop);
        assert_int_equal(ours.num_got, i * 10);
    }
    assert_got(&ours, "0123456789abcdefghij0123456789");
    recorder_done(&ours);
    close(fds[1]);
}

static void a_large_read_size_takes_more_at_once(void **state)
{
    int fds[2];
    recorder_unix_pair(fds);
    int room = 1 << 20;
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    static char block[128 * 1024];
    assert_int_equal(write(fds[1], block, sizeof(block)), sizeof(block));
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    net_tcp_set_read_size(ours.tcp, NET_READ_LIMIT);
    ours.is_done = recorder_has_bytes;
    ours.before = stop_reading;
    recorder_read_start(&ours);
    net_loop_run(loop);
    assert_int_equal(ours.num_got, sizeof(block));
    recorder_done(&ours);
    close(fds[1]);
}

/* ----------------------------------------------------------------------------- back-pressure -- */

static size_t in_kernel(int reader)
{
    int waiting = 0;
    assert_int_equal(ioctl(reader, FIONREAD, &waiting), 0);
    return (size_t)waiting;
}

static void the_queue_is_counted_exactly_and_bounded(void **state)
{
    int fds[2];
    recorder_unix_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    static uint8_t block[NET_READ_MAX];
    size_t written = 0;
    for (unsigned i = 0; stream_queued(ours.stream) < STREAM_HIGH_WATER; i++) {
        size_t len = i % 7 == 0 ? 1 : sizeof(block) / (1 + i % 5);
        for (size_t j = 0; j < len; j++)
            block[j] = (uint8_t)((written + j) % 251);
        recorder_write(&ours, block, len);
        written += len;
        assert_int_equal(stream_queued(ours.stream) + in_kernel(fds[1]), written);
    }
    assert_true(stream_queued(ours.stream) < STREAM_HIGH_WATER + NET_READ_MAX);

    /* The reader takes a little at a time. on_writable comes once, at the low mark. */
    struct recorder theirs;
    recorder_init(&theirs, loop, fds[1]);
    net_tcp_set_read_size(theirs.tcp, 3001);
    recorder_read_start(&theirs);
    recorder_shutdown(&ours);
    theirs.is_done = recorder_has_eof;
    net_loop_run(loop);
    assert_int_equal(theirs.num_got, written);
    for (size_t i = 0; i < written; i++)
        assert_int_equal(buf_head(&theirs.got)[i], i % 251);
    recorder_done(&theirs);
    recorder_done(&ours);
}

/* As long as the queue keeps our end from being sent, the kernel does not count it. */
static void an_end_that_is_not_sent_yet_is_not_delivered(void **state)
{
    int fds[2];
    recorder_unix_pair(fds);
    struct recorder ours, theirs;
    recorder_init(&ours, loop, fds[0]);
    static const char block[10000];
    while (stream_queued(ours.stream) < STREAM_HIGH_WATER)
        recorder_write(&ours, block, sizeof(block));
    recorder_shutdown(&ours);
    recorder_init(&theirs, loop, fds[1]);
    size_t queued = stream_queued(ours.stream);
    int unacknowledged = 0;
    assert_int_equal(ioctl(fds[0], TIOCOUTQ, &unacknowledged), 0);
    assert_true(queued > 0);
    assert_int_equal(net_tcp_undelivered(ours.tcp), queued + (size_t)unacknowledged + 1);

    recorder_read_start(&theirs);
    theirs.is_done = recorder_has_eof;
    net_loop_run(loop);
    assert_true(net_tcp_undelivered(ours.tcp) <= 1);
    recorder_done(&theirs);
    recorder_done(&ours);
}

static void check_low_mark(struct recorder *recorder, const char *event)
{
    if (strcmp(event, "writable") != 0)
        return;
    assert_true(stream_queued(recorder->stream) <= STREAM_LOW_WATER);
    net_loop_stop(loop);
}

static void writable_comes_once_when_the_queue_has_fallen(void **state)
{
    int fds[2];
    recorder_unix_pair(fds);
    struct recorder ours, theirs;
    recorder_init(&ours, loop, fds[0]);
    recorder_init(&theirs, loop, fds[1]);
    ours.before = check_low_mark;
    static const char block[10000];
    for (unsigned round = 1; round <= 3; round++) {
        while (stream_queued(ours.stream) < STREAM_HIGH_WATER)
            recorder_write(&ours, block, sizeof(block));
        recorder_read_start(&theirs);
        net_loop_run(loop);
        assert_int_equal(ours.num_writable, round);
    }
    recorder_done(&theirs);
    recorder_done(&ours);
}

static void below_the_high_mark_nobody_waits_for_writable(void **state)
{
    int fds[2];
    recorder_unix_pair(fds);
    struct recorder ours, theirs;
    recorder_init(&ours, loop, fds[0]);
    recorder_init(&theirs, loop, fds[1]);
    static const char block[10000];
    while (stream_queued(ours.stream) < STREAM_HIGH_WATER - sizeof(block))
        recorder_write(&ours, block, sizeof(block));
    recorder_shutdown(&ours);
    recorder_read_start(&theirs);
    theirs.is_done = recorder_has_eof;
    net_loop_run(loop);
    assert_int_equal(ours.num_writable, 0);
    recorder_done(&theirs);
    recorder_done(&ours);
}

/* ----------------------------------------------------------------------------------- volumes -- */

enum { VOLUME = 24 * 1024 * 1024 };

/* One direction of a transfer: what is sent is a function of the offset. */
struct transfer {
    size_t sent, received;
    bool ended;
};

static uint8_t byte_at(size_t offset)
{
    return (uint8_t)(offset * 2654435761u >> 13);
}

static void feed(struct recorder *recorder)
{
    struct transfer *transfer = recorder->test;
    uint8_t piece[40000];
    while (transfer->sent < VOLUME && stream_queued(recorder->stream) < STREAM_HIGH_WATER) {
        size_t len = 1 + transfer->sent * 31 % sizeof(piece);
        if (len > VOLUME - transfer->sent)
            len = VOLUME - transfer->sent;
        for (size_t i = 0; i < len; i++)
            piece[i] = byte_at(transfer->sent + i);
        recorder_write(recorder, piece, len);
        transfer->sent += len;
        assert_true(stream_queued(recorder->stream) < STREAM_HIGH_WATER + sizeof(piece));
    }
    if (transfer->sent == VOLUME && !transfer->ended) {
        transfer->ended = true;
        recorder_shutdown(recorder);
    }
}

static void check_and_feed(struct recorder *recorder, const char *event)
{
    struct transfer *transfer = recorder->test;
    const uint8_t *bytes = buf_head(&recorder->got);
    size_t len = buf_len(&recorder->got);
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != byte_at(transfer->received + i))
            fail_msg("byte %zu differs", transfer->received + i);
    transfer->received += len;
    buf_consume(&recorder->got, len);
    if (strcmp(event, "writable") == 0)
        feed(recorder);
}

static bool both_ended(struct recorder *recorder)
{
    return recorder->num_eof > 0 && recorder->num_shutdown > 0;
}

static void large_volumes_arrive_unchanged_both_ways_at_once(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ends[2];
    struct transfer transfers[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        recorder_init(&ends[i], loop, fds[i]);
        ends[i].before = check_and_feed;
        ends[i].is_done = both_ended;
        ends[i].test = &transfers[i];
        recorder_read_start(&ends[i]);
        feed(&ends[i]);
    }
    while (!both_ended(&ends[0]) || !both_ended(&ends[1]))
        net_loop_run(loop);
    assert_int_equal(transfers[0].received, VOLUME);
    assert_int_equal(transfers[1].received, VOLUME);
    recorder_done(&ends[0]);
    recorder_done(&ends[1]);
}

static void single_bytes_arrive_in_order(void **state)
{
    int fds[2];
    recorder_unix_pair(fds);
    struct recorder ours, theirs;
    recorder_init(&ours, loop, fds[0]);
    recorder_init(&theirs, loop, fds[1]);
    enum { NUM_BYTES = 100000 }; /* far more than the pair takes as single messages */
    for (size_t i = 0; i < NUM_BYTES; i++) {
        uint8_t byte = byte_at(i);
        recorder_write(&ours, &byte, 1);
    }
    assert_true(stream_queued(ours.stream) > 0);
    recorder_shutdown(&ours);
    recorder_read_start(&theirs);
    theirs.is_done = recorder_has_eof;
    net_loop_run(loop);
    assert_int_equal(theirs.num_got, NUM_BYTES);
    for (size_t i = 0; i < NUM_BYTES; i++)
        assert_int_equal(buf_head(&theirs.got)[i], byte_at(i));
    recorder_done(&theirs);
    recorder_done(&ours);
}

static void writing_nothing_is_nothing(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ours;
    recorder_init(&ours, loop, fds[0]);
    recorder_write(&ours, "", 0);
    assert_int_equal(stream_queued(ours.stream), 0);
    recorder_close(&ours);
    assert_reads(fds[1], "");
    recorder_done(&ours);
    close(fds[1]);
}

/* ------------------------------------------------------------------------ options, addresses -- */

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void options_are_set(void **state)
{
    static const struct net_tcp_options options = {.keepalive_idle_s = 77,
                                                   .keepalive_interval_s = 7,
                                                   .keepalive_count = 3,
                                                   .user_timeout_ms = 12345};
    int fds[2];
    recorder_tcp_pair(fds);
    struct net_tcp *tcp = net_tcp_from_fd(loop, fds[0], &options, NULL);
    assert_int_equal(option_of(fds[0], IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option_of(fds[0], SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option_of(fds[0], IPPROTO_TCP, TCP_KEEPIDLE), 77);
    assert_int_equal(option_of(fds[0], IPPROTO_TCP, TCP_KEEPINTVL), 7);
    assert_int_equal(option_of(fds[0], IPPROTO_TCP, TCP_KEEPCNT), 3);
    assert_int_equal(option_of(fds[0], IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
    stream_close(net_tcp_stream(tcp));
    close(fds[1]);
}

static void an_option_that_the_kernel_refuses_is_named(void **state)
{
    static const struct net_tcp_options options = {.keepalive_idle_s = 1000000};
    int fds[2];
    recorder_tcp_pair(fds);
    struct err err;
    assert_null(net_tcp_from_fd(loop, fds[0], &options, &err));
    assert_string_equal(err.message, "cannot set TCP_KEEPIDLE to 1000000: Invalid argument");
    close(fds[0]);
    close(fds[1]);
}

static void addresses_are_those_of_the_socket(void **state)
{
    int fds[2];
    recorder_tcp_pair(fds);
    struct recorder ends[2];
    for (int i = 0; i < 2; i++)
        recorder_init(&ends[i], loop, fds[i]);
    assert_true(addr_equal(net_tcp_local(ends[0].tcp), net_tcp_peer(ends[1].tcp)));
    assert_true(addr_equal(net_tcp_peer(ends[0].tcp), net_tcp_local(ends[1].tcp)));
    /* Nobody redirected it. */
    struct addr original;
    assert_int_equal(net_tcp_original_destination(ends[1].tcp, &original, NULL), 0);
    assert_true(addr_equal(&original, net_tcp_local(ends[1].tcp)));
    recorder_done(&ends[0]);
    recorder_done(&ends[1]);
}

#define LOOP_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(the_peers_end_leaves_our_direction_open),
        LOOP_TEST(our_end_leaves_the_peers_direction_open),
        LOOP_TEST(shutdown_is_told_even_when_nothing_else_keeps_the_loop),
        LOOP_TEST(a_reset_is_a_failure_after_what_was_sent_before_it),
        LOOP_TEST(a_reset_is_noticed_by_writing_when_reading_is_stopped),
        LOOP_TEST(who_does_not_read_can_ask_for_a_reset_and_is_not_told_of_an_end),
        LOOP_TEST(a_reset_is_noticed_by_shutdown),
        LOOP_TEST(an_answer_before_a_reset_is_read_when_a_write_meets_the_reset_first),
        LOOP_TEST(a_reset_after_the_peers_end_is_noticed_by_the_next_write),
        LOOP_TEST(a_reset_ends_a_write_that_waits),
        LOOP_TEST(a_reset_after_the_peers_end_does_not_undo_the_end),
        LOOP_TEST(abort_resets_the_peer),
        LOOP_TEST(close_after_both_ends_is_no_reset),
        LOOP_TEST(what_is_put_back_comes_again_before_what_follows),
        LOOP_TEST(an_end_that_was_seen_comes_again_after_what_is_put_back),
        LOOP_TEST(reading_may_be_stopped_and_started_while_it_is_read_again),
        LOOP_TEST(nothing_that_is_put_back_comes_while_reading_is_stopped_or_after_close),
        LOOP_TEST(a_reset_is_noticed_after_what_is_put_back),
        LOOP_TEST(closing_is_safe_inside_every_handler),
        LOOP_TEST(stopping_inside_on_read_stops_at_once),
        LOOP_TEST(a_large_read_size_takes_more_at_once),
        LOOP_TEST(the_queue_is_counted_exactly_and_bounded),
        LOOP_TEST(an_end_that_is_not_sent_yet_is_not_delivered),
        LOOP_TEST(writable_comes_once_when_the_queue_has_fallen),
        LOOP_TEST(below_the_high_mark_nobody_waits_for_writable),
        LOOP_TEST(large_volumes_arrive_unchanged_both_ways_at_once),
        LOOP_TEST(single_bytes_arrive_in_order),
        LOOP_TEST(writing_nothing_is_nothing),
        LOOP_TEST(options_are_set),
        LOOP_TEST(an_option_that_the_kernel_refuses_is_named),
        LOOP_TEST(addresses_are_those_of_the_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
