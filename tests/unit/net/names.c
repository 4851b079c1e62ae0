/* Remembered host names, with a resolver that the test plays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net_names.h"
#include "net_resolve.h"

struct net_resolve {
    char host[64];
    net_resolve_done *done;
    void *owner;
    bool is_open;
};

enum { LOOKUPS_MAX = 600, CALLS_MAX = 600, ANSWERS_MAX = 4 };

static struct net_resolve lookups[LOOKUPS_MAX];
static unsigned num_lookups;
static bool refuse_lookups;

struct net_resolve *__wrap_net_resolve_start(struct net_loop *loop, const char *host, uint16_t port,
                                             net_resolve_done *done, void *owner, struct err *err);
void __wrap_net_resolve_cancel(struct net_resolve *resolve);

struct net_resolve *__wrap_net_resolve_start(struct net_loop *loop, const char *host, uint16_t port,
                                             net_resolve_done *done, void *owner, struct err *err)
{
    assert_true(num_lookups < LOOKUPS_MAX);
    if (refuse_lookups) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    struct net_resolve *lookup = &lookups[num_lookups++];
    *lookup = (struct net_resolve){.done = done, .owner = owner, .is_open = true};
    snprintf(lookup->host, sizeof(lookup->host), "%s", host);
    return lookup;
}

void __wrap_net_resolve_cancel(struct net_resolve *resolve)
{
    if (resolve != NULL)
        resolve->is_open = false;
}

static struct net_loop *loop;
static struct net_names *names;

struct call {
    struct net_names_wait *wait;
    unsigned num_done;
    size_t num_ips;
    struct ip first;
    enum err_kind kind;
    const char *then_ask; /* asked for when it is done, once */
    struct call *then_cancel;
    struct call *next;
};

static struct call calls[CALLS_MAX];

static void ask(struct call *call, const char *host, uint64_t timeout_ms);

static void on_done(void *owner, const struct ip *ips, size_t num_ips, const struct err *err)
{
    struct call *call = owner;
    call->wait = NULL;
    call->num_done++;
    call->num_ips = num_ips;
    assert_int_equal(num_ips == 0, err != NULL);
    if (num_ips > 0)
        call->first = ips[0];
    else
        call->kind = err->kind;
    if (call->then_cancel != NULL) {
        net_names_cancel(call->then_cancel->wait);
        call->then_cancel->wait = NULL;
    }
    if (call->then_ask != NULL)
        ask(call->next, call->then_ask, 60000);
}

static void ask(struct call *call, const char *host, uint64_t timeout_ms)
{
    struct err err = {0};
    unsigned before = call->num_done;
    call->wait = net_names_find(names, host, timeout_ms, on_done, call, &err);
    if (call->wait == NULL)
        call->kind = err.kind;
    assert_int_equal(call->num_done, before);
}

static void answer(unsigned lookup, const char *ip)
{
    struct addr addr = {0};
    struct err err;
    assert_true(lookups[lookup].is_open);
    lookups[lookup].is_open = false;
    if (ip == NULL) {
        err_set(&err, ERR_NOT_FOUND, "no such name");
        lookups[lookup].done(lookups[lookup].owner, NULL, 0, &err);
        return;
    }
    assert_int_equal(ip_parse(&addr.ip, ip, NULL), 0);
    lookups[lookup].done(lookups[lookup].owner, &addr, 1, NULL);
}

static void run_until(bool (*is_so)(void))
{
    struct net_task look;
    for (int i = 0; i < 1000000 && !is_so(); i++) {
        look = (struct net_task){.run = (void (*)(void *))net_loop_stop, .owner = loop};
        net_task_schedule(loop, &look);
        net_loop_run(loop);
    }
    assert_true(is_so());
}

static bool first_is_done(void)
{
    return calls[0].num_done > 0;
}

static bool second_is_done(void)
{
    return calls[1].num_done > 0;
}

static int set_up(void **state)
{
    struct err err;
    memset(calls, 0, sizeof(calls));
    num_lookups = 0;
    refuse_lookups = false;
    loop = net_loop_new(&err);
    assert_non_null(loop);
    names = net_names_new(loop);
    assert_non_null(names);
    return 0;
}

static int tear_down(void **state)
{
    for (unsigned i = 0; i < CALLS_MAX; i++)
        net_names_cancel(calls[i].wait);
    net_names_free(names);
    for (unsigned i = 0; i < num_lookups; i++)
        assert_false(lookups[i].is_open);
    assert_int_equal(net_loop_free(loop), 0);
    return 0;
}

