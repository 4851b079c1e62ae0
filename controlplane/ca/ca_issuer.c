#include "ca_issuer.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "buf.h"
#include "ca_cert.h"
#include "ca_key.h"
#include "ca_order_decide.h"
#include "ca_request.h"
#include "ca_validity.h"
#include "clock.h"

enum {
    ROOTS_MAX = 16,
    CHAIN_MAX = CERT_CHAIN_MAX - 1, /* what peers take, less the leaf */
    DEFAULT_LIFETIME_S = 24 * 60 * 60,
    MAX_LIFETIME_S = 90 * 24 * 60 * 60, /* as istiod */
};

struct ca_issuer {
    EVP_PKEY *key;
    X509 *cert;
    STACK_OF(X509) *chain; /* between leaf and root, cert first; empty when cert is a root */
    STACK_OF(X509) *roots;
    struct ca_validity_limits limits;
    char *chain_pems[CHAIN_MAX];
    size_t num_chain_pems;
    char *roots_pem;
    char root_fingerprint[CA_CERT_FINGERPRINT_TEXT];
};

/* ---------------------------------------------------------------------------------- loading -- */

static X509 *find_by_key(const STACK_OF(X509) *certs, const EVP_PKEY *key)
{
    for (size_t i = 0; i < sk_X509_num(certs); i++) {
        EVP_PKEY *public_key = X509_get_pubkey(sk_X509_value(certs, i));
        bool same = public_key != NULL && EVP_PKEY_cmp(public_key, key) == 1;
        EVP_PKEY_free(public_key);
        if (same)
            return sk_X509_value(certs, i);
    }
    return NULL;
}

static int read_roots(struct ca_issuer *issuer, const char *pem, struct err *err)
{
    issuer->roots = ca_cert_read_pem(pem, strlen(pem), ROOTS_MAX, err);
    if (issuer->roots == NULL)
        return err_prefix(err, "roots");
    for (size_t i = 0; i < sk_X509_num(issuer->roots); i++) {
        if (ca_cert_check_is_ca(sk_X509_value(issuer->roots, i), err) < 0)
            return err_prefix(err, "root %zu of %zu", i + 1, sk_X509_num(issuer->roots));
    }
    return 0;
}

static int read_chain(struct ca_issuer *issuer, const char *pem, struct err *err)
{
    issuer->chain =
        pem == NULL ? sk_X509_new_null() : ca_cert_read_pem(pem, strlen(pem), CHAIN_MAX, err);
    if (issuer->chain == NULL)
        return pem == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                           : err_prefix(err, "certificate chain");
    for (size_t i = 0; i < sk_X509_num(issuer->chain); i++) {
        if (ca_cert_check_is_ca(sk_X509_value(issuer->chain, i), err) < 0)
            return err_prefix(err, "certificate %zu of the chain", i + 1);
    }
    return 0;
}

/* Finds the certificate that the key belongs to. */
static int match_key(struct ca_issuer *issuer, struct err *err)
{
    if (ca_key_check(issuer->key, err) < 0)
        return err_prefix(err, "private key");
    if (sk_X509_num(issuer->chain) == 0) {
        issuer->cert = find_by_key(issuer->roots, issuer->key);
        if (issuer->cert == NULL)
            return err_set(err, ERR_INVALID, "the private key belongs to none of the roots");
        return 0;
    }
    issuer->cert = sk_X509_value(issuer->chain, 0);
    if (!X509_check_private_key(issuer->cert, issuer->key))
        return err_set(err, ERR_INVALID,
                       "the private key does not belong to the first certificate of the chain");
    return 0;
}

/* The time in which all certificates from the issuer's to the root are valid. */
static int read_limits(struct ca_issuer *issuer, const STACK_OF(X509) *path, struct err *err)
{
    issuer->limits.issuer_not_before_s = INT64_MIN;
    issuer->limits.issuer_not_after_s = INT64_MAX;
    for (size_t i = 0; i < sk_X509_num(path); i++) {
        int64_t not_before_s;
        int64_t not_after_s;
        if (ca_cert_times(sk_X509_value(path, i), &not_before_s, &not_after_s, err) < 0)
            return -1;
        if (not_before_s > issuer->limits.issuer_not_before_s)
            issuer->limits.issuer_not_before_s = not_before_s;
        if (not_after_s < issuer->limits.issuer_not_after_s)
            issuer->limits.issuer_not_after_s = not_after_s;
    }
    X509 *root = sk_X509_value(path, sk_X509_num(path) - 1);
    ca_cert_fingerprint(root, issuer->root_fingerprint);
    return 0;
}

