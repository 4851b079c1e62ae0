#include "svid.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pool.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "refcount.h"
#include "svid_key.h"
#include "x509_cert.h"
#include "x509_leaf.h"
#include "x509_read.h"
#include "x509_svid.h"

struct svid {
    struct refcount refs;
    EVP_PKEY *key; /* BoringSSL clears all memory that it frees */
    STACK_OF(CRYPTO_BUFFER) *chain;
    struct spiffe_id id;
    int64_t not_before_ms;
    int64_t not_after_ms;
    int64_t leaf_not_after_ms;
    char serial[CERT_SERIAL_TEXT_MAX];
    char fingerprint[CERT_FINGERPRINT_TEXT];
};

/* Facts of the leaf. */
static int read_leaf(struct svid *svid, X509 *leaf, struct err *err)
{
    const CRYPTO_BUFFER *der = sk_CRYPTO_BUFFER_value(svid->chain, 0);
    x509_cert_serial(leaf, svid->serial);
    x509_cert_fingerprint(CRYPTO_BUFFER_data(der), CRYPTO_BUFFER_len(der), svid->fingerprint);
    enum reason ignored;
    return x509_leaf_read_id(leaf, &svid->id, &ignored, err);
}

static int read_cert(struct svid *svid, size_t index, struct err *err)
{
    X509 *cert = x509_cert_parse(sk_CRYPTO_BUFFER_value(svid->chain, index));
    int64_t not_before_ms, not_after_ms;
    int result = -1;
    if (cert == NULL || x509_cert_times(cert, &not_before_ms, &not_after_ms) < 0) {
        err_set(err, ERR_INVALID, "certificate %zu of %zu cannot be read", index + 1,
                sk_CRYPTO_BUFFER_num(svid->chain));
    } else if (index > 0 || read_leaf(svid, cert, err) == 0) {
        if (not_before_ms > svid->not_before_ms)
            svid->not_before_ms = not_before_ms;
        if (not_after_ms < svid->not_after_ms)
            svid->not_after_ms = not_after_ms;
        if (index == 0)
            svid->leaf_not_after_ms = not_after_ms;
        result = 0;
    }
    X509_free(cert);
    return result;
}

static int read_chain(struct svid *svid, const struct cert_bytes *certs, struct err *err)
{
    svid->chain = x509_read_certs(certs, CERT_CHAIN_MAX, err);
    if (svid->chain == NULL)
        return -1;
    svid->not_before_ms = INT64_MIN;
    svid->not_after_ms = INT64_MAX;
    for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(svid->chain); i++)
        if (read_cert(svid, i, err) < 0)
            return -1;
    return 0;
}

