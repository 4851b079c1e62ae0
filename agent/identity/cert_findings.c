#include "cert_findings.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/x509.h>

#include "x509_cert.h"
#include "x509_leaf.h"
#include "x509_path.h"
#include "x509_pki.h"
#include "x509_principal.h"

struct findings {
    struct cert_finding *out;
    size_t num;
};

static void add(struct findings *findings, enum reason reason, const struct err *why)
{
    assert(findings->num < CERT_FINDINGS_MAX);
    findings->out[findings->num++] = (struct cert_finding){.reason = reason, .why = *why};
}

/* ------------------------------------------------------------------------------------ the rules -- */

static void look_at_name(struct findings *findings, X509 *leaf, const struct pki *pki)
{
    struct err why = {0};
    enum reason reason;
    struct x509_principal principal = {0};
    int result = pki == NULL ? x509_leaf_read_id(leaf, &principal.id, &reason, &why)
                             : x509_principal_read(leaf, pki, &principal, &reason, &why);
    if (result < 0)
        add(findings, reason, &why);
    else
        spiffe_id_done(&principal.id);
}

/* Of a whole path the rules are; a root, which ends it, they leave alone. */
static STACK_OF(X509) *path_of(X509 *leaf)
{
    STACK_OF(X509) *path = sk_X509_new_null();
    if (path != NULL && sk_X509_push(path, leaf) && sk_X509_push(path, leaf))
        return path;
    sk_X509_free(path);
    return NULL;
}

static void look_at_strength_and_usage(struct findings *findings, X509 *leaf, const struct pki *pki)
{
    static const struct cert_rules STRICT = {0};
    struct err why = {0};
    STACK_OF(X509) *path = path_of(leaf);
    if (path == NULL) {
        err_set(&why, ERR_NOMEM, "out of memory");
        add(findings, REASON_NO_MEMORY, &why);
        return;
    }
    if (x509_path_check_strength(path, &why) < 0)
        add(findings, REASON_CERT_WEAK, &why);
    if ((pki == NULL ? x509_leaf_check_usage(leaf, &STRICT, &why)
                     : x509_pki_check_usage(path, pki->peer, &why)) < 0)
        add(findings, REASON_CERT_KEY_USAGE, &why);
    sk_X509_free(path);
}

static void look_at_time(struct findings *findings, X509 *leaf, int64_t now_ms)
{
    struct err why = {0};
    enum reason reason;
    int64_t not_before_ms, not_after_ms;
    STACK_OF(X509) *path = sk_X509_new_null();
    if (path != NULL && sk_X509_push(path, leaf) &&
        x509_path_check_time(path, now_ms, &not_before_ms, &not_after_ms, &reason, &why) < 0)
        add(findings, reason, &why);
    sk_X509_free(path);
}

static void look_at(struct findings *findings, X509 *leaf, const struct pki *pki, int64_t now_ms)
{
    struct err why = {0};
    if (!x509_cert_is_readable(leaf)) {
        err_set(&why, ERR_TLS, "an extension of it cannot be read, or stands there twice");
        add(findings, REASON_CERT_MALFORMED, &why);
        return;
    }
    look_at_name(findings, leaf, pki);
    if (x509_cert_is_ca(leaf)) {
        err_set(&why, ERR_TLS, "it is a CA certificate");
        add(findings, REASON_CERT_IS_CA, &why);
    }
    look_at_strength_and_usage(findings, leaf, pki);
    look_at_time(findings, leaf, now_ms);
}

size_t cert_findings_list(const struct peer_cert_der *leaf, const struct pki *pki, int64_t now_ms,
                          struct cert_finding out[CERT_FINDINGS_MAX])
{
    struct findings findings = {.out = out};
    struct err why = {0};
    CRYPTO_BUFFER *der =
        leaf->len > CERT_DER_MAX ? NULL : CRYPTO_BUFFER_new(leaf->bytes, leaf->len, NULL);
    X509 *cert = der == NULL ? NULL : x509_cert_parse(der);
    if (cert != NULL) {
        look_at(&findings, cert, pki, now_ms);
    } else {
        err_set(&why, ERR_TLS, "it is no certificate, or one of more than %d bytes", CERT_DER_MAX);
        add(&findings, REASON_CERT_MALFORMED, &why);
    }
    X509_free(cert);
    CRYPTO_BUFFER_free(der);
    ERR_clear_error();
    return findings.num;
}
