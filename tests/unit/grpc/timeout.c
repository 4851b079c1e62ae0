#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "grpc_timeout.h"

static void a_timeout_is_written_in_the_finest_unit_that_holds_it(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } rows[] = {
        {0, "0m"},
        {1, "1m"},
        {10000, "10000m"},
        {99999999, "99999999m"},
        {100000000, "100000S"},
        {100000001, "100001S"},
        {99999999000, "99999999S"},
        {99999999001, "1666667M"},
        {UINT64_MAX, "99999999H"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[GRPC_TIMEOUT_TEXT_MAX];
        assert_string_equal(grpc_timeout_format(rows[i].ms, out), rows[i].text);
    }
}

static void a_timeout_is_read_in_every_unit_and_rounded_up(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } rows[] = {
        {"1H", 3600000},
        {"2M", 120000},
        {"3S", 3000},
        {"4m", 4},
        {"5u", 1},
        {"1000u", 1},
        {"1001u", 2},
        {"6n", 1},
        {"0n", 0},
        {"00000007S", 7000},
        {"99999999H", 99999999ull * 3600000},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t ms;
        assert_int_equal(grpc_timeout_parse(rows[i].text, strlen(rows[i].text), &ms), 0);
        assert_int_equal(ms, rows[i].ms);
    }
}

static void what_is_not_of_the_form_is_refused(void **state)
{
    static const char *const texts[] = {"",    "S",   "1",   "1s",   "1h",         "-1S", "+1S",
                                        " 1S", "1 S", "1S ", "1.5S", "123456789S", "0x1S"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint64_t ms;
        assert_int_equal(grpc_timeout_parse(texts[i], strlen(texts[i]), &ms), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timeout_is_written_in_the_finest_unit_that_holds_it),
        cmocka_unit_test(a_timeout_is_read_in_every_unit_and_rounded_up),
        cmocka_unit_test(what_is_not_of_the_form_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
