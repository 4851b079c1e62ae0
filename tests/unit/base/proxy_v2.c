#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy_v2.h"

#define SIGNATURE "0d0a0d0a000d0a515549540a"

static struct addr addr_of(const char *text)
{
    struct addr addr = {0};
    if (text != NULL)
        assert_int_equal(addr_parse(&addr, text, NULL), 0);
    return addr;
}

static void the_header_is_what_the_specification_says(void **state)
{
    const struct {
        const char *source;
        const char *destination;
        const char *identity;
        const char *hex; /* after the signature */
    } rows[] = {
        {"10.0.0.1:4660", "10.0.0.2:80", NULL,
         "21"
         "11"
         "000c"
         "0a000001"
         "0a000002"
         "1234"
         "0050"},
        {"10.0.0.1:4660", "10.0.0.2:80", "",
         "21"
         "11"
         "000c"
         "0a000001"
         "0a000002"
         "1234"
         "0050"},
        {"10.0.0.1:4660", "10.0.0.2:80", "spiffe://a/b",
         "21"
         "11"
         "001b"
         "0a000001"
         "0a000002"
         "1234"
         "0050"
         "d0"
         "000c"
         "7370696666653a2f2f612f62"},
        {"[fd00::1]:1", "[fd00::2]:65535", NULL,
         "21"
         "21"
         "0024"
         "fd000000000000000000000000000001"
         "fd000000000000000000000000000002"
         "0001"
         "ffff"},
        {"10.0.0.1:1", "[fd00::2]:2", NULL,
         "21"
         "21"
         "0024"
         "00000000000000000000ffff0a000001"
         "fd000000000000000000000000000002"
         "0001"
         "0002"},
        {"[fd00::1]:1", "10.0.0.2:2", NULL,
         "21"
         "21"
         "0024"
         "fd000000000000000000000000000001"
         "00000000000000000000ffff0a000002"
         "0001"
         "0002"},
        {NULL, "10.0.0.2:2", "x",
         "21"
         "00"
         "0004"
         "d0"
         "0001"
         "78"},
        {"10.0.0.2:2", NULL, NULL,
         "21"
         "00"
         "0000"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t out[PROXY_V2_MAX];
        char hex[2 * PROXY_V2_MAX + 1];
        char expected[512];
        const struct proxy_v2 header = {.source = addr_of(rows[i].source),
                                        .destination = addr_of(rows[i].destination),
                                        .identity = rows[i].identity};
        size_t len = proxy_v2_write(&header, out);
        for (size_t j = 0; j < len; j++)
            snprintf(hex + 2 * j, 3, "%02x", out[j]);
        snprintf(expected, sizeof(expected), "%s%s", SIGNATURE, rows[i].hex);
        assert_string_equal(hex, expected);
    }
}

static void assert_hex(const uint8_t *bytes, size_t len, const char *expected)
{
    char hex[2 * PROXY_V2_MAX + 1] = "";
    for (size_t i = 0; i < len; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    assert_string_equal(hex, expected);
}

/* Byte by byte as haproxy-protocol.txt, 2.2.6, has it. */
static void what_is_known_of_tls_is_written_after_the_addresses(void **state)
{
    uint8_t out[PROXY_V2_MAX];
    struct proxy_v2_tls tls = {.has_client_cert = true,
                               .version = "TLSv1.3",
                               .cipher = "AES",
                               .alpn = "h2",
                               .common_name = "jo"};
    struct proxy_v2 header = {.authority = "a.b", .tls = &tls, .identity = "cn:jo"};
    assert_hex(out, proxy_v2_write(&header, out),
               SIGNATURE "21"
                         "00"
                         "0030"
                         "020003612e62"
                         "0100026832"
                         "20001a"
                         "07"
                         "00000000"
                         "210007544c5376312e33"
                         "2200026a6f"
                         "230003414553"
                         "d00005636e3a6a6f");
    /* A certificate that was shown before, to the same session. */
    tls = (struct proxy_v2_tls){.has_client_cert = true, .is_resumed = true};
    header = (struct proxy_v2){.tls = &tls};
    assert_hex(out, proxy_v2_write(&header, out),
               SIGNATURE "21"
                         "00"
                         "0008"
                         "200005"
                         "05"
                         "00000000");
    /* TLS without a client certificate. */
    tls = (struct proxy_v2_tls){0};
    header = (struct proxy_v2){.tls = &tls};
    assert_hex(out, proxy_v2_write(&header, out),
               SIGNATURE "21"
                         "00"
                         "0008"
                         "200005"
                         "01"
                         "00000001");
}

static void the_longest_header_fits_and_longer_texts_are_left_out(void **state)
{
    char identity[PROXY_V2_IDENTITY_MAX + 2];
    char text[PROXY_V2_TEXT_MAX + 2];
    uint8_t out[PROXY_V2_MAX];
    memset(identity, 'x', sizeof(identity));
    memset(text, 'x', sizeof(text));
    const struct proxy_v2_tls tls = {.has_client_cert = true,
                                     .version = text,
                                     .cipher = text,
                                     .alpn = text,
                                     .common_name = text};
    struct proxy_v2 header = {.source = addr_of("[fd00::1]:1"),
                              .destination = addr_of("[fd00::2]:2"),
                              .identity = identity,
                              .authority = text,
                              .tls = &tls};
    identity[PROXY_V2_IDENTITY_MAX] = '\0';
    text[PROXY_V2_TEXT_MAX] = '\0';
    assert_int_equal(proxy_v2_write(&header, out), PROXY_V2_MAX);
    identity[PROXY_V2_IDENTITY_MAX] = 'x';
    identity[PROXY_V2_IDENTITY_MAX + 1] = '\0';
    text[PROXY_V2_TEXT_MAX] = 'x';
    text[PROXY_V2_TEXT_MAX + 1] = '\0';
    assert_int_equal(proxy_v2_write(&header, out), 16 + 36 + 3 + 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_is_what_the_specification_says),
        cmocka_unit_test(what_is_known_of_tls_is_written_after_the_addresses),
        cmocka_unit_test(the_longest_header_fits_and_longer_texts_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
