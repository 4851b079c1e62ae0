#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/x509v3.h>

#include "ca_fixture.h"
#include "ca_issuer.h"
#include "peer_cert.h"

/* A root and an issuer, both made outside, and a pod's key with its request. */
struct fixture {
    EVP_PKEY *root_key;
    struct ca_fixture_cert root;
    struct ca_issuer *issuer;
    EVP_PKEY *pod_key;
    char *csr;
    struct spiffe_id id;
};

static int setup(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    fixture.root_key = ca_fixture_ec_key(NID_X9_62_prime256v1);
    fixture.root = ca_fixture_ca("root", fixture.root_key, 1, NULL, NULL);
    char *key_pem = ca_fixture_key_pem(fixture.root_key);
    fixture.issuer =
        ca_issuer_new(&(struct ca_issuer_pem){.key = key_pem, .roots = fixture.root.pem},
                      CA_FIXTURE_NOW_MS, &err);
    free(key_pem);
    if (fixture.issuer == NULL)
        fail_msg("%s", err.message);
    fixture.pod_key = ca_fixture_ec_key(NID_X9_62_prime256v1);
    fixture.csr = ca_fixture_csr(fixture.pod_key, fixture.pod_key);
    assert_int_equal(spiffe_id_format(&fixture.id, "cluster.local", "shop", "frontend", &err), 0);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    spiffe_id_done(&fixture->id);
    free(fixture->csr);
    EVP_PKEY_free(fixture->pod_key);
    ca_issuer_free(fixture->issuer);
    ca_fixture_cert_done(&fixture->root);
    EVP_PKEY_free(fixture->root_key);
    return 0;
}

static X509 *issue(struct fixture *fixture, int64_t requested_s, struct ca_issued *issued)
{
    struct err err = {0};
    const struct ca_issue wanted = {.csr_pem = fixture->csr,
                                    .csr_pem_len = strlen(fixture->csr),
                                    .id = &fixture->id,
                                    .requested_s = requested_s,
                                    .now_ms = CA_FIXTURE_NOW_MS};
    if (ca_issuer_issue(fixture->issuer, &wanted, issued, &err) < 0)
        fail_msg("%s", err.message);
    return ca_fixture_parse(issued->pem);
}

static void *extension(X509 *cert, int nid, int *critical)
{
    void *value = X509_get_ext_d2i(cert, nid, critical, NULL);
    assert_non_null(value);
    return value;
}

static void the_identity_is_the_tokens_and_not_the_requests(void **state)
{
    struct fixture *fixture = *state;
    struct ca_issued issued;
    int critical;
    X509 *cert = issue(fixture, 0, &issued);
    assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(cert)), 0);
    GENERAL_NAMES *names = extension(cert, NID_subject_alt_name, &critical);
    assert_int_equal(critical, 1);
    assert_int_equal(sk_GENERAL_NAME_num(names), 1);
    int type;
    ASN1_STRING *uri = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, 0), &type);
    assert_int_equal(type, GEN_URI);
    assert_int_equal(ASN1_STRING_length(uri), strlen(fixture->id.uri));
    assert_memory_equal(ASN1_STRING_get0_data(uri), fixture->id.uri, strlen(fixture->id.uri));
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    X509_free(cert);
    ca_issued_done(&issued);
}

static void the_key_is_the_requests_and_the_signature_is_the_issuers(void **state)
{
    struct fixture *fixture = *state;
    struct ca_issued issued;
    X509 *cert = issue(fixture, 0, &issued);
    assert_int_equal(X509_check_private_key(cert, fixture->pod_key), 1);
    assert_int_equal(X509_verify(cert, fixture->root_key), 1);
    assert_int_equal(X509_get_version(cert), 2);
    X509_free(cert);
    ca_issued_done(&issued);
}

