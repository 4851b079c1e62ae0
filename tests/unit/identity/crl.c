#include "crl_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

#include "cert_builder.h"
#include "clock.h"
#include "peer_cert.h"

static const char ID[] = "spiffe://td/ns/a/sa/b";
enum { HOUR_MS = 3600 * 1000 };

struct world {
    struct cert_built *root, *middle, *leaf, *other_leaf;
    struct trust_bundle *bundle;
    int64_t now_ms;
};

static int make_world(void **state)
{
    static struct world world;
    world.now_ms = clock_wall_ms();
    world.root = cert_builder_root("root");
    world.middle =
        cert_builder_make(world.root, &(struct cert_spec){.common_name = "middle", .is_ca = true});
    world.leaf = cert_builder_leaf(world.middle, ID);
    world.other_leaf = cert_builder_leaf(world.middle, "spiffe://td/ns/a/sa/other");
    const char *pem = cert_builder_pem(world.root);
    world.bundle = trust_bundle_new_pem("td", pem, strlen(pem), NULL);
    assert_non_null(world.bundle);
    *state = &world;
    return 0;
}

static int free_world(void **state)
{
    struct world *world = *state;
    cert_builder_free(world->root);
    cert_builder_free(world->middle);
    cert_builder_free(world->leaf);
    cert_builder_free(world->other_leaf);
    trust_bundle_unref(world->bundle);
    return 0;
}

static struct crl_set *set_of(const struct crl_built *crl)
{
    const struct cert_bytes text = {crl->pem, strlen(crl->pem), CERT_PEM};
    struct err err = {0};
    struct crl_set *set = crl_set_new(&text, 1, &err);
    if (set == NULL)
        fail_msg("%s", err.message);
    return set;
}

/* REASON_DONE: the leaf is accepted. */
static enum reason verify(const struct world *world, const struct cert_built *leaf,
                          struct crl_set *crls, bool strict, struct err *err)
{
    struct peer_cert_der ders[2];
    ders[0].bytes = cert_builder_der(leaf, &ders[0].len);
    ders[1].bytes = cert_builder_der(world->middle, &ders[1].len);
    struct trust_bundle *bundle = world->bundle;
    const struct trust trust = {
        .bundles = &bundle, .num_bundles = 1, .crls = crls, .crl_strict = strict};
    const struct peer_cert_check check = {
        .chain = ders, .num_certs = 2, .trust = &trust, .now_ms = world->now_ms};
    enum reason reason = REASON_DONE;
    peer_cert_unref(peer_cert_verify(&check, &reason, err));
    return reason;
}

static void each_certificate_of_the_path_may_be_revoked_by_its_own_issuer(void **state)
{
    const struct world *world = *state;
    const struct {
        const struct cert_built *issuer;
        const struct cert_built *revoked;
        enum reason reason;
        const char *words;
    } cases[] = {
        {world->middle, world->leaf, REASON_CERT_REVOKED, "the certificate is revoked"},
        {world->root, world->middle, REASON_CERT_REVOKED, "the intermediate '/CN=middle'"},
        {world->middle, world->other_leaf, REASON_DONE, ""},
        {world->root, world->leaf, REASON_DONE, ""}, /* not its issuer */
        {world->middle, NULL, REASON_DONE, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct crl_built *crl =
            cert_builder_crl(cases[i].issuer, &(struct crl_spec){.revoked = {cases[i].revoked}});
        struct crl_set *set = set_of(crl);
        struct err err = {0};
        enum reason reason = verify(world, world->leaf, set, true, &err);
        if (reason != cases[i].reason || strstr(err.message, cases[i].words) == NULL)
            fail_msg("case %zu: %s '%s'", i, reason_name(reason), err.message);
        /* What was found out about the issuer's signature holds. */
        assert_int_equal(verify(world, world->leaf, set, true, NULL), cases[i].reason);
        crl_set_unref(set);
        cert_builder_free_crl(crl);
    }
}

static void a_list_that_its_issuer_has_not_signed_says_nothing(void **state)
{
    const struct world *world = *state;
    struct cert_built *impostor =
        cert_builder_make(NULL, &(struct cert_spec){.common_name = "middle", .is_ca = true});
    struct crl_built *crl = cert_builder_crl(
        world->middle, &(struct crl_spec){.revoked = {world->leaf}, .signed_by = impostor});
    struct crl_set *set = set_of(crl);
    assert_int_equal(verify(world, world->leaf, set, true, NULL), REASON_DONE);
    crl_set_unref(set);
    cert_builder_free_crl(crl);
    cert_builder_free(impostor);
}

/* ------------------------------------------------------------------------ failing allocations -- */

static bool fails_context, fails_key, fails_serial;

EVP_MD_CTX *__real_EVP_MD_CTX_new(void);
EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void);
int __real_i2d_PUBKEY(const EVP_PKEY *key, uint8_t **out);
int __wrap_i2d_PUBKEY(const EVP_PKEY *key, uint8_t **out);
int __real_i2d_ASN1_INTEGER(const ASN1_INTEGER *number, uint8_t **out);
int __wrap_i2d_ASN1_INTEGER(const ASN1_INTEGER *number, uint8_t **out);

EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void)
{
    return fails_context ? NULL : __real_EVP_MD_CTX_new();
}

int __wrap_i2d_PUBKEY(const EVP_PKEY *key, uint8_t **out)
{
    return fails_key ? -1 : __real_i2d_PUBKEY(key, out);
}

int __wrap_i2d_ASN1_INTEGER(const ASN1_INTEGER *number, uint8_t **out)
{
    return fails_serial ? -1 : __real_i2d_ASN1_INTEGER(number, out);
}

static void without_memory_to_look_it_up_nobody_is_let_in_and_nothing_is_remembered(void **state)
{
    const struct world *world = *state;
    bool *const fails[] = {&fails_context, &fails_key, &fails_serial};
    for (size_t i = 0; i < sizeof(fails) / sizeof(fails[0]); i++) {
        struct crl_built *crl =
            cert_builder_crl(world->middle, &(struct crl_spec){.revoked = {world->leaf}});
        struct crl_set *set = set_of(crl);
        struct err err = {0};
        *fails[i] = true;
        enum reason reason = verify(world, world->leaf, set, false, &err);
        *fails[i] = false;
        if (reason != REASON_NO_MEMORY || err.kind != ERR_NOMEM)
            fail_msg("case %zu: %s", i, reason_name(reason));
        assert_int_equal(verify(world, world->leaf, set, false, NULL), REASON_CERT_REVOKED);
        crl_set_unref(set);
        cert_builder_free_crl(crl);
    }
}

static void a_list_that_is_not_of_now_is_used_or_refused_as_configured(void **state)
{
    const struct world *world = *state;
    const struct crl_spec specs[] = {
        {.this_update_ms = world->now_ms - 3 * (int64_t)HOUR_MS,
         .next_update_ms = world->now_ms - HOUR_MS},
        {.this_update_ms = world->now_ms + HOUR_MS, .next_update_ms = world->now_ms + 2 * HOUR_MS},
    };
    for (size_t i = 0; i < 2; i++) {
        struct crl_spec spec = specs[i];
        struct crl_built *empty = cert_builder_crl(world->middle, &spec);
        spec.revoked[0] = world->leaf;
        struct crl_built *full = cert_builder_crl(world->middle, &spec);
        struct crl_set *set = set_of(empty);
        struct err err = {0};
        assert_int_equal(verify(world, world->leaf, set, false, NULL), REASON_DONE);
        assert_int_equal(verify(world, world->leaf, set, true, &err), REASON_CRL_EXPIRED);
        assert_non_null(strstr(err.message, "is a clock wrong?"));
        crl_set_unref(set);
        set = set_of(full);
        assert_int_equal(verify(world, world->leaf, set, false, NULL), REASON_CERT_REVOKED);
        assert_int_equal(verify(world, world->leaf, set, true, NULL), REASON_CERT_REVOKED);
        crl_set_unref(set);
        cert_builder_free_crl(empty);
        cert_builder_free_crl(full);
    }
}

