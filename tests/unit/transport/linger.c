/* The last bytes of a closed connection: how long they are waited for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "pipe.h"
#include "tls_io.h"

enum {
    PIECE = 50000, /* what the pipe delivers at once */
    STEP_MS = 20,
    WATCHDOG_MS = 20 * 1000,
    LONG_MS = 10 * 1000,
};

/* A peer that reads a piece, pauses, and reads the next. */
struct slow_peer {
    size_t num_bytes;
    bool eof;
    bool is_dripping; /* sends a byte at each step, too */
};

static struct net_loop *loop;
static struct tls_io *io;
static struct pipe_end pipes[2]; /* the peer's, ours */
static struct slow_peer peer;
static struct net_timer *step;
static struct net_timer *watchdog;
static struct net_task look;

static void peer_on_read(void *owner, const uint8_t *bytes, size_t len)
{
    peer.num_bytes += len;
    stream_read_stop(&pipes[0].stream);
}

static void peer_on_eof(void *owner)
{
    peer.eof = true;
}

static void peer_on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    fail_msg("%s", err->message);
}

static const struct stream_handler peer_handler = {
    .on_read = peer_on_read,
    .on_eof = peer_on_eof,
    .on_failed = peer_on_failed,
};

static void on_step(void *owner)
{
    if (peer.is_dripping && !pipes[1].closed)
        stream_write(&pipes[0].stream, (const uint8_t *)"x", 1);
    stream_read_start(&pipes[0].stream);
    net_timer_start(step, STEP_MS);
}

static void on_watchdog(void *owner)
{
    fail_msg("what the test waits for did not come");
}

static void on_look(void *owner)
{
    if (tls_io_is_lingering(io))
        net_task_schedule(loop, &look);
    else
        net_loop_stop(loop);
}

static void run_to_the_end(void)
{
    net_timer_start(watchdog, WATCHDOG_MS);
    look = (struct net_task){.run = on_look};
    net_task_schedule(loop, &look);
    net_loop_run(loop);
}

static int setup(void **state)
{
    struct err err;
    loop = net_loop_new(&err);
    assert_non_null(loop);
    io = tls_io_new(loop);
    step = net_timer_new(loop, on_step, NULL);
    watchdog = net_timer_new(loop, on_watchdog, NULL);
    assert_true(io != NULL && step != NULL && watchdog != NULL);
    pipe_init(pipes, loop);
    peer = (struct slow_peer){0};
    stream_set_handler(&pipes[0].stream, &peer_handler, NULL);
    return 0;
}

static int teardown(void **state)
{
    if (!pipes[0].closed)
        stream_close(&pipes[0].stream);
    tls_io_free(io);
    net_timer_free(step);
    net_timer_free(watchdog);
    pipe_done(pipes);
    assert_int_equal(net_loop_free(loop), 0);
    return 0;
}

/* Our side writes so much and closes. */
static void close_after(size_t num_pieces, uint64_t quiet_ms, uint64_t limit_ms)
{
    static const uint8_t piece[PIECE];
    stream_set_handler(&pipes[1].stream, &peer_handler, NULL);
    for (size_t i = 0; i < num_pieces; i++)
        stream_write(&pipes[1].stream, piece, sizeof(piece));
    assert_false(tls_io_is_lingering(io));
    tls_io_linger(io, &pipes[1].stream, quiet_ms, limit_ms);
    assert_true(tls_io_is_lingering(io));
}

static void the_last_bytes_go_out_as_long_as_they_move(void **state)
{
    /* 60 steps of 20 ms are more than any fixed second. */
    close_after(60, 500, LONG_MS);
    on_step(NULL);
    run_to_the_end();
    assert_int_equal(peer.num_bytes, 60 * PIECE);
    assert_true(peer.eof);
}

static void a_peer_that_takes_nothing_is_given_up(void **state)
{
    close_after(3, STEP_MS, LONG_MS);
    run_to_the_end();
    assert_int_equal(peer.num_bytes, 0);
    assert_false(peer.eof);
}

static void the_peers_end_does_not_drop_what_is_queued(void **state)
{
    close_after(5, LONG_MS, LONG_MS);
    stream_shutdown(&pipes[0].stream);
    on_step(NULL);
    run_to_the_end();
    assert_int_equal(peer.num_bytes, 5 * PIECE);
    assert_true(peer.eof);
}

static void a_peer_that_drips_is_given_up_at_the_limit(void **state)
{
    peer.is_dripping = true;
    close_after(1, LONG_MS, 5 * STEP_MS);
    on_step(NULL);
    run_to_the_end();
    assert_true(pipes[1].closed);
}

static void so_many_are_waited_for_and_no_more(void **state)
{
    enum { MANY = 1200 };
    static struct pipe_end many[MANY][2];
    for (size_t i = 0; i < MANY; i++) {
        pipe_init(many[i], loop);
        stream_set_handler(&many[i][0].stream, &peer_handler, NULL);
        pipe_set_stuck(&many[i][1], true);
        tls_io_linger(io, &many[i][1].stream, LONG_MS, LONG_MS);
    }
    assert_true(many[0][1].closed);
    assert_false(many[MANY - 1][1].closed);
    tls_io_free(io);
    io = NULL;
    for (size_t i = 0; i < MANY; i++) {
        stream_close(&many[i][0].stream);
        pipe_done(many[i]);
    }
    stream_close(&pipes[1].stream);
}

static void freeing_gives_up_all(void **state)
{
    close_after(3, LONG_MS, LONG_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_last_bytes_go_out_as_long_as_they_move, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_peer_that_takes_nothing_is_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(the_peers_end_does_not_drop_what_is_queued, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_peer_that_drips_is_given_up_at_the_limit, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(so_many_are_waited_for_and_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(freeing_gives_up_all, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
