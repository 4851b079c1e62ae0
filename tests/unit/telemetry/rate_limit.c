#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rate_limit.h"

static unsigned num_passing(struct rate_limit *limit, uint64_t now_ms, unsigned attempts)
{
    unsigned num = 0;
    uint64_t refused;
    for (unsigned i = 0; i < attempts; i++)
        num += rate_limit_take(limit, now_ms, &refused);
    return num;
}

static void burst_passes_and_then_only_the_rate(void **state)
{
    struct rate_limit limit;
    rate_limit_init(&limit, 10, 5);
    assert_int_equal(num_passing(&limit, 1000000, 100), 5);
    assert_int_equal(num_passing(&limit, 1000099, 100), 0);
    assert_int_equal(num_passing(&limit, 1000100, 100), 1);
    assert_int_equal(num_passing(&limit, 1000350, 100), 2);
    assert_int_equal(num_passing(&limit, 1000400, 100), 1); /* halves are not lost */
    assert_int_equal(num_passing(&limit, 9000000, 100), 5); /* nor saved up past the burst */
}

static void refused_ones_are_told_with_the_next_that_passes(void **state)
{
    struct rate_limit limit;
    uint64_t refused = 99;
    rate_limit_init(&limit, 1, 1);
    assert_true(rate_limit_take(&limit, 5, &refused));
    assert_int_equal(refused, 0);
    assert_int_equal(num_passing(&limit, 6, 7), 0);
    assert_true(rate_limit_take(&limit, 2000, &refused));
    assert_int_equal(refused, 7);
    assert_true(rate_limit_take(&limit, 4000, &refused));
    assert_int_equal(refused, 0);
}

static void extreme_times_do_not_break_it(void **state)
{
    struct rate_limit limit;
    rate_limit_init(&limit, UINT32_MAX, 3);
    assert_int_equal(num_passing(&limit, UINT64_MAX, 10), 3);
    assert_int_equal(num_passing(&limit, 0, 10), 0); /* back in time: nothing is earned */
    rate_limit_init(&limit, 0, 2);
    assert_int_equal(num_passing(&limit, UINT64_MAX, 10), 2);
    assert_int_equal(num_passing(&limit, UINT64_MAX, 10), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_passes_and_then_only_the_rate),
        cmocka_unit_test(refused_ones_are_told_with_the_next_that_passes),
        cmocka_unit_test(extreme_times_do_not_break_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
