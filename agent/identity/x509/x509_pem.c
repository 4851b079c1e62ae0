#include "x509_pem.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/stack.h>
#include <string.h>

#include "cert_rules.h"

static BIO *bio_open(const char *pem, size_t pem_len, struct err *err)
{
    if (pem_len > INT_MAX) {
        err_set(err, ERR_LIMIT, "too long");
        return NULL;
    }
    /* An empty text is a valid BIO only with a pointer. */
    BIO *bio = BIO_new_mem_buf(pem_len == 0 ? "" : pem, (int)pem_len);
    if (bio == NULL)
        err_set(err, ERR_NOMEM, "out of memory");
    return bio;
}

static bool is_at_end(void)
{
    uint32_t code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

static int push(STACK_OF(CRYPTO_BUFFER) *certs, const uint8_t *der, size_t len, struct err *err)
{
    CRYPTO_BUFFER *buffer = CRYPTO_BUFFER_new(der, len, NULL);
    if (buffer == NULL || sk_CRYPTO_BUFFER_push(certs, buffer) == 0) {
        CRYPTO_BUFFER_free(buffer);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    return 0;
}

/* 1: one was added; 0: no more; -1: *err. */
static int read_next(BIO *bio, STACK_OF(CRYPTO_BUFFER) *certs, size_t max, struct err *err)
{
    size_t number = sk_CRYPTO_BUFFER_num(certs) + 1;
    char *name = NULL, *header = NULL;
    uint8_t *der = NULL;
    long len = 0;
    if (!PEM_read_bio(bio, &name, &header, &der, &len))
        return is_at_end() ? 0
                           : err_set(err, ERR_INVALID, "certificate %zu is not valid PEM", number);
    int result = -1;
    if (strcmp(name, PEM_STRING_X509) != 0 && strcmp(name, PEM_STRING_X509_OLD) != 0)
        err_set(err, ERR_INVALID, "block %zu is not a certificate%s", number,
                strstr(name, "PRIVATE KEY") != NULL ? " but a private key" : "");
    else if (number > max)
        err_set(err, ERR_LIMIT, "more than %zu certificates", max);
    else if (len > CERT_DER_MAX)
        err_set(err, ERR_LIMIT, "certificate %zu has more than %d bytes", number, CERT_DER_MAX);
    else if (push(certs, der, (size_t)len, err) == 0)
        result = 1;
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    return result;
}

STACK_OF(CRYPTO_BUFFER) *x509_pem_read_certs(const char *pem, size_t pem_len, size_t max,
                                             struct err *err)
{
    BIO *bio = bio_open(pem, pem_len, err);
    if (bio == NULL)
        return NULL;
    STACK_OF(CRYPTO_BUFFER) *certs = sk_CRYPTO_BUFFER_new_null();
    int more = certs == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 1;
    while (more > 0)
        more = read_next(bio, certs, max, err);
    if (more == 0 && sk_CRYPTO_BUFFER_num(certs) == 0)
        more = err_set(err, ERR_INVALID, "no certificate in it");
    BIO_free(bio);
    ERR_clear_error();
    if (more == 0)
        return certs;
    sk_CRYPTO_BUFFER_pop_free(certs, CRYPTO_BUFFER_free);
    return NULL;
}

/* There is nobody to ask for a password. */
static int no_password(char *out, int size, int is_write, void *unused)
{
    return -1;
}

EVP_PKEY *x509_pem_read_key(const char *pem, size_t pem_len, struct err *err)
{
    BIO *bio = bio_open(pem, pem_len, err);
    if (bio == NULL)
        return NULL;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    if (key == NULL)
        err_set(err, ERR_INVALID,
                is_at_end() ? "no private key in it"
                            : "the private key cannot be read; is it encrypted or cut?");
    BIO_free(bio);
    ERR_clear_error();
    return key;
}
