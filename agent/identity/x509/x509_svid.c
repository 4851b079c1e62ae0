#include "x509_svid.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "x509_cert.h"
#include "x509_chain.h"
#include "x509_crl.h"
#include "x509_leaf.h"
#include "x509_path.h"

static int refuse(enum reason *reason, enum reason why)
{
    *reason = why;
    return -1;
}

/* Whoever has an SVID is server and client, and so are its CAs' permissions read. */
static int check_usage(const struct x509_svid_check *check, const STACK_OF(X509) *path,
                       struct err *err)
{
    if (x509_leaf_check_usage(sk_X509_value(path, 0), check->rules, err) < 0 ||
        x509_path_check_extended_key_usage(path, XKU_SSL_SERVER, err) < 0)
        return -1;
    return x509_path_check_extended_key_usage(path, XKU_SSL_CLIENT, err);
}

/* What is wrong with the way to the root, the leaf's permissions, the time, or what was revoked. */
static int check_path(const struct x509_svid_check *check, STACK_OF(X509) *certs,
                      const struct trust_bundle *bundle, struct x509_svid_facts *facts,
                      enum reason *reason, struct err *err)
{
    STACK_OF(X509) *path = x509_path_find(certs, bundle, check->now_ms, err);
    if (path == NULL)
        return refuse(reason, err->kind == ERR_NOMEM ? REASON_NO_MEMORY : REASON_CERT_UNTRUSTED);
    int result = -1;
    if (x509_path_check_strength(path, err) < 0)
        *reason = REASON_CERT_WEAK;
    else if (check_usage(check, path, err) < 0)
        *reason = REASON_CERT_KEY_USAGE;
    else if (x509_path_check_time(path, check->now_ms, &facts->not_before_ms, &facts->not_after_ms,
                                  reason, err) == 0)
        result = crl_set_check_path(check->trust->crls, path, check->trust->crl_strict,
                                    check->now_ms, reason, err);
    sk_X509_pop_free(path, X509_free);
    return result;
}

static int check_leaf_and_path(const struct x509_svid_check *check, STACK_OF(X509) *certs,
                               struct x509_svid_facts *facts, enum reason *reason, struct err *err)
{
    if (x509_cert_is_ca(sk_X509_value(certs, 0))) {
        err_set(err, ERR_TLS, "the certificate of '%.200s' is a CA certificate", facts->id.uri);
        return refuse(reason, REASON_CERT_IS_CA);
    }
    const struct trust_bundle *bundle = trust_find_bundle(check->trust, facts->id.trust_domain);
    if (bundle == NULL) {
        err_set(err, ERR_TLS,
                "the certificate claims '%.160s'; we trust nobody of trust domain '%.160s'",
                facts->id.uri, facts->id.trust_domain);
        return refuse(reason, REASON_CERT_WRONG_TRUST_DOMAIN);
    }
    if (check_path(check, certs, bundle, facts, reason, err) < 0)
        return err_prefix(err, "certificate of '%.160s'", facts->id.uri);
    return 0;
}

int x509_svid_verify(const struct x509_svid_check *check, struct x509_svid_facts *facts,
                     enum reason *reason, struct err *err)
{
    *facts = (struct x509_svid_facts){0};
    STACK_OF(X509) *certs = x509_chain_parse(check->chain, reason, err);
    if (certs == NULL)
        return -1;

    X509 *leaf = sk_X509_value(certs, 0);
    const CRYPTO_BUFFER *der = sk_CRYPTO_BUFFER_value(check->chain, 0);
    x509_cert_serial(leaf, facts->serial);
    x509_cert_fingerprint(CRYPTO_BUFFER_data(der), CRYPTO_BUFFER_len(der), facts->fingerprint);
    int result = x509_leaf_read_id(leaf, &facts->id, reason, err);
    if (result == 0)
        result = check_leaf_and_path(check, certs, facts, reason, err);
    if (result < 0)
        spiffe_id_done(&facts->id);
    sk_X509_pop_free(certs, X509_free);
    return result;
}