static void a_newer_list_makes_up_for_one_that_has_expired(void **state)
{
    const struct world *world = *state;
    struct crl_built *old = cert_builder_crl(
        world->middle, &(struct crl_spec){.next_update_ms = world->now_ms - 60 * 1000});
    struct crl_built *new = cert_builder_crl(world->middle, &(struct crl_spec){0});
    struct crl_set *a = set_of(old), *b = set_of(new);
    struct crl_set *both = crl_set_merge(a, b, NULL);
    struct crl_set *again = crl_set_merge(both, a, NULL);
    assert_int_equal(crl_set_num(both), 2);
    assert_true(crl_set_is_same(both, again));
    assert_false(crl_set_is_same(both, a));
    assert_int_equal(verify(world, world->leaf, both, true, NULL), REASON_DONE);
    crl_set_unref(a);
    crl_set_unref(b);
    crl_set_unref(both);
    crl_set_unref(again);
    cert_builder_free_crl(old);
    cert_builder_free_crl(new);
}

static void a_hundred_thousand_entries_are_read_and_looked_up(void **state)
{
    const struct world *world = *state;
    struct crl_built *crl =
        cert_builder_crl(world->middle, &(struct crl_spec){.revoked = {world->leaf},
                                                           .num_fillers = 100000,
                                                           .no_next_update = true});
    const struct cert_bytes text = {crl->der, crl->der_len, CERT_DER};
    struct crl_set *set = crl_set_new(&text, 1, NULL);
    assert_non_null(set);
    struct crl_info info;
    crl_set_info(set, 0, &info);
    assert_int_equal(info.num_revoked, 100001);
    assert_true(info.next_update_ms == INT64_MAX);
    assert_non_null(strstr(info.issuer, "middle"));
    assert_int_equal(verify(world, world->leaf, set, true, NULL), REASON_CERT_REVOKED);
    assert_int_equal(verify(world, world->other_leaf, set, true, NULL), REASON_DONE);
    crl_set_unref(set);
    cert_builder_free_crl(crl);
}

static void what_is_not_a_complete_list_is_named_and_refused(void **state)
{
    const struct world *world = *state;
    struct err err = {0};
    struct crl_built *delta = cert_builder_crl(world->middle, &(struct crl_spec){.is_delta = true});
    const struct cert_bytes delta_text = {delta->pem, strlen(delta->pem), CERT_PEM};
    assert_null(crl_set_new(&delta_text, 1, &err));
    if (strstr(err.message, "delta list") == NULL)
        fail_msg("%s", err.message);

    struct crl_built *good =
        cert_builder_crl(world->middle, &(struct crl_spec){.has_distribution_point = true});
    struct crl_set *set = set_of(good);
    assert_int_equal(crl_set_num(set), 1);
    crl_set_unref(set);
    for (size_t len = 1; len < good->der_len; len++) {
        const struct cert_bytes cut = {good->der, len, CERT_DER};
        assert_null(crl_set_new(&cut, 1, &err));
        assert_int_equal(err.kind, ERR_INVALID);
    }
    const char *pem = cert_builder_pem(world->root);
    const struct cert_bytes certificate = {pem, strlen(pem), CERT_PEM};
    assert_null(crl_set_new(&certificate, 1, &err));
    assert_non_null(strstr(err.message, "not a revocation list"));
    const char *html = "<html><title>404 Not Found</title></html>";
    const struct cert_bytes page = {html, strlen(html), CERT_PEM};
    assert_null(crl_set_new(&page, 1, &err));
    assert_non_null(strstr(err.message, "no revocation list in it"));
    static const char *const EMPTY[] = {"", " \n"};
    for (size_t i = 0; i < 2; i++) {
        const struct cert_bytes nothing = {EMPTY[i], strlen(EMPTY[i]), CERT_PEM};
        set = crl_set_new(&nothing, 1, &err);
        assert_non_null(set);
        assert_int_equal(crl_set_num(set), 0);
        crl_set_unref(set);
    }
    cert_builder_free_crl(delta);
    cert_builder_free_crl(good);
}

