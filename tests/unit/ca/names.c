/* ca_name: which names there are, and which of them an operator's lists let pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ca_name.h"

struct row {
    enum ca_name_kind kind;
    const char *bytes;
    size_t len;       /* 0: up to its NUL */
    const char *text; /* NULL: it is refused */
};

#define X63 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct row rows[] = {
    {CA_NAME_DNS, "mtls.local", 0, "mtls.local"},
    {CA_NAME_DNS, "MTLS.Local", 0, "mtls.local"},
    {CA_NAME_DNS, "_sip.shop", 0, "_sip.shop"},
    {CA_NAME_DNS, X63 ".shop", 0, X63 ".shop"},
    {CA_NAME_DNS, X63 "x.shop", 0, NULL},
    {CA_NAME_DNS, X63 "." X63 "." X63 "." X63, 0, NULL},
    {CA_NAME_DNS, "*.mtls.local", 0, NULL},
    {CA_NAME_DNS, "mtls.local.", 0, NULL},
    {CA_NAME_DNS, ".mtls.local", 0, NULL},
    {CA_NAME_DNS, "a..b", 0, NULL},
    {CA_NAME_DNS, "-a.b", 0, NULL},
    {CA_NAME_DNS, "10.0.0.1", 0, NULL},
    {CA_NAME_DNS, "mtls.local\0.evil", 16, NULL},
    {CA_NAME_DNS, "mtls local", 0, NULL},
    {CA_NAME_DNS,
     "b\xc3\xbc"
     "cher.example",
     0, NULL},
    {CA_NAME_DNS, "", 0, NULL},
    {CA_NAME_IP, "\x0a\x00\x00\x01", 4, "10.0.0.1"},
    {CA_NAME_IP, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", 16, "fd00::1"},
    {CA_NAME_IP, "\x0a\x00\x00\x01\xff\xff\xff\x00", 8, NULL}, /* a name constraint's form */
    {CA_NAME_URI, "spiffe://td/ns/a/sa/b", 0, "spiffe://td/ns/a/sa/b"},
    {CA_NAME_URI, "spiffe://td", 0, NULL},
    {CA_NAME_URI, "spiffe://td/a/", 0, NULL},
    {CA_NAME_URI, "SPIFFE://td/a", 0, NULL},
    {CA_NAME_URI, "spiffe://td/*", 0, NULL},
    {CA_NAME_URI, "https://shop.example/a", 0, "https://shop.example/a"},
    {CA_NAME_URI, "no-scheme", 0, NULL},
    {CA_NAME_URI, "https://shop.example/\n", 0, NULL},
    {CA_NAME_URI, "spiffe://td/a\0b", 15, NULL},
    {CA_NAME_EMAIL, "Jo@Shop.Example", 0, "Jo@shop.example"},
    {CA_NAME_EMAIL, "jo", 0, NULL},
    {CA_NAME_EMAIL, "@shop.example", 0, NULL},
    {CA_NAME_EMAIL, "jo@", 0, NULL},
    {CA_NAME_EMAIL, "jo@a@b", 0, NULL},
    {CA_NAME_EMAIL, "*@shop.example", 0, NULL},
    {CA_NAME_EMAIL, "jo@shop.example\n", 0, NULL},
    {CA_NAME_CN, "client", 0, "client"},
    {CA_NAME_CN, "J\xc3\xb8rgen", 0, "J\xc3\xb8rgen"},
    {CA_NAME_CN, "\xf0\x9f\x90\x9f", 0, "\xf0\x9f\x90\x9f"},
    {CA_NAME_CN, "\xc3", 0, NULL},
    {CA_NAME_CN, "\xc0\xa0", 0, NULL},         /* overlong */
    {CA_NAME_CN, "\xed\xa0\x80", 0, NULL},     /* a surrogate */
    {CA_NAME_CN, "\xf4\x90\x80\x80", 0, NULL}, /* past the last character */
    {CA_NAME_CN, "a\x1b[2Jb", 0, NULL},
    {CA_NAME_CN,
     "a\xc2\x9b"
     "b",
     0, NULL}, /* a control character of C1 */
    {CA_NAME_CN, " client", 0, NULL},
    {CA_NAME_CN, "client\0x", 8, NULL},
    {CA_NAME_CN, X63 "x", 0, X63 "x"},
    {CA_NAME_CN, X63 "xx", 0, NULL},
    {CA_NAME_CN, "", 0, NULL},
};

static void names_are_read_or_refused(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        struct ca_name name;
        size_t len = rows[i].len > 0 ? rows[i].len : strlen(rows[i].bytes);
        int result = ca_name_new(&name, rows[i].kind, (const uint8_t *)rows[i].bytes, len, &err);
        if (result < 0 && rows[i].text != NULL)
            fail_msg("row %zu: %s", i, err.message);
        if (result == 0 && rows[i].text == NULL)
            fail_msg("row %zu: \"%s\" is taken", i, name.text);
        if (result == 0)
            assert_string_equal(name.text, rows[i].text);
        else
            assert_int_equal(err.kind, ERR_INVALID);
        for (const char *at = err.message; *at != '\0'; at++)
            assert_true(*at >= ' ' && *at <= '~');
        ca_name_done(&name);
    }
}

