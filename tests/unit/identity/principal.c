#include "principal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(literal) literal, sizeof(literal) - 1
#define TEN           "1234567890"
#define SIXTY         TEN TEN TEN TEN TEN TEN

struct principal_case {
    enum principal_kind kind;
    const char *name;
    size_t len;
    const char *principal; /* NULL: refused */
};

static const struct principal_case CASES[] = {
    {PRINCIPAL_DNS, TEXT("client.example.com"), "dns:client.example.com"},
    {PRINCIPAL_DNS, TEXT("Client.EXAMPLE.com"), "dns:client.example.com"},
    {PRINCIPAL_DNS, TEXT("client"), "dns:client"},
    {PRINCIPAL_DNS, TEXT("xn--bcher-kva.example"), "dns:xn--bcher-kva.example"},
    {PRINCIPAL_DNS, TEXT(SIXTY "123.a"), "dns:" SIXTY "123.a"},
    {PRINCIPAL_DNS, TEXT(SIXTY "1234.a"), NULL},
    {PRINCIPAL_DNS, TEXT(SIXTY "." SIXTY "." SIXTY "." SIXTY "." TEN), NULL},
    {PRINCIPAL_DNS, TEXT(""), NULL},
    {PRINCIPAL_DNS, TEXT("a."), NULL},
    {PRINCIPAL_DNS, TEXT("."), NULL},
    {PRINCIPAL_DNS, TEXT(".a"), NULL},
    {PRINCIPAL_DNS, TEXT("a..b"), NULL},
    {PRINCIPAL_DNS, TEXT("*.example.com"), NULL},
    {PRINCIPAL_DNS, TEXT("a\0.example.com"), NULL},
    {PRINCIPAL_DNS, TEXT("a.example.com\0"), NULL},
    {PRINCIPAL_DNS, TEXT("a/b"), NULL},
    {PRINCIPAL_DNS, TEXT("a%2eb"), NULL},
    {PRINCIPAL_DNS, TEXT("a b"), NULL},
    {PRINCIPAL_DNS, TEXT("-a"), NULL},
    {PRINCIPAL_DNS, TEXT("a-.b"), NULL},
    {PRINCIPAL_DNS, TEXT("a_b"), NULL},
    {PRINCIPAL_DNS,
     TEXT("b\xc3\xbc"
          "cher"),
     NULL},
    {PRINCIPAL_DNS, TEXT("td:a"), NULL},

    {PRINCIPAL_EMAIL, TEXT("Jo.Doe+x@Example.COM"), "email:Jo.Doe+x@example.com"},
    {PRINCIPAL_EMAIL, TEXT("a@b"), "email:a@b"},
    {PRINCIPAL_EMAIL, TEXT("@b"), NULL},
    {PRINCIPAL_EMAIL, TEXT("a@"), NULL},
    {PRINCIPAL_EMAIL, TEXT("a"), NULL},
    {PRINCIPAL_EMAIL, TEXT(""), NULL},
    {PRINCIPAL_EMAIL, TEXT("a@b@c"), NULL},
    {PRINCIPAL_EMAIL, TEXT("\"a\"@b"), NULL},
    {PRINCIPAL_EMAIL, TEXT("a b@c"), NULL},
    {PRINCIPAL_EMAIL, TEXT(".a@c"), NULL},
    {PRINCIPAL_EMAIL, TEXT("a.@c"), NULL},
    {PRINCIPAL_EMAIL, TEXT("a..b@c"), NULL},
    {PRINCIPAL_EMAIL, TEXT("a\0b@c"), NULL},
    {PRINCIPAL_EMAIL, TEXT("a@c\0"), NULL},
    {PRINCIPAL_EMAIL, TEXT("a@[192.0.2.1]"), NULL},
    {PRINCIPAL_EMAIL, TEXT("*@c"), NULL},
    {PRINCIPAL_EMAIL, TEXT("a/b@c"), NULL},
    {PRINCIPAL_EMAIL, TEXT(SIXTY "1234@c"), "email:" SIXTY "1234@c"},
    {PRINCIPAL_EMAIL, TEXT(SIXTY "12345@c"), NULL},

    {PRINCIPAL_CN, TEXT("client"), "cn:client"},
    {PRINCIPAL_CN, TEXT("Jo Doe"), "cn:Jo Doe"},
    {PRINCIPAL_CN,
     TEXT("B\xc3\xbc"
          "cher \xf0\x9f\x94\x91"),
     "cn:B\xc3\xbc"
     "cher \xf0\x9f\x94\x91"},
    {PRINCIPAL_CN, TEXT(SIXTY "1234"), "cn:" SIXTY "1234"},
    {PRINCIPAL_CN, TEXT(SIXTY "12345"), NULL},
    {PRINCIPAL_CN, TEXT(""), NULL},
    {PRINCIPAL_CN, TEXT(" client"), NULL},
    {PRINCIPAL_CN, TEXT("client "), NULL},
    {PRINCIPAL_CN, TEXT("cli\0ent"), NULL},
    {PRINCIPAL_CN, TEXT("client\n"), NULL},
    {PRINCIPAL_CN,
     TEXT("cli\x7f"
          "ent"),
     NULL},
    {PRINCIPAL_CN,
     TEXT("cli\xc2\x85"
          "ent"),
     NULL}, /* NEL */
    {PRINCIPAL_CN,
     TEXT("cli\xe2\x80\xae"
          "ent"),
     NULL}, /* right to left */
    {PRINCIPAL_CN,
     TEXT("cli\xe2\x80\x8b"
          "ent"),
     NULL}, /* zero width */
    {PRINCIPAL_CN,
     TEXT("cli\xc2\xa0"
          "ent"),
     NULL}, /* a space that is none */
    {PRINCIPAL_CN,
     TEXT("cli\xe3\x85\xa4"
          "ent"),
     NULL}, /* a filler of Hangul */
    {PRINCIPAL_CN,
     TEXT("cli\xff"
          "ent"),
     NULL},
    {PRINCIPAL_CN, TEXT("cli\xc3"), NULL},  /* ends early */
    {PRINCIPAL_CN, TEXT("\xc1\xa1"), NULL}, /* 'a' in two bytes */
    {PRINCIPAL_CN, TEXT("\xe0\x81\xa1"), NULL},
    {PRINCIPAL_CN, TEXT("\xed\xa0\x80"), NULL},          /* a surrogate */
    {PRINCIPAL_CN, TEXT("\xf4\x90\x80\x80"), NULL},      /* past Unicode's end */
    {PRINCIPAL_CN, TEXT("spiffe://td/ns/a/sa/b"), NULL}, /* '/' */
    {PRINCIPAL_CN, TEXT("x/ns/a/sa/b"), NULL},
};

