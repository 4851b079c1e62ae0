#include "capture_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct addr addr_of(const char *text)
{
    struct addr addr;
    assert_int_equal(addr_parse(&addr, text, NULL), 0);
    return addr;
}

static void set(struct capture_options *options, const char *name, const char *text)
{
    struct err err = {0};
    if (capture_options_set(options, name, text, &err) < 0)
        fail_msg("%s=%s: %s", name, text, err.message);
}

static void defaults_are_valid_and_capture_everything_but_loopback_and_link_local(void **state)
{
    static const struct {
        const char *to;
        bool captured;
    } rows[] = {
        {"192.0.2.1:80", true},  {"169.254.169.254:80", true}, {"[2001:db8::1]:443", true},
        {"127.0.0.1:80", false}, {"127.255.0.9:80", false},    {"[::1]:80", false},
        {"[fe80::1]:80", false}, {"[febf:ffff::1]:80", false}, {"[fec0::1]:80", true},
    };
    struct capture_options options;
    capture_options_init(&options);
    assert_int_equal(capture_options_check(&options, NULL), 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct addr to = addr_of(rows[i].to);
        if (capture_options_capture_outbound(&options, &to) != rows[i].captured)
            fail_msg("%s", rows[i].to);
    }
}

static void ports_are_read_with_ranges_blanks_and_limits(void **state)
{
    struct capture_options options;
    capture_options_init(&options);
    set(&options, "exclude-inbound-ports", " 1 ,80,\t8000-8999, 65535 ");
    const struct capture_ports *ports = &options.exclude_inbound_ports;
    assert_int_equal(ports->num, 4);
    static const struct {
        uint16_t port;
        bool contained;
    } rows[] = {{1, true},    {2, false},    {79, false},    {80, true},
                {81, false},  {7999, false}, {8000, true},   {8500, true},
                {8999, true}, {9000, false}, {65534, false}, {65535, true}};
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(capture_ports_contain(ports, rows[i].port), rows[i].contained);
}

static void an_empty_text_is_an_empty_list_and_replaces_what_was_there(void **state)
{
    struct capture_options options;
    capture_options_init(&options);
    set(&options, "include-inbound-ports", "80");
    set(&options, "include-inbound-ports", " ");
    assert_int_equal(options.include_inbound_ports.num, 0);
    assert_false(options.include_inbound_ports.all);
    set(&options, "include-inbound-ports", " * ");
    assert_true(options.include_inbound_ports.all);
    assert_int_equal(options.agent_uids.num, 1);
    assert_int_equal(options.agent_uids.ids[0], 1337);
}

