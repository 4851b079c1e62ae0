#include "endpoint.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void addresses_of_both_families_are_read(void **state)
{
    struct endpoint endpoint;

    assert_true(endpoint_parse(&endpoint, "198.18.0.1:8080"));
    assert_int_equal(endpoint.addr.ss_family, AF_INET);
    assert_int_equal(endpoint.addr_len, sizeof(struct sockaddr_in));
    assert_int_equal(ntohs(((const struct sockaddr_in *)&endpoint.addr)->sin_port), 8080);
    assert_true(endpoint_parse(&endpoint, "[fd00::1]:65535"));
    assert_int_equal(endpoint.addr.ss_family, AF_INET6);
    assert_int_equal(ntohs(((const struct sockaddr_in6 *)&endpoint.addr)->sin6_port), 65535);
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "198.18.0.1",
        "198.18.0.1:",
        "198.18.0.1:0",
        "198.18.0.1:65536",
        "198.18.0.1:80x",
        ":80",
        "backend:80",
        "198.18.0.256:80",
        "fd00::1:80",
        "[fd00::1]",
        "[fd00::1:80",
        "[]:1",
        "[fd00::g]:1",
        "[fd00::1] :1",
        "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:80",
    };
    struct endpoint endpoint;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (endpoint_parse(&endpoint, texts[i]))
            fail_msg("taken for an address: \"%s\"", texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_both_families_are_read),
        cmocka_unit_test(what_is_no_address_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
