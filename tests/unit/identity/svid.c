#include "svid.h"

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
#include "identity.h"

static const char ID[] = "spiffe://td/ns/a/sa/b";

struct world {
    struct cert_built *root, *intermediate, *leaf;
    struct trust_bundle *bundle;
};

static struct trust_bundle *bundle_of(const struct cert_built *root)
{
    const char *pem = cert_builder_pem(root);
    struct trust_bundle *bundle = trust_bundle_new_pem("td", pem, strlen(pem), NULL);
    assert_non_null(bundle);
    return bundle;
}

static int make_world(void **state)
{
    static struct world world;
    world.root = cert_builder_root("root");
    world.intermediate = cert_builder_make(
        world.root, &(struct cert_spec){.common_name = "intermediate", .is_ca = true});
    world.leaf = cert_builder_leaf(world.intermediate, ID);
    world.bundle = bundle_of(world.root);
    *state = &world;
    return 0;
}

static int free_world(void **state)
{
    struct world *world = *state;
    cert_builder_free(world->leaf);
    cert_builder_free(world->intermediate);
    cert_builder_free(world->root);
    trust_bundle_unref(world->bundle);
    return 0;
}

static struct svid *load(const char *key, const char *chain, struct err *err)
{
    return svid_new_pem(key, strlen(key), chain, strlen(chain), err);
}

static struct svid *must_load(const struct cert_built *leaf)
{
    struct err err = {0};
    struct svid *svid = load(cert_builder_key_pem(leaf), cert_builder_chain_pem(leaf), &err);
    if (svid == NULL)
        fail_msg("%s", err.message);
    return svid;
}

static void a_good_svid_is_read_and_passes(void **state)
{
    const struct world *world = *state;
    struct svid *svid = must_load(world->leaf);
    struct err err = {0};
    int64_t now_ms = clock_wall_ms();
    assert_string_equal(svid_id(svid)->uri, ID);
    assert_int_equal(svid_num_certs(svid), 2);
    assert_int_equal(strlen(svid_fingerprint(svid)), 16);
    assert_true(strlen(svid_serial(svid)) > 0);
    assert_true(svid_not_before_ms(svid) < now_ms && now_ms < svid_not_after_ms(svid));
    size_t len, der_len;
    const uint8_t *der = cert_builder_der(world->leaf, &der_len);
    assert_memory_equal(svid_der(svid, 0, &len), der, der_len);
    assert_int_equal(len, der_len);
    assert_int_equal(svid_check(svid, world->bundle, ID, NULL, now_ms, &err), 0);
    assert_int_equal(svid_check(svid, world->bundle, NULL, NULL, now_ms, NULL), 0);
    svid_unref(svid);
}

static void keys_of_all_kinds_are_read(void **state)
{
    const struct world *world = *state;
    static const enum cert_builder_key KEYS[] = {CERT_KEY_P256, CERT_KEY_P384, CERT_KEY_ED25519,
                                                 CERT_KEY_RSA_2048};
    for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++) {
        struct cert_built *leaf =
            cert_builder_make(world->root, &(struct cert_spec){.uris = {ID}, .key = KEYS[i]});
        struct svid *svid = must_load(leaf);
        struct err err = {0};
        if (svid_check(svid, world->bundle, ID, NULL, clock_wall_ms(), &err) < 0)
            fail_msg("%s", err.message);
        svid_unref(svid);
        cert_builder_free(leaf);
    }
}

