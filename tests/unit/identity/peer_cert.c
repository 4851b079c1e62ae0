#include "peer_cert.h"

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

static const char ID[] = "spiffe://td/ns/a/sa/b";
static const int64_t HOUR_MS = 3600 * 1000;

struct world {
    struct cert_built *root, *stranger;
    struct trust_bundle *bundle;
    int64_t now_ms;
};

static struct trust_bundle *bundle_of(const char *trust_domain, const char *pem)
{
    struct trust_bundle *bundle = trust_bundle_new_pem(trust_domain, pem, strlen(pem), NULL);
    assert_non_null(bundle);
    return bundle;
}

static int make_world(void **state)
{
    static struct world world;
    world.root = cert_builder_root("root");
    world.stranger = cert_builder_root("stranger");
    world.bundle = bundle_of("td", cert_builder_pem(world.root));
    world.now_ms = clock_wall_ms();
    *state = &world;
    return 0;
}

static int free_world(void **state)
{
    struct world *world = *state;
    cert_builder_free(world->root);
    cert_builder_free(world->stranger);
    trust_bundle_unref(world->bundle);
    return 0;
}

/* Verifies `chain`, leaf first, NULL at the end. */
static struct peer_cert *verify(const struct world *world, struct trust_bundle *bundle,
                                struct cert_built *const *chain, enum reason *reason,
                                struct err *err)
{
    struct peer_cert_der ders[CERT_CHAIN_MAX + 2];
    const struct trust trust = {.bundles = &bundle, .num_bundles = 1};
    struct peer_cert_check check = {
        .chain = ders,
        .trust = &trust,
        .now_ms = world->now_ms,
    };
    for (; chain[check.num_certs] != NULL; check.num_certs++)
        ders[check.num_certs].bytes =
            cert_builder_der(chain[check.num_certs], &ders[check.num_certs].len);
    return peer_cert_verify(&check, reason, err);
}

static void expect_ok(const struct world *world, struct trust_bundle *bundle,
                      struct cert_built *const *chain)
{
    enum reason reason = REASON_DONE;
    struct err err = {0};
    struct peer_cert *peer = verify(world, bundle, chain, &reason, &err);
    if (peer == NULL)
        fail_msg("%s: %s", reason_name(reason), err.message);
    peer_cert_unref(peer);
}

static void expect_refusal(const struct world *world, struct cert_built *const *chain,
                           enum reason wanted, const char *words)
{
    enum reason reason = REASON_DONE;
    struct err err = {0};
    assert_null(verify(world, world->bundle, chain, &reason, &err));
    if (reason != wanted || strstr(err.message, words) == NULL)
        fail_msg("got %s '%s', wanted %s '%s'", reason_name(reason), err.message,
                 reason_name(wanted), words);
    assert_int_equal(err.kind, ERR_TLS);
    assert_null(verify(world, world->bundle, chain, &reason, NULL));
}

static void a_right_certificate_tells_who_the_peer_is(void **state)
{
    const struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->root, ID);
    enum reason reason = REASON_DONE;
    struct err err = {0};
    struct peer_cert *peer =
        verify(world, world->bundle, (struct cert_built *[]){leaf, NULL}, &reason, &err);
    assert_non_null(peer);
    assert_string_equal(peer->id.uri, ID);
    assert_string_equal(peer->id.ns, "a");
    assert_string_equal(peer->id.sa, "b");
    assert_true(peer->not_before_ms < world->now_ms && world->now_ms < peer->not_after_ms);
    assert_int_equal(strlen(peer->fingerprint), 16);
    assert_true(strlen(peer->serial) > 0);
    struct peer_cert *again = peer_cert_ref(peer);
    peer_cert_unref(peer);
    assert_string_equal(again->id.uri, ID);
    peer_cert_unref(again);
    cert_builder_free(leaf);
}