static void a_leaf_is_no_ca_and_may_only_sign_handshakes(void **state)
{
    struct fixture *fixture = *state;
    struct ca_issued issued;
    int critical;
    X509 *cert = issue(fixture, 0, &issued);
    BASIC_CONSTRAINTS *constraints = extension(cert, NID_basic_constraints, &critical);
    assert_int_equal(critical, 1);
    assert_int_equal(constraints->ca, 0);
    BASIC_CONSTRAINTS_free(constraints);
    ASN1_BIT_STRING *usage = extension(cert, NID_key_usage, &critical);
    assert_int_equal(critical, 1);
    for (int bit = 0; bit < 9; bit++)
        assert_int_equal(ASN1_BIT_STRING_get_bit(usage, bit), bit == 0);
    ASN1_BIT_STRING_free(usage);
    EXTENDED_KEY_USAGE *purposes = extension(cert, NID_ext_key_usage, &critical);
    assert_int_equal(sk_ASN1_OBJECT_num(purposes), 2);
    assert_int_equal(OBJ_obj2nid(sk_ASN1_OBJECT_value(purposes, 0)), NID_server_auth);
    assert_int_equal(OBJ_obj2nid(sk_ASN1_OBJECT_value(purposes, 1)), NID_client_auth);
    sk_ASN1_OBJECT_pop_free(purposes, ASN1_OBJECT_free);
    X509_free(cert);
    ca_issued_done(&issued);
}

static void an_rsa_leaf_may_encipher_keys_too(void **state)
{
    struct fixture *fixture = *state;
    struct ca_issued issued;
    int critical;
    EVP_PKEY_free(fixture->pod_key);
    free(fixture->csr);
    fixture->pod_key = ca_fixture_rsa_key(2048);
    fixture->csr = ca_fixture_csr(fixture->pod_key, fixture->pod_key);
    X509 *cert = issue(fixture, 0, &issued);
    ASN1_BIT_STRING *usage = extension(cert, NID_key_usage, &critical);
    for (int bit = 0; bit < 9; bit++)
        assert_int_equal(ASN1_BIT_STRING_get_bit(usage, bit), bit == 0 || bit == 2);
    ASN1_BIT_STRING_free(usage);
    X509_free(cert);
    ca_issued_done(&issued);
}

static void serials_are_random_and_128_bits_long(void **state)
{
    struct fixture *fixture = *state;
    struct ca_issued first;
    struct ca_issued second;
    X509_free(issue(fixture, 0, &first));
    X509_free(issue(fixture, 0, &second));
    assert_int_equal(strlen(first.serial), 32);
    assert_int_equal(strlen(second.serial), 32);
    assert_string_not_equal(first.serial, second.serial);
    ca_issued_done(&first);
    ca_issued_done(&second);
}

static void times_are_in_the_certificate_as_they_are_told(void **state)
{
    struct fixture *fixture = *state;
    struct ca_issued issued;
    X509 *cert = issue(fixture, 3600, &issued);
    assert_int_equal(issued.not_before_ms, CA_FIXTURE_NOW_MS - 120 * 1000);
    assert_int_equal(issued.not_after_ms, CA_FIXTURE_NOW_MS + 3600 * 1000);
    ASN1_TIME *from = ASN1_TIME_set(NULL, issued.not_before_ms / 1000);
    ASN1_TIME *to = ASN1_TIME_set(NULL, issued.not_after_ms / 1000);
    int days, seconds;
    assert_true(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(cert), from));
    assert_true(days == 0 && seconds == 0);
    assert_true(ASN1_TIME_diff(&days, &seconds, X509_get0_notAfter(cert), to));
    assert_true(days == 0 && seconds == 0);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    X509_free(cert);
    ca_issued_done(&issued);
}

static void a_leaf_asked_for_a_year_ends_with_its_issuer(void **state)
{
    struct fixture *fixture = *state;
    struct ca_issued issued;
    X509_free(issue(fixture, 365 * 86400, &issued));
    assert_int_equal(issued.not_after_ms, ca_issuer_not_after_ms(fixture->issuer));
    ca_issued_done(&issued);
}