static void lists_say_what_is_allowed(void **state)
{
    static const struct {
        enum ca_name_kind kind;
        const char *list, *name;
        bool is_allowed;
    } cases[] = {
        {CA_NAME_DNS, "", "mtls.local", false},
        {CA_NAME_DNS, "mtls.local", "mtls.local", true},
        {CA_NAME_DNS, " a.example , MTLS.local ", "mtls.local", true},
        {CA_NAME_DNS, "mtls.local", "a.mtls.local", false},
        {CA_NAME_DNS, "mtls.local", "mtls.loca", false},
        {CA_NAME_DNS, "*.mtls.local", "a.mtls.local", true},
        {CA_NAME_DNS, "*.mtls.local", "a.b.mtls.local", false},
        {CA_NAME_DNS, "*.mtls.local", "mtls.local", false},
        {CA_NAME_DNS, "*.mtls.local", "xmtls.local", false},
        {CA_NAME_EMAIL, "jo@shop.example", "jo@SHOP.example", true},
        {CA_NAME_EMAIL, "jo@shop.example", "Jo@shop.example", false},
        {CA_NAME_EMAIL, "*@shop.example", "anybody@shop.example", true},
        {CA_NAME_EMAIL, "*@shop.example", "anybody@x.shop.example", false},
        {CA_NAME_URI, "spiffe://td/ns/a/sa/*", "spiffe://td/ns/a/sa/b", true},
        {CA_NAME_URI, "spiffe://td/ns/a/sa/*", "spiffe://td/ns/a/sa/b/c", false},
        {CA_NAME_URI, "spiffe://td/ns/a/sa/*", "spiffe://td/ns/a/sa", false},
        {CA_NAME_URI, "spiffe://td/ns/a/sa/*", "spiffe://td/ns/b/sa/b", false},
        {CA_NAME_URI, "spiffe://td/ns/a/sa/b", "spiffe://td/ns/a/sa/b", true},
        {CA_NAME_URI, "spiffe://td/ns/a/sa/b", "spiffe://td/ns/a/sa/B", false},
        {CA_NAME_CN, "client", "client", true},
        {CA_NAME_CN, "client", "Client", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ca_name_rules rules = {.allowed = {"", "", "", "", ""}};
        struct ca_name name;
        rules.allowed[cases[i].kind] = cases[i].list;
        assert_int_equal(ca_name_check_list(cases[i].kind, cases[i].list, NULL), 0);
        assert_int_equal(ca_name_new(&name, cases[i].kind, (const uint8_t *)cases[i].name,
                                     strlen(cases[i].name), NULL),
                         0);
        if (ca_name_is_allowed(&rules, &name) != cases[i].is_allowed)
            fail_msg("\"%s\" by \"%s\"", cases[i].name, cases[i].list);
        ca_name_done(&name);
    }
}

static void addresses_are_allowed_in_any_spelling(void **state)
{
    const struct ca_name_rules rules = {.allowed = {[CA_NAME_IP] = "10.0.0.2, FD00:0::1"}};
    const uint8_t bytes[16] = {0xfd, [15] = 1};
    struct ca_name name;
    assert_int_equal(ca_name_new(&name, CA_NAME_IP, bytes, 16, NULL), 0);
    assert_true(ca_name_is_allowed(&rules, &name));
    ca_name_done(&name);
    assert_int_equal(ca_name_new(&name, CA_NAME_IP, bytes, 4, NULL), 0);
    assert_false(ca_name_is_allowed(&rules, &name));
    ca_name_done(&name);
}

static void a_common_name_may_be_what_the_other_lists_allow(void **state)
{
    const struct ca_name_rules rules = {
        .allowed = {"*.mtls.local", "10.0.0.1", "", "jo@shop.example", "client"}};
    bool is_dns;
    assert_true(ca_name_is_allowed_cn(&rules, "a.MTLS.local", &is_dns));
    assert_true(is_dns);
    assert_true(ca_name_is_allowed_cn(&rules, "jo@shop.example", &is_dns));
    assert_false(is_dns);
    assert_true(ca_name_is_allowed_cn(&rules, "client", NULL));
    assert_false(ca_name_is_allowed_cn(&rules, "10.0.0.1", NULL));
    assert_false(ca_name_is_allowed_cn(&rules, "*.mtls.local", NULL));
    assert_false(ca_name_is_allowed_cn(&rules, "admin", NULL));
}

static void lists_with_something_else_in_them_are_refused(void **state)
{
    static const struct {
        enum ca_name_kind kind;
        const char *list;
    } cases[] = {
        {CA_NAME_DNS, "*"},
        {CA_NAME_DNS, "*.*.local"},
        {CA_NAME_DNS, "a.*.local"},
        {CA_NAME_DNS, "a*.local"},
        {CA_NAME_DNS, "good.local,bad..local"},
        {CA_NAME_EMAIL, "*"},
        {CA_NAME_EMAIL, "jo@*"},
        {CA_NAME_EMAIL, "j*@shop.example"},
        {CA_NAME_URI, "spiffe://*"},
        {CA_NAME_URI, "spiffe://*/ns/a"},
        {CA_NAME_URI, "spiffe://td/*/b"},
        {CA_NAME_IP, "10.0.0.0/8"},
        {CA_NAME_IP, "host"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        if (ca_name_check_list(cases[i].kind, cases[i].list, &err) == 0)
            fail_msg("\"%s\" is taken", cases[i].list);
        assert_int_equal(err.kind, ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_read_or_refused),
        cmocka_unit_test(lists_say_what_is_allowed),
        cmocka_unit_test(addresses_are_allowed_in_any_spelling),
        cmocka_unit_test(a_common_name_may_be_what_the_other_lists_allow),
        cmocka_unit_test(lists_with_something_else_in_them_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
