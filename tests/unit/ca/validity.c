#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ca_validity.h"

enum { NOW = 1000000, DAY = 86400 };

static const struct ca_validity_limits limits = {.default_s = 3600,
                                                 .max_s = 7200,
                                                 .issuer_not_before_s = NOW - 100000,
                                                 .issuer_not_after_s = NOW + DAY};

static void lifetimes_are_what_is_asked_for_within_the_limits(void **state)
{
    static const struct {
        int64_t requested_s;
        int64_t from;
        int64_t to;
    } rows[] = {
        {0, -120, 3600},         {3600, -120, 3600}, {7200, -120, 7200}, {7201, -120, 7200},
        {INT64_MAX, -120, 7200}, {240, -120, 240},   {100, -50, 100},    {1, 0, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ca_validity validity;
        struct err err;
        assert_int_equal(
            ca_validity_choose(&limits, rows[i].requested_s, NOW * 1000LL + 999, &validity, &err),
            0);
        assert_int_equal(validity.not_before_s, NOW + rows[i].from);
        assert_int_equal(validity.not_after_s, NOW + rows[i].to);
    }
}

static void a_certificate_never_outlives_or_precedes_its_issuer(void **state)
{
    struct ca_validity_limits tight = limits;
    struct ca_validity validity;
    struct err err;
    tight.issuer_not_before_s = NOW - 10;
    tight.issuer_not_after_s = NOW + 1000;
    assert_int_equal(ca_validity_choose(&tight, 0, NOW * 1000LL, &validity, &err), 0);
    assert_int_equal(validity.not_before_s, NOW - 10);
    assert_int_equal(validity.not_after_s, NOW + 1000);
}

static void a_negative_lifetime_is_the_callers_mistake(void **state)
{
    struct ca_validity validity;
    struct err err = {0};
    assert_int_equal(ca_validity_choose(&limits, -1, NOW * 1000LL, &validity, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
}

static void an_issuer_out_of_its_time_issues_nothing(void **state)
{
    static const int64_t times[] = {NOW + DAY, NOW + DAY + 1, NOW - 100001};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct ca_validity validity;
        struct err err = {0};
        assert_int_equal(ca_validity_choose(&limits, 60, times[i] * 1000, &validity, &err), -1);
        assert_int_equal(err.kind, ERR_LIMIT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lifetimes_are_what_is_asked_for_within_the_limits),
        cmocka_unit_test(a_certificate_never_outlives_or_precedes_its_issuer),
        cmocka_unit_test(a_negative_lifetime_is_the_callers_mistake),
        cmocka_unit_test(an_issuer_out_of_its_time_issues_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
