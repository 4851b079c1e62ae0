#include "ask_box.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NUM_THREADS = 4, NAMES_PER_THREAD = ASK_BOX_MAX / NUM_THREADS };

struct fixture {
    struct net_loop *loop;
    struct ask_box *box;
    size_t num_expected;
    size_t num_got;
    size_t next[NUM_THREADS]; /* that has to come from each thread */
};

static void on_name(void *owner, const char *name)
{
    struct fixture *fixture = owner;
    unsigned thread, number;
    assert_int_equal(sscanf(name, "%u-%u", &thread, &number), 2);
    assert_int_equal(number, fixture->next[thread]++);
    if (++fixture->num_got == fixture->num_expected)
        net_loop_stop(fixture->loop);
}

static struct fixture *set_up(void)
{
    struct err err;
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->loop = net_loop_new(&err);
    fixture->box = ask_box_new(fixture->loop, on_name, fixture, &err);
    assert_non_null(fixture->box);
    return fixture;
}

static void tear_down(struct fixture *fixture)
{
    ask_box_free(fixture->box);
    assert_int_equal(net_loop_free(fixture->loop), 0);
    free(fixture);
}

struct putter {
    pthread_t thread;
    unsigned number;
    struct ask_box *box;
    size_t num_taken;
};

static void *put_all(void *arg)
{
    struct putter *putter = arg;
    for (unsigned i = 0; i < NAMES_PER_THREAD; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%u-%u", putter->number, i);
        putter->num_taken += ask_box_put(putter->box, name);
    }
    return NULL;
}

static void names_of_many_threads_all_come_each_threads_in_order(void **state)
{
    struct fixture *fixture = set_up();
    struct putter putters[NUM_THREADS];
    fixture->num_expected = NUM_THREADS * NAMES_PER_THREAD;
    for (unsigned i = 0; i < NUM_THREADS; i++) {
        putters[i] = (struct putter){.number = i, .box = fixture->box};
        assert_int_equal(pthread_create(&putters[i].thread, NULL, put_all, &putters[i]), 0);
    }
    net_loop_run(fixture->loop);
    for (unsigned i = 0; i < NUM_THREADS; i++) {
        pthread_join(putters[i].thread, NULL);
        assert_int_equal(putters[i].num_taken, NAMES_PER_THREAD);
    }
    tear_down(fixture);
}

static void a_full_box_takes_nothing_until_it_is_emptied(void **state)
{
    struct fixture *fixture = set_up();
    char name[32];
    for (unsigned i = 0; i < ASK_BOX_MAX; i++) {
        snprintf(name, sizeof(name), "0-%u", i);
        assert_true(ask_box_put(fixture->box, name));
    }
    assert_false(ask_box_put(fixture->box, "0-1024"));
    fixture->num_expected = ASK_BOX_MAX;
    net_loop_run(fixture->loop);
    assert_true(ask_box_put(fixture->box, "0-1024"));
    tear_down(fixture); /* with a name in it: the leak checker has the last word */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_many_threads_all_come_each_threads_in_order),
        cmocka_unit_test(a_full_box_takes_nothing_until_it_is_emptied),
    };
    return cmocka_run_group_tests_name("ask_box", tests, NULL, NULL);
}