struct svid *svid_key_new_svid(EVP_PKEY *key, const struct cert_bytes *chain, struct err *err)
{
    struct err unwanted;
    if (err == NULL)
        err = &unwanted;
    struct svid *svid = calloc(1, sizeof(*svid));
    if (svid == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    refcount_init(&svid->refs);
    if (read_chain(svid, chain, err) < 0) {
        if (err->kind == ERR_TLS) /* here it comes from a file or a CA, not from a peer */
            err->kind = ERR_INVALID;
        err_prefix(err, "certificate chain");
        svid_unref(svid);
        return NULL;
    }
    EVP_PKEY_up_ref(key);
    svid->key = key;
    return svid;
}

struct svid *svid_new(const struct cert_bytes *key_bytes, const struct cert_bytes *chain,
                      struct err *err)
{
    EVP_PKEY *key = x509_read_key(key_bytes, err);
    if (key == NULL) {
        err_prefix(err, "key");
        return NULL;
    }
    struct svid *svid = svid_key_new_svid(key, chain, err);
    EVP_PKEY_free(key);
    return svid;
}

struct svid *svid_new_pem(const char *key_pem, size_t key_pem_len, const char *chain_pem,
                          size_t chain_pem_len, struct err *err)
{
    const struct cert_bytes key = {.bytes = key_pem, .len = key_pem_len};
    const struct cert_bytes chain = {.bytes = chain_pem, .len = chain_pem_len};
    return svid_new(&key, &chain, err);
}

struct svid *svid_ref(struct svid *svid)
{
    refcount_get(&svid->refs);
    return svid;
}

void svid_unref(struct svid *svid)
{
    if (svid == NULL || !refcount_put(&svid->refs))
        return;
    EVP_PKEY_free(svid->key);
    sk_CRYPTO_BUFFER_pop_free(svid->chain, CRYPTO_BUFFER_free);
    spiffe_id_done(&svid->id);
    free(svid);
}

static int check_key(const struct svid *svid, struct err *err)
{
    X509 *leaf = x509_cert_parse(sk_CRYPTO_BUFFER_value(svid->chain, 0));
    if (leaf == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int matches = X509_check_private_key(leaf, svid->key);
    X509_free(leaf);
    ERR_clear_error();
    if (!matches)
        return err_set(err, ERR_INVALID, "the private key does not belong to the certificate");
    return 0;
}

static int check_rules(const struct svid *svid, const struct trust *trust,
                       const struct cert_rules *rules, int64_t now_ms, int64_t *path_end_ms,
                       enum reason *reason, struct err *err)
{
    static const struct cert_rules STRICT = {0};
    const struct x509_svid_check check = {
        .chain = svid->chain,
        .trust = trust,
        .rules = rules == NULL ? &STRICT : rules,
        .now_ms = now_ms,
    };
    struct x509_svid_facts facts;
    if (x509_svid_verify(&check, &facts, reason, err) < 0) {
        if (err->kind == ERR_TLS)
            err->kind = ERR_INVALID;
        return -1;
    }
    spiffe_id_done(&facts.id);
    *path_end_ms = facts.not_after_ms;
    return 0;
}

/*
 * Whoever looks at the leaf alone, as most do, would renew it after it has stopped to count. A CA
 * that issues such a one is about to end itself, and its certificates with it.
 */
static int check_outlives(const struct svid *svid, int64_t path_end_ms, struct err *err)
{
    char end[CLOCK_TEXT_MAX];
    if (svid->leaf_not_after_ms <= path_end_ms)
        return 0;
    return err_set(err, ERR_INVALID,
                   "the certificate outlives its issuer, which ends at %s, by %lld s; is the CA's "
                   "own certificate about to end?",
                   clock_format(path_end_ms, end),
                   (long long)((svid->leaf_not_after_ms - path_end_ms) / 1000));
}

int svid_check(const struct svid *svid, struct trust_bundle *bundle, const char *expected_uri,
               const struct cert_rules *rules, int64_t now_ms, struct err *err)
{
    struct err unwanted;
    if (err == NULL)
        err = &unwanted;
    if (check_key(svid, err) < 0)
        return -1;
    if (expected_uri != NULL && strcmp(svid->id.uri, expected_uri) != 0)
        return err_set(err, ERR_INVALID, "the certificate is for '%.200s', we are '%.200s'",
                       svid->id.uri, expected_uri);
    const struct trust trust = {.bundles = &bundle, .num_bundles = 1};
    enum reason ignored;
    int64_t path_end_ms;
    if (check_rules(svid, &trust, rules, now_ms, &path_end_ms, &ignored, err) < 0)
        return -1;
    return check_outlives(svid, path_end_ms, err);
}

bool svid_is_revoked(const struct svid *svid, const struct trust *trust,
                     const struct cert_rules *rules, int64_t now_ms, struct err *err)
{
    enum reason reason;
    int64_t ignored_ms;
    return trust->crls != NULL &&
           check_rules(svid, trust, rules, now_ms, &ignored_ms, &reason, err) < 0 &&
           reason == REASON_CERT_REVOKED;
}

const struct spiffe_id *svid_id(const struct svid *svid)
{
    return &svid->id;
}

const char *svid_serial(const struct svid *svid)
{
    return svid->serial;
}

const char *svid_fingerprint(const struct svid *svid)
{
    return svid->fingerprint;
}

int64_t svid_not_before_ms(const struct svid *svid)
{
    return svid->not_before_ms;
}

int64_t svid_not_after_ms(const struct svid *svid)
{
    return svid->not_after_ms;
}

size_t svid_num_certs(const struct svid *svid)
{
    return sk_CRYPTO_BUFFER_num(svid->chain);
}

const uint8_t *svid_der(const struct svid *svid, size_t index, size_t *len)
{
    assert(index < svid_num_certs(svid));
    const CRYPTO_BUFFER *der = sk_CRYPTO_BUFFER_value(svid->chain, index);
    *len = CRYPTO_BUFFER_len(der);
    return CRYPTO_BUFFER_data(der);
}

EVP_PKEY *svid_key_read_pem(const char *pem, size_t pem_len, struct err *err)
{
    const struct cert_bytes key = {.bytes = pem, .len = pem_len};
    return x509_read_key(&key, err);
}

EVP_PKEY *svid_key_get(const struct svid *svid)
{
    return svid->key;
}
