#include "spiffe_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_valid_id_is_taken_apart(void **state)
{
    static const struct {
        const char *uri, *trust_domain, *path, *ns, *sa;
    } CASES[] = {
        {"spiffe://td/ns/a/sa/b", "td", "/ns/a/sa/b", "a", "b"},
        {"spiffe://cluster.local/ns/default/sa/front-end_1.x", "cluster.local",
         "/ns/default/sa/front-end_1.x", "default", "front-end_1.x"},
        {"spiffe://td", "td", "", NULL, NULL},
        {"spiffe://td/x", "td", "/x", NULL, NULL},
        {"spiffe://td/ns/a/sa/b/c", "td", "/ns/a/sa/b/c", NULL, NULL},
        {"spiffe://td/ns/a/sa", "td", "/ns/a/sa", NULL, NULL},
        {"spiffe://td/ns/a", "td", "/ns/a", NULL, NULL},
        {"spiffe://td/ns", "td", "/ns", NULL, NULL},
        {"spiffe://td/NS/a/sa/b", "td", "/NS/a/sa/b", NULL, NULL},
        {"spiffe://td/ns/a/b/sa/c", "td", "/ns/a/b/sa/c", NULL, NULL},
        {"spiffe://10.1.2.3/Aa/9", "10.1.2.3", "/Aa/9", NULL, NULL},
        {"spiffe://a_b-c.d/...", "a_b-c.d", "/...", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct spiffe_id id;
        struct err err = {0};
        if (spiffe_id_parse(&id, CASES[i].uri, strlen(CASES[i].uri), &err) < 0)
            fail_msg("%s: %s", CASES[i].uri, err.message);
        assert_string_equal(id.uri, CASES[i].uri);
        assert_string_equal(id.principal, CASES[i].uri + strlen("spiffe://"));
        assert_string_equal(id.trust_domain, CASES[i].trust_domain);
        assert_string_equal(id.path, CASES[i].path);
        assert_int_equal(id.ns == NULL, CASES[i].ns == NULL);
        assert_int_equal(id.sa == NULL, CASES[i].sa == NULL);
        if (id.ns != NULL) {
            assert_string_equal(id.ns, CASES[i].ns);
            assert_string_equal(id.sa, CASES[i].sa);
        }
        spiffe_id_done(&id);
        assert_null(id.uri);
    }
}

static void an_invalid_id_is_refused_with_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *message;
    } CASES[] = {
        {"", "does not start with spiffe://"},
        {"spiffe:/td", "does not start with spiffe://"},
        {"SPIFFE://td/a", "does not start with spiffe://"},
        {"https://td/a", "does not start with spiffe://"},
        {"spiffe://", "trust domain is empty"},
        {"spiffe:///a", "trust domain is empty"},
        {"spiffe://Td/a", "'T' at byte 0 of the trust domain"},
        {"spiffe://td:80/a", "no port"},
        {"spiffe://me@td/a", "no user"},
        {"spiffe://[::1]/a", "'[' at byte 0 of the trust domain"},
        {"spiffe://t%64/a", "percent"},
        {"spiffe://td/", "empty segment"},
        {"spiffe://td/a/", "slash at its end"},
        {"spiffe://td//a", "empty segment"},
        {"spiffe://td/a//b", "empty segment"},
        {"spiffe://td/.", "a segment '.'"},
        {"spiffe://td/a/../b", "a segment '..'"},
        {"spiffe://td/a/..", "a segment '..'"},
        {"spiffe://td/a?b", "no query"},
        {"spiffe://td/a#b", "no fragment"},
        {"spiffe://td?a", "no query"},
        {"spiffe://td/a%41", "percent"},
        {"spiffe://td/a b", "byte 0x20 at byte 2 of the path"},
        {"spiffe://td/\x1b[31m", "byte 0x1b at byte 1 of the path"},
        {"spiffe://td/\xc3\xa4", "byte 0xc3 at byte 1 of the path"},
        {"spiffe://td/a*", "'*' at byte 2 of the path"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct spiffe_id id;
        struct err err = {0};
        assert_int_equal(spiffe_id_parse(&id, CASES[i].text, strlen(CASES[i].text), &err), -1);
        assert_int_equal(err.kind, ERR_INVALID);
        assert_null(id.uri);
        if (strstr(err.message, CASES[i].message) == NULL)
            fail_msg("%s: got '%s', wanted '%s'", CASES[i].text, err.message, CASES[i].message);
    }
}

