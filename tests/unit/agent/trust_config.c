#include "trust_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void lists_are_taken_apart(void **state)
{
    const struct agent_config config = {
        .trust_domain = "td",
        .trust_domain_aliases = "old-td, older.td",
        .federated_bundle_files = "partner.example=/a/b=c.pem,other=/d",
        .crl_file = "/crl/one,/crl/two",
    };
    struct trust_config trust;
    struct err err = {0};
    if (trust_config_parse(&trust, &config, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(trust.num_aliases, 2);
    assert_string_equal(trust.aliases[1], "older.td");
    assert_int_equal(trust.num_bundles, 2);
    assert_string_equal(trust.bundles[0].trust_domain, "partner.example");
    assert_string_equal(trust.bundles[0].path, "/a/b=c.pem");
    assert_string_equal(trust.bundles[1].path, "/d");
    assert_int_equal(trust.num_crl_files, 2);
    assert_string_equal(trust.crl_files[1], "/crl/two");
    trust_config_done(&trust);
    trust_config_done(&trust);
}

static void nothing_is_nothing(void **state)
{
    const struct agent_config config = {.trust_domain = "td",
                                        .trust_domain_aliases = "",
                                        .federated_bundle_files = "",
                                        .crl_file = ""};
    struct trust_config trust;
    assert_int_equal(trust_config_parse(&trust, &config, NULL), 0);
    assert_int_equal(trust.num_aliases + trust.num_bundles + trust.num_crl_files, 0);
    trust_config_done(&trust);
}

static void what_makes_no_sense_is_named_with_its_option(void **state)
{
    static const struct {
        const char *aliases, *bundles, *words;
    } CASES[] = {
        {"td", "", "trust-domain-aliases: \"td\" is the trust domain itself"},
        {"Td", "", "trust-domain-aliases: \"Td\""},
        {"", "partner", "federated-bundle-files: \"partner\" is not domain=path"},
        {"", "partner=", "is not domain=path"},
        {"", "=/x", "federated-bundle-files"},
        {"", "td=/x", "our own trust domain"},
        {"old", "old=/x", "our own trust domain or an alias"},
        {"", "a=/x,a=/y", "\"a\" is there twice"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        const struct agent_config config = {.trust_domain = "td",
                                            .trust_domain_aliases = CASES[i].aliases,
                                            .federated_bundle_files = CASES[i].bundles,
                                            .crl_file = ""};
        struct trust_config trust;
        struct err err = {0};
        assert_int_equal(trust_config_parse(&trust, &config, &err), -1);
        if (strstr(err.message, CASES[i].words) == NULL)
            fail_msg("case %zu: %s", i, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_taken_apart),
        cmocka_unit_test(nothing_is_nothing),
        cmocka_unit_test(what_makes_no_sense_is_named_with_its_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