static void what_cannot_be_read_is_named(void **state)
{
    const struct world *world = *state;
    const char *key = cert_builder_key_pem(world->leaf);
    const char *chain = cert_builder_chain_pem(world->leaf);
    struct cert_built *nameless = cert_builder_make(world->root, &(struct cert_spec){0});
    const char *bad_chain = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
    const char *encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAMCAQE=\n"
                            "-----END ENCRYPTED PRIVATE KEY-----\n";
    const struct {
        const char *key, *chain, *message;
    } cases[] = {
        {"", chain, "key: no private key in it"},
        {chain, chain, "key: no private key in it"},
        {encrypted, chain, "key: the private key cannot be read; is it encrypted or cut?"},
        {key, "", "certificate chain: no certificate in it"},
        {key, key, "certificate chain: block 1 is not a certificate but a private key"},
        {key, bad_chain, "certificate chain: certificate 1 of 1 cannot be read"},
        {key, cert_builder_pem(nameless),
         "certificate chain: the certificate has no subject alternative name"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        assert_null(load(cases[i].key, cases[i].chain, &err));
        assert_int_equal(err.kind, ERR_INVALID);
        assert_string_equal(err.message, cases[i].message);
        assert_null(load(cases[i].key, cases[i].chain, NULL));
    }
    cert_builder_free(nameless);
}

static void a_foreign_key_is_refused(void **state)
{
    const struct world *world = *state;
    struct cert_built *other = cert_builder_leaf(world->root, ID);
    struct err err = {0};
    struct svid *svid =
        load(cert_builder_key_pem(other), cert_builder_chain_pem(world->leaf), &err);
    assert_non_null(svid);
    assert_int_equal(svid_check(svid, world->bundle, ID, NULL, clock_wall_ms(), &err), -1);
    assert_string_equal(err.message, "the private key does not belong to the certificate");
    svid_unref(svid);
    cert_builder_free(other);
}

static void an_svid_that_is_not_ours_or_not_of_this_root_or_time_is_refused(void **state)
{
    const struct world *world = *state;
    struct svid *svid = must_load(world->leaf);
    struct cert_built *stranger = cert_builder_root("stranger");
    struct trust_bundle *strange = bundle_of(stranger);
    int64_t now_ms = clock_wall_ms();
    struct err err = {0};
    assert_int_equal(svid_check(svid, world->bundle, "spiffe://td/x", NULL, now_ms, &err), -1);
    assert_non_null(strstr(err.message, "is for 'spiffe://td/ns/a/sa/b', we are 'spiffe://td/x'"));
    assert_int_equal(svid_check(svid, strange, ID, NULL, now_ms, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    assert_non_null(strstr(err.message, "none of our 1 root(s)"));
    assert_int_equal(svid_check(svid, world->bundle, ID, NULL, now_ms + 7200000, &err), -1);
    assert_non_null(strstr(err.message, "expired"));
    assert_int_equal(svid_check(svid, world->bundle, ID, NULL, now_ms - 7200000, &err), -1);
    assert_non_null(strstr(err.message, "becomes valid in"));
    trust_bundle_unref(strange);
    cert_builder_free(stranger);
    svid_unref(svid);
}

static void the_legacy_switch_is_needed_for_a_missing_key_usage(void **state)
{
    const struct world *world = *state;
    struct cert_built *leaf =
        cert_builder_make(world->root, &(struct cert_spec){.uris = {ID}, .usage = CERT_USAGE_NONE});
    struct svid *svid = must_load(leaf);
    const struct cert_rules legacy = {.legacy_key_usage = true};
    int64_t now_ms = clock_wall_ms();
    assert_int_equal(svid_check(svid, world->bundle, ID, NULL, now_ms, NULL), -1);
    assert_int_equal(svid_check(svid, world->bundle, ID, &legacy, now_ms, NULL), 0);
    svid_unref(svid);
    cert_builder_free(leaf);
}

static void an_svid_that_outlives_its_issuer_is_refused(void **state)
{
    const struct world *world = *state;
    int64_t now_ms = clock_wall_ms();
    const int64_t minute_ms = 60 * 1000;
    struct cert_built *middle =
        cert_builder_make(world->root, &(struct cert_spec){.common_name = "middle",
                                                           .is_ca = true,
                                                           .not_after_ms = now_ms + minute_ms});
    struct cert_built *leaf = cert_builder_make(
        middle, &(struct cert_spec){.uris = {ID}, .not_after_ms = now_ms + 2 * minute_ms});
    struct svid *svid = must_load(leaf);
    struct err err = {0};
    assert_int_equal(svid_check(svid, world->bundle, ID, NULL, now_ms, &err), -1);
    assert_non_null(strstr(err.message, "outlives its issuer"));
    assert_non_null(strstr(err.message, "by 60 s"));
    svid_unref(svid);
    cert_builder_free(leaf);
    cert_builder_free(middle);
}

static void an_identity_keeps_what_it_holds_alive(void **state)
{
    const struct world *world = *state;
    struct svid *svid = must_load(world->leaf);
    struct trust_bundle *bundle = bundle_of(world->root);
    struct err err = {0};
    const struct trust trust = {.bundles = &bundle, .num_bundles = 1};
    struct identity *identity = identity_new(svid, &trust, 7, &err);
    assert_non_null(identity);
    svid_unref(svid);
    trust_bundle_unref(bundle);

    struct identity *again = identity_ref(identity);
    identity_unref(identity);
    assert_ptr_equal(identity_trust(again)->bundles[0], bundle);
    assert_int_equal(identity_trust(again)->num_bundles, 1);
    assert_int_equal(identity_epoch(again), 7);
    assert_string_equal(identity_id(again)->uri, ID);
    assert_int_equal(svid_num_certs(identity_svid(again)), 2);
    identity_unref(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_svid_is_read_and_passes),
        cmocka_unit_test(keys_of_all_kinds_are_read),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(a_foreign_key_is_refused),
        cmocka_unit_test(an_svid_that_outlives_its_issuer_is_refused),
        cmocka_unit_test(an_svid_that_is_not_ours_or_not_of_this_root_or_time_is_refused),
        cmocka_unit_test(the_legacy_switch_is_needed_for_a_missing_key_usage),
        cmocka_unit_test(an_identity_keeps_what_it_holds_alive),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