static int verify_path(struct ca_issuer *issuer, int64_t now_ms, struct err *err)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *verification = X509_STORE_CTX_new();
    int result = -1;
    int ok = store != NULL && verification != NULL;
    for (size_t i = 0; ok && i < sk_X509_num(issuer->roots); i++)
        ok = X509_STORE_add_cert(store, sk_X509_value(issuer->roots, i));
    if (!ok || !X509_STORE_CTX_init(verification, store, issuer->cert, issuer->chain)) {
        err_set(err, ERR_NOMEM, "out of memory");
    } else {
        X509_STORE_CTX_set_time(verification, 0, (time_t)(now_ms / 1000));
        if (X509_verify_cert(verification) == 1)
            result = read_limits(issuer, X509_STORE_CTX_get0_chain(verification), err);
        else
            err_set(err, ERR_INVALID, "the CA's certificate does not verify against its roots: %s",
                    X509_verify_cert_error_string(X509_STORE_CTX_get_error(verification)));
    }
    X509_STORE_CTX_free(verification);
    X509_STORE_free(store);
    return result;
}

/* What every answer carries is put into PEM once. */
static int write_pems(struct ca_issuer *issuer, struct err *err)
{
    for (size_t i = 0; i < sk_X509_num(issuer->chain); i++) {
        issuer->chain_pems[i] = ca_cert_to_pem(sk_X509_value(issuer->chain, i), err);
        if (issuer->chain_pems[i] == NULL)
            return -1;
        issuer->num_chain_pems++;
    }
    struct buf roots = {0};
    int result = 0;
    for (size_t i = 0; result == 0 && i < sk_X509_num(issuer->roots); i++) {
        char *pem = ca_cert_to_pem(sk_X509_value(issuer->roots, i), err);
        if (pem == NULL || buf_append_str(&roots, pem) < 0)
            result = err_set(err, ERR_NOMEM, "out of memory");
        free(pem);
    }
    if (result == 0) {
        issuer->roots_pem = strndup((const char *)buf_head(&roots), buf_len(&roots));
        if (issuer->roots_pem == NULL)
            result = err_set(err, ERR_NOMEM, "out of memory");
    }
    buf_done(&roots);
    return result;
}