static void malformed_texts_are_refused_and_quoted(void **state)
{
    static const struct {
        const char *name, *text, *quoted;
    } rows[] = {
        {"exclude-outbound-ports", "http", "\"http\""},
        {"exclude-outbound-ports", "80x", "\"80x\""},
        {"exclude-outbound-ports", "0", "\"0\""},
        {"exclude-outbound-ports", "65536", "\"65536\""},
        {"exclude-outbound-ports", "99999999999999999999", "\"99999999999999999999\""},
        {"exclude-outbound-ports", "-1", "\"-1\""},
        {"exclude-outbound-ports", "+80", "\"+80\""},
        {"exclude-outbound-ports", "080", "\"080\""},
        {"exclude-outbound-ports", "80 81", "\"80 81\""},
        {"exclude-outbound-ports", "80-", "\"80-\""},
        {"exclude-outbound-ports", "-80", "\"-80\""},
        {"exclude-outbound-ports", "80-90-100", "\"80-90-100\""},
        {"exclude-outbound-ports", "90-80", "ends before it begins"},
        {"exclude-outbound-ports", "80,,81", "an entry is empty"},
        {"exclude-outbound-ports", ",80", "an entry is empty"},
        {"exclude-outbound-ports", "80,", "after \"80\""},
        {"exclude-outbound-ports", "80, ", "after \"80\""},
        {"exclude-outbound-ports", "80,80", "\"80\" overlaps \"80\""},
        {"exclude-outbound-ports", "8000-8999,8080", "\"8080\" overlaps \"8000-8999\""},
        {"exclude-outbound-ports", "*", "everything"},
        {"exclude-outbound-ports", "80,*", "\"*\""},
        {"include-inbound-ports", "*,80", "\"*\""},
        {"exclude-outbound-ports", "80; flush ruleset", "\"80; flush ruleset\""},
        {"include-outbound-cidrs", "10.0.0.0/33", "10.0.0.0/33"},
        {"include-outbound-cidrs", "10.0.0.0/", "10.0.0.0/"},
        {"include-outbound-cidrs", "10.0.0/8", "10.0.0/8"},
        {"include-outbound-cidrs", "10.1.0.0/8", "10.0.0.0/8"},
        {"include-outbound-cidrs", "fd00::1/8", "fd00::/8"},
        {"include-outbound-cidrs", "example.com", "example.com"},
        {"include-outbound-cidrs", "10.0.0.0/8,10.1.0.0/16",
         "\"10.1.0.0/16\" overlaps \"10.0.0.0/8\""},
        {"include-outbound-cidrs", "10.1.0.0/16,10.0.0.0/8",
         "\"10.0.0.0/8\" overlaps \"10.1.0.0/16\""},
        {"include-outbound-cidrs", "::1,::1/128", "\"::1/128\" overlaps"},
        {"exclude-outbound-cidrs", "*", "everything"},
        {"agent-uids", "root", "\"root\""},
        {"agent-uids", "0", "root"},
        {"agent-uids", "1337,1337", "twice"},
        {"agent-uids", "4294967295", "\"4294967295\""},
        {"agent-uids", "-1", "\"-1\""},
        {"agent-gids", "0", "root"},
        {"exclude-interfaces", "lo", "lo"},
        {"exclude-interfaces", "eth*", "\"eth*\""},
        {"exclude-interfaces", "eth0\" accept; #", "eth0\" accept; #"},
        {"exclude-interfaces", "eth0,eth0", "twice"},
        {"exclude-interfaces", "abcdefghijklmnop", "abcdefghijklmnop"},
        {"exclude-interfaces",
         "eth0000000000000000000000000000000000000000000000000000000000000000", "too long"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct capture_options options;
        struct err err = {0};
        capture_options_init(&options);
        if (capture_options_set(&options, rows[i].name, rows[i].text, &err) == 0)
            fail_msg("%s=%s was taken", rows[i].name, rows[i].text);
        assert_int_equal(err.kind, ERR_INVALID);
        if (!strstr(err.message, rows[i].quoted))
            fail_msg("%s=%s: %s", rows[i].name, rows[i].text, err.message);
    }
}

static void lists_have_a_limit(void **state)
{
    static const struct {
        const char *name, *format;
        unsigned max;
    } rows[] = {
        {"exclude-inbound-ports", "%u", CAPTURE_PORTS_MAX},
        {"include-outbound-cidrs", "10.0.%u.0/32", CAPTURE_CIDRS_MAX},
        {"agent-uids", "%u", CAPTURE_IDS_MAX},
        {"exclude-interfaces", "eth%u", CAPTURE_INTERFACES_MAX},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[CAPTURE_PORTS_MAX * 32] = "";
        size_t len = 0;
        struct capture_options options;
        capture_options_init(&options);
        for (unsigned n = 1; n <= rows[i].max + 1; n++) {
            char entry[32];
            /* The last CIDR would be 10.0.257.0; any other free address does. */
            if (rows[i].max == CAPTURE_CIDRS_MAX && strchr(rows[i].format, '.'))
                snprintf(entry, sizeof(entry), "10.0.%u.%u/32", n / 200, n % 200);
            else if (strncmp(rows[i].format, "eth", 3) == 0)
                snprintf(entry, sizeof(entry), "eth%u", n);
            else
                snprintf(entry, sizeof(entry), "%u", n);
            if (n == rows[i].max + 1)
                set(&options, rows[i].name, text);
            len +=
                (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", n > 1 ? "," : "", entry);
        }
        struct err err = {0};
        assert_int_equal(capture_options_set(&options, rows[i].name, text, &err), -1);
        assert_non_null(strstr(err.message, "more than"));
    }
}

static void options_that_contradict_each_other_are_refused_by_name(void **state)
{
    static const struct {
        const char *name_a, *text_a, *name_b, *text_b;
        const char *said; /* NULL: they fit */
    } rows[] = {
        {"include-inbound-ports", "80", "exclude-inbound-ports", "80",
         "include-inbound-ports \"80\" and exclude-inbound-ports \"80\""},
        {"include-inbound-ports", "80-90", "exclude-inbound-ports", "85-95",
         "include-inbound-ports \"80-90\" and exclude-inbound-ports \"85-95\""},
        {"include-inbound-ports", "80-90", "exclude-inbound-ports", "70-100", "overlap"},
        {"include-inbound-ports", "80-90", "exclude-inbound-ports", "80-90", "overlap"},
        {"include-inbound-ports", "80-90", "exclude-inbound-ports", "85", NULL},
        {"include-inbound-ports", "80-90", "exclude-inbound-ports", "90", NULL},
        {"include-inbound-ports", "80-90", "exclude-inbound-ports", "91", NULL},
        {"include-inbound-ports", "*", "exclude-inbound-ports", "80", NULL},
        {"include-inbound-ports", "15008", "exclude-inbound-ports", "", "15008"},
        {"include-inbound-ports", "15000-15010", "exclude-inbound-ports", "", NULL},
        {"exclude-inbound-ports", "15020", "include-inbound-ports", "*", NULL},
        {"include-outbound-ports", "443", "exclude-outbound-ports", "443",
         "include-outbound-ports \"443\" and exclude-outbound-ports \"443\""},
        {"include-inbound-ports", "443", "exclude-outbound-ports", "443", NULL},
        {"include-outbound-cidrs", "10.1.0.0/16", "exclude-outbound-cidrs", "10.0.0.0/8",
         "include-outbound-cidrs \"10.1.0.0/16\" lies in exclude-outbound-cidrs \"10.0.0.0/8\""},
        {"include-outbound-cidrs", "fd00::/8", "exclude-outbound-cidrs", "fd00::/8", "lies in"},
        {"include-outbound-cidrs", "10.0.0.0/8", "exclude-outbound-cidrs", "10.1.0.0/16", NULL},
        {"include-outbound-cidrs", "10.0.0.0/8", "exclude-outbound-cidrs", "fd00::/8", NULL},
        {"agent-uids", "", "agent-gids", "1337", "agent-uids"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct capture_options options;
        struct err err = {0};
        capture_options_init(&options);
        set(&options, rows[i].name_a, rows[i].text_a);
        set(&options, rows[i].name_b, rows[i].text_b);
        int result = capture_options_check(&options, &err);
        if ((result == 0) != !rows[i].said || (result < 0 && !strstr(err.message, rows[i].said)))
            fail_msg("row %zu: %d \"%s\"", i, result, err.message);
    }
}

static void agent_ports_that_cannot_work_are_refused(void **state)
{
    static const struct {
        uint16_t outbound, inbound;
        const char *said;
    } rows[] = {{15001, 15001, "both 15001"},
                {15008, 15006, "outbound-port 15008"},
                {15001, 15021, "inbound-port 15021"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct capture_options options;
        struct err err = {0};
        capture_options_init(&options);
        options.outbound_port = rows[i].outbound;
        options.inbound_port = rows[i].inbound;
        assert_int_equal(capture_options_check(&options, &err), -1);
        assert_non_null(strstr(err.message, rows[i].said));
    }
}

static void include_lists_add_to_each_other_and_exclusions_win(void **state)
{
    static const struct {
        const char *include_ports, *include_cidrs, *exclude_ports, *exclude_cidrs, *to;
        bool captured;
    } rows[] = {
        {"443", "", "", "", "192.0.2.1:443", true},
        {"443", "", "", "", "192.0.2.1:80", false},
        {"", "10.0.0.0/8", "", "", "10.1.2.3:80", true},
        {"", "10.0.0.0/8", "", "", "192.0.2.1:80", false},
        {"", "10.0.0.0/8", "", "", "[fd00::1]:80", false},
        {"443", "10.0.0.0/8", "", "", "192.0.2.1:443", true},
        {"443", "10.0.0.0/8", "", "", "10.1.2.3:80", true},
        {"443", "10.0.0.0/8", "", "", "192.0.2.1:80", false},
        {"443", "*", "", "", "192.0.2.1:80", true},
        {"*", "10.0.0.0/8", "", "", "192.0.2.1:80", true},
        {"", "", "80", "", "192.0.2.1:80", false},
        {"", "", "80", "", "192.0.2.1:81", true},
        {"", "", "", "192.0.2.0/24", "192.0.2.1:81", false},
        {"", "", "", "fd00::/8", "[fd12::1]:81", false},
        {"8000-8999", "", "8080", "", "192.0.2.1:8080", false},
        {"8000-8999", "", "8080", "", "192.0.2.1:8081", true},
        {"", "10.0.0.0/8", "", "10.1.0.0/16", "10.1.2.3:80", false},
        {"443", "10.0.0.0/8", "", "10.1.0.0/16", "10.1.2.3:443", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct capture_options options;
        capture_options_init(&options);
        set(&options, "include-outbound-ports", rows[i].include_ports);
        set(&options, "include-outbound-cidrs", rows[i].include_cidrs);
        set(&options, "exclude-outbound-ports", rows[i].exclude_ports);
        set(&options, "exclude-outbound-cidrs", rows[i].exclude_cidrs);
        assert_int_equal(capture_options_check(&options, NULL), 0);
        struct addr to = addr_of(rows[i].to);
        if (capture_options_capture_outbound(&options, &to) != rows[i].captured)
            fail_msg("row %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_valid_and_capture_everything_but_loopback_and_link_local),
        cmocka_unit_test(ports_are_read_with_ranges_blanks_and_limits),
        cmocka_unit_test(an_empty_text_is_an_empty_list_and_replaces_what_was_there),
        cmocka_unit_test(malformed_texts_are_refused_and_quoted),
        cmocka_unit_test(lists_have_a_limit),
        cmocka_unit_test(options_that_contradict_each_other_are_refused_by_name),
        cmocka_unit_test(agent_ports_that_cannot_work_are_refused),
        cmocka_unit_test(include_lists_add_to_each_other_and_exclusions_win),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
