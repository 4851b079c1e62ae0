#include "ca_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

enum { HALF_A_DAY_S = 12 * 60 * 60 };

EVP_PKEY *ca_fixture_ec_key(int curve_nid)
{
    EC_KEY *ec = EC_KEY_new_by_curve_name(curve_nid);
    EVP_PKEY *key = EVP_PKEY_new();
    assert_true(EC_KEY_generate_key(ec) && EVP_PKEY_set1_EC_KEY(key, ec));
    EC_KEY_free(ec);
    return key;
}

EVP_PKEY *ca_fixture_rsa_key(unsigned bits)
{
    RSA *rsa = RSA_new();
    BIGNUM *e = BN_new();
    EVP_PKEY *key = EVP_PKEY_new();
    assert_true(BN_set_word(e, RSA_F4) && RSA_generate_key_ex(rsa, (int)bits, e, NULL) &&
                EVP_PKEY_set1_RSA(key, rsa));
    BN_free(e);
    RSA_free(rsa);
    return key;
}

static char *text_of(BIO *bio)
{
    const uint8_t *bytes;
    size_t len;
    assert_true(BIO_mem_contents(bio, &bytes, &len));
    char *text = strndup((const char *)bytes, len);
    assert_non_null(text);
    BIO_free(bio);
    return text;
}

static X509_EXTENSION *new_extension(int nid, int critical, void *value)
{
    X509_EXTENSION *extension = X509V3_EXT_i2d(nid, critical, value);
    assert_non_null(extension);
    return extension;
}

static void ask_for_the_world(X509_REQ *request)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *uri = ASN1_STRING_type_new(V_ASN1_IA5STRING);
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    assert_true(ASN1_STRING_set(uri, "spiffe://evil.example/admin", -1));
    GENERAL_NAME_set0_value(name, GEN_URI, uri);
    assert_true(sk_GENERAL_NAME_push(names, name));
    constraints->ca = 0xff;
    assert_true(sk_X509_EXTENSION_push(extensions, new_extension(NID_subject_alt_name, 1, names)));
    assert_true(
        sk_X509_EXTENSION_push(extensions, new_extension(NID_basic_constraints, 1, constraints)));
    assert_true(X509_REQ_add_extensions(request, extensions));
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    BASIC_CONSTRAINTS_free(constraints);
}

static X509_NAME *new_name(const char *common_name)
{
    X509_NAME *name = X509_NAME_new();
    assert_true(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                           (const uint8_t *)common_name, -1, -1, 0));
    return name;
}

char *ca_fixture_csr(EVP_PKEY *subject_key, EVP_PKEY *signing_key)
{
    X509_REQ *request = X509_REQ_new();
    X509_NAME *name = new_name("admin");
    assert_true(X509_REQ_set_subject_name(request, name));
    X509_NAME_free(name);
    assert_true(X509_REQ_set_pubkey(request, subject_key));
    ask_for_the_world(request);
    const EVP_MD *digest = EVP_PKEY_id(signing_key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
    assert_true(X509_REQ_sign(request, signing_key, digest) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio_X509_REQ(bio, request));
    X509_REQ_free(request);
    return text_of(bio);
}

struct ca_fixture_cert ca_fixture_ca(const char *name, EVP_PKEY *key, int is_ca, X509 *issuer,
                                     EVP_PKEY *issuer_key)
{
    struct ca_fixture_cert made = {.cert = X509_new()};
    X509_NAME *subject = new_name(name);
    ASN1_TIME *from = ASN1_TIME_set(NULL, CA_FIXTURE_NOW_MS / 1000 - HALF_A_DAY_S);
    ASN1_TIME *to = ASN1_TIME_set(NULL, CA_FIXTURE_NOW_MS / 1000 + HALF_A_DAY_S);
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    constraints->ca = is_ca ? 0xff : 0;
    assert_true(
        X509_set_version(made.cert, 2) && X509_set_subject_name(made.cert, subject) &&
        X509_set_issuer_name(made.cert, issuer == NULL ? subject : X509_get_subject_name(issuer)) &&
        ASN1_INTEGER_set(X509_get_serialNumber(made.cert), 7) &&
        X509_set1_notBefore(made.cert, from) && X509_set1_notAfter(made.cert, to) &&
        X509_set_pubkey(made.cert, key) &&
        X509_add1_ext_i2d(made.cert, NID_basic_constraints, constraints, 1, 0) &&
        X509_sign(made.cert, issuer == NULL ? key : issuer_key, EVP_sha256()) > 0);
    BASIC_CONSTRAINTS_free(constraints);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    X509_NAME_free(subject);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio_X509(bio, made.cert));
    made.pem = text_of(bio);
    return made;
}

void ca_fixture_cert_done(struct ca_fixture_cert *cert)
{
    X509_free(cert->cert);
    free(cert->pem);
}

char *ca_fixture_key_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    return text_of(bio);
}

X509 *ca_fixture_parse(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(cert);
    return cert;
}
