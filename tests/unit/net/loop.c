#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net_loop.h"

enum { NEVER_MS = 3600 * 1000 };

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

/* What happened, in order: one letter each. */
static char trace[64];

static void note(char letter)
{
    size_t len = strlen(trace);
    assert_true(len < sizeof(trace) - 1);
    trace[len] = letter;
    trace[len + 1] = '\0';
}

static void note_owner(void *owner)
{
    note(*(const char *)owner);
}

static void stop_loop(void *owner)
{
    net_loop_stop(loop);
}

/* ------------------------------------------------------------------------------------ timers -- */

static void a_loop_with_nothing_to_do_returns(void **state)
{
    net_loop_run(loop);
    struct net_timer *stopped = net_timer_new(loop, note_owner, NULL);
    net_loop_run(loop);
    net_timer_free(stopped);
    net_timer_free(NULL);
}

static void timers_run_once_in_the_order_of_their_time(void **state)
{
    trace[0] = '\0';
    struct net_timer *late = net_timer_new(loop, note_owner, (char[]){"l"});
    struct net_timer *soon = net_timer_new(loop, note_owner, (char[]){"s"});
    struct net_timer *stopped = net_timer_new(loop, note_owner, (char[]){"x"});
    struct net_timer *restarted = net_timer_new(loop, note_owner, (char[]){"r"});
    net_timer_start(late, 20);
    net_timer_start(soon, 0);
    net_timer_start(stopped, 0);
    net_timer_stop(stopped);
    net_timer_start(restarted, NEVER_MS);
    net_timer_start(restarted, 10);
    net_loop_run(loop);
    assert_string_equal(trace, "srl");
    net_timer_free(late);
    net_timer_free(soon);
    net_timer_free(stopped);
    net_timer_free(restarted);
}

struct timer_owner {
    struct net_timer *timer, *other;
    unsigned num_fired;
};

static void free_both(void *owner)
{
    struct timer_owner *self = owner;
    self->num_fired++;
    net_timer_free(self->timer);
    net_timer_free(self->other);
}

static void a_timer_freed_in_a_callback_does_not_run(void **state)
{
    struct timer_owner owner = {0};
    owner.timer = net_timer_new(loop, free_both, &owner);
    owner.other = net_timer_new(loop, free_both, &owner);
    net_timer_start(owner.timer, 0);
    net_timer_start(owner.other, 0);
    net_loop_run(loop);
    assert_int_equal(owner.num_fired, 1);
}

static void what_was_not_freed_is_counted(void **state)
{
    struct net_loop *other = net_loop_new(NULL);
    struct net_timer *timer = net_timer_new(other, note_owner, NULL);
    struct net_wake *wake = net_wake_new(other, note_owner, NULL, NULL);
    assert_int_equal(net_loop_free(other), 2);
    net_timer_free(timer);
    assert_int_equal(net_loop_free(other), 1);
    net_wake_free(wake);
    assert_int_equal(net_loop_free(other), 0);
    assert_int_equal(net_loop_free(NULL), 0);
}

/* ------------------------------------------------------------------------------------- tasks -- */

static void a_task_runs_once_and_keeps_the_loop_until_then(void **state)
{
    trace[0] = '\0';
    struct net_task task = {.run = note_owner, .owner = (char[]){"t"}};
    net_task_schedule(loop, &task);
    net_task_schedule(loop, &task);
    net_loop_run(loop);
    assert_string_equal(trace, "t");
    net_task_schedule(loop, &task);
    net_loop_run(loop);
    assert_string_equal(trace, "tt");
    net_task_cancel(&task);
    net_task_cancel(&task);
}

static struct net_task flush_task;

static void schedule_flush(void *owner)
{
    net_task_schedule(loop, &flush_task);
}

