#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "addr.h"

static struct ip ip_of(const char *text)
{
    struct ip ip;
    assert_int_equal(ip_parse(&ip, text, NULL), 0);
    return ip;
}

static struct addr addr_of(const char *text)
{
    struct addr addr;
    assert_int_equal(addr_parse(&addr, text, NULL), 0);
    return addr;
}

static struct cidr cidr_of(const char *text)
{
    struct cidr cidr;
    assert_int_equal(cidr_parse(&cidr, text, NULL), 0);
    return cidr;
}

static void ip_has_one_text_for_each_value(void **state)
{
    static const struct {
        const char *text, *canonical;
        int family;
    } rows[] = {
        {"1.2.3.4", "1.2.3.4", IP_V4},
        {"0.0.0.0", "0.0.0.0", IP_V4},
        {"::", "::", IP_V6},
        {"::1", "::1", IP_V6},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1", IP_V6},
        {"::ffff:10.1.2.3", "10.1.2.3", IP_V4},
        {"::ffff:a01:203", "10.1.2.3", IP_V4},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         IP_V6},
    };
    char out[ADDR_TEXT_MAX];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ip ip = ip_of(rows[i].text);
        assert_int_equal(ip.family, rows[i].family);
        assert_string_equal(ip_format(&ip, out), rows[i].canonical);
    }
}

static void ip_refuses_what_is_no_address(void **state)
{
    static const char *const texts[] = {
        "",          "1.2.3",  "1.2.3.4.5", "1.2.3.256", " 1.2.3.4", "1.2.3.4 ",     "01.2.3.4",
        "localhost", "::1%lo", "[::1]",     "1.2.3.4/8", ":::",      "fe80::1%eth0", "0x1.2.3.4"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ip ip;
        struct err err = {0};
        if (ip_parse(&ip, texts[i], &err) != -1)
            fail_msg("\"%s\" was taken", texts[i]);
        assert_int_equal(err.kind, ERR_INVALID);
    }
}

static void ip_from_bytes_takes_4_or_16(void **state)
{
    static const uint8_t bytes[17] = {10, 1, 2, 3};
    struct ip ip;
    for (size_t len = 0; len <= sizeof(bytes); len++)
        assert_int_equal(ip_from_bytes(&ip, bytes, len, NULL), len == 4 || len == 16 ? 0 : -1);
    assert_int_equal(ip_from_bytes(&ip, bytes, 4, NULL), 0);
    struct ip expected = ip_of("10.1.2.3");
    assert_true(ip_equal(&ip, &expected));
}

static void mapped_and_plain_addresses_are_equal(void **state)
{
    struct ip plain = ip_of("10.1.2.3"), mapped = ip_of("::ffff:10.1.2.3");
    assert_true(ip_equal(&plain, &mapped));
    /* Compatible (deprecated) and NAT64 addresses are something else. */
    struct ip compatible = ip_of("::10.1.2.3");
    assert_false(ip_equal(&plain, &compatible));
}