static void a_name_becomes_a_principal_or_is_refused(void **state)
{
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        const struct principal_case *is = &CASES[i];
        char out[PRINCIPAL_MAX + 1];
        struct err err = {0};
        int result = principal_format(is->kind, is->name, is->len, out, &err);
        if ((result == 0) != (is->principal != NULL))
            fail_msg("case %zu ('%s'): %d %s", i, is->name, result, err.message);
        if (result == 0)
            assert_string_equal(out, is->principal);
        else
            assert_true(err.kind == ERR_INVALID && err.message[0] != '\0');
    }
}

/* Characters of four bytes each. */
static void the_longest_common_name_has_room(void **state)
{
    char name[4 * PRINCIPAL_CN_MAX], out[PRINCIPAL_MAX + 1];
    for (size_t i = 0; i < PRINCIPAL_CN_MAX; i++)
        memcpy(name + 4 * i, "\xf0\x9f\x94\x91", 4);
    assert_int_equal(principal_format(PRINCIPAL_CN, name, sizeof(name), out, NULL), 0);
    assert_int_equal(strlen(out), sizeof(name) + 3);
}

static void kinds_are_known_by_name(void **state)
{
    enum principal_kind kind;
    for (enum principal_kind i = PRINCIPAL_URI; i <= PRINCIPAL_CN; i++) {
        assert_true(principal_kind_parse(principal_kind_name(i), &kind));
        assert_int_equal(kind, i);
    }
    assert_false(principal_kind_parse("none", &kind));
    assert_false(principal_kind_parse("ip", &kind));
    assert_false(principal_kind_parse("CN", &kind));
    assert_false(principal_kind_parse("", &kind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_becomes_a_principal_or_is_refused),
        cmocka_unit_test(the_longest_common_name_has_room),
        cmocka_unit_test(kinds_are_known_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