static void a_task_of_a_timer_runs_before_the_loop_sleeps(void **state)
{
    flush_task = (struct net_task){.run = stop_loop};
    struct net_timer *soon = net_timer_new(loop, schedule_flush, NULL);
    struct net_timer *never = net_timer_new(loop, stop_loop, NULL);
    net_timer_start(soon, 0);
    net_timer_start(never, NEVER_MS);
    net_loop_run(loop);
    net_timer_free(soon);
    net_timer_free(never);
}

struct reader {
    int fd;
    char letter;
    struct net_poll *poll;
};

static void read_and_schedule(void *owner)
{
    const struct reader *reader = owner;
    char byte;
    assert_int_equal(read(reader->fd, &byte, 1), 1);
    note(reader->letter);
    net_task_schedule(loop, &flush_task);
}

static void flush_and_stop(void *owner)
{
    note('f');
    net_loop_stop(loop);
}

static void a_task_runs_after_all_events_of_a_round(void **state)
{
    trace[0] = '\0';
    flush_task = (struct net_task){.run = flush_and_stop};
    int fds[2][2];
    struct reader readers[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pipe(fds[i]), 0);
        assert_int_equal(write(fds[i][1], "xx", 2), 2);
        readers[i] = (struct reader){.fd = fds[i][0], .letter = 'r'};
        readers[i].poll = net_poll_new(loop, fds[i][0], read_and_schedule, &readers[i], NULL);
        assert_non_null(readers[i].poll);
    }
    net_loop_run(loop);
    assert_string_equal(trace, "rrf");
    net_loop_run(loop);
    assert_string_equal(trace, "rrfrrf");
    for (int i = 0; i < 2; i++) {
        net_poll_free(readers[i].poll);
        close(fds[i][0]);
        close(fds[i][1]);
    }
}

static void schedule_self(void *owner)
{
    net_task_schedule(loop, owner);
}

static void a_task_that_repeats_itself_does_not_starve_the_rest(void **state)
{
    struct net_task forever = {.run = schedule_self};
    forever.owner = &forever;
    net_task_schedule(loop, &forever);
    struct net_timer *timer = net_timer_new(loop, stop_loop, NULL);
    net_timer_start(timer, 5);
    net_loop_run(loop);
    net_task_cancel(&forever);
    net_timer_free(timer);
}

static struct net_task *victim;

static void cancel_victim(void *owner)
{
    note('c');
    net_task_cancel(victim);
    free(victim);
}

static void a_task_cancels_another_of_the_same_pass(void **state)
{
    trace[0] = '\0';
    victim = malloc(sizeof(*victim));
    *victim = (struct net_task){.run = note_owner, .owner = (char[]){"x"}};
    struct net_task canceller = {.run = cancel_victim};
    struct net_task last = {.run = note_owner, .owner = (char[]){"l"}};
    net_task_schedule(loop, &canceller);
    net_task_schedule(loop, victim);
    net_task_schedule(loop, &last);
    net_loop_run(loop);
    assert_string_equal(trace, "cl");
}

static void free_owner(void *owner)
{
    note('f');
    free(owner);
}

static void a_task_may_free_its_owner(void **state)
{
    trace[0] = '\0';
    struct net_task *task = malloc(sizeof(*task));
    *task = (struct net_task){.run = free_owner, .owner = task};
    net_task_schedule(loop, task);
    net_loop_run(loop);
    assert_string_equal(trace, "f");
}

/* --------------------------------------------------------------- wake-ups, polls and signals -- */

enum { NUM_SENDS = 10000 };

struct woken {
    struct net_wake *wake;
    atomic_uint num_sent;
    unsigned num_seen, num_calls;
};

static void *send_many(void *arg)
{
    struct woken *woken = arg;
    for (unsigned i = 0; i < NUM_SENDS; i++) {
        atomic_fetch_add(&woken->num_sent, 1);
        net_wake_send(woken->wake);
    }
    return NULL;
}

