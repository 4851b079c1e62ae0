#include "x509_chain.h"

#include "cert_rules.h"
#include "x509_cert.h"

static int check_size(const STACK_OF(CRYPTO_BUFFER) *chain, struct err *err)
{
    size_t num = chain == NULL ? 0 : sk_CRYPTO_BUFFER_num(chain);
    if (num == 0)
        return err_set(err, ERR_TLS, "there is no certificate");
    if (num > CERT_CHAIN_MAX)
        return err_set(err, ERR_TLS, "%zu certificates; at most %d are accepted", num,
                       CERT_CHAIN_MAX);
    for (size_t i = 0; i < num; i++) {
        size_t len = CRYPTO_BUFFER_len(sk_CRYPTO_BUFFER_value(chain, i));
        if (len > CERT_DER_MAX)
            return err_set(err, ERR_TLS, "certificate %zu has %zu bytes; at most %d are accepted",
                           i + 1, len, CERT_DER_MAX);
    }
    return 0;
}

static int push(STACK_OF(X509) *certs, X509 *cert)
{
    if (certs != NULL && sk_X509_push(certs, cert) != 0)
        return 0;
    X509_free(cert);
    return -1;
}

STACK_OF(X509) *x509_chain_parse(const STACK_OF(CRYPTO_BUFFER) *chain, enum reason *reason,
                                 struct err *err)
{
    if (check_size(chain, err) < 0) {
        *reason = REASON_CERT_MALFORMED;
        return NULL;
    }
    STACK_OF(X509) *certs = sk_X509_new_null();
    size_t num = sk_CRYPTO_BUFFER_num(chain);
    for (size_t i = 0; i < num; i++) {
        X509 *cert = x509_cert_parse(sk_CRYPTO_BUFFER_value(chain, i));
        if (cert == NULL || !x509_cert_is_readable(cert)) {
            err_set(err, ERR_TLS, "certificate %zu of %zu cannot be read", i + 1, num);
            *reason = REASON_CERT_MALFORMED;
            X509_free(cert);
            goto fail;
        }
        if (push(certs, cert) < 0) {
            err_set(err, ERR_NOMEM, "out of memory");
            *reason = REASON_NO_MEMORY;
            goto fail;
        }
    }
    return certs;

fail:
    sk_X509_pop_free(certs, X509_free);
    return NULL;
}