static void ip_order_is_total(void **state)
{
    static const char *const sorted[] = {"0.0.0.0", "1.2.3.4", "1.2.3.5", "255.0.0.0",
                                         "::",      "::1",     "fd00::"};
    for (size_t i = 0; i < 7; i++) {
        for (size_t j = 0; j < 7; j++) {
            struct ip a = ip_of(sorted[i]), b = ip_of(sorted[j]);
            int order = ip_compare(&a, &b);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
}

static void loopback_and_unspecified_are_known(void **state)
{
    static const struct {
        const char *text;
        bool loopback, unspecified;
    } rows[] = {
        {"127.0.0.1", true, false},  {"127.255.0.9", true, false},
        {"128.0.0.1", false, false}, {"::1", true, false},
        {"::2", false, false},       {"0.0.0.0", false, true},
        {"::", false, true},         {"::ffff:127.0.0.1", true, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ip ip = ip_of(rows[i].text);
        assert_int_equal(ip_is_loopback(&ip), rows[i].loopback);
        assert_int_equal(ip_is_unspecified(&ip), rows[i].unspecified);
    }
    struct ip none = {0};
    assert_false(ip_is_loopback(&none));
    assert_false(ip_is_unspecified(&none));
}

static void addr_text_goes_both_ways(void **state)
{
    static const struct {
        const char *text, *canonical;
    } rows[] = {
        {"1.2.3.4:80", "1.2.3.4:80"},
        {"1.2.3.4:0", "1.2.3.4:0"},
        {"[::1]:65535", "[::1]:65535"},
        {"[::ffff:1.2.3.4]:80", "1.2.3.4:80"},
        {"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
    };
    char out[ADDR_TEXT_MAX];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct addr addr = addr_of(rows[i].text);
        assert_string_equal(addr_format(&addr, out), rows[i].canonical);
    }
}

static void addr_refuses_what_is_malformed(void **state)
{
    static const char *const texts[] = {
        "",           "1.2.3.4",     "1.2.3.4:",    "1.2.3.4:65536",  "1.2.3.4:-1",
        "1.2.3.4:+1", "1.2.3.4: 80", "1.2.3.4:80 ", "1.2.3.4:000080", "::1:80",
        "[::1]",      "[::1]80",     "[::1:80",     "[1.2.3.4]:80",   "[]:80",
        ":80",        "host:80",     "[::1]:80:80", "[[::1]]:80",     "[:80",
        "[",          ":",           "[::1%lo]:80", "1.2.3.4:8o"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct addr addr;
        struct err err = {0};
        if (addr_parse(&addr, texts[i], &err) != -1)
            fail_msg("\"%s\" was taken", texts[i]);
        assert_int_equal(err.kind, ERR_INVALID);
    }
    char long_text[4096];
    memset(long_text, '1', sizeof(long_text));
    memcpy(long_text + sizeof(long_text) - 4, ":80", 4);
    struct addr addr;
    assert_int_equal(addr_parse(&addr, long_text, NULL), -1);
}

static void sockaddr_goes_both_ways(void **state)
{
    static const char *const texts[] = {"1.2.3.4:80", "[fd00::1]:443"};
    for (size_t i = 0; i < 2; i++) {
        struct addr addr = addr_of(texts[i]), back;
        struct sockaddr_storage sa;
        socklen_t len = addr_to_sockaddr(&addr, &sa);
        assert_int_equal(len, i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        assert_int_equal(addr_from_sockaddr(&back, (struct sockaddr *)&sa, NULL), 0);
        assert_true(addr_equal(&addr, &back));
    }
}

static void sockaddr_of_a_mapped_address_is_ipv4(void **state)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
    inet_pton(AF_INET6, "::ffff:10.0.0.1", &sa.sin6_addr);
    struct addr addr, expected = addr_of("10.0.0.1:80");
    assert_int_equal(addr_from_sockaddr(&addr, (struct sockaddr *)&sa, NULL), 0);
    assert_true(addr_equal(&addr, &expected));
}

static void sockaddr_of_another_family_is_refused(void **state)
{
    struct sockaddr sa = {.sa_family = AF_UNIX};
    struct addr addr;
    assert_int_equal(addr_from_sockaddr(&addr, &sa, NULL), -1);
}

static void cidr_text_goes_both_ways(void **state)
{
    static const struct {
        const char *text, *canonical;
    } rows[] = {
        {"10.0.0.0/8", "10.0.0.0/8"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"1.2.3.4", "1.2.3.4/32"},
        {"1.2.3.4/32", "1.2.3.4/32"},
        {"1.2.3.128/25", "1.2.3.128/25"},
        {"fd00::/8", "fd00::/8"},
        {"::1", "::1/128"},
        {"::/0", "::/0"},
        {"::ffff:10.0.0.0/104", "10.0.0.0/8"},
        {"::ffff:10.0.0.1", "10.0.0.1/32"},
    };
    char out[ADDR_TEXT_MAX];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cidr cidr = cidr_of(rows[i].text);
        assert_string_equal(cidr_format(&cidr, out), rows[i].canonical);
    }
}

static void cidr_refuses_what_is_malformed(void **state)
{
    static const char *const texts[] = {"",
                                        "/8",
                                        "10.0.0.0/",
                                        "10.0.0.0/33",
                                        "10.0.0.0/-1",
                                        "10.0.0.0/+8",
                                        "10.0.0.0/08",
                                        "10.0.0.0/8 ",
                                        "10/8",
                                        "::/129",
                                        "::/1000",
                                        "10.0.0.0/8/8",
                                        "x/8",
                                        "::ffff:10.0.0.0/95"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct cidr cidr;
        struct err err = {0};
        if (cidr_parse(&cidr, texts[i], &err) != -1)
            fail_msg("\"%s\" was taken", texts[i]);
        assert_int_equal(err.kind, ERR_INVALID);
    }
}

static void cidr_with_host_bits_names_the_network(void **state)
{
    struct cidr cidr;
    struct err err;
    assert_int_equal(cidr_parse(&cidr, "10.1.2.3/20", &err), -1);
    assert_string_equal(err.message,
                        "\"10.1.2.3/20\" has host bits set; the network is 10.1.0.0/20");
    assert_int_equal(cidr_parse(&cidr, "fd00::1/64", &err), -1);
    assert_non_null(strstr(err.message, "the network is fd00::/64"));
}

static void cidr_around_an_address_is_its_network(void **state)
{
    (void)state;
    static const struct {
        const char *ip;
        unsigned prefix_len;
        const char *cidr;
    } rows[] = {
        {"10.1.2.3", 0, "0.0.0.0/0"},          {"10.1.2.3", 15, "10.0.0.0/15"},
        {"10.1.2.3", 31, "10.1.2.2/31"},       {"10.1.2.3", 32, "10.1.2.3/32"},
        {"10.1.2.3", 33, "10.1.2.3/32"},       {"fd00::ffff", 0, "::/0"},
        {"fd00::ffff", 121, "fd00::ff80/121"}, {"fd00::ffff", 200, "fd00::ffff/128"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[ADDR_TEXT_MAX];
        struct ip ip;
        assert_int_equal(ip_parse(&ip, rows[i].ip, NULL), 0);
        struct cidr cidr = cidr_around(&ip, rows[i].prefix_len);
        assert_string_equal(cidr_format(&cidr, out), rows[i].cidr);
        assert_true(cidr_contains(&cidr, &ip));
    }
}

static void cidr_contains_its_addresses_only(void **state)
{
    static const struct {
        const char *cidr, *ip;
        bool contains;
    } rows[] = {
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.1.2.128/25", "10.1.2.128", true},
        {"10.1.2.128/25", "10.1.2.127", false},
        {"1.2.3.4", "1.2.3.4", true},
        {"1.2.3.4", "1.2.3.5", false},
        {"0.0.0.0/0", "8.8.8.8", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "fd00::1", true},
        {"::/0", "8.8.8.8", false},
        {"fd00::/9", "fd7f::1", true},
        {"fd00::/9", "fd80::1", false},
        {"10.0.0.0/8", "::ffff:10.0.0.1", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cidr cidr = cidr_of(rows[i].cidr);
        struct ip ip = ip_of(rows[i].ip);
        if (cidr_contains(&cidr, &ip) != rows[i].contains)
            fail_msg("%s and %s", rows[i].cidr, rows[i].ip);
    }
}

static void cidr_from_bytes_clears_host_bits_and_refuses_what_is_none(void **state)
{
    static const uint8_t v6[16] = {0xfd, 0, 0xff, [15] = 1};
    static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 10, 1, 2, 3};
    static const struct {
        const uint8_t *bytes;
        size_t len;
        uint32_t prefix_len;
        const char *expected; /* NULL: refused */
    } cases[] = {
        {mapped + 12, 4, 8, "10.0.0.0/8"},
        {mapped + 12, 4, 32, "10.1.2.3/32"},
        {mapped + 12, 4, 0, "0.0.0.0/0"},
        {mapped + 12, 4, 33, NULL},
        {mapped + 12, 4, UINT32_MAX, NULL},
        {mapped + 12, 3, 8, NULL},
        {v6, 16, 17, "fd00:8000::/17"},
        {v6, 16, 128, "fd00:ff00::1/128"},
        {v6, 16, 129, NULL},
        {mapped, 16, 104, "10.0.0.0/8"},
        {mapped, 16, 95, NULL},
        {v6, 0, 0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cidr cidr;
        struct err err = {0};
        char text[ADDR_TEXT_MAX];
        int result =
            cidr_from_bytes(&cidr, cases[i].bytes, cases[i].len, cases[i].prefix_len, &err);
        assert_int_equal(result, cases[i].expected == NULL ? -1 : 0);
        if (cases[i].expected != NULL)
            assert_string_equal(cidr_format(&cidr, text), cases[i].expected);
        else
            assert_int_equal(err.kind, ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ip_has_one_text_for_each_value),
        cmocka_unit_test(ip_refuses_what_is_no_address),
        cmocka_unit_test(ip_from_bytes_takes_4_or_16),
        cmocka_unit_test(mapped_and_plain_addresses_are_equal),
        cmocka_unit_test(ip_order_is_total),
        cmocka_unit_test(loopback_and_unspecified_are_known),
        cmocka_unit_test(addr_text_goes_both_ways),
        cmocka_unit_test(addr_refuses_what_is_malformed),
        cmocka_unit_test(sockaddr_goes_both_ways),
        cmocka_unit_test(sockaddr_of_a_mapped_address_is_ipv4),
        cmocka_unit_test(sockaddr_of_another_family_is_refused),
        cmocka_unit_test(cidr_text_goes_both_ways),
        cmocka_unit_test(cidr_refuses_what_is_malformed),
        cmocka_unit_test(cidr_with_host_bits_names_the_network),
        cmocka_unit_test(cidr_around_an_address_is_its_network),
        cmocka_unit_test(cidr_contains_its_addresses_only),
        cmocka_unit_test(cidr_from_bytes_clears_host_bits_and_refuses_what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