static void a_nul_inside_does_not_end_the_id(void **state)
{
    static const char TEXT[] = "spiffe://td/a\0b";
    struct spiffe_id id;
    struct err err = {0};
    assert_int_equal(spiffe_id_parse(&id, TEXT, sizeof(TEXT) - 1, &err), -1);
    assert_non_null(strstr(err.message, "byte 0x00 at byte 2 of the path"));
}

static void the_limits_of_length_are_exact(void **state)
{
    char text[SPIFFE_ID_MAX + 2];
    struct spiffe_id id;
    struct err err = {0};
    size_t prefix = strlen("spiffe://td/");
    memcpy(text, "spiffe://td/", prefix);
    memset(text + prefix, 'a', sizeof(text) - prefix);
    assert_int_equal(spiffe_id_parse(&id, text, SPIFFE_ID_MAX, &err), 0);
    spiffe_id_done(&id);
    assert_int_equal(spiffe_id_parse(&id, text, SPIFFE_ID_MAX + 1, &err), -1);
    assert_non_null(strstr(err.message, "2049 bytes"));

    prefix = strlen("spiffe://");
    memset(text + prefix, 'b', SPIFFE_TRUST_DOMAIN_MAX + 1);
    assert_int_equal(spiffe_id_parse(&id, text, prefix + SPIFFE_TRUST_DOMAIN_MAX, &err), 0);
    spiffe_id_done(&id);
    assert_int_equal(spiffe_id_parse(&id, text, prefix + SPIFFE_TRUST_DOMAIN_MAX + 1, &err), -1);
    assert_non_null(strstr(err.message, "256 bytes"));
}

static void istios_form_is_built_from_its_parts(void **state)
{
    struct spiffe_id id, copy;
    struct err err = {0};
    assert_int_equal(spiffe_id_format(&id, "cluster.local", "shop", "cart", &err), 0);
    assert_string_equal(id.uri, "spiffe://cluster.local/ns/shop/sa/cart");
    assert_string_equal(id.ns, "shop");
    assert_string_equal(id.sa, "cart");
    assert_int_equal(spiffe_id_copy(&copy, &id, &err), 0);
    assert_true(spiffe_id_equal(&id, &copy));
    assert_ptr_not_equal(id.uri, copy.uri);
    assert_string_equal(copy.ns, "shop");
    spiffe_id_done(&id);
    assert_false(spiffe_id_equal(&id, &copy));
    spiffe_id_done(&copy);
}

static void parts_that_would_make_another_id_are_refused(void **state)
{
    static const char *const CASES[][3] = {
        {"", "a", "b"},        {"td/x", "a", "b"}, {"td", "", "b"},   {"td", "a", ""},
        {"td", "a/sa/b", "c"}, {"td", "a", "b/c"}, {"td", "..", "b"}, {"td", "a", "b?"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct spiffe_id id;
        struct err err = {0};
        assert_int_equal(spiffe_id_format(&id, CASES[i][0], CASES[i][1], CASES[i][2], &err), -1);
        assert_int_equal(err.kind, ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_valid_id_is_taken_apart),
        cmocka_unit_test(an_invalid_id_is_refused_with_what_is_wrong),
        cmocka_unit_test(a_nul_inside_does_not_end_the_id),
        cmocka_unit_test(the_limits_of_length_are_exact),
        cmocka_unit_test(istios_form_is_built_from_its_parts),
        cmocka_unit_test(parts_that_would_make_another_id_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
