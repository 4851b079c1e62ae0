#include "csr.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "svid_key.h"

struct csr {
    EVP_PKEY *key;
    char *pem;
};

static EVP_PKEY *make_key(void)
{
    EVP_PKEY *key = EVP_PKEY_new();
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    if (key == NULL || ec == NULL || !EC_KEY_generate_key(ec) || !EVP_PKEY_set1_EC_KEY(key, ec)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EC_KEY_free(ec);
    return key;
}

/* A list of one URI. */
static GENERAL_NAMES *make_names(const char *uri)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    if (names == NULL || name == NULL || text == NULL ||
        !ASN1_STRING_set(text, uri, (int)strlen(uri)))
        goto fail;
    GENERAL_NAME_set0_value(name, GEN_URI, text);
    text = NULL;
    if (sk_GENERAL_NAME_push(names, name) == 0)
        goto fail;
    return names;

fail:
    ASN1_IA5STRING_free(text);
    GENERAL_NAME_free(name);
    sk_GENERAL_NAME_free(names);
    return NULL;
}

/* Critical, because the subject is empty (RFC 5280, 4.2.1.6). */
static X509_EXTENSION *make_san(const char *uri)
{
    GENERAL_NAMES *names = make_names(uri);
    if (names == NULL)
        return NULL;
    X509_EXTENSION *san = X509V3_EXT_i2d(NID_subject_alt_name, 1, names);
    GENERAL_NAMES_free(names);
    return san;
}

static int add_san(X509_REQ *request, const char *uri)
{
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    X509_EXTENSION *san = make_san(uri);
    int result = -1;
    if (extensions != NULL && san != NULL && sk_X509_EXTENSION_push(extensions, san) != 0) {
        san = NULL;
        result = X509_REQ_add_extensions(request, extensions) ? 0 : -1;
    }
    X509_EXTENSION_free(san);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return result;
}

static X509_REQ *make_request(EVP_PKEY *key, const char *uri)
{
    X509_REQ *request = X509_REQ_new();
    if (request == NULL || !X509_REQ_set_version(request, 0) ||
        !X509_REQ_set_pubkey(request, key) || add_san(request, uri) < 0 ||
        !X509_REQ_sign(request, key, EVP_sha256())) {
        X509_REQ_free(request);
        return NULL;
    }
    return request;
}

/* NUL-terminated; NULL when out of memory. */
static char *to_pem(X509_REQ *request)
{
    char *pem = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    const uint8_t *bytes;
    size_t len;
    if (bio != NULL && PEM_write_bio_X509_REQ(bio, request) &&
        BIO_mem_contents(bio, &bytes, &len)) {
        pem = malloc(len + 1);
        if (pem != NULL) {
            memcpy(pem, bytes, len);
            pem[len] = '\0';
        }
    }
    BIO_free(bio);
    return pem;
}

static int fill(struct csr *csr, const char *uri)
{
    csr->key = make_key();
    if (csr->key == NULL)
        return -1;
    X509_REQ *request = make_request(csr->key, uri);
    if (request == NULL)
        return -1;
    csr->pem = to_pem(request);
    X509_REQ_free(request);
    return csr->pem == NULL ? -1 : 0;
}

struct csr *csr_new(const char *identity_uri, struct err *err)
{
    struct spiffe_id id;
    if (spiffe_id_parse(&id, identity_uri, strlen(identity_uri), err) < 0) {
        err_prefix(err, "certificate request");
        return NULL;
    }
    spiffe_id_done(&id);
    struct csr *csr = calloc(1, sizeof(*csr));
    if (csr == NULL || fill(csr, identity_uri) < 0) {
        err_set(err, ERR_NOMEM, "certificate request: out of memory");
        csr_free(csr);
        csr = NULL;
    }
    ERR_clear_error();
    return csr;
}

void csr_free(struct csr *csr)
{
    if (csr == NULL)
        return;
    EVP_PKEY_free(csr->key); /* BoringSSL clears all memory that it frees */
    free(csr->pem);
    free(csr);
}

const char *csr_pem(const struct csr *csr)
{
    return csr->pem;
}

struct svid *csr_combine(const struct csr *csr, const struct cert_bytes *chain, struct err *err)
{
    return svid_key_new_svid(csr->key, chain, err);
}