static void on_wake(void *owner)
{
    struct woken *woken = owner;
    woken->num_calls++;
    woken->num_seen = atomic_load(&woken->num_sent);
    if (woken->num_seen == NUM_SENDS)
        net_loop_stop(loop);
}

static void no_wake_up_of_another_thread_is_lost(void **state)
{
    struct woken woken = {0};
    woken.wake = net_wake_new(loop, on_wake, &woken, NULL);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_many, &woken), 0);
    net_loop_run(loop);
    pthread_join(thread, NULL);
    assert_int_equal(woken.num_seen, NUM_SENDS);
    assert_true(woken.num_calls <= NUM_SENDS);
    net_wake_free(woken.wake);
    net_wake_free(NULL);
}

static void free_wake(void *owner)
{
    struct woken *woken = owner;
    woken->num_calls++;
    net_wake_free(woken->wake);
}

static void several_sends_make_one_call_in_which_it_may_be_freed(void **state)
{
    struct woken woken = {0};
    woken.wake = net_wake_new(loop, free_wake, &woken, NULL);
    net_wake_send(woken.wake);
    net_wake_send(woken.wake);
    net_loop_run(loop);
    assert_int_equal(woken.num_calls, 1);
}

static void free_poll(void *owner)
{
    struct reader *reader = owner;
    char byte;
    assert_int_equal(read(reader->fd, &byte, 1), 0);
    note('e');
    net_poll_free(reader->poll);
}

static void the_end_of_a_pipe_is_ready_and_the_poll_may_be_freed(void **state)
{
    trace[0] = '\0';
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[1]);
    struct reader reader = {.fd = fds[0]};
    reader.poll = net_poll_new(loop, fds[0], free_poll, &reader, NULL);
    net_loop_run(loop);
    assert_string_equal(trace, "e");
    close(fds[0]);
    net_poll_free(NULL);
}

static void what_cannot_be_polled_is_an_error(void **state)
{
    struct err err = {0};
    assert_null(net_poll_new(loop, -1, note_owner, NULL, &err));
    assert_int_equal(err.kind, ERR_SYSTEM);
}

static int caught;

static void on_signal(void *owner, int signum)
{
    caught = signum;
    net_loop_stop(loop);
}

static void a_signal_comes_on_the_loop(void **state)
{
    struct net_signal *sig = net_signal_new(loop, SIGUSR1, on_signal, NULL, NULL);
    assert_non_null(sig);
    raise(SIGUSR1);
    assert_int_equal(caught, 0);
    net_loop_run(loop);
    assert_int_equal(caught, SIGUSR1);
    net_signal_free(sig);
    net_signal_free(NULL);
    struct err err = {0};
    assert_null(net_signal_new(loop, SIGKILL, on_signal, NULL, &err));
    assert_int_equal(err.kind, ERR_SYSTEM);
}

#define LOOP_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_loop_with_nothing_to_do_returns),
        LOOP_TEST(timers_run_once_in_the_order_of_their_time),
        LOOP_TEST(a_timer_freed_in_a_callback_does_not_run),
        LOOP_TEST(what_was_not_freed_is_counted),
        LOOP_TEST(a_task_runs_once_and_keeps_the_loop_until_then),
        LOOP_TEST(a_task_of_a_timer_runs_before_the_loop_sleeps),
        LOOP_TEST(a_task_runs_after_all_events_of_a_round),
        LOOP_TEST(a_task_that_repeats_itself_does_not_starve_the_rest),
        LOOP_TEST(a_task_cancels_another_of_the_same_pass),
        LOOP_TEST(a_task_may_free_its_owner),
        LOOP_TEST(no_wake_up_of_another_thread_is_lost),
        LOOP_TEST(several_sends_make_one_call_in_which_it_may_be_freed),
        LOOP_TEST(the_end_of_a_pipe_is_ready_and_the_poll_may_be_freed),
        LOOP_TEST(what_cannot_be_polled_is_an_error),
        LOOP_TEST(a_signal_comes_on_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
