#include "ca_request.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "ca_key.h"

/* One block of PEM as OpenSSL's reader gives it. */
struct block {
    char *name;
    char *header; /* not "": RFC 1421 headers, by which keys are encrypted; none belongs here */
    uint8_t *der;
    long der_len;
};

static void block_done(struct block *block)
{
    OPENSSL_free(block->name);
    OPENSSL_free(block->header);
    OPENSSL_free(block->der);
}

static int read_block(BIO *bio, struct block *block, struct err *err)
{
    if (!PEM_read_bio(bio, &block->name, &block->header, &block->der, &block->der_len))
        return err_set(err, ERR_INVALID, "it is not PEM");
    if (strcmp(block->name, PEM_STRING_X509_REQ) != 0 &&
        strcmp(block->name, PEM_STRING_X509_REQ_OLD) != 0)
        return err_set(err, ERR_INVALID, "its PEM block is \"%.40s\", not \"%s\"", block->name,
                       PEM_STRING_X509_REQ);
    if (block->header[0] != '\0')
        return err_set(err, ERR_INVALID, "its PEM block has headers");
    return 0;
}

static int refuse_second_block(BIO *bio, struct err *err)
{
    struct block second = {0};
    int found = PEM_read_bio(bio, &second.name, &second.header, &second.der, &second.der_len);
    block_done(&second);
    return found ? err_set(err, ERR_INVALID, "it holds more than one PEM block") : 0;
}

static X509_REQ *read_request(const char *pem, size_t pem_len, struct err *err)
{
    X509_REQ *request = NULL;
    struct block block = {0};
    BIO *bio = BIO_new_mem_buf(pem, (int)pem_len);
    if (bio == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    if (read_block(bio, &block, err) == 0 && refuse_second_block(bio, err) == 0) {
        const uint8_t *at = block.der;
        request = d2i_X509_REQ(NULL, &at, block.der_len);
        if (request == NULL) {
            err_set(err, ERR_INVALID, "its DER cannot be read");
        } else if (at != block.der + block.der_len) {
            X509_REQ_free(request);
            request = NULL;
            err_set(err, ERR_INVALID, "bytes follow its DER");
        }
    }
    block_done(&block);
    BIO_free(bio);
    return request;
}

/* The key's size is checked before the key is used, because verifying with it costs what its sender
 * likes. */
static EVP_PKEY *proven_key(X509_REQ *request, struct err *err)
{
    EVP_PKEY *key = X509_REQ_get_pubkey(request);
    if (key == NULL) {
        err_set(err, ERR_INVALID, "its key cannot be read");
        return NULL;
    }
    if (ca_key_check(key, err) == 0) {
        if (X509_REQ_verify(request, key) == 1)
            return key;
        err_set(err, ERR_INVALID, "it is not signed by its own key");
    }
    EVP_PKEY_free(key);
    return NULL;
}

EVP_PKEY *ca_request_read_key(const char *pem, size_t pem_len, struct err *err)
{
    EVP_PKEY *key = NULL;
    if (pem_len > CA_REQUEST_MAX) {
        err_set(err, ERR_INVALID, "it has %zu bytes; at most %d are taken", pem_len,
                CA_REQUEST_MAX);
    } else {
        X509_REQ *request = read_request(pem, pem_len, err);
        if (request != NULL)
            key = proven_key(request, err);
        X509_REQ_free(request);
    }
    ERR_clear_error();
    if (key == NULL)
        err_prefix(err, "certificate signing request");
    return key;
}