/* What a peer of the mesh checks, by the code that does it. */
static void a_leaf_passes_the_checks_of_an_x509_svid(void **state)
{
    struct fixture *fixture = *state;
    struct ca_issued issued;
    struct err err = {0};
    enum reason reason;
    X509 *cert = issue(fixture, 0, &issued);
    uint8_t *der = NULL;
    int der_len = i2d_X509(cert, &der);
    assert_true(der_len > 0);
    struct trust_bundle *bundle =
        trust_bundle_new_pem("cluster.local", fixture->root.pem, strlen(fixture->root.pem), &err);
    assert_non_null(bundle);
    struct peer_cert_der chain = {der, (size_t)der_len};
    const struct trust trust = {.bundles = &bundle, .num_bundles = 1};
    struct peer_cert *peer = peer_cert_verify(
        &(struct peer_cert_check){
            .chain = &chain, .num_certs = 1, .trust = &trust, .now_ms = CA_FIXTURE_NOW_MS},
        &reason, &err);
    if (peer == NULL)
        fail_msg("%s", err.message);
    assert_string_equal(peer->id.uri, "spiffe://cluster.local/ns/shop/sa/frontend");
    assert_string_equal(peer->serial, issued.serial);
    peer_cert_unref(peer);
    trust_bundle_unref(bundle);
    OPENSSL_free(der);
    X509_free(cert);
    ca_issued_done(&issued);
}

static void a_bad_request_gets_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct ca_issued issued;
    struct err err = {0};
    const struct ca_issue wanted = {
        .csr_pem = "x", .csr_pem_len = 1, .id = &fixture->id, .now_ms = CA_FIXTURE_NOW_MS};
    assert_int_equal(ca_issuer_issue(fixture->issuer, &wanted, &issued, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    assert_null(issued.pem);
}

static void a_server_certificate_names_its_host(void **state)
{
    static const struct {
        const char *host;
        int type;
        const char *bytes;
        int len;
    } rows[] = {
        {"istiod.istio-system.svc", GEN_DNS, "istiod.istio-system.svc", 23},
        {"127.0.0.1", GEN_IPADD, "\x7f\0\0\1", 4},
        {"::1", GEN_IPADD, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ca_server_cert made;
        struct err err = {0};
        int critical, type;
        assert_int_equal(ca_issuer_issue_server(fixture->issuer, rows[i].host, 3600,
                                                CA_FIXTURE_NOW_MS, &made, &err),
                         0);
        X509 *cert = ca_fixture_parse(made.chain_pem);
        GENERAL_NAMES *names = extension(cert, NID_subject_alt_name, &critical);
        ASN1_STRING *name = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, 0), &type);
        assert_int_equal(type, rows[i].type);
        assert_int_equal(ASN1_STRING_length(name), rows[i].len);
        assert_memory_equal(ASN1_STRING_get0_data(name), rows[i].bytes, rows[i].len);
        sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
        X509_free(cert);
        ca_server_cert_done(&made);
    }
}

/* ---------------------------------------------------------------------------------- loading -- */

static void expect_not_loaded(const char *key, const char *chain, const char *roots,
                              const char *why)
{
    struct err err = {0};
    assert_null(ca_issuer_new(&(struct ca_issuer_pem){.key = key, .chain = chain, .roots = roots},
                              CA_FIXTURE_NOW_MS, &err));
    if (strstr(err.message, why) == NULL)
        fail_msg("expected \"%s\" in \"%s\"", why, err.message);
}