static struct peer_cert *peer_of(const struct world *world, const struct trust *trust)
{
    struct peer_cert_der ders[2];
    ders[0].bytes = cert_builder_der(world->leaf, &ders[0].len);
    ders[1].bytes = cert_builder_der(world->middle, &ders[1].len);
    const struct peer_cert_check check = {
        .chain = ders, .num_certs = 2, .trust = trust, .now_ms = world->now_ms};
    enum reason reason;
    struct peer_cert *peer = peer_cert_verify(&check, &reason, NULL);
    assert_non_null(peer);
    return peer;
}

/* What a live connection is judged by when something has changed. */
static void a_verified_peer_is_judged_again_by_what_is_trusted_now(void **state)
{
    const struct world *world = *state;
    static const struct cert_rules STRICT = {0};
    struct trust_bundle *bundle = world->bundle;
    const struct trust before = {.bundles = &bundle, .num_bundles = 1};
    struct peer_cert *peer = peer_of(world, &before);
    struct err err = {0};
    int64_t now_ms = world->now_ms;
    assert_int_equal(peer_cert_recheck(peer, &before, &STRICT, now_ms, 0, &err), REASON_DONE);

    struct crl_built *crl =
        cert_builder_crl(world->middle, &(struct crl_spec){.revoked = {world->leaf}});
    struct trust after = before;
    after.crls = set_of(crl);
    assert_int_equal(peer_cert_recheck(peer, &after, &STRICT, now_ms, 0, &err),
                     REASON_CERT_REVOKED);
    crl_set_unref(after.crls);
    cert_builder_free_crl(crl);

    struct cert_built *stranger = cert_builder_root("stranger");
    const char *pem = cert_builder_pem(stranger);
    struct trust_bundle *withdrawn = trust_bundle_new_pem("td", pem, strlen(pem), NULL);
    const struct trust without = {.bundles = &withdrawn, .num_bundles = 1};
    assert_int_equal(peer_cert_recheck(peer, &without, &STRICT, now_ms, 0, &err),
                     REASON_CERT_UNTRUSTED);
    trust_bundle_unref(withdrawn);
    cert_builder_free(stranger);

    /* Time: the grace, and a clock that was set back. */
    int64_t end_ms = peer->not_after_ms;
    assert_int_equal(peer_cert_recheck(peer, &before, &STRICT, end_ms + 30000, 60000, &err),
                     REASON_DONE);
    assert_int_equal(peer_cert_recheck(peer, &before, &STRICT, end_ms + 90000, 60000, &err),
                     REASON_CERT_EXPIRED);
    assert_non_null(strstr(err.message, "89 s ago while connected"));
    assert_int_equal(
        peer_cert_recheck(peer, &before, &STRICT, peer->not_before_ms - HOUR_MS, 0, &err),
        REASON_DONE);
    peer_cert_unref(peer);
}

static void a_list_that_expires_ends_no_live_connection(void **state)
{
    const struct world *world = *state;
    static const struct cert_rules STRICT = {0};
    struct trust_bundle *bundle = world->bundle;
    const struct trust before = {.bundles = &bundle, .num_bundles = 1};
    struct peer_cert *peer = peer_of(world, &before);
    struct crl_built *crl = cert_builder_crl(
        world->middle, &(struct crl_spec){.next_update_ms = world->now_ms - 60 * 1000});
    struct trust strict = before;
    strict.crls = set_of(crl);
    strict.crl_strict = true;
    struct err err;
    assert_int_equal(verify(world, world->leaf, strict.crls, true, NULL), REASON_CRL_EXPIRED);
    assert_int_equal(peer_cert_recheck(peer, &strict, &STRICT, world->now_ms, 0, &err),
                     REASON_DONE);
    crl_set_unref(strict.crls);
    cert_builder_free_crl(crl);
    peer_cert_unref(peer);
}

