#include "histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct histogram histogram;

static int clear(void **state)
{
    histogram_clear(&histogram);
    return 0;
}

static void an_empty_histogram_has_quantile_zero(void **state)
{
    assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
}

static void one_value_is_every_quantile(void **state)
{
    histogram_add(&histogram, 123456);
    assert_int_equal(histogram_quantile(&histogram, 0.0), 123456);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 123456);
    assert_int_equal(histogram_quantile(&histogram, 1.0), 123456);
}

static void small_values_are_exact(void **state)
{
    for (uint64_t ns = 1; ns <= 50; ns++)
        histogram_add(&histogram, ns);
    assert_int_equal(histogram_quantile(&histogram, 0.50), 25);
    assert_int_equal(histogram_quantile(&histogram, 0.98), 49);
}

static void quantiles_stay_within_the_promised_error(void **state)
{
    /* 1..100000 in steps of 7 us: every quantile is known. */
    for (uint64_t i = 1; i <= 100000; i++)
        histogram_add(&histogram, i * 7000);
    for (unsigned percent = 1; percent <= 100; percent++) {
        uint64_t exact = (uint64_t)percent * 1000 * 7000;
        uint64_t found = histogram_quantile(&histogram, percent / 100.0);
        assert_in_range(found, exact, exact + exact / HISTOGRAM_SUB);
    }
}

static void every_power_of_two_falls_into_its_own_bucket(void **state)
{
    for (unsigned bit = 0; bit < HISTOGRAM_BITS; bit++) {
        uint64_t value = (uint64_t)1 << bit;
        histogram_clear(&histogram);
        histogram_add(&histogram, value);
        histogram_add(&histogram, (uint64_t)1 << (HISTOGRAM_BITS + 1));
        assert_in_range(histogram_quantile(&histogram, 0.5), value, value + value / HISTOGRAM_SUB);
    }
}

static void values_beyond_the_range_count_as_the_largest(void **state)
{
    histogram_add(&histogram, UINT64_MAX);
    assert_int_equal(histogram.num_values, 1);
    assert_true(histogram_quantile(&histogram, 0.99) >= (uint64_t)1 << (HISTOGRAM_BITS - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_histogram_has_quantile_zero, clear),
        cmocka_unit_test_setup(one_value_is_every_quantile, clear),
        cmocka_unit_test_setup(small_values_are_exact, clear),
        cmocka_unit_test_setup(quantiles_stay_within_the_promised_error, clear),
        cmocka_unit_test_setup(every_power_of_two_falls_into_its_own_bucket, clear),
        cmocka_unit_test_setup(values_beyond_the_range_count_as_the_largest, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
