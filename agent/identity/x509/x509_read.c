#include "x509_read.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/stack.h>
#include <stdbool.h>
#include <string.h>

#include "cert_rules.h"

/* What kind of object is wanted, and how much of it. */
struct wanted {
    const char *noun; /* for messages */
    const char *block;
    const char *old_block; /* another name of it, or the same */
    size_t max;
    size_t max_len; /* bytes of one */
};

/* What is more than wanted is counted and not kept, so that the message can say how much there is. */
struct found {
    STACK_OF(CRYPTO_BUFFER) *objects;
    size_t num;
};

static BIO *bio_open(const struct cert_bytes *pem, struct err *err)
{
    if (pem->len > INT_MAX) {
        err_set(err, ERR_LIMIT, "too long");
        return NULL;
    }
    /* An empty text is a valid BIO only with a pointer. */
    BIO *bio = BIO_new_mem_buf(pem->len == 0 ? "" : pem->bytes, (int)pem->len);
    if (bio == NULL)
        err_set(err, ERR_NOMEM, "out of memory");
    return bio;
}

static bool is_at_end(void)
{
    uint32_t code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

static int push(struct found *found, const struct wanted *wanted, const uint8_t *der, size_t len,
                struct err *err)
{
    size_t number = ++found->num;
    if (number > wanted->max)
        return 0;
    if (len > wanted->max_len)
        return err_set(err, ERR_LIMIT, "%s %zu has %zu bytes, and at most %zu are allowed",
                       wanted->noun, number, len, wanted->max_len);
    CRYPTO_BUFFER *buffer = CRYPTO_BUFFER_new(der, len, NULL);
    if (buffer == NULL || sk_CRYPTO_BUFFER_push(found->objects, buffer) == 0) {
        CRYPTO_BUFFER_free(buffer);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    return 0;
}

/* 1: one was added; 0: no more; -1: *err. */
static int read_block(BIO *bio, const struct wanted *wanted, struct found *found, struct err *err)
{
    size_t number = found->num + 1;
    char *name = NULL, *header = NULL;
    uint8_t *der = NULL;
    long len = 0;
    if (!PEM_read_bio(bio, &name, &header, &der, &len))
        return is_at_end()
                   ? 0
                   : err_set(err, ERR_INVALID, "%s %zu is not valid PEM", wanted->noun, number);
    int result = -1;
    if (strcmp(name, wanted->block) != 0 && strcmp(name, wanted->old_block) != 0)
        err_set(err, ERR_INVALID, "block %zu is not a %s%s", number, wanted->noun,
                strstr(name, "PRIVATE KEY") != NULL ? " but a private key" : "");
    else if (push(found, wanted, der, (size_t)len, err) == 0)
        result = 1;
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    return result;
}

static int read_pem(const struct cert_bytes *pem, const struct wanted *wanted, struct found *found,
                    struct err *err)
{
    BIO *bio = bio_open(pem, err);
    if (bio == NULL)
        return -1;
    int more = 1;
    while (more > 0)
        more = read_block(bio, wanted, found, err);
    BIO_free(bio);
    ERR_clear_error();
    return more;
}

static int read_der(const struct cert_bytes *der, const struct wanted *wanted, struct found *found,
                    struct err *err)
{
    CBS rest, object;
    CBS_init(&rest, der->bytes, der->len);
    while (CBS_len(&rest) > 0) {
        if (!CBS_get_asn1_element(&rest, &object, CBS_ASN1_SEQUENCE))
            return err_set(err, ERR_INVALID, "%s %zu is not valid DER", wanted->noun,
                           found->num + 1);
        if (push(found, wanted, CBS_data(&object), CBS_len(&object), err) < 0)
            return -1;
    }
    return 0;
}

static STACK_OF(CRYPTO_BUFFER) *read_objects(const struct cert_bytes *from,
                                             const struct wanted *wanted, struct err *err)
{
    struct found found = {.objects = sk_CRYPTO_BUFFER_new_null()};
    if (found.objects == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    int result = from->encoding == CERT_DER ? read_der(from, wanted, &found, err)
                                            : read_pem(from, wanted, &found, err);
    if (result == 0 && found.num > wanted->max)
        result = err_set(err, ERR_LIMIT, "%zu %ss, and at most %zu are allowed", found.num,
                         wanted->noun, wanted->max);
    if (result == 0)
        return found.objects;
    sk_CRYPTO_BUFFER_pop_free(found.objects, CRYPTO_BUFFER_free);
    return NULL;
}

STACK_OF(CRYPTO_BUFFER) *x509_read_certs(const struct cert_bytes *certs, size_t max,
                                         struct err *err)
{
    const struct wanted wanted = {"certificate", PEM_STRING_X509, PEM_STRING_X509_OLD, max,
                                  CERT_DER_MAX};
    STACK_OF(CRYPTO_BUFFER) *ders = read_objects(certs, &wanted, err);
    if (ders == NULL || sk_CRYPTO_BUFFER_num(ders) > 0)
        return ders;
    sk_CRYPTO_BUFFER_pop_free(ders, CRYPTO_BUFFER_free);
    err_set(err, ERR_INVALID, "no certificate in it");
    return NULL;
}

static bool is_blank(const struct cert_bytes *text)
{
    const char *bytes = text->bytes;
    for (size_t i = 0; i < text->len; i++)
        if (strchr(" \t\r\n", bytes[i]) == NULL || bytes[i] == '\0')
            return false;
    return true;
}

STACK_OF(CRYPTO_BUFFER) *x509_read_crls(const struct cert_bytes *crls, size_t max, size_t max_len,
                                        struct err *err)
{
    const struct wanted wanted = {"revocation list", PEM_STRING_X509_CRL, PEM_STRING_X509_CRL, max,
                                  max_len};
    STACK_OF(CRYPTO_BUFFER) *ders = read_objects(crls, &wanted, err);
    /* Empty means that there is none; a page of text in its place means nothing. */
    if (ders == NULL || sk_CRYPTO_BUFFER_num(ders) > 0 || is_blank(crls))
        return ders;
    sk_CRYPTO_BUFFER_pop_free(ders, CRYPTO_BUFFER_free);
    err_set(err, ERR_INVALID, "no revocation list in it");
    return NULL;
}

/* There is nobody to ask for a password. */
static int no_password(char *out, int size, int is_write, void *unused)
{
    return -1;
}

static EVP_PKEY *read_key_pem(const struct cert_bytes *pem, struct err *err)
{
    BIO *bio = bio_open(pem, err);
    if (bio == NULL)
        return NULL;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    if (key == NULL)
        err_set(err, ERR_INVALID,
                is_at_end() ? "no private key in it"
                            : "the private key cannot be read; is it encrypted or cut?");
    BIO_free(bio);
    return key;
}

static EVP_PKEY *read_key_der(const struct cert_bytes *der, struct err *err)
{
    CBS rest;
    CBS_init(&rest, der->bytes, der->len);
    EVP_PKEY *key = EVP_parse_private_key(&rest);
    if (key != NULL && CBS_len(&rest) == 0)
        return key;
    EVP_PKEY_free(key);
    err_set(err, ERR_INVALID, "the private key is not valid PKCS#8");
    return NULL;
}

EVP_PKEY *x509_read_key(const struct cert_bytes *key, struct err *err)
{
    EVP_PKEY *result = key->encoding == CERT_DER ? read_key_der(key, err) : read_key_pem(key, err);
    ERR_clear_error();
    return result;
}
