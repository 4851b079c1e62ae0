#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include <cmocka.h>

static void time_is_written_as_rfc_3339(void **state)
{
    static const struct {
        int64_t wall_ms;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {1795428000000, "2026-11-23T10:00:00.000Z"},
        {951782400123, "2000-02-29T00:00:00.123Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {253402300800000, "9999-12-31T23:59:59.999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
    };
    char out[CLOCK_TEXT_MAX];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(clock_format(rows[i].wall_ms, out), rows[i].text);
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
    uint64_t before = clock_mono_ms();
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t now = clock_mono_ms();
        assert_true(now >= before);
        before = now;
    }
}

static void the_wall_clock_is_past_the_year_2020(void **state)
{
    assert_true(clock_wall_ms() > 1577836800000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_is_written_as_rfc_3339),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
        cmocka_unit_test(the_wall_clock_is_past_the_year_2020),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
