#include "trust_bundle.h"

#include <assert.h>
#include <openssl/pool.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "refcount.h"
#include "spiffe_id.h"
#include "trust_bundle_root.h"
#include "x509_cert.h"
#include "x509_read.h"

struct root {
    X509 *cert;
    CRYPTO_BUFFER *der;
    STACK_OF(X509) *stack; /* of the one certificate; does not own it */
    int64_t not_after_ms;
};

struct trust_bundle {
    struct refcount refs;
    char trust_domain[SPIFFE_TRUST_DOMAIN_MAX + 1];
    size_t num_roots;
    struct root roots[];
};

static struct trust_bundle *bundle_new(const char *trust_domain, size_t max_roots, struct err *err)
{
    struct trust_bundle *bundle = calloc(1, sizeof(*bundle) + max_roots * sizeof(struct root));
    if (bundle == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    refcount_init(&bundle->refs);
    memcpy(bundle->trust_domain, trust_domain, strlen(trust_domain) + 1);
    return bundle;
}

static bool has_root(const struct trust_bundle *bundle, const X509 *cert)
{
    for (size_t i = 0; i < bundle->num_roots; i++)
        if (X509_cmp(bundle->roots[i].cert, cert) == 0)
            return true;
    return false;
}

/* Adds references to `cert` and its encoding; there must be room. A duplicate is left out. */
static int add_root(struct trust_bundle *bundle, X509 *cert, CRYPTO_BUFFER *der, struct err *err)
{
    if (has_root(bundle, cert))
        return 0;
    struct root *root = &bundle->roots[bundle->num_roots];
    int64_t not_before_ms;
    if (x509_cert_times(cert, &not_before_ms, &root->not_after_ms) < 0)
        return err_set(err, ERR_INVALID, "has a validity that cannot be read");
    root->stack = sk_X509_new_null();
    if (root->stack == NULL || sk_X509_push(root->stack, cert) == 0) {
        sk_X509_free(root->stack);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    X509_up_ref(cert);
    CRYPTO_BUFFER_up_ref(der);
    root->cert = cert;
    root->der = der;
    bundle->num_roots++;
    return 0;
}

/* X.509-SVID 5.2: cA true, and keyCertSign where there is a key usage at all. */
static int check_ca(X509 *cert, struct err *err)
{
    if (!x509_cert_is_readable(cert))
        return err_set(err, ERR_INVALID, "cannot be read");
    if (!x509_cert_is_ca(cert))
        return err_set(err, ERR_INVALID, "is not a CA");
    if ((X509_get_key_usage(cert) & KU_KEY_CERT_SIGN) == 0)
        return err_set(err, ERR_INVALID, "may not sign certificates (keyUsage)");
    return 0;
}

static int add_der(struct trust_bundle *bundle, CRYPTO_BUFFER *der, struct err *err)
{
    X509 *cert = x509_cert_parse(der);
    if (cert == NULL)
        return err_set(err, ERR_INVALID, "cannot be read");
    int result = check_ca(cert, err);
    if (result == 0)
        result = add_root(bundle, cert, der, err);
    X509_free(cert);
    return result;
}

/* As err_prefix, without the colon: "certificate 3 of 4 is not a CA". */
static void say_which(struct err *err, size_t index, size_t num)
{
    if (err == NULL || err->kind == ERR_NOMEM)
        return;
    struct err what = *err;
    err_set(err, what.kind, "trust bundle: certificate %zu of %zu %.400s", index + 1, num,
            what.message);
}

struct trust_bundle *trust_bundle_new(const char *trust_domain, const struct cert_bytes *certs,
                                      struct err *err)
{
    if (trust_domain == NULL) {
        trust_domain = "";
    } else if (spiffe_id_check_trust_domain(trust_domain, strlen(trust_domain), err) < 0) {
        err_prefix(err, "trust bundle");
        return NULL;
    }
    STACK_OF(CRYPTO_BUFFER) *ders = x509_read_certs(certs, TRUST_BUNDLE_ROOTS_MAX, err);
    if (ders == NULL) {
        err_prefix(err, "trust bundle");
        return NULL;
    }
    size_t num = sk_CRYPTO_BUFFER_num(ders);
    struct trust_bundle *bundle = bundle_new(trust_domain, num, err);
    for (size_t i = 0; bundle != NULL && i < num; i++) {
        if (add_der(bundle, sk_CRYPTO_BUFFER_value(ders, i), err) < 0) {
            say_which(err, i, num);
            trust_bundle_unref(bundle);
            bundle = NULL;
        }
    }
    sk_CRYPTO_BUFFER_pop_free(ders, CRYPTO_BUFFER_free);
    return bundle;
}

struct trust_bundle *trust_bundle_new_pem(const char *trust_domain, const char *pem, size_t pem_len,
                                          struct err *err)
{
    const struct cert_bytes certs = {.bytes = pem, .len = pem_len};
    return trust_bundle_new(trust_domain, &certs, err);
}

/* How many living roots of `older` are not in `newer`. */
static size_t count_missing(const struct trust_bundle *newer, const struct trust_bundle *older,
                            int64_t now_ms)
{
    size_t num = 0;
    for (size_t i = 0; i < older->num_roots; i++)
        if (older->roots[i].not_after_ms >= now_ms && !has_root(newer, older->roots[i].cert))
            num++;
    return num;
}

static int add_living(struct trust_bundle *bundle, const struct trust_bundle *from, int64_t now_ms,
                      struct err *err)
{
    for (size_t i = 0; i < from->num_roots; i++) {
        const struct root *root = &from->roots[i];
        if (root->not_after_ms >= now_ms && add_root(bundle, root->cert, root->der, err) < 0)
            return -1;
    }
    return 0;
}

struct trust_bundle *trust_bundle_merge(struct trust_bundle *newer,
                                        const struct trust_bundle *older, int64_t now_ms,
                                        struct err *err)
{
    assert(strcmp(newer->trust_domain, older->trust_domain) == 0);
    size_t num_missing = count_missing(newer, older, now_ms);
    if (num_missing == 0)
        return trust_bundle_ref(newer);
    size_t num = newer->num_roots + num_missing;
    if (num > TRUST_BUNDLE_ROOTS_MAX) {
        err_set(err, ERR_LIMIT,
                "trust bundle: %zu roots, old and new together, and at most %d are allowed", num,
                TRUST_BUNDLE_ROOTS_MAX);
        return NULL;
    }
    struct trust_bundle *merged = bundle_new(newer->trust_domain, num, err);
    if (merged == NULL)
        return NULL;
    /* INT64_MIN: of the new ones all, expired or not, so that the result contains `newer`. */
    if (add_living(merged, newer, INT64_MIN, err) < 0 ||
        add_living(merged, older, now_ms, err) < 0) {
        trust_bundle_unref(merged);
        return NULL;
    }
    return merged;
}

struct trust_bundle *trust_bundle_ref(struct trust_bundle *bundle)
{
    refcount_get(&bundle->refs);
    return bundle;
}

void trust_bundle_unref(struct trust_bundle *bundle)
{
    if (bundle == NULL || !refcount_put(&bundle->refs))
        return;
    for (size_t i = 0; i < bundle->num_roots; i++) {
        sk_X509_free(bundle->roots[i].stack);
        X509_free(bundle->roots[i].cert);
        CRYPTO_BUFFER_free(bundle->roots[i].der);
    }
    free(bundle);
}

const char *trust_bundle_trust_domain(const struct trust_bundle *bundle)
{
    return bundle->trust_domain;
}

size_t trust_bundle_num_roots(const struct trust_bundle *bundle)
{
    return bundle->num_roots;
}

int64_t trust_bundle_not_after_ms(const struct trust_bundle *bundle, size_t index)
{
    assert(index < bundle->num_roots);
    return bundle->roots[index].not_after_ms;
}

const uint8_t *trust_bundle_der(const struct trust_bundle *bundle, size_t index, size_t *len)
{
    assert(index < bundle->num_roots);
    const CRYPTO_BUFFER *der = bundle->roots[index].der;
    *len = CRYPTO_BUFFER_len(der);
    return CRYPTO_BUFFER_data(der);
}

bool trust_bundle_contains(const struct trust_bundle *whole, const struct trust_bundle *part)
{
    for (size_t i = 0; i < part->num_roots; i++)
        if (!has_root(whole, part->roots[i].cert))
            return false;
    return true;
}

bool trust_bundle_is_same(const struct trust_bundle *a, const struct trust_bundle *b)
{
    return a == b || (trust_bundle_contains(a, b) && trust_bundle_contains(b, a));
}

int64_t trust_bundle_first_end_ms(const struct trust_bundle *bundle)
{
    int64_t first_ms = INT64_MAX;
    for (size_t i = 0; i < bundle->num_roots; i++)
        if (bundle->roots[i].not_after_ms < first_ms)
            first_ms = bundle->roots[i].not_after_ms;
    return first_ms;
}

X509 *trust_bundle_root_get(const struct trust_bundle *bundle, size_t index)
{
    assert(index < bundle->num_roots);
    return bundle->roots[index].cert;
}

STACK_OF(X509) *trust_bundle_root_stack(const struct trust_bundle *bundle, size_t index)
{
    assert(index < bundle->num_roots);
    return bundle->roots[index].stack;
}
