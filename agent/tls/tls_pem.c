#include "tls_pem.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdbool.h>

static bool is_at_end(void)
{
    uint32_t code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

/* 1: one was added; 0: no more; -1: *err. */
static int read_next(BIO *bio, STACK_OF(X509) *certs, struct err *err)
{
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (cert == NULL && is_at_end())
        return 0;
    if (cert == NULL)
        return err_set(err, ERR_INVALID, "certificate %zu cannot be read", sk_X509_num(certs) + 1);
    if (sk_X509_push(certs, cert) != 0)
        return 1;
    X509_free(cert);
    return err_set(err, ERR_NOMEM, "out of memory");
}

STACK_OF(X509) *tls_pem_read_certs(const char *pem, size_t pem_len, struct err *err)
{
    if (pem_len > INT_MAX) {
        err_set(err, ERR_LIMIT, "too long");
        return NULL;
    }
    BIO *bio = BIO_new_mem_buf(pem_len == 0 ? "" : pem, (int)pem_len);
    STACK_OF(X509) *certs = sk_X509_new_null();
    int more = 1;
    if (bio == NULL || certs == NULL)
        more = err_set(err, ERR_NOMEM, "out of memory");
    while (more > 0)
        more = read_next(bio, certs, err);
    if (more == 0 && sk_X509_num(certs) == 0)
        more = err_set(err, ERR_INVALID, "no certificate in it");
    BIO_free(bio);
    ERR_clear_error();
    if (more == 0)
        return certs;
    sk_X509_pop_free(certs, X509_free);
    return NULL;
}
