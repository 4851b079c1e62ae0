/*
 * Certificates of a PKI that knows nothing of SPIFFE.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cert_builder.h"
#include "clock.h"
#include "peer_cert.h"

static const char ID[] = "spiffe://partner/ns/a/sa/b";
static const int64_t HOUR_MS = 3600 * 1000;

struct world {
    struct cert_built *root, *stranger, *mesh_root;
    struct trust_bundle *roots, *mesh;
    int64_t now_ms;
};

static struct trust_bundle *bundle_of(const char *trust_domain, const struct cert_built *root)
{
    const char *pem = cert_builder_pem(root);
    struct trust_bundle *bundle = trust_bundle_new_pem(trust_domain, pem, strlen(pem), NULL);
    assert_non_null(bundle);
    return bundle;
}

static int make_world(void **state)
{
    static struct world world;
    world.root = cert_builder_root("private CA");
    world.stranger = cert_builder_root("private CA"); /* by the same name */
    world.mesh_root = cert_builder_root("mesh");
    world.roots = bundle_of(NULL, world.root);
    world.mesh = bundle_of("td", world.mesh_root);
    world.now_ms = clock_wall_ms();
    *state = &world;
    return 0;
}

static int free_world(void **state)
{
    struct world *world = *state;
    cert_builder_free(world->root);
    cert_builder_free(world->stranger);
    cert_builder_free(world->mesh_root);
    trust_bundle_unref(world->roots);
    trust_bundle_unref(world->mesh);
    return 0;
}

static struct pki clients(const struct world *world)
{
    return (struct pki){
        .peer = PKI_CLIENT,
        .roots = world->roots,
        .max_intermediates = 1,
        .principals = {PRINCIPAL_URI, PRINCIPAL_DNS, PRINCIPAL_EMAIL, PRINCIPAL_CN},
        .num_principals = 4,
    };
}

static struct trust mesh_trust(const struct world *world)
{
    return (struct trust){.bundles = &world->mesh, .num_bundles = 1};
}

/* Verifies `chain`, leaf first, NULL at the end. */
static struct peer_cert *verify(const struct world *world, const struct pki *pki,
                                struct cert_built *const *chain, enum reason *reason,
                                struct err *err)
{
    struct peer_cert_der ders[CERT_CHAIN_MAX + 2];
    const struct trust trust = mesh_trust(world);
    struct peer_cert_check check = {
        .chain = ders, .trust = &trust, .pki = pki, .now_ms = world->now_ms};
    for (; chain[check.num_certs] != NULL; check.num_certs++)
        ders[check.num_certs].bytes =
            cert_builder_der(chain[check.num_certs], &ders[check.num_certs].len);
    return peer_cert_verify(&check, reason, err);
}

static struct peer_cert *expect_ok(const struct world *world, const struct pki *pki,
                                   struct cert_built *const *chain)
{
    enum reason reason = REASON_DONE;
    struct err err = {0};
    struct peer_cert *peer = verify(world, pki, chain, &reason, &err);
    if (peer == NULL)
        fail_msg("%s: %s", reason_name(reason), err.message);
    return peer;
}

static void expect_refusal(const struct world *world, const struct pki *pki,
                           struct cert_built *const *chain, enum reason wanted, const char *words)
{
    enum reason reason = REASON_DONE;
    struct err err = {0};
    assert_null(verify(world, pki, chain, &reason, &err));
    if (reason != wanted || strstr(err.message, words) == NULL)
        fail_msg("got %s '%s', wanted %s '%s'", reason_name(reason), err.message,
                 reason_name(wanted), words);
    assert_int_equal(err.kind, ERR_TLS);
}

struct named_case {
    struct cert_spec spec;
    enum principal_kind kind;
    const char *principal;
    const char *common_name;
};