/* A root that is renewed keeps its name and its key; the way by the old one is found first. */
static void a_root_that_ends_ends_nobody_whom_its_renewal_vouches_for(void **state)
{
    enum { MINUTE_MS = 60 * 1000 };
    static const struct cert_rules STRICT = {0};
    const struct world *world = *state;
    struct cert_built *old = cert_builder_make(
        NULL, &(struct cert_spec){.common_name = "renewed",
                                  .is_ca = true,
                                  .not_after_ms = world->now_ms + 10 * MINUTE_MS});
    struct cert_built *new =
        cert_builder_renew(old, &(struct cert_spec){.common_name = "renewed", .is_ca = true});
    struct cert_built *leaf = cert_builder_leaf(new, ID);
    char roots[8192];
    snprintf(roots, sizeof(roots), "%s%s", cert_builder_pem(old), cert_builder_pem(new));
    struct trust_bundle *both = trust_bundle_new_pem("td", roots, strlen(roots), NULL);
    const char *old_pem = cert_builder_pem(old);
    struct trust_bundle *former = trust_bundle_new_pem("td", old_pem, strlen(old_pem), NULL);
    const struct trust trust = {.bundles = &both, .num_bundles = 1};
    const struct trust former_trust = {.bundles = &former, .num_bundles = 1};
    struct peer_cert_der der;
    der.bytes = cert_builder_der(leaf, &der.len);
    const struct peer_cert_check check = {
        .chain = &der, .num_certs = 1, .trust = &former_trust, .now_ms = world->now_ms};
    enum reason reason;
    struct err err;
    struct peer_cert *peer = peer_cert_verify(&check, &reason, &err);
    assert_non_null(peer);

    int64_t later_ms = world->now_ms + 20 * MINUTE_MS; /* the old root has ended, the leaf not */
    assert_int_equal(peer_cert_recheck(peer, &trust, &STRICT, later_ms, 0, &err), REASON_DONE);
    assert_int_equal(peer_cert_recheck(peer, &former_trust, &STRICT, later_ms, 0, &err),
                     REASON_CERT_EXPIRED);
    assert_non_null(strstr(err.message, "while connected"));
    later_ms = world->now_ms + 2 * HOUR_MS;
    assert_int_equal(peer_cert_recheck(peer, &trust, &STRICT, later_ms, 0, &err),
                     REASON_CERT_EXPIRED);
    peer_cert_unref(peer);
    trust_bundle_unref(both);
    trust_bundle_unref(former);
    cert_builder_free(leaf);
    cert_builder_free(new);
    cert_builder_free(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_certificate_of_the_path_may_be_revoked_by_its_own_issuer),
        cmocka_unit_test(a_list_that_its_issuer_has_not_signed_says_nothing),
        cmocka_unit_test(without_memory_to_look_it_up_nobody_is_let_in_and_nothing_is_remembered),
        cmocka_unit_test(a_list_that_is_not_of_now_is_used_or_refused_as_configured),
        cmocka_unit_test(a_newer_list_makes_up_for_one_that_has_expired),
        cmocka_unit_test(a_hundred_thousand_entries_are_read_and_looked_up),
        cmocka_unit_test(what_is_not_a_complete_list_is_named_and_refused),
        cmocka_unit_test(a_verified_peer_is_judged_again_by_what_is_trusted_now),
        cmocka_unit_test(a_list_that_expires_ends_no_live_connection),
        cmocka_unit_test(a_root_that_ends_ends_nobody_whom_its_renewal_vouches_for),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