static void many_who_ask_at_once_make_one_lookup(void **state)
{
    for (unsigned i = 0; i < 10; i++)
        ask(&calls[i], "db.example.com", 60000);
    ask(&calls[10], "other.example.com", 60000);
    assert_int_equal(num_lookups, 2);
    answer(0, "192.0.2.1");
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(calls[i].num_done, 1);
        assert_int_equal(calls[i].num_ips, 1);
    }
    assert_int_equal(calls[10].num_done, 0);
}

static void what_was_found_is_remembered_and_told_later(void **state)
{
    ask(&calls[0], "db.example.com", 60000);
    answer(0, "192.0.2.1");
    ask(&calls[1], "db.example.com", 60000);
    run_until(second_is_done);
    assert_int_equal(calls[1].num_ips, 1);
    assert_true(ip_equal(&calls[1].first, &calls[0].first));
    assert_int_equal(num_lookups, 1);
}

static void that_nothing_was_found_is_remembered_too(void **state)
{
    ask(&calls[0], "nobody.example.com", 60000);
    answer(0, NULL);
    assert_int_equal(calls[0].kind, ERR_NOT_FOUND);
    ask(&calls[1], "nobody.example.com", 60000);
    run_until(second_is_done);
    assert_int_equal(calls[1].kind, ERR_NOT_FOUND);
    assert_int_equal(num_lookups, 1);
}

static void who_waits_is_told_when_time_is_over_and_the_lookup_goes_on(void **state)
{
    ask(&calls[0], "slow.example.com", 0);
    ask(&calls[1], "slow.example.com", 60000);
    run_until(first_is_done);
    assert_int_equal(calls[0].kind, ERR_TIMEOUT);
    assert_int_equal(calls[1].num_done, 0);
    answer(0, "192.0.2.1");
    assert_int_equal(calls[1].num_ips, 1);
    assert_int_equal(calls[0].num_done, 1);
}

static void a_cancelled_wait_is_not_told(void **state)
{
    ask(&calls[0], "db.example.com", 60000);
    ask(&calls[1], "db.example.com", 60000);
    net_names_cancel(calls[0].wait);
    calls[0].wait = NULL;
    answer(0, "192.0.2.1");
    assert_int_equal(calls[0].num_done, 0);
    assert_int_equal(calls[1].num_done, 1);
}

static void who_is_told_may_cancel_others_and_ask_again(void **state)
{
    ask(&calls[0], "db.example.com", 60000);
    ask(&calls[1], "db.example.com", 60000);
    ask(&calls[2], "db.example.com", 60000);
    calls[0].then_cancel = &calls[1];
    calls[2].then_ask = "db.example.com";
    calls[2].next = &calls[3];
    answer(0, "192.0.2.1");
    assert_int_equal(calls[1].num_done, 0);
    assert_int_equal(calls[2].num_done, 1);
    struct net_task stop = {.run = (void (*)(void *))net_loop_stop, .owner = loop};
    net_task_schedule(loop, &stop);
    net_loop_run(loop);
    assert_int_equal(calls[3].num_done, 1);
    assert_int_equal(num_lookups, 1);
}

static void names_that_nobody_waits_for_make_room(void **state)
{
    char host[32];
    for (unsigned i = 0; i < NET_NAMES_MAX; i++) {
        snprintf(host, sizeof(host), "h%u.example.com", i);
        ask(&calls[i], host, 60000);
    }
    ask(&calls[NET_NAMES_MAX], "one.too.many", 60000);
    assert_null(calls[NET_NAMES_MAX].wait);
    assert_int_equal(calls[NET_NAMES_MAX].kind, ERR_LIMIT);
    answer(7, "192.0.2.1");
    ask(&calls[NET_NAMES_MAX], "one.too.many", 60000);
    assert_non_null(calls[NET_NAMES_MAX].wait);
    ask(&calls[7], "h7.example.com", 60000); /* forgotten, and there is no room */
    assert_null(calls[7].wait);
}

static void a_lookup_that_cannot_start_is_an_error(void **state)
{
    refuse_lookups = true;
    ask(&calls[0], "db.example.com", 60000);
    assert_null(calls[0].wait);
    assert_int_equal(calls[0].kind, ERR_NOMEM);
    refuse_lookups = false;
    ask(&calls[0], "db.example.com", 60000);
    answer(0, "192.0.2.1");
    assert_int_equal(calls[0].num_done, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(many_who_ask_at_once_make_one_lookup),
        TEST(what_was_found_is_remembered_and_told_later),
        TEST(that_nothing_was_found_is_remembered_too),
        TEST(who_waits_is_told_when_time_is_over_and_the_lookup_goes_on),
        TEST(a_cancelled_wait_is_not_told),
        TEST(who_is_told_may_cancel_others_and_ask_again),
        TEST(names_that_nobody_waits_for_make_room),
        TEST(a_lookup_that_cannot_start_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