static void an_issuer_that_does_not_fit_together_is_refused(void **state)
{
    struct fixture *fixture = *state;
    EVP_PKEY *other_key = ca_fixture_ec_key(NID_X9_62_prime256v1);
    struct ca_fixture_cert leaf =
        ca_fixture_ca("leaf", other_key, 0, fixture->root.cert, fixture->root_key);
    struct ca_fixture_cert below =
        ca_fixture_ca("below", other_key, 1, fixture->root.cert, fixture->root_key);
    struct ca_fixture_cert stranger = ca_fixture_ca("stranger", other_key, 1, NULL, NULL);
    char *key = ca_fixture_key_pem(fixture->root_key);
    char *other = ca_fixture_key_pem(other_key);

    expect_not_loaded("nothing", NULL, fixture->root.pem, "private key");
    expect_not_loaded(key, NULL, "nothing", "roots: certificate 1");
    expect_not_loaded(other, NULL, fixture->root.pem, "belongs to none of the roots");
    expect_not_loaded(key, below.pem, fixture->root.pem, "does not belong to the first");
    expect_not_loaded(other, leaf.pem, fixture->root.pem, "not a CA");
    expect_not_loaded(key, NULL, leaf.pem, "not a CA");
    expect_not_loaded(other, below.pem, stranger.pem, "does not verify");

    free(key);
    free(other);
    ca_fixture_cert_done(&leaf);
    ca_fixture_cert_done(&below);
    ca_fixture_cert_done(&stranger);
    EVP_PKEY_free(other_key);
}

static void an_issuer_out_of_its_time_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    char *key = ca_fixture_key_pem(fixture->root_key);
    struct ca_issuer_pem pem = {.key = key, .roots = fixture->root.pem};
    assert_null(ca_issuer_new(&pem, CA_FIXTURE_NOW_MS + 86400000, &err));
    assert_non_null(strstr(err.message, "expired"));
    assert_null(ca_issuer_new(&pem, CA_FIXTURE_NOW_MS - 86400000, &err));
    free(key);
}

static void an_intermediate_is_sent_along_and_the_roots_are_not(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    struct ca_server_cert server;
    EVP_PKEY *other_key = ca_fixture_ec_key(NID_secp384r1);
    struct ca_fixture_cert below =
        ca_fixture_ca("below", other_key, 1, fixture->root.cert, fixture->root_key);
    char *other = ca_fixture_key_pem(other_key);
    struct ca_issuer *issuer = ca_issuer_new(
        &(struct ca_issuer_pem){.key = other, .chain = below.pem, .roots = fixture->root.pem},
        CA_FIXTURE_NOW_MS, &err);
    if (issuer == NULL)
        fail_msg("%s", err.message);
    assert_string_equal(ca_issuer_chain_pem(issuer, 0), below.pem);
    assert_null(ca_issuer_chain_pem(issuer, 1));
    assert_string_equal(ca_issuer_roots_pem(issuer), fixture->root.pem);
    assert_string_equal(ca_issuer_root_fingerprint(issuer),
                        ca_issuer_root_fingerprint(fixture->issuer));
    assert_int_equal(
        ca_issuer_issue_server(issuer, "localhost", 60, CA_FIXTURE_NOW_MS, &server, &err), 0);
    assert_non_null(strstr(server.chain_pem, below.pem));
    assert_null(strstr(server.chain_pem, fixture->root.pem));
    ca_server_cert_done(&server);
    ca_issuer_free(issuer);
    free(other);
    ca_fixture_cert_done(&below);
    EVP_PKEY_free(other_key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_identity_is_the_tokens_and_not_the_requests, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_key_is_the_requests_and_the_signature_is_the_issuers,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_leaf_is_no_ca_and_may_only_sign_handshakes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_rsa_leaf_may_encipher_keys_too, setup, teardown),
        cmocka_unit_test_setup_teardown(serials_are_random_and_128_bits_long, setup, teardown),
        cmocka_unit_test_setup_teardown(times_are_in_the_certificate_as_they_are_told, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_leaf_asked_for_a_year_ends_with_its_issuer, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_leaf_passes_the_checks_of_an_x509_svid, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_request_gets_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_server_certificate_names_its_host, setup, teardown),
        cmocka_unit_test_setup_teardown(an_issuer_that_does_not_fit_together_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_issuer_out_of_its_time_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(an_intermediate_is_sent_along_and_the_roots_are_not, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
