#include "ca_cert.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/obj.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "ca_extension.h"
#include "cert_rules.h"
#include "rng.h"

enum {
    SERIAL_LEN = 16,
    VERSION_3 = 2, /* as the field counts */
};

static int set_serial(X509 *cert)
{
    uint8_t bytes[SERIAL_LEN];
    rng_bytes(bytes, sizeof(bytes));
    bytes[0] |= 0x40; /* never short of bits, never zero (RFC 5280, 4.1.2.2) */
    BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    int ok = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok ? 0 : -1;
}

static int set_times(X509 *cert, int64_t not_before_s, int64_t not_after_s)
{
    ASN1_TIME *not_before = ASN1_TIME_set(NULL, (time_t)not_before_s);
    ASN1_TIME *not_after = ASN1_TIME_set(NULL, (time_t)not_after_s);
    int ok = not_before != NULL && not_after != NULL && X509_set1_notBefore(cert, not_before) &&
             X509_set1_notAfter(cert, not_after);
    ASN1_TIME_free(not_before);
    ASN1_TIME_free(not_after);
    return ok ? 0 : -1;
}

/* A CA is known by a name, because issuers are found by theirs; a leaf needs none. */
static int set_names(X509 *cert, const struct ca_cert_plan *plan)
{
    bool is_ca = plan->use == CA_CERT_ROOT || plan->use == CA_CERT_INTERMEDIATE;
    int ok = 1;
    if (is_ca) {
        X509_NAME *name = X509_NAME_new();
        ok = name != NULL &&
             X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                        (const uint8_t *)plan->name, -1, -1, 0) &&
             X509_set_subject_name(cert, name);
        X509_NAME_free(name);
    }
    if (plan->use == CA_CERT_ORDERED && plan->subject->name != NULL)
        ok = X509_set_subject_name(cert, plan->subject->name);
    X509 *issuer = plan->issuer == NULL ? cert : plan->issuer;
    return ok && X509_set_issuer_name(cert, X509_get_subject_name(issuer)) ? 0 : -1;
}

static int add_ordered(X509 *cert, const struct ca_cert_subject *subject, bool is_rsa)
{
    if (ca_extension_add_leaf(cert, is_rsa, subject->is_server, subject->is_client) < 0)
        return -1;
    /* RFC 5280, 4.2.1.6: critical where nothing else says whose it is. */
    return subject->num_names == 0
               ? 0
               : ca_extension_add_names(cert, subject->names, subject->num_names,
                                        subject->name == NULL);
}

static int add_extensions(X509 *cert, const struct ca_cert_plan *plan)
{
    X509 *issuer = plan->issuer == NULL ? cert : plan->issuer;
    bool is_rsa = EVP_PKEY_id(plan->key) == EVP_PKEY_RSA;
    if (ca_extension_add_key_ids(cert, issuer) < 0)
        return -1;
    switch (plan->use) {
    case CA_CERT_ROOT:
        return ca_extension_add_ca(cert, true);
    case CA_CERT_INTERMEDIATE:
        return ca_extension_add_ca(cert, false);
    case CA_CERT_WORKLOAD:
        return ca_extension_add_leaf(cert, is_rsa, true, true) < 0
                   ? -1
                   : ca_extension_add_uri(cert, plan->name);
    case CA_CERT_SERVER:
        return ca_extension_add_leaf(cert, is_rsa, true, false) < 0
                   ? -1
                   : ca_extension_add_host(cert, plan->name);
    case CA_CERT_ORDERED:
        return add_ordered(cert, plan->subject, is_rsa);
    }
    return -1;
}

/* NULL: the algorithm hashes by itself. */
static const EVP_MD *digest_for(const EVP_PKEY *key)
{
    if (EVP_PKEY_id(key) == EVP_PKEY_ED25519)
        return NULL;
    if (EVP_PKEY_id(key) != EVP_PKEY_EC || EVP_PKEY_bits(key) <= 256)
        return EVP_sha256();
    return EVP_PKEY_bits(key) <= 384 ? EVP_sha384() : EVP_sha512();
}

