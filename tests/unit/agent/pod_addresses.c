#include "pod_addresses.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void what_is_given_is_taken_and_told_once(void **state)
{
    static const struct {
        const char *given;
        const char *text;
    } rows[] = {
        {"10.0.0.1", "10.0.0.1"},
        {"10.0.0.1,fd00::1", "10.0.0.1,fd00::1"},
        {"10.0.0.1,::ffff:10.0.0.1,10.0.0.2", "10.0.0.1,10.0.0.2"},
        {"FD00:0::01", "fd00::1"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pod_addresses addresses;
        struct err err;
        assert_int_equal(pod_addresses_get(&addresses, rows[i].given, &err), 0);
        assert_string_equal(addresses.text, rows[i].text);
    }
}

static void what_is_no_address_is_named(void **state)
{
    static const char *const rows[] = {"10.0.0.1,", ",10.0.0.1", "10.0.0.1 ", "pod", "10.0.0.1:80"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pod_addresses addresses;
        struct err err;
        assert_int_equal(pod_addresses_get(&addresses, rows[i], &err), -1);
        assert_int_equal(err.kind, ERR_INVALID);
        assert_non_null(strstr(err.message, rows[i]));
    }
}

static void more_than_a_pod_has_are_left_out(void **state)
{
    char given[1024] = "10.0.0.0";
    for (unsigned i = 1; i < POD_ADDRESSES_MAX + 5; i++) {
        char text[32];
        strcat(given, ",");
        snprintf(text, sizeof(text), "10.0.0.%u", i);
        strcat(given, text);
    }
    struct pod_addresses addresses;
    struct err err;
    assert_int_equal(pod_addresses_get(&addresses, given, &err), 0);
    assert_int_equal(addresses.num, POD_ADDRESSES_MAX);
}

/* Whatever the machine has: a machine with nothing but loopback says so. */
static void the_machines_own_are_neither_loopback_nor_link_local(void **state)
{
    struct pod_addresses addresses;
    struct err err;
    if (pod_addresses_get(&addresses, "", &err) < 0) {
        assert_string_equal(err.message, "this pod has no address");
        return;
    }
    for (size_t i = 0; i < addresses.num; i++) {
        char text[ADDR_TEXT_MAX];
        ip_format(&addresses.ips[i], text);
        assert_false(ip_is_loopback(&addresses.ips[i]));
        assert_int_not_equal(strncmp(text, "fe80:", 5), 0);
        assert_int_not_equal(strncmp(text, "169.254.", 8), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_given_is_taken_and_told_once),
        cmocka_unit_test(what_is_no_address_is_named),
        cmocka_unit_test(more_than_a_pod_has_are_left_out),
        cmocka_unit_test(the_machines_own_are_neither_loopback_nor_link_local),
    };
    return cmocka_run_group_tests_name("pod_addresses", tests, NULL, NULL);
}
