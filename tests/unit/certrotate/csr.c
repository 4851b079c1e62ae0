#include "csr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "cert_builder.h"
#include "clock.h"

static const char ID[] = "spiffe://td/ns/a/sa/b";

static X509_REQ *parse(const struct csr *csr)
{
    BIO *bio = BIO_new_mem_buf(csr_pem(csr), -1);
    X509_REQ *request = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(request);
    return request;
}

static void a_request_is_what_istios_ca_expects(void **state)
{
    struct err err = {0};
    struct csr *csr = csr_new(ID, &err);
    assert_non_null(csr);
    X509_REQ *request = parse(csr);
    assert_int_equal(X509_REQ_get_version(request), 0);
    assert_int_equal(X509_NAME_entry_count(X509_REQ_get_subject_name(request)), 0);
    assert_int_equal(X509_REQ_get_signature_nid(request), NID_ecdsa_with_SHA256);

    EVP_PKEY *key = X509_REQ_get_pubkey(request);
    assert_int_equal(X509_REQ_verify(request, key), 1);
    const EC_GROUP *group = EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(key));
    assert_int_equal(EC_GROUP_get_curve_name(group), NID_X9_62_prime256v1);
    EVP_PKEY_free(key);

    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
    assert_int_equal(sk_X509_EXTENSION_num(extensions), 1);
    X509_EXTENSION *san = sk_X509_EXTENSION_value(extensions, 0);
    assert_true(X509_EXTENSION_get_critical(san));
    assert_int_equal(OBJ_obj2nid(X509_EXTENSION_get_object(san)), NID_subject_alt_name);
    GENERAL_NAMES *names = X509V3_EXT_d2i(san);
    assert_int_equal(sk_GENERAL_NAME_num(names), 1);
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, 0);
    assert_int_equal(name->type, GEN_URI);
    const ASN1_STRING *uri = name->d.uniformResourceIdentifier;
    assert_int_equal(ASN1_STRING_length(uri), strlen(ID));
    assert_memory_equal(ASN1_STRING_get0_data(uri), ID, strlen(ID));
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    X509_REQ_free(request);
    csr_free(csr);
}

static void each_request_has_a_key_of_its_own(void **state)
{
    struct csr *a = csr_new(ID, NULL);
    struct csr *b = csr_new(ID, NULL);
    X509_REQ *a_request = parse(a);
    X509_REQ *b_request = parse(b);
    EVP_PKEY *a_key = X509_REQ_get_pubkey(a_request);
    EVP_PKEY *b_key = X509_REQ_get_pubkey(b_request);
    assert_int_not_equal(EVP_PKEY_cmp(a_key, b_key), 1);
    EVP_PKEY_free(a_key);
    EVP_PKEY_free(b_key);
    X509_REQ_free(a_request);
    X509_REQ_free(b_request);
    csr_free(a);
    csr_free(b);
}

static void what_is_no_spiffe_id_gets_no_request(void **state)
{
    struct err err = {0};
    assert_null(csr_new("https://td/a", &err));
    assert_int_equal(err.kind, ERR_INVALID);
}

static void the_answer_and_the_key_make_an_svid_that_outlives_the_request(void **state)
{
    struct cert_built *root = cert_builder_root("root");
    struct csr *csr = csr_new(ID, NULL);
    struct cert_built *answer =
        cert_builder_answer(root, csr_pem(csr), &(struct cert_spec){.uris = {ID}});
    const char *chain = cert_builder_chain_pem(answer);
    const char *roots = cert_builder_pem(root);
    struct err err = {0};
    const struct cert_bytes bytes = {.bytes = chain, .len = strlen(chain)};
    struct svid *svid = csr_combine(csr, &bytes, &err);
    assert_non_null(svid);
    csr_free(csr);
    struct trust_bundle *bundle = trust_bundle_new_pem("td", roots, strlen(roots), &err);
    assert_int_equal(svid_check(svid, bundle, ID, NULL, clock_wall_ms(), &err), 0);
    svid_unref(svid);
    trust_bundle_unref(bundle);
    cert_builder_free(answer);
    cert_builder_free(root);
}

static void an_answer_for_another_request_does_not_pass(void **state)
{
    struct cert_built *root = cert_builder_root("root");
    struct csr *csr = csr_new(ID, NULL);
    struct csr *other = csr_new(ID, NULL);
    struct cert_built *answer =
        cert_builder_answer(root, csr_pem(other), &(struct cert_spec){.uris = {ID}});
    const char *chain = cert_builder_chain_pem(answer);
    const char *roots = cert_builder_pem(root);
    struct err err = {0};
    const struct cert_bytes bytes = {.bytes = chain, .len = strlen(chain)};
    struct svid *svid = csr_combine(csr, &bytes, &err);
    struct trust_bundle *bundle = trust_bundle_new_pem("td", roots, strlen(roots), &err);
    assert_int_equal(svid_check(svid, bundle, ID, NULL, clock_wall_ms(), &err), -1);
    assert_non_null(strstr(err.message, "key does not belong"));
    svid_unref(svid);
    trust_bundle_unref(bundle);
    csr_free(csr);
    csr_free(other);
    cert_builder_free(answer);
    cert_builder_free(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_what_istios_ca_expects),
        cmocka_unit_test(each_request_has_a_key_of_its_own),
        cmocka_unit_test(what_is_no_spiffe_id_gets_no_request),
        cmocka_unit_test(the_answer_and_the_key_make_an_svid_that_outlives_the_request),
        cmocka_unit_test(an_answer_for_another_request_does_not_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
