#include "rotation_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { S = 1000, MIN = 60 * S, HOUR = 60 * MIN };

/* An instant that is no special number. */
static const int64_t T = 1800000000123;

static void renewal_is_in_the_middle_of_what_is_left(void **state)
{
    static const struct {
        int64_t now, from, to;
        unsigned jitter;
        uint64_t random;
        int64_t at;
    } CASES[] = {
        {0, 0, 24 * HOUR, 0, 12345, 12 * HOUR},
        {0, -2 * MIN, 24 * HOUR, 0, 0, 12 * HOUR},
        /* Backdated by more than it lasts: not late from the beginning. */
        {0, -2 * MIN, 20 * S, 0, 0, 10 * S},
        {0, 10 * S, 30 * S, 0, 0, 20 * S},
        /* The jitter's ends: a tenth of half of the life, either way. */
        {0, 0, 20 * HOUR, 10, 0, 9 * HOUR},
        {0, 0, 20 * HOUR, 10, 2 * HOUR, 11 * HOUR},
        {0, 0, 20 * HOUR, 10, HOUR, 10 * HOUR},
        {0, 0, 20 * HOUR, 10, 2 * HOUR + 1, 9 * HOUR},
        /* More jitter than allowed is the most that is allowed. */
        {0, 0, 20 * HOUR, 90, 0, 10 * HOUR - 2 * HOUR - HOUR / 2},
        /* Never in a tight loop, even when it has ended. */
        {0, 0, 1 * S, 0, 0, 1 * S},
        {0, -HOUR, -1, 0, 0, 1 * S},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
        assert_int_equal(rotation_plan_renew_at_ms(T + CASES[i].now, T + CASES[i].from,
                                                   T + CASES[i].to, CASES[i].jitter,
                                                   CASES[i].random) -
                             T,
                         CASES[i].at);
}

static void retries_double_to_their_maximum_for_ever(void **state)
{
    static const struct {
        unsigned failures;
        uint64_t middle;
    } CASES[] = {{1, 1 * S},   {2, 2 * S},    {3, 4 * S},
                 {4, 8 * S},   {5, 16 * S},   {8, 128 * S},
                 {9, 150 * S}, {10, 150 * S}, {4000000000u, 150 * S}};
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint64_t spread = CASES[i].middle / 5;
        assert_int_equal(rotation_plan_retry_ms(CASES[i].failures, 0, T, spread), CASES[i].middle);
        assert_int_equal(rotation_plan_retry_ms(CASES[i].failures, 0, T, 0),
                         CASES[i].middle - spread);
        assert_int_equal(rotation_plan_retry_ms(CASES[i].failures, 0, T, 2 * spread),
                         CASES[i].middle + spread);
    }
}

static void retries_come_faster_when_the_end_is_near(void **state)
{
    const uint64_t no_jitter_of_10_s = 2 * S;
    assert_int_equal(rotation_plan_retry_ms(9, T + 19 * S, T, no_jitter_of_10_s), 10 * S);
    assert_true(rotation_plan_retry_ms(9, T + 19 * S, T, 7777777) <= 12 * S);
    assert_int_equal(rotation_plan_retry_ms(9, T + 1, T, 0), 500);
    /* It is still good in the second that notAfter names. */
    assert_int_equal(rotation_plan_retry_ms(9, T - 999, T, 0), 500);
    /* What has ended does not hurry anybody. */
    assert_int_equal(rotation_plan_retry_ms(9, T - 1 * S, T, 30 * S), 150 * S);
    assert_int_equal(rotation_plan_retry_ms(1, T + 24 * (int64_t)HOUR, T, 200), 1 * S);
}

/* Held: from an hour ago, for an hour, renewal in half an hour; last asked ten seconds ago. */
static struct rotation_view held(void)
{
    return (struct rotation_view){
        .now_ms = T,
        .last_wake_ms = T - 10 * S,
        .not_before_ms = T - HOUR,
        .not_after_ms = T + HOUR,
        .renew_at_ms = T + HOUR / 2,
    };
}

static void expect(const struct rotation_view *view, enum rotation_action action, uint64_t wait_ms)
{
    struct rotation_step step = rotation_plan_next(view);
    assert_int_equal(step.action, action);
    assert_int_equal(step.wait_ms, wait_ms);
}

static void a_certificate_that_is_not_due_waits_in_short_steps(void **state)
{
    struct rotation_view view = held();
    expect(&view, ROTATION_WAIT, ROTATION_WAKE_MAX_MS);
    view.renew_at_ms = T + 7;
    expect(&view, ROTATION_WAIT, 7);
    view.renew_at_ms = 0;
    view.not_after_ms = T + 5;
    expect(&view, ROTATION_WAIT, 5 + 1000);
}

static void what_is_due_is_renewed(void **state)
{
    struct rotation_view view = held();
    view.renew_at_ms = T;
    expect(&view, ROTATION_RENEW, 0);
    view.renew_at_ms = T - 5 * HOUR; /* after a suspend */
    expect(&view, ROTATION_RENEW, 0);
    view.is_fetching = true;
    expect(&view, ROTATION_WAIT, ROTATION_WAKE_MAX_MS);
    expect(&(struct rotation_view){.now_ms = T}, ROTATION_RENEW, 0);
    expect(&(struct rotation_view){.now_ms = T, .is_fetching = true}, ROTATION_WAIT,
           ROTATION_WAKE_MAX_MS);
}

static void a_failure_waits_for_its_retry(void **state)
{
    struct rotation_view view = held();
    view.retry_at_ms = T + 4 * S;
    expect(&view, ROTATION_WAIT, 4 * S);
    view.renew_at_ms = T - 1;
    expect(&view, ROTATION_WAIT, 4 * S);
    view.retry_at_ms = T;
    expect(&view, ROTATION_RENEW, 0);
    /* A store is asked again after a failure although it has no time for renewal. */
    view.renew_at_ms = 0;
    expect(&view, ROTATION_RENEW, 0);
    expect(&(struct rotation_view){.now_ms = T, .retry_at_ms = T + S}, ROTATION_WAIT, S);
}

static void what_has_ended_is_dropped_first(void **state)
{
    struct rotation_view view = held();
    view.not_after_ms = T - 1000;
    expect(&view, ROTATION_DROP, 0);
    view.is_fetching = true;
    expect(&view, ROTATION_DROP, 0);
    view.not_after_ms = T - 999; /* the last second is still inside */
    expect(&view, ROTATION_WAIT, 1);
}

static void a_clock_that_goes_back_neither_drops_nor_delays(void **state)
{
    struct rotation_view view = held();
    view.now_ms = T - 5 * HOUR; /* before not_before */
    expect(&view, ROTATION_RENEW, 0);
    view.retry_at_ms = T + 4 * S; /* set before the step: five hours from now */
    expect(&view, ROTATION_RENEW, 0);
    view.last_wake_ms = view.now_ms - 1;
    view.retry_at_ms = view.now_ms + S;
    expect(&view, ROTATION_WAIT, S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renewal_is_in_the_middle_of_what_is_left),
        cmocka_unit_test(retries_double_to_their_maximum_for_ever),
        cmocka_unit_test(retries_come_faster_when_the_end_is_near),
        cmocka_unit_test(a_certificate_that_is_not_due_waits_in_short_steps),
        cmocka_unit_test(what_is_due_is_renewed),
        cmocka_unit_test(a_failure_waits_for_its_retry),
        cmocka_unit_test(what_has_ended_is_dropped_first),
        cmocka_unit_test(a_clock_that_goes_back_neither_drops_nor_delays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