struct ca_issuer *ca_issuer_new(const struct ca_issuer_pem *pem, int64_t now_ms, struct err *err)
{
    struct ca_issuer *issuer = calloc(1, sizeof(*issuer));
    if (issuer == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    ca_issuer_set_lifetimes(issuer, DEFAULT_LIFETIME_S, MAX_LIFETIME_S);
    issuer->key = ca_key_from_pem(pem->key, strlen(pem->key), err);
    if (issuer->key == NULL || read_roots(issuer, pem->roots, err) < 0 ||
        read_chain(issuer, pem->chain, err) < 0 || match_key(issuer, err) < 0 ||
        verify_path(issuer, now_ms, err) < 0 || write_pems(issuer, err) < 0) {
        ca_issuer_free(issuer);
        issuer = NULL;
    }
    ERR_clear_error();
    return issuer;
}

void ca_issuer_free(struct ca_issuer *issuer)
{
    if (issuer == NULL)
        return;
    for (size_t i = 0; i < issuer->num_chain_pems; i++)
        free(issuer->chain_pems[i]);
    free(issuer->roots_pem);
    sk_X509_pop_free(issuer->chain, X509_free);
    sk_X509_pop_free(issuer->roots, X509_free);
    EVP_PKEY_free(issuer->key);
    free(issuer);
}

void ca_issuer_set_lifetimes(struct ca_issuer *issuer, int64_t default_s, int64_t max_s)
{
    issuer->limits.default_s = default_s;
    issuer->limits.max_s = max_s;
}

/* ---------------------------------------------------------------------------------- issuing -- */

static X509 *sign(struct ca_issuer *issuer, enum ca_cert_use use, const char *name, EVP_PKEY *key,
                  const struct ca_validity *validity, struct err *err)
{
    return ca_cert_make(&(struct ca_cert_plan){.use = use,
                                               .name = name,
                                               .not_before_s = validity->not_before_s,
                                               .not_after_s = validity->not_after_s,
                                               .key = key,
                                               .issuer = issuer->cert,
                                               .issuer_key = issuer->key},
                        err);
}

/* Takes `cert`. */
static int take_issued(X509 *cert, const struct ca_validity *validity, struct ca_issued *out,
                       struct err *err)
{
    out->pem = ca_cert_to_pem(cert, err);
    ca_cert_serial(cert, out->serial);
    out->not_before_ms = validity->not_before_s * 1000;
    out->not_after_ms = validity->not_after_s * 1000;
    X509_free(cert);
    return out->pem == NULL ? -1 : 0;
}

int ca_issuer_issue(struct ca_issuer *issuer, const struct ca_issue *issue, struct ca_issued *out,
                    struct err *err)
{
    struct ca_validity validity;
    *out = (struct ca_issued){0};
    if (ca_validity_choose(&issuer->limits, issue->requested_s, issue->now_ms, &validity, err) < 0)
        return -1;
    EVP_PKEY *key = ca_request_read_key(issue->csr_pem, issue->csr_pem_len, err);
    if (key == NULL)
        return -1;
    X509 *cert = sign(issuer, CA_CERT_WORKLOAD, issue->id->uri, key, &validity, err);
    EVP_PKEY_free(key);
    return cert == NULL ? -1 : take_issued(cert, &validity, out, err);
}

/* -------------------------------------------------------------------------------------- signing -- */

static int say_signed(const struct ca_order *order, const EVP_PKEY *key,
                      const struct ca_issued *issued, const struct buf *decisions,
                      struct buf *words)
{
    static const char *const USES[] = {"client", "server", "client and server"};
    char from[CLOCK_TEXT_MAX], until[CLOCK_TEXT_MAX], key_text[CA_KEY_TEXT_MAX];
    bool is_short = issued->not_after_ms < order->now_ms / 1000 * 1000 + order->lifetime_s * 1000;
    if (buf_printf(words, "signed, for %s, serial %s\n", USES[order->usage], issued->serial) < 0 ||
        buf_append(words, buf_head(decisions), buf_len(decisions)) < 0 ||
        buf_printf(words, "  key             %s\n", ca_key_describe(key, key_text)) < 0)
        return -1;
    return buf_printf(words, "  valid           %s to %s%s\n",
                      clock_format(issued->not_before_ms, from),
                      clock_format(issued->not_after_ms, until),
                      is_short ? ", when the CA's own certificate ends" : "");
}

static int sign_request(struct ca_issuer *issuer, const struct ca_order *order,
                        const struct ca_request *request, struct ca_issued *out, struct buf *words,
                        struct err *err)
{
    struct ca_order_subject subject;
    struct ca_validity validity;
    struct ca_validity_limits limits = issuer->limits;
    struct buf decisions = {0};
    int result = -1;
    limits.max_s = order->lifetime_s;
    if (ca_validity_choose(&limits, order->lifetime_s, order->now_ms, &validity, err) == 0 &&
        ca_order_decide(order, request, issuer->cert, &subject, &decisions, err) == 0) {
        X509 *cert = ca_cert_make(&(struct ca_cert_plan){.use = CA_CERT_ORDERED,
                                                         .name = "the request",
                                                         .not_before_s = validity.not_before_s,
                                                         .not_after_s = validity.not_after_s,
                                                         .key = request->key,
                                                         .issuer = issuer->cert,
                                                         .issuer_key = issuer->key,
                                                         .subject = &subject.cert},
                                  err);
        result = cert == NULL ? -1 : take_issued(cert, &validity, out, err);
        if (result == 0 && say_signed(order, request->key, out, &decisions, words) < 0)
            result = err_set(err, ERR_NOMEM, "out of memory");
        ca_order_decide_done(&subject);
    }
    buf_done(&decisions);
    return result;
}

int ca_issuer_sign(struct ca_issuer *issuer, const struct ca_order *order, struct ca_issued *out,
                   struct buf *words, struct err *err)
{
    struct ca_request request;
    *out = (struct ca_issued){0};
    if (ca_request_read(order->csr_pem, order->csr_pem_len, &request, err) < 0)
        return -1;
    int result = sign_request(issuer, order, &request, out, words, err);
    ca_request_done(&request);
    if (result < 0)
        ca_issued_done(out);
    return result;
}

bool ca_issuer_may_replace(const uint8_t *bytes, size_t len)
{
    static const char KEY[] = "PRIVATE KEY-----";
    if (memmem(bytes, len, KEY, sizeof(KEY) - 1) != NULL)
        return false;
    STACK_OF(X509) *certs = ca_cert_read_pem((const char *)bytes, len, CERT_CHAIN_MAX, NULL);
    bool result = certs != NULL && ca_cert_check_is_ca(sk_X509_value(certs, 0), NULL) < 0;
    sk_X509_pop_free(certs, X509_free);
    return result;
}

void ca_issued_done(struct ca_issued *issued)
{
    if (issued == NULL)
        return;
    free(issued->pem);
    *issued = (struct ca_issued){0};
}

/* The leaf and what follows it, in one text. */
static char *join_chain(const struct ca_issuer *issuer, X509 *cert, struct err *err)
{
    struct buf chain = {0};
    char *joined = NULL;
    char *leaf_pem = ca_cert_to_pem(cert, err);
    int ok = leaf_pem != NULL && buf_append_str(&chain, leaf_pem) == 0;
    for (size_t i = 0; ok && i < issuer->num_chain_pems; i++)
        ok = buf_append_str(&chain, issuer->chain_pems[i]) == 0;
    if (ok)
        joined = strndup((const char *)buf_head(&chain), buf_len(&chain));
    if (joined == NULL)
        err_set(err, ERR_NOMEM, "out of memory");
    free(leaf_pem);
    buf_done(&chain);
    return joined;
}

int ca_issuer_issue_server(struct ca_issuer *issuer, const char *host, int64_t lifetime_s,
                           int64_t now_ms, struct ca_server_cert *out, struct err *err)
{
    struct ca_validity validity;
    struct ca_validity_limits limits = issuer->limits;
    *out = (struct ca_server_cert){0};
    limits.max_s = lifetime_s;
    if (ca_validity_choose(&limits, lifetime_s, now_ms, &validity, err) < 0)
        return -1;
    EVP_PKEY *key = ca_key_new(err);
    if (key == NULL)
        return -1;
    X509 *cert = sign(issuer, CA_CERT_SERVER, host, key, &validity, err);
    if (cert != NULL) {
        out->key_pem = ca_key_to_pem(key, err);
        out->chain_pem = join_chain(issuer, cert, err);
        out->not_before_ms = validity.not_before_s * 1000;
        out->not_after_ms = validity.not_after_s * 1000;
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    if (out->key_pem != NULL && out->chain_pem != NULL)
        return 0;
    ca_server_cert_done(out);
    return -1;
}

void ca_server_cert_done(struct ca_server_cert *cert)
{
    if (cert == NULL)
        return;
    ca_key_free_pem(cert->key_pem);
    free(cert->chain_pem);
    *cert = (struct ca_server_cert){0};
}

/* ------------------------------------------------------------------------------------ facts -- */

const char *ca_issuer_chain_pem(const struct ca_issuer *issuer, size_t index)
{
    return index < issuer->num_chain_pems ? issuer->chain_pems[index] : NULL;
}

const char *ca_issuer_roots_pem(const struct ca_issuer *issuer)
{
    return issuer->roots_pem;
}

const char *ca_issuer_root_fingerprint(const struct ca_issuer *issuer)
{
    return issuer->root_fingerprint;
}

int64_t ca_issuer_not_after_ms(const struct ca_issuer *issuer)
{
    return issuer->limits.issuer_not_after_s * 1000;
}