static void the_first_kind_of_name_that_a_certificate_has_is_its_principal(void **state)
{
    const struct world *world = *state;
    const struct pki pki = clients(world);
    const struct named_case cases[] = {
        {{.common_name = "client"}, PRINCIPAL_CN, "cn:client", "client"},
        {{.common_name = "client", .is_version_1 = true}, PRINCIPAL_CN, "cn:client", "client"},
        {{.common_name = "client", .emails = {"Jo@X.org"}},
         PRINCIPAL_EMAIL,
         "email:Jo@x.org",
         "client"},
        {{.common_name = "c", .emails = {"jo@x.org"}, .dns = {"A.B"}},
         PRINCIPAL_DNS,
         "dns:a.b",
         "c"},
        {{.common_name = "c", .dns = {"a.b"}, .uris = {ID}},
         PRINCIPAL_URI,
         "partner/ns/a/sa/b",
         "c"},
        {{.dns = {"a.b"}, .common_name = "c\n"}, PRINCIPAL_DNS, "dns:a.b", NULL},
        {{.dns = {"a.b"}}, PRINCIPAL_DNS, "dns:a.b", NULL},
        {{.dns = {"a.b"}, .usage = CERT_USAGE_NONE, .eku = CERT_EKU_NONE},
         PRINCIPAL_DNS,
         "dns:a.b",
         NULL},
        {{.dns = {"a.b"}, .usage = CERT_USAGE_NOT_CRITICAL, .eku = CERT_EKU_CLIENT},
         PRINCIPAL_DNS,
         "dns:a.b",
         NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cert_built *leaf = cert_builder_make(world->root, &cases[i].spec);
        struct peer_cert *peer = expect_ok(world, &pki, (struct cert_built *[]){leaf, NULL});
        assert_int_equal(peer->kind, cases[i].kind);
        assert_string_equal(peer->principal, cases[i].principal);
        assert_string_equal(peer_cert_name(peer),
                            peer->kind == PRINCIPAL_URI ? ID : cases[i].principal);
        assert_int_equal(peer->id.uri != NULL, peer->kind == PRINCIPAL_URI);
        if (cases[i].common_name == NULL)
            assert_null(peer->common_name);
        else
            assert_string_equal(peer->common_name, cases[i].common_name);
        peer_cert_unref(peer);
        cert_builder_free(leaf);
    }
}

struct refused_case {
    struct cert_spec spec;
    enum reason reason;
    const char *words;
};

static void a_wrong_client_is_refused_with_its_own_reason(void **state)
{
    const struct world *world = *state;
    const struct pki pki = clients(world);
    const int64_t now_ms = world->now_ms;
    const struct refused_case cases[] = {
        {{.dns = {"a.b"}, .is_ca = true}, REASON_CERT_IS_CA, "is a CA certificate"},
        {{.common_name = NULL}, REASON_CERT_NO_PRINCIPAL, "no name of any kind"},
        {{.dns = {"a.b", "c.d"}}, REASON_CERT_BAD_PRINCIPAL, "2 names of the kind 'dns'"},
        {{.dns = {"*.b"}}, REASON_CERT_BAD_PRINCIPAL, "kind 'dns' is"},
        {{.dns = {"a.b."}}, REASON_CERT_BAD_PRINCIPAL, "kind 'dns' is"},
        {{.dns_with_nul = "admin0.evil.org"}, REASON_CERT_BAD_PRINCIPAL, "kind 'dns' is"},
        {{.emails = {"a@b", "c@d"}}, REASON_CERT_BAD_PRINCIPAL, "2 names of the kind 'email'"},
        {{.emails = {"a b@c"}}, REASON_CERT_BAD_PRINCIPAL, "kind 'email' is"},
        {{.common_name = "a", .second_common_name = "b"},
         REASON_CERT_BAD_PRINCIPAL,
         "2 names of the kind 'cn'"},
        {{.common_name = "spiffe://td/ns/a/sa/admin"}, REASON_CERT_BAD_PRINCIPAL, "kind 'cn' is"},
        {{.common_name = "cli\nent"}, REASON_CERT_BAD_PRINCIPAL, "kind 'cn' is"},
        {{.common_name = "client", .is_common_name_bmp = true},
         REASON_CERT_BAD_PRINCIPAL,
         "UTF8String"},
        /* What a better name would be is not looked for after a bad one. */
        {{.dns = {"*.b"}, .common_name = "client"}, REASON_CERT_BAD_PRINCIPAL, "kind 'dns'"},
        {{.uris = {ID, "spiffe://partner/c"}, .dns = {"a.b"}},
         REASON_CERT_TWO_URI_SANS,
         "2 URI SANs"},
        {{.uris = {"https://a.b/"}, .dns = {"a.b"}}, REASON_CERT_NO_SPIFFE_ID, "not a SPIFFE ID"},
        {{.uris = {"spiffe://partner/%61"}}, REASON_CERT_BAD_SPIFFE_ID, "SPIFFE ID"},
        {{.uris = {"spiffe://td/ns/a/sa/admin"}},
         REASON_CERT_WRONG_TRUST_DOMAIN,
         "may not speak for this trust domain"},
        {{.dns = {"a.b"}, .san_twice = true}, REASON_CERT_MALFORMED, "cannot be read"},
        {{.dns = {"a.b"}, .key = CERT_KEY_RSA_1024}, REASON_CERT_WEAK, "RSA key of 1024 bits"},
        {{.dns = {"a.b"}, .key = CERT_KEY_P224}, REASON_CERT_WEAK, "P-256"},
        {{.dns = {"a.b"}, .sign_by_sha1 = true}, REASON_CERT_WEAK, "signed with"},
        {{.dns = {"a.b"}, .usage = CERT_USAGE_ENCIPHER_ONLY},
         REASON_CERT_KEY_USAGE,
         "lacks digitalSignature"},
        {{.dns = {"a.b"}, .usage = CERT_USAGE_WITH_CERT_SIGN},
         REASON_CERT_KEY_USAGE,
         "keyCertSign"},
        {{.dns = {"a.b"}, .eku = CERT_EKU_SERVER}, REASON_CERT_KEY_USAGE, "lacks clientAuth"},
        {{.dns = {"a.b"}, .eku = CERT_EKU_CODE_SIGNING}, REASON_CERT_KEY_USAGE, "lacks clientAuth"},
        {{.dns = {"a.b"}, .eku = CERT_EKU_ANY}, REASON_CERT_KEY_USAGE, "lacks clientAuth"},
        {{.dns = {"a.b"}, .not_before_ms = now_ms - 2 * HOUR_MS, .not_after_ms = now_ms - HOUR_MS},
         REASON_CERT_EXPIRED,
         "expired 60 min ago"},
        {{.dns = {"a.b"}, .not_before_ms = now_ms + HOUR_MS, .not_after_ms = now_ms + 2 * HOUR_MS},
         REASON_CERT_NOT_YET_VALID,
         "becomes valid in"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cert_built *leaf = cert_builder_make(world->root, &cases[i].spec);
        expect_refusal(world, &pki, (struct cert_built *[]){leaf, NULL}, cases[i].reason,
                       cases[i].words);
        cert_builder_free(leaf);
    }
}

static void a_ca_of_the_same_name_is_another_ca(void **state)
{
    const struct world *world = *state;
    const struct pki pki = clients(world);
    struct cert_built *leaf =
        cert_builder_make(world->stranger, &(struct cert_spec){.common_name = "client"});
    expect_refusal(world, &pki, (struct cert_built *[]){leaf, NULL}, REASON_CERT_UNTRUSTED,
                   "signature");
    cert_builder_free(leaf);
}

static void an_rsa_certificate_of_the_usual_size_is_taken(void **state)
{
    const struct world *world = *state;
    struct pki pki = clients(world);
    struct cert_built *root = cert_builder_make(
        NULL, &(struct cert_spec){.common_name = "rsa", .is_ca = true, .key = CERT_KEY_RSA_2048});
    pki.roots = bundle_of(NULL, root);
    struct cert_built *leaf = cert_builder_make(
        root, &(struct cert_spec){
                  .common_name = "client", .is_version_1 = true, .key = CERT_KEY_RSA_4096});
    struct peer_cert *peer = expect_ok(world, &pki, (struct cert_built *[]){leaf, NULL});
    assert_string_equal(peer->principal, "cn:client");
    peer_cert_unref(peer);
    trust_bundle_unref(pki.roots);
    cert_builder_free(leaf);
    cert_builder_free(root);
}

/* ------------------------------------------------------------------------------------- chains -- */

static struct cert_built *ca(const struct cert_built *issuer, const char *name,
                             struct cert_spec spec)
{
    spec.common_name = name;
    spec.is_ca = true;
    return cert_builder_make(issuer, &spec);
}

static void a_path_may_be_as_deep_as_configured_and_no_deeper(void **state)
{
    const struct world *world = *state;
    struct cert_built *one = ca(world->root, "one", (struct cert_spec){0});
    struct cert_built *two = ca(one, "two", (struct cert_spec){0});
    const struct cert_spec spec = {.common_name = "client"};
    struct cert_built *leaves[] = {cert_builder_make(world->root, &spec),
                                   cert_builder_make(one, &spec), cert_builder_make(two, &spec)};
    for (unsigned depth = 0; depth < 3; depth++) {
        for (unsigned max = 0; max < 4; max++) {
            struct pki pki = clients(world);
            pki.max_intermediates = max;
            struct cert_built *chain[] = {leaves[depth], depth == 2 ? two : one, one, NULL};
            if (depth <= max)
                peer_cert_unref(expect_ok(world, &pki, chain));
            else
                expect_refusal(world, &pki, chain, REASON_CERT_TOO_DEEP, "verify-depth allows");
        }
    }
    for (size_t i = 0; i < 3; i++)
        cert_builder_free(leaves[i]);
    cert_builder_free(two);
    cert_builder_free(one);
}

struct intermediate_case {
    struct cert_spec intermediate;
    struct cert_spec leaf;
    enum reason reason; /* REASON_DONE: taken */
    const char *words;
};

static void what_an_intermediate_forbids_is_forbidden(void **state)
{
    const struct world *world = *state;
    const struct pki pki = clients(world);
    const int64_t now_ms = world->now_ms;
    const struct intermediate_case cases[] = {
        {{0}, {.dns = {"a.b"}}, REASON_DONE, NULL},
        {{.permitted_dns = "good.org"}, {.dns = {"x.good.org"}}, REASON_DONE, NULL},
        {{.permitted_dns = "good.org"}, {.dns = {"x.evil.org"}}, REASON_CERT_UNTRUSTED, "subtree"},
        {{.permitted_dns = "good.org"},
         {.dns = {"good.org.evil.org"}},
         REASON_CERT_UNTRUSTED,
         "subtree"},
        {{.eku = CERT_EKU_CODE_SIGNING}, {.dns = {"a.b"}}, REASON_CERT_KEY_USAGE, "intermediate"},
        {{.eku = CERT_EKU_ANY}, {.dns = {"a.b"}}, REASON_DONE, NULL},
        {{.key = CERT_KEY_RSA_1024}, {.dns = {"a.b"}}, REASON_CERT_WEAK, "intermediate"},
        {{.sign_by_sha1 = true}, {.dns = {"a.b"}}, REASON_CERT_WEAK, "intermediate"},
        {{.not_before_ms = now_ms - 2 * HOUR_MS, .not_after_ms = now_ms - HOUR_MS},
         {.dns = {"a.b"}},
         REASON_CERT_EXPIRED,
         "intermediate"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cert_built *intermediate = ca(world->root, "between", cases[i].intermediate);
        struct cert_built *leaf = cert_builder_make(intermediate, &cases[i].leaf);
        struct cert_built *chain[] = {leaf, intermediate, NULL};
        if (cases[i].reason == REASON_DONE)
            peer_cert_unref(expect_ok(world, &pki, chain));
        else
            expect_refusal(world, &pki, chain, cases[i].reason, cases[i].words);
        cert_builder_free(leaf);
        cert_builder_free(intermediate);
    }
}

static void a_path_length_is_kept(void **state)
{
    const struct world *world = *state;
    struct pki pki = clients(world);
    pki.max_intermediates = 5;
    struct cert_built *one = ca(world->root, "one", (struct cert_spec){.path_len = 1}); /* zero */
    struct cert_built *two = ca(one, "two", (struct cert_spec){0});
    struct cert_built *leaf = cert_builder_make(two, &(struct cert_spec){.common_name = "client"});
    expect_refusal(world, &pki, (struct cert_built *[]){leaf, two, one, NULL},
                   REASON_CERT_UNTRUSTED, "path length");
    cert_builder_free(leaf);
    cert_builder_free(two);
    cert_builder_free(one);
}

static void a_leaf_is_no_issuer(void **state)
{
    const struct world *world = *state;
    const struct pki pki = clients(world);
    struct cert_built *leaf =
        cert_builder_make(world->root, &(struct cert_spec){.common_name = "client"});
    struct cert_built *child = cert_builder_make(leaf, &(struct cert_spec){.common_name = "admin"});
    expect_refusal(world, &pki, (struct cert_built *[]){child, leaf, NULL}, REASON_CERT_UNTRUSTED,
                   "CA");
    cert_builder_free(child);
    cert_builder_free(leaf);
}

static void a_trust_domain_of_ours_is_spoken_for_by_its_own_bundle(void **state)
{
    const struct world *world = *state;
    struct pki pki = clients(world);
    pki.roots = world->mesh; /* the port trusts the mesh's root for its own reasons */
    struct cert_built *leaf = cert_builder_leaf(world->mesh_root, "spiffe://td/ns/a/sa/b");
    struct peer_cert *peer = expect_ok(world, &pki, (struct cert_built *[]){leaf, NULL});
    assert_string_equal(peer->id.ns, "a");
    peer_cert_unref(peer);
    cert_builder_free(leaf);
}

/* The port's CA is the renewed root; the mesh's bundle knows only the one that has ended. */
static void a_bundle_whose_root_has_ended_speaks_for_nobody(void **state)
{
    const struct world *world = *state;
    struct cert_built *old =
        cert_builder_make(NULL, &(struct cert_spec){.common_name = "renewed",
                                                    .is_ca = true,
                                                    .not_before_ms = world->now_ms - 3 * HOUR_MS,
                                                    .not_after_ms = world->now_ms - HOUR_MS});
    struct cert_built *new =
        cert_builder_renew(old, &(struct cert_spec){.common_name = "renewed", .is_ca = true});
    struct cert_built *leaf = cert_builder_leaf(new, "spiffe://td/ns/a/sa/b");
    struct world ended = *world;
    ended.mesh = bundle_of("td", old);
    struct pki pki = clients(world);
    pki.roots = bundle_of(NULL, new);
    struct cert_built *chain[] = {leaf, NULL};
    expect_refusal(&ended, &pki, chain, REASON_CERT_EXPIRED, "the root '/CN=renewed' expired");
    trust_bundle_unref(pki.roots);
    trust_bundle_unref(ended.mesh);
    cert_builder_free(leaf);
    cert_builder_free(new);
    cert_builder_free(old);
}

/* ------------------------------------------------------------------------------------ servers -- */

static void a_server_is_known_by_the_name_that_was_asked_for(void **state)
{
    const struct world *world = *state;
    const struct {
        struct cert_spec spec;
        const char *name;
        const char *principal; /* NULL: refused */
    } cases[] = {
        {{.dns = {"x.org", "a.b"}}, "a.b", "dns:a.b"},
        {{.dns = {"*.b.org"}}, "a.b.org", "dns:a.b.org"},
        {{.dns = {"*.b.org"}}, "a.a.b.org", NULL},
        {{.dns = {"*.org"}}, "b.org", NULL}, /* a whole top-level domain */
        {{.dns = {"f*.b.org"}}, "foo.b.org", NULL},
        {{.dns = {"a.*.org"}}, "a.b.org", NULL},
        {{.dns = {"*"}}, "org", NULL},
        {{.dns = {"A.B"}}, "a.b", "dns:a.b"},
        {{.dns = {"a.b.."}}, "a.b", NULL},
        {{.dns = {"x.org"}, .common_name = "a.b"}, "a.b", NULL},
        {{.common_name = "a.b"}, "a.b", NULL},
        {{.dns_with_nul = "a.b0.evil.org"}, "a.b", NULL},
        {{.ip = "198.18.0.1"}, "198.18.0.1", "ip:198.18.0.1"},
        {{.dns = {"198.18.0.1"}}, "198.18.0.1", NULL},
        {{.ip = "198.18.0.1"}, "198.18.0.2", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct pki pki = {
            .peer = PKI_SERVER, .roots = world->roots, .server_name = cases[i].name};
        struct cert_built *leaf = cert_builder_make(world->root, &cases[i].spec);
        struct cert_built *chain[] = {leaf, NULL};
        if (cases[i].principal == NULL) {
            expect_refusal(world, &pki, chain, REASON_IDENTITY_MISMATCH, "is not for");
        } else {
            struct peer_cert *peer = expect_ok(world, &pki, chain);
            assert_string_equal(peer->principal, cases[i].principal);
            peer_cert_unref(peer);
        }
        cert_builder_free(leaf);
    }
}

static void a_server_that_is_another_one_is_named(void **state)
{
    const struct world *world = *state;
    const struct {
        struct cert_spec spec;
        const char *text;
    } cases[] = {
        {{.dns = {"b.example"}}, "it is not for 'a.example' but for 'b.example'"},
        {{.dns = {"*.b.example", "c.d"}, .ip = "198.18.0.1"},
         "for '*.b.example', 'c.d', '198.18.0.1'"},
        {{.dns = {"b 'x\n"}}, "for 'b??x?'"},
        {{.common_name = "a.example"}, "but for no name at all"},
    };
    const struct pki pki = {.peer = PKI_SERVER, .roots = world->roots, .server_name = "a.example"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cert_built *leaf = cert_builder_make(world->root, &cases[i].spec);
        expect_refusal(world, &pki, (struct cert_built *[]){leaf, NULL}, REASON_IDENTITY_MISMATCH,
                       cases[i].text);
        cert_builder_free(leaf);
    }
}

static void a_clients_certificate_is_not_a_servers(void **state)
{
    const struct world *world = *state;
    const struct pki pki = {.peer = PKI_SERVER, .roots = world->roots, .server_name = "a.b"};
    struct cert_built *leaf =
        cert_builder_make(world->root, &(struct cert_spec){.dns = {"a.b"}, .eku = CERT_EKU_CLIENT});
    expect_refusal(world, &pki, (struct cert_built *[]){leaf, NULL}, REASON_CERT_KEY_USAGE,
                   "lacks serverAuth");
    cert_builder_free(leaf);
}

/* -------------------------------------------------------------------------- revoked, and later -- */

static void a_revoked_client_is_refused_and_one_that_is_connected_judged_again(void **state)
{
    const struct world *world = *state;
    const struct pki pki = clients(world);
    struct cert_built *leaf =
        cert_builder_make(world->root, &(struct cert_spec){.common_name = "client"});
    struct peer_cert *peer = expect_ok(world, &pki, (struct cert_built *[]){leaf, NULL});
    struct trust trust = mesh_trust(world);
    struct err err = {0};
    assert_int_equal(peer_cert_recheck_pki(peer, &trust, &pki, world->now_ms, HOUR_MS, &err),
                     REASON_DONE);

    struct crl_built *crl = cert_builder_crl(world->root, &(struct crl_spec){.revoked = {leaf}});
    const struct cert_bytes text = {.bytes = crl->der, .len = crl->der_len, .encoding = CERT_DER};
    trust.crls = crl_set_new(&text, 1, NULL);
    assert_non_null(trust.crls);
    assert_int_equal(peer_cert_recheck_pki(peer, &trust, &pki, world->now_ms, HOUR_MS, &err),
                     REASON_CERT_REVOKED);
    crl_set_unref(trust.crls);
    cert_builder_free_crl(crl);
    trust.crls = NULL;

    struct pki other = pki;
    other.roots = world->mesh;
    assert_int_equal(peer_cert_recheck_pki(peer, &trust, &other, world->now_ms, HOUR_MS, &err),
                     REASON_CERT_UNTRUSTED);
    other = pki;
    other.num_principals = 1; /* only the URI */
    assert_int_equal(peer_cert_recheck_pki(peer, &trust, &other, world->now_ms, HOUR_MS, &err),
                     REASON_CERT_NO_PRINCIPAL);
    assert_int_equal(
        peer_cert_recheck_pki(peer, &trust, &pki, peer->not_after_ms + 3 * HOUR_MS, HOUR_MS, &err),
        REASON_CERT_EXPIRED);
    peer_cert_unref(peer);
    cert_builder_free(leaf);
}

static struct trust_bundle *bundle_of_two(const struct cert_built *a, const struct cert_built *b)
{
    char roots[8192];
    snprintf(roots, sizeof(roots), "%s%s", cert_builder_pem(a), cert_builder_pem(b));
    struct trust_bundle *bundle = trust_bundle_new_pem(NULL, roots, strlen(roots), NULL);
    assert_non_null(bundle);
    return bundle;
}

/* A root that is renewed keeps its name and its key; the way by the old one is found first. */
static void a_root_that_ends_ends_nobody_whom_its_renewal_vouches_for(void **state)
{
    enum { MINUTE_MS = 60 * 1000 };
    const struct world *world = *state;
    struct cert_built *old = cert_builder_make(
        NULL, &(struct cert_spec){.common_name = "renewed",
                                  .is_ca = true,
                                  .not_after_ms = world->now_ms + 10 * MINUTE_MS});
    struct cert_built *new =
        cert_builder_renew(old, &(struct cert_spec){.common_name = "renewed", .is_ca = true});
    struct cert_built *leaf = cert_builder_make(new, &(struct cert_spec){.common_name = "client"});
    struct pki former = clients(world), both = former;
    former.roots = bundle_of(NULL, old);
    both.roots = bundle_of_two(old, new);
    struct peer_cert *peer = expect_ok(world, &both, (struct cert_built *[]){leaf, NULL});
    struct trust trust = mesh_trust(world);
    struct err err = {0};

    int64_t later_ms = world->now_ms + 20 * MINUTE_MS; /* the old root has ended, the leaf not */
    assert_int_equal(peer_cert_recheck_time(peer, later_ms, 0, &err), REASON_CERT_EXPIRED);
    assert_int_equal(peer_cert_recheck_pki(peer, &trust, &both, later_ms, 0, &err), REASON_DONE);
    assert_int_equal(peer_cert_recheck_pki(peer, &trust, &former, later_ms, 0, &err),
                     REASON_CERT_EXPIRED);
    assert_non_null(strstr(err.message, "while connected"));

    /* Known by that path from then on, and no longer than it goes. */
    struct peer_cert_check by = {.trust = &trust, .pki = &both, .now_ms = later_ms};
    struct peer_cert *again = peer_cert_verify_again(peer, &by);
    assert_non_null(again);
    assert_string_equal(again->principal, peer->principal);
    assert_int_equal(peer_cert_recheck_time(again, later_ms, 0, &err), REASON_DONE);
    peer_cert_unref(again);
    by.pki = &former;
    assert_null(peer_cert_verify_again(peer, &by));
    struct pki renamed = both; /* somebody else by the rules of now */
    renamed.principals[0] = PRINCIPAL_DNS;
    renamed.num_principals = 1;
    by.pki = &renamed;
    assert_null(peer_cert_verify_again(peer, &by));
    later_ms = world->now_ms + 2 * HOUR_MS;
    assert_int_equal(peer_cert_recheck_pki(peer, &trust, &both, later_ms, 0, &err),
                     REASON_CERT_EXPIRED);
    peer_cert_unref(peer);
    trust_bundle_unref(both.roots);
    trust_bundle_unref(former.roots);
    cert_builder_free(leaf);
    cert_builder_free(new);
    cert_builder_free(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_kind_of_name_that_a_certificate_has_is_its_principal),
        cmocka_unit_test(a_wrong_client_is_refused_with_its_own_reason),
        cmocka_unit_test(a_ca_of_the_same_name_is_another_ca),
        cmocka_unit_test(an_rsa_certificate_of_the_usual_size_is_taken),
        cmocka_unit_test(a_path_may_be_as_deep_as_configured_and_no_deeper),
        cmocka_unit_test(what_an_intermediate_forbids_is_forbidden),
        cmocka_unit_test(a_path_length_is_kept),
        cmocka_unit_test(a_leaf_is_no_issuer),
        cmocka_unit_test(a_trust_domain_of_ours_is_spoken_for_by_its_own_bundle),
        cmocka_unit_test(a_bundle_whose_root_has_ended_speaks_for_nobody),
        cmocka_unit_test(a_server_is_known_by_the_name_that_was_asked_for),
        cmocka_unit_test(a_server_that_is_another_one_is_named),
        cmocka_unit_test(a_clients_certificate_is_not_a_servers),
        cmocka_unit_test(a_revoked_client_is_refused_and_one_that_is_connected_judged_again),
        cmocka_unit_test(a_root_that_ends_ends_nobody_whom_its_renewal_vouches_for),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