X509 *ca_cert_make(const struct ca_cert_plan *plan, struct err *err)
{
    EVP_PKEY *issuer_key = plan->issuer == NULL ? plan->key : plan->issuer_key;
    X509 *cert = X509_new();
    if (cert != NULL && X509_set_version(cert, VERSION_3) && X509_set_pubkey(cert, plan->key) &&
        set_serial(cert) == 0 && set_times(cert, plan->not_before_s, plan->not_after_s) == 0 &&
        set_names(cert, plan) == 0 && add_extensions(cert, plan) == 0 &&
        X509_sign(cert, issuer_key, digest_for(issuer_key)) > 0)
        return cert;
    X509_free(cert);
    ERR_clear_error();
    err_set(err, ERR_NOMEM, "the certificate for %s could not be made: out of memory", plan->name);
    return NULL;
}

char *ca_cert_to_pem(X509 *cert, struct err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    const uint8_t *bytes = NULL;
    size_t len = 0;
    char *pem = NULL;
    if (bio != NULL && PEM_write_bio_X509(bio, cert) && BIO_mem_contents(bio, &bytes, &len))
        pem = strndup((const char *)bytes, len);
    if (pem == NULL)
        err_set(err, ERR_NOMEM, "out of memory for a certificate");
    BIO_free(bio);
    ERR_clear_error();
    return pem;
}

/* The number of certificates in the stack that could be read, or -1. */
static int read_certs(BIO *bio, STACK_OF(X509) *certs, size_t max, struct err *err)
{
    for (;;) {
        X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (cert == NULL) {
            uint32_t why = ERR_peek_last_error();
            bool ended =
                ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE;
            if (ended && sk_X509_num(certs) > 0)
                return 0;
            return err_set(err, ERR_INVALID, "certificate %zu cannot be read as PEM",
                           sk_X509_num(certs) + 1);
        }
        if (sk_X509_num(certs) == max) {
            X509_free(cert);
            return err_set(err, ERR_INVALID, "more than %zu certificates", max);
        }
        if (!sk_X509_push(certs, cert)) {
            X509_free(cert);
            return err_set(err, ERR_NOMEM, "out of memory for certificates");
        }
    }
}

STACK_OF(X509) *ca_cert_read_pem(const char *pem, size_t pem_len, size_t max, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)pem_len);
    STACK_OF(X509) *certs = sk_X509_new_null();
    ERR_clear_error();
    if (bio == NULL || certs == NULL)
        err_set(err, ERR_NOMEM, "out of memory for certificates");
    if (bio == NULL || certs == NULL || read_certs(bio, certs, max, err) < 0) {
        sk_X509_pop_free(certs, X509_free);
        certs = NULL;
    }
    BIO_free(bio);
    ERR_clear_error();
    return certs;
}

static int seconds_since_1970(const ASN1_TIME *time, int64_t *seconds)
{
    int days;
    int rest;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int ok = epoch != NULL && ASN1_TIME_diff(&days, &rest, epoch, time);
    ASN1_TIME_free(epoch);
    if (!ok)
        return -1;
    *seconds = (int64_t)days * 24 * 60 * 60 + rest;
    return 0;
}

int ca_cert_times(const X509 *cert, int64_t *not_before_s, int64_t *not_after_s, struct err *err)
{
    if (seconds_since_1970(X509_get0_notBefore(cert), not_before_s) == 0 &&
        seconds_since_1970(X509_get0_notAfter(cert), not_after_s) == 0)
        return 0;
    ERR_clear_error();
    return err_set(err, ERR_INVALID, "its validity cannot be read");
}

int ca_cert_check_is_ca(X509 *cert, struct err *err)
{
    uint32_t flags = X509_get_extension_flags(cert);
    if (flags & EXFLAG_INVALID)
        return err_set(err, ERR_INVALID, "its extensions cannot be read");
    if (!(flags & EXFLAG_CA))
        return err_set(err, ERR_INVALID, "it is not a CA");
    if (!(X509_get_key_usage(cert) & KU_KEY_CERT_SIGN))
        return err_set(err, ERR_INVALID, "its key usage does not permit signing certificates");
    return 0;
}

static void write_hex(const uint8_t *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

const char *ca_cert_serial(const X509 *cert, char *out)
{
    /* The contents of the INTEGER without its sign byte: at most 20 bytes are permitted. */
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    size_t len = (size_t)ASN1_STRING_length(serial);
    size_t max = (CERT_SERIAL_TEXT_MAX - 1) / 2;
    write_hex(ASN1_STRING_get0_data(serial), len < max ? len : max, out);
    return out;
}

const char *ca_cert_fingerprint(const X509 *cert, char *out)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!X509_digest(cert, EVP_sha256(), digest, &len))
        len = 0;
    write_hex(digest, len, out);
    return out;
}
