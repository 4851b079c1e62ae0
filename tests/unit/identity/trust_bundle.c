#include "trust_bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cert_builder.h"
#include "clock.h"

struct certs {
    struct cert_built *root, *other, *leaf;
};

static int make_certs(void **state)
{
    static struct certs certs;
    certs.root = cert_builder_root("root");
    certs.other = cert_builder_root("other");
    certs.leaf = cert_builder_leaf(certs.root, "spiffe://td/a");
    *state = &certs;
    return 0;
}

static int free_certs(void **state)
{
    struct certs *certs = *state;
    cert_builder_free(certs->root);
    cert_builder_free(certs->other);
    cert_builder_free(certs->leaf);
    return 0;
}

static char *join(const char *a, const char *b, const char *c)
{
    char *text = NULL;
    assert_true(asprintf(&text, "%s%s%s", a, b, c) >= 0);
    return text;
}

static struct trust_bundle *parse(const char *pem, struct err *err)
{
    return trust_bundle_new_pem("td", pem, strlen(pem), err);
}

static struct trust_bundle *must_parse(const char *pem)
{
    struct err err = {0};
    struct trust_bundle *bundle = parse(pem, &err);
    if (bundle == NULL)
        fail_msg("%s", err.message);
    return bundle;
}

static void roots_are_read_and_duplicates_count_once(void **state)
{
    const struct certs *certs = *state;
    const char *root = cert_builder_pem(certs->root);
    char *two = join("a comment\n", root, cert_builder_pem(certs->other));
    char *all = join(root, "\n\nanother comment\n", two);
    struct trust_bundle *bundle = must_parse(all);
    assert_int_equal(trust_bundle_num_roots(bundle), 2);
    assert_string_equal(trust_bundle_trust_domain(bundle), "td");
    assert_true(trust_bundle_not_after_ms(bundle, 0) > clock_wall_ms());
    const struct cert_built *const in_order[] = {certs->root, certs->other};
    for (size_t i = 0; i < 2; i++) {
        size_t len, expected_len;
        const uint8_t *der = trust_bundle_der(bundle, i, &len);
        const uint8_t *expected = cert_builder_der(in_order[i], &expected_len);
        assert_int_equal(len, expected_len);
        assert_memory_equal(der, expected, len);
    }
    trust_bundle_unref(bundle);
    free(two);
    free(all);
}

static void what_is_wrong_is_named_with_its_place(void **state)
{
    const struct certs *certs = *state;
    const char *root = cert_builder_pem(certs->root);
    const char *other = cert_builder_pem(certs->other);
    char *with_leaf = join(root, other, cert_builder_pem(certs->leaf));
    char *with_key = join(root, cert_builder_key_pem(certs->leaf), "");
    char *cut = join(root, "-----BEGIN CERTIFICATE-----\nMIIB\n", "");
    char *garbage =
        join(root, "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n", other);
    const struct {
        const char *pem, *message;
    } cases[] = {
        {"", "trust bundle: no certificate in it"},
        {"hello\n", "trust bundle: no certificate in it"},
        {with_leaf, "trust bundle: certificate 3 of 3 is not a CA"},
        {with_key, "trust bundle: block 2 is not a certificate but a private key"},
        {cut, "trust bundle: certificate 2 is not valid PEM"},
        {garbage, "trust bundle: certificate 2 of 3 cannot be read"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        assert_null(parse(cases[i].pem, &err));
        assert_int_equal(err.kind, ERR_INVALID);
        assert_string_equal(err.message, cases[i].message);
        assert_null(parse(cases[i].pem, NULL));
    }
    free(with_leaf);
    free(with_key);
    free(cut);
    free(garbage);
}

static void a_ca_that_may_not_sign_is_refused(void **state)
{
    struct cert_built *root = cert_builder_make(
        NULL, &(struct cert_spec){.common_name = "r", .usage = CERT_USAGE_WITH_CRL_SIGN});
    struct err err = {0};
    assert_null(parse(cert_builder_pem(root), &err));
    assert_non_null(strstr(err.message, "certificate 1 of 1 is not a CA"));
    cert_builder_free(root);
}

static void a_trust_domain_is_checked(void **state)
{
    const struct certs *certs = *state;
    const char *pem = cert_builder_pem(certs->root);
    struct err err = {0};
    assert_null(trust_bundle_new_pem("TD", pem, strlen(pem), &err));
    assert_non_null(strstr(err.message, "trust bundle: 'T'"));
}

static void too_many_roots_are_refused(void **state)
{
    const struct certs *certs = *state;
    const char *root = cert_builder_pem(certs->root);
    size_t len = strlen(root);
    char *many = malloc((TRUST_BUNDLE_ROOTS_MAX + 1) * len + 1);
    assert_non_null(many);
    for (size_t i = 0; i <= TRUST_BUNDLE_ROOTS_MAX; i++)
        memcpy(many + i * len, root, len + 1);
    struct err err = {0};
    assert_null(parse(many, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    free(many);
}

static void merging_adds_living_roots_and_nothing_else(void **state)
{
    const struct certs *certs = *state;
    struct trust_bundle *newer = must_parse(cert_builder_pem(certs->root));
    struct trust_bundle *older = must_parse(cert_builder_pem(certs->other));
    struct err err = {0};
    int64_t now_ms = clock_wall_ms();
    struct trust_bundle *both = trust_bundle_merge(newer, older, now_ms, &err);
    assert_int_equal(trust_bundle_num_roots(both), 2);
    assert_true(trust_bundle_contains(both, newer));
    assert_true(trust_bundle_contains(both, older));
    assert_false(trust_bundle_contains(newer, both));

    struct trust_bundle *again = trust_bundle_merge(both, older, now_ms, &err);
    assert_ptr_equal(again, both);
    struct trust_bundle *late = trust_bundle_merge(newer, older, now_ms + 7200 * 1000, &err);
    assert_ptr_equal(late, newer);

    trust_bundle_unref(late);
    trust_bundle_unref(again);
    trust_bundle_unref(both);
    trust_bundle_unref(older);
    trust_bundle_unref(newer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_are_read_and_duplicates_count_once),
        cmocka_unit_test(what_is_wrong_is_named_with_its_place),
        cmocka_unit_test(a_ca_that_may_not_sign_is_refused),
        cmocka_unit_test(a_trust_domain_is_checked),
        cmocka_unit_test(too_many_roots_are_refused),
        cmocka_unit_test(merging_adds_living_roots_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, make_certs, free_certs);
}
