#include "probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct row {
    const char *include_ports, *exclude_ports, *include_cidrs, *exclude_cidrs;
    const char *ipv4, *ipv6; /* what is picked; NULL: nothing */
};

static void set_row(struct capture_options *options, const struct row *row)
{
    const char *const settings[][2] = {{"include-outbound-ports", row->include_ports},
                                       {"exclude-outbound-ports", row->exclude_ports},
                                       {"include-outbound-cidrs", row->include_cidrs},
                                       {"exclude-outbound-cidrs", row->exclude_cidrs}};
    capture_options_init(options);
    for (size_t i = 0; i < COUNT(settings); i++)
        assert_int_equal(capture_options_set(options, settings[i][0], settings[i][1], NULL), 0);
    assert_int_equal(capture_options_check(options, NULL), 0);
}

static void check_pick(const struct capture_options *options, enum ip_family family,
                       const char *expected)
{
    struct addr to;
    char text[ADDR_TEXT_MAX];
    if (!probe_pick(options, family, &to)) {
        assert_null(expected);
        return;
    }
    assert_non_null(expected);
    assert_string_equal(addr_format(&to, text), expected);
    assert_true(capture_options_capture_outbound(options, &to));
}

static void a_captured_destination_is_picked_whatever_the_options_leave(void **state)
{
    static const struct row rows[] = {
        {"", "", "", "", "192.0.2.1:20001", "[2001:db8::1]:20001"},
        {"443", "", "", "", "192.0.2.1:443", "[2001:db8::1]:443"},
        {"443-445", "443", "", "", "192.0.2.1:444", "[2001:db8::1]:444"},
        {"", "20001", "", "", "192.0.2.1:1", "[2001:db8::1]:1"},
        {"", "1-20001", "", "", "192.0.2.1:20002", "[2001:db8::1]:20002"},
        {"", "1-65535", "", "", NULL, NULL},
        {"", "", "10.0.0.0/8", "", "10.0.0.1:20001", NULL},
        {"", "", "10.0.0.0/8,fd00::/8", "", "10.0.0.1:20001", "[fd00::1]:20001"},
        {"", "", "10.0.0.7", "", "10.0.0.7:20001", NULL},
        {"", "", "10.0.0.0/8", "10.0.0.0/16", "10.1.0.1:20001", NULL},
        {"443", "", "fd00::/8", "", "192.0.2.1:443", "[2001:db8::1]:443"},
        {"", "", "", "192.0.2.0/24", "198.51.100.1:20001", "[2001:db8::1]:20001"},
        {"", "", "", "0.0.0.0/0", NULL, "[2001:db8::1]:20001"},
        {"", "", "", "128.0.0.0/1,2000::/3", "10.0.0.1:20001", "[fd00::1]:20001"},
        {"", "", "", "128.0.0.0/1,10.0.0.0/8", "11.0.0.1:20001", "[2001:db8::1]:20001"},
        {"", "", "", "2000::/3,fc00::/7,10.0.0.0/8", "192.0.2.1:20001", "[4000::1]:20001"},
        {"", "", "::1", "", NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct capture_options options;
        set_row(&options, &rows[i]);
        check_pick(&options, IP_V4, rows[i].ipv4);
        check_pick(&options, IP_V6, rows[i].ipv6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_captured_destination_is_picked_whatever_the_options_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