/* Each wrong leaf alone, under the right root. */
static void a_wrong_leaf_is_refused_with_its_own_reason(void **state)
{
    const struct world *world = *state;
    const int64_t now_ms = world->now_ms;
    const struct {
        struct cert_spec spec;
        enum reason reason;
        const char *words;
    } cases[] = {
        {{.uris = {ID, "spiffe://td/other"}}, REASON_CERT_TWO_URI_SANS, "2 URI SANs"},
        {{.uris = {ID, "https://td/other"}}, REASON_CERT_TWO_URI_SANS, "2 URI SANs"},
        {{.uris = {ID, ID, ID}}, REASON_CERT_TWO_URI_SANS, "3 URI SANs"},
        {{.common_name = ID}, REASON_CERT_NO_SPIFFE_ID, "no subject alternative name"},
        {{.common_name = "x"}, REASON_CERT_NO_SPIFFE_ID, "no subject alternative name"},
        {{.dns = {"td"}}, REASON_CERT_NO_SPIFFE_ID, "no URI SAN"},
        {{.uris = {"https://td/ns/a/sa/b"}}, REASON_CERT_NO_SPIFFE_ID, "not a SPIFFE ID"},
        {{.uris = {"spiffe://td/a/../b"}}, REASON_CERT_BAD_SPIFFE_ID, "'..'"},
        {{.uris = {"spiffe://td/a\x01"}}, REASON_CERT_BAD_SPIFFE_ID, "0x01"},
        {{.uris = {"spiffe://td"}}, REASON_CERT_BAD_SPIFFE_ID, "no path"},
        {{.uris = {ID}, .is_ca = true}, REASON_CERT_IS_CA, "is a CA certificate"},
        {{.uris = {"spiffe://other/a"}},
         REASON_CERT_WRONG_TRUST_DOMAIN,
         "claims 'spiffe://other/a'; we trust nobody of trust domain 'other'"},
        {{.uris = {ID}, .san_twice = true}, REASON_CERT_MALFORMED, "cannot be read"},
        {{.uris = {ID}, .key = CERT_KEY_RSA_1024}, REASON_CERT_WEAK, "RSA key of 1024 bits"},
        {{.uris = {ID}, .key = CERT_KEY_P224}, REASON_CERT_WEAK, "secp224r1"},
        {{.uris = {ID}, .sign_by_sha1 = true}, REASON_CERT_WEAK, "SHA1"},
        {{.uris = {ID}, .usage = CERT_USAGE_NONE}, REASON_CERT_KEY_USAGE, "no keyUsage"},
        {{.uris = {ID}, .usage = CERT_USAGE_NOT_CRITICAL},
         REASON_CERT_KEY_USAGE,
         "not marked critical"},
        {{.uris = {ID}, .usage = CERT_USAGE_ENCIPHER_ONLY},
         REASON_CERT_KEY_USAGE,
         "lacks digitalSignature"},
        {{.uris = {ID}, .usage = CERT_USAGE_WITH_CERT_SIGN},
         REASON_CERT_KEY_USAGE,
         "has keyCertSign"},
        {{.uris = {ID}, .usage = CERT_USAGE_WITH_CRL_SIGN}, REASON_CERT_KEY_USAGE, "has cRLSign"},
        {{.uris = {ID}, .eku = CERT_EKU_SERVER}, REASON_CERT_KEY_USAGE, "lacks clientAuth"},
        {{.uris = {ID}, .eku = CERT_EKU_CLIENT}, REASON_CERT_KEY_USAGE, "lacks serverAuth"},
        {{.uris = {ID},
          .not_before_ms = now_ms - 5 * HOUR_MS,
          .not_after_ms = now_ms - 3 * HOUR_MS},
         REASON_CERT_EXPIRED,
         "the certificate expired 3 h ago"},
        {{.uris = {ID}, .not_after_ms = now_ms - 30 * 1000}, REASON_CERT_EXPIRED, "30 s ago"},
        {{.uris = {ID}, .not_before_ms = now_ms + 10 * 60 * 1000, .not_after_ms = now_ms + HOUR_MS},
         REASON_CERT_NOT_YET_VALID,
         " s, at "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cert_built *leaf = cert_builder_make(world->root, &cases[i].spec);
        expect_refusal(world, (struct cert_built *[]){leaf, NULL}, cases[i].reason, cases[i].words);
        cert_builder_free(leaf);
    }
}

static void of_several_wrongs_the_first_of_the_documented_order_is_the_reason(void **state)
{
    const struct world *world = *state;
    const int64_t past_ms = world->now_ms - HOUR_MS / 2;
    /* Each spec has its own wrong and all those that come later in the order. */
    const struct {
        struct cert_spec spec;
        enum reason reason;
    } cases[] = {
        {{.uris = {ID, ID}, .is_ca = true, .not_after_ms = past_ms}, REASON_CERT_TWO_URI_SANS},
        {{.dns = {"x"}, .is_ca = true, .not_after_ms = past_ms}, REASON_CERT_NO_SPIFFE_ID},
        {{.uris = {"spiffe://td/"}, .is_ca = true, .not_after_ms = past_ms},
         REASON_CERT_BAD_SPIFFE_ID},
        {{.uris = {"spiffe://other/a"}, .is_ca = true, .not_after_ms = past_ms}, REASON_CERT_IS_CA},
        {{.uris = {"spiffe://other/a"}, .usage = CERT_USAGE_NONE, .not_after_ms = past_ms},
         REASON_CERT_WRONG_TRUST_DOMAIN},
        {{.uris = {ID}, .key = CERT_KEY_P224, .usage = CERT_USAGE_NONE, .not_after_ms = past_ms},
         REASON_CERT_UNTRUSTED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cert_built *leaf = cert_builder_make(world->stranger, &cases[i].spec);
        expect_refusal(world, (struct cert_built *[]){leaf, NULL}, cases[i].reason, "");
        cert_builder_free(leaf);
    }
    const struct cert_spec weak = {
        .uris = {ID}, .key = CERT_KEY_P224, .usage = CERT_USAGE_NONE, .not_after_ms = past_ms};
    struct cert_built *leaf = cert_builder_make(world->root, &weak);
    expect_refusal(world, (struct cert_built *[]){leaf, NULL}, REASON_CERT_WEAK, "");
    cert_builder_free(leaf);
    const struct cert_spec usage = {
        .uris = {ID}, .usage = CERT_USAGE_NONE, .not_after_ms = past_ms};
    leaf = cert_builder_make(world->root, &usage);
    expect_refusal(world, (struct cert_built *[]){leaf, NULL}, REASON_CERT_KEY_USAGE, "");
    cert_builder_free(leaf);
}

static void a_leaf_of_another_root_is_untrusted(void **state)
{
    const struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->stranger, ID);
    expect_refusal(world, (struct cert_built *[]){leaf, NULL}, REASON_CERT_UNTRUSTED,
                   "issued by '/CN=stranger', which is none of our 1 root(s) of trust domain 'td'");
    /* Sending the stranger's root along does not make it ours. */
    expect_refusal(world, (struct cert_built *[]){leaf, world->stranger, NULL},
                   REASON_CERT_UNTRUSTED, "");
    cert_builder_free(leaf);
}

static void a_root_of_the_same_name_but_another_key_is_untrusted(void **state)
{
    const struct world *world = *state;
    struct cert_built *impostor = cert_builder_root("root");
    struct cert_built *leaf = cert_builder_leaf(impostor, ID);
    expect_refusal(world, (struct cert_built *[]){leaf, NULL}, REASON_CERT_UNTRUSTED,
                   "certificate signature failure");
    cert_builder_free(leaf);
    cert_builder_free(impostor);
}

static void roots_of_one_name_are_each_tried(void **state)
{
    const struct world *world = *state;
    struct cert_built *rotated = cert_builder_root("root");
    char *pem = NULL;
    assert_true(asprintf(&pem, "%s%s", cert_builder_pem(world->root), cert_builder_pem(rotated)) >=
                0);
    struct trust_bundle *both = bundle_of("td", pem);
    struct cert_built *old_leaf = cert_builder_leaf(world->root, ID);
    struct cert_built *new_leaf = cert_builder_leaf(rotated, ID);
    expect_ok(world, both, (struct cert_built *[]){old_leaf, NULL});
    expect_ok(world, both, (struct cert_built *[]){new_leaf, NULL});
    cert_builder_free(old_leaf);
    cert_builder_free(new_leaf);
    cert_builder_free(rotated);
    trust_bundle_unref(both);
    free(pem);
}

static void a_renewed_root_of_the_same_key_replaces_its_expired_self(void **state)
{
    const struct world *world = *state;
    struct cert_built *expired =
        cert_builder_make(NULL, &(struct cert_spec){.common_name = "r",
                                                    .is_ca = true,
                                                    .not_before_ms = world->now_ms - 9 * HOUR_MS,
                                                    .not_after_ms = world->now_ms - HOUR_MS});
    struct cert_built *renewed =
        cert_builder_renew(expired, &(struct cert_spec){.common_name = "r", .is_ca = true});
    struct cert_built *leaf = cert_builder_leaf(renewed, ID);
    char *pem = NULL;
    assert_true(asprintf(&pem, "%s%s", cert_builder_pem(expired), cert_builder_pem(renewed)) >= 0);
    struct trust_bundle *both = bundle_of("td", pem);
    expect_ok(world, both, (struct cert_built *[]){leaf, NULL});

    struct trust_bundle *only_expired = bundle_of("td", cert_builder_pem(expired));
    enum reason reason = REASON_DONE;
    struct err err = {0};
    assert_null(verify(world, only_expired, (struct cert_built *[]){leaf, NULL}, &reason, &err));
    assert_int_equal(reason, REASON_CERT_EXPIRED);
    assert_non_null(strstr(err.message, "the root '/CN=r' expired"));

    trust_bundle_unref(only_expired);
    trust_bundle_unref(both);
    cert_builder_free(leaf);
    cert_builder_free(renewed);
    cert_builder_free(expired);
    free(pem);
}

static void intermediates_lead_to_the_root_in_any_order(void **state)
{
    const struct world *world = *state;
    struct cert_built *a =
        cert_builder_make(world->root, &(struct cert_spec){.common_name = "a", .is_ca = true});
    struct cert_built *b =
        cert_builder_make(a, &(struct cert_spec){.common_name = "b", .is_ca = true});
    struct cert_built *leaf = cert_builder_leaf(b, ID);
    expect_ok(world, world->bundle, (struct cert_built *[]){leaf, b, a, NULL});
    expect_ok(world, world->bundle, (struct cert_built *[]){leaf, a, b, NULL});
    expect_ok(world, world->bundle, (struct cert_built *[]){leaf, b, a, world->root, NULL});
    expect_ok(world, world->bundle, (struct cert_built *[]){leaf, world->stranger, b, b, a, NULL});
    expect_refusal(world, (struct cert_built *[]){leaf, b, NULL}, REASON_CERT_UNTRUSTED,
                   "issued by '/CN=a'");
    /* An intermediate in the bundle is an anchor. */
    struct trust_bundle *anchor = bundle_of("td", cert_builder_pem(a));
    expect_ok(world, anchor, (struct cert_built *[]){leaf, b, NULL});
    trust_bundle_unref(anchor);
    cert_builder_free(leaf);
    cert_builder_free(b);
    cert_builder_free(a);
}

static void a_wrong_intermediate_is_untrusted(void **state)
{
    const struct world *world = *state;
    const struct {
        struct cert_spec spec;
        enum reason reason;
        const char *words;
    } cases[] = {
        {{.common_name = "i"}, REASON_CERT_UNTRUSTED, "no valid path to our root"},
        {{.common_name = "i", .is_ca = true, .not_after_ms = world->now_ms - HOUR_MS / 2},
         REASON_CERT_EXPIRED,
         "the intermediate '/CN=i' expired 30 min ago"},
        {{.common_name = "i", .is_ca = true, .key = CERT_KEY_RSA_1024},
         REASON_CERT_WEAK,
         "the intermediate '/CN=i': RSA key of 1024 bits"},
        {{.common_name = "i", .is_ca = true, .sign_by_sha1 = true}, REASON_CERT_WEAK, "SHA1"},
        {{.common_name = "i", .is_ca = true, .eku = CERT_EKU_CODE_SIGNING},
         REASON_CERT_KEY_USAGE,
         "the extended key usage of the intermediate '/CN=i' lacks serverAuth"},
        {{.common_name = "i", .is_ca = true, .eku = CERT_EKU_SERVER},
         REASON_CERT_KEY_USAGE,
         "the extended key usage of the intermediate '/CN=i' lacks clientAuth"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cert_built *intermediate = cert_builder_make(world->root, &cases[i].spec);
        struct cert_built *leaf = cert_builder_leaf(intermediate, ID);
        expect_refusal(world, (struct cert_built *[]){leaf, intermediate, NULL}, cases[i].reason,
                       cases[i].words);
        cert_builder_free(leaf);
        cert_builder_free(intermediate);
    }
}

static void an_intermediate_for_everything_is_taken(void **state)
{
    const struct world *world = *state;
    struct cert_built *intermediate = cert_builder_make(
        world->root, &(struct cert_spec){.common_name = "i", .is_ca = true, .eku = CERT_EKU_ANY});
    struct cert_built *leaf = cert_builder_leaf(intermediate, ID);
    expect_ok(world, world->bundle, (struct cert_built *[]){leaf, intermediate, NULL});
    cert_builder_free(leaf);
    cert_builder_free(intermediate);
}

static void a_path_length_is_kept(void **state)
{
    const struct world *world = *state;
    struct cert_built *a = cert_builder_make(
        world->root, &(struct cert_spec){.common_name = "a", .is_ca = true, .path_len = 1});
    struct cert_built *b =
        cert_builder_make(a, &(struct cert_spec){.common_name = "b", .is_ca = true});
    struct cert_built *leaf = cert_builder_leaf(b, ID);
    expect_refusal(world, (struct cert_built *[]){leaf, b, a, NULL}, REASON_CERT_UNTRUSTED,
                   "path length constraint exceeded");
    cert_builder_free(leaf);
    cert_builder_free(b);
    cert_builder_free(a);
}

static void a_path_length_of_an_anchor_is_kept(void **state)
{
    const struct world *world = *state;
    struct cert_built *a = cert_builder_make(
        world->root, &(struct cert_spec){.common_name = "a", .is_ca = true, .path_len = 1});
    struct cert_built *b =
        cert_builder_make(a, &(struct cert_spec){.common_name = "b", .is_ca = true});
    struct cert_built *leaf_of_a = cert_builder_leaf(a, ID);
    struct cert_built *leaf_of_b = cert_builder_leaf(b, ID);
    struct trust_bundle *bundle = bundle_of("td", cert_builder_pem(a));
    struct world anchored = *world;
    anchored.bundle = bundle;
    expect_ok(&anchored, bundle, (struct cert_built *[]){leaf_of_a, NULL});
    expect_refusal(&anchored, (struct cert_built *[]){leaf_of_b, b, NULL}, REASON_CERT_UNTRUSTED,
                   "no valid path to our root '/CN=a': path length constraint exceeded");
    trust_bundle_unref(bundle);
    cert_builder_free(leaf_of_b);
    cert_builder_free(leaf_of_a);
    cert_builder_free(b);
    cert_builder_free(a);
}

static void a_leaf_cannot_sign_for_others(void **state)
{
    const struct world *world = *state;
    struct cert_built *thief =
        cert_builder_make(world->root, &(struct cert_spec){.common_name = "thief", .uris = {ID}});
    struct cert_built *leaf = cert_builder_leaf(thief, "spiffe://td/ns/a/sa/admin");
    expect_refusal(world, (struct cert_built *[]){leaf, thief, NULL}, REASON_CERT_UNTRUSTED, "");
    cert_builder_free(leaf);
    cert_builder_free(thief);
}

static void a_chain_is_limited_in_number_and_must_be_der(void **state)
{
    const struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->root, ID);
    struct cert_built *chain[CERT_CHAIN_MAX + 2] = {NULL};
    expect_refusal(world, chain, REASON_CERT_MALFORMED, "no certificate");
    for (size_t i = 0; i < CERT_CHAIN_MAX; i++)
        chain[i] = leaf;
    expect_ok(world, world->bundle, chain);
    chain[CERT_CHAIN_MAX] = leaf;
    expect_refusal(world, chain, REASON_CERT_MALFORMED, "at most 8");

    size_t len;
    const uint8_t *der = cert_builder_der(leaf, &len);
    uint8_t *longer = calloc(1, CERT_DER_MAX + 1);
    memcpy(longer, der, len);
    const struct peer_cert_der ders[] = {
        {der, len - 1}, {longer, len + 1}, {der, 0}, {longer, CERT_DER_MAX + 1}};
    for (size_t i = 0; i < sizeof(ders) / sizeof(ders[0]); i++) {
        struct trust_bundle *bundle = world->bundle;
        const struct trust trust = {.bundles = &bundle, .num_bundles = 1};
        const struct peer_cert_check check = {
            .chain = &ders[i], .num_certs = 1, .trust = &trust, .now_ms = world->now_ms};
        enum reason reason = REASON_DONE;
        assert_null(peer_cert_verify(&check, &reason, NULL));
        assert_int_equal(reason, REASON_CERT_MALFORMED);
    }
    free(longer);
    cert_builder_free(leaf);
}

static void a_trust_domain_is_verified_by_its_own_bundle_and_by_no_other(void **state)
{
    const struct world *world = *state;
    struct trust_bundle *federated = bundle_of("other", cert_builder_pem(world->stranger));
    struct trust_bundle *bundles[] = {world->bundle, federated};
    const struct trust trust = {.bundles = bundles, .num_bundles = 2};
    const struct {
        const struct cert_built *issuer;
        const char *uri;
        enum reason reason; /* DONE: accepted */
    } cases[] = {
        {world->root, "spiffe://td/a", REASON_DONE},
        {world->stranger, "spiffe://other/a", REASON_DONE},
        {world->stranger, "spiffe://td/a", REASON_CERT_UNTRUSTED},
        {world->root, "spiffe://other/a", REASON_CERT_UNTRUSTED},
        {world->root, "spiffe://third/a", REASON_CERT_WRONG_TRUST_DOMAIN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cert_built *leaf = cert_builder_leaf(cases[i].issuer, cases[i].uri);
        struct peer_cert_der der;
        der.bytes = cert_builder_der(leaf, &der.len);
        const struct peer_cert_check check = {
            .chain = &der, .num_certs = 1, .trust = &trust, .now_ms = world->now_ms};
        enum reason reason = REASON_DONE;
        struct peer_cert *peer = peer_cert_verify(&check, &reason, NULL);
        assert_int_equal(peer != NULL, cases[i].reason == REASON_DONE);
        assert_int_equal(reason, cases[i].reason);
        peer_cert_unref(peer);
        cert_builder_free(leaf);
    }
    trust_bundle_unref(federated);
}

static void the_edges_of_validity_are_inside(void **state)
{
    const struct world *world = *state;
    const int64_t start_ms = world->now_ms / 1000 * 1000;
    struct cert_built *leaf =
        cert_builder_make(world->root, &(struct cert_spec){.uris = {ID},
                                                           .not_before_ms = start_ms,
                                                           .not_after_ms = start_ms + 60000});
    const struct {
        int64_t now_ms;
        enum reason reason;
    } cases[] = {
        {start_ms - 1, REASON_CERT_NOT_YET_VALID}, {start_ms, REASON_DONE},
        {start_ms + 60000, REASON_DONE},           {start_ms + 60999, REASON_DONE},
        {start_ms + 61000, REASON_CERT_EXPIRED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world then = *world;
        then.now_ms = cases[i].now_ms;
        enum reason reason = REASON_DONE;
        struct peer_cert *peer =
            verify(&then, world->bundle, (struct cert_built *[]){leaf, NULL}, &reason, NULL);
        assert_int_equal(reason, cases[i].reason);
        peer_cert_unref(peer);
    }
    cert_builder_free(leaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_certificate_tells_who_the_peer_is),
        cmocka_unit_test(a_wrong_leaf_is_refused_with_its_own_reason),
        cmocka_unit_test(of_several_wrongs_the_first_of_the_documented_order_is_the_reason),
        cmocka_unit_test(a_leaf_of_another_root_is_untrusted),
        cmocka_unit_test(a_root_of_the_same_name_but_another_key_is_untrusted),
        cmocka_unit_test(roots_of_one_name_are_each_tried),
        cmocka_unit_test(a_renewed_root_of_the_same_key_replaces_its_expired_self),
        cmocka_unit_test(intermediates_lead_to_the_root_in_any_order),
        cmocka_unit_test(a_wrong_intermediate_is_untrusted),
        cmocka_unit_test(an_intermediate_for_everything_is_taken),
        cmocka_unit_test(a_path_length_is_kept),
        cmocka_unit_test(a_path_length_of_an_anchor_is_kept),
        cmocka_unit_test(a_leaf_cannot_sign_for_others),
        cmocka_unit_test(a_chain_is_limited_in_number_and_must_be_der),
        cmocka_unit_test(a_trust_domain_is_verified_by_its_own_bundle_and_by_no_other),
        cmocka_unit_test(the_edges_of_validity_are_inside),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
