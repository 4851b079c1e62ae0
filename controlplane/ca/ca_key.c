#include "ca_key.h"

#include <stdio.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "cert_rules.h"

#define ACCEPTED_KEYS                                                                              \
    "ECDSA P-256, P-384 and P-521, Ed25519, and RSA of at least 2048 bits are accepted"

EVP_PKEY *ca_key_new(struct err *err)
{
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    EVP_PKEY *key = EVP_PKEY_new();
    if (ec == NULL || key == NULL || !EC_KEY_generate_key(ec) || !EVP_PKEY_set1_EC_KEY(key, ec)) {
        EVP_PKEY_free(key);
        key = NULL;
        ERR_clear_error();
        err_set(err, ERR_NOMEM, "out of memory for a key");
    }
    EC_KEY_free(ec);
    return key;
}

/* Without this BoringSSL would ask the terminal for the password of an encrypted key. */
static int refuse_password(char *buf, int size, int for_writing, void *owner)
{
    return -1;
}

EVP_PKEY *ca_key_from_pem(const char *pem, size_t pem_len, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)pem_len);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, refuse_password, NULL);
    BIO_free(bio);
    if (key == NULL) {
        ERR_clear_error();
        if (memmem(pem, pem_len, "ENCRYPTED", strlen("ENCRYPTED")) != NULL)
            err_set(err, ERR_INVALID,
                    "the private key is encrypted; \"openssl pkey -in FILE -out OTHER\" takes the "
                    "password off, the file's mode (0600) protects it then");
        else
            err_set(err, ERR_INVALID, "no unencrypted private key in PEM");
    }
    return key;
}

char *ca_key_to_pem(EVP_PKEY *key, struct err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    const uint8_t *bytes = NULL;
    size_t len = 0;
    char *pem = NULL;
    if (bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) &&
        BIO_mem_contents(bio, &bytes, &len))
        pem = OPENSSL_malloc(len + 1);
    if (pem != NULL) {
        memcpy(pem, bytes, len);
        pem[len] = '\0';
    } else {
        ERR_clear_error();
        err_set(err, ERR_NOMEM, "out of memory for a key");
    }
    /* Freeing clears: BoringSSL's allocator zeroes what it gives back. */
    BIO_free(bio);
    return pem;
}

void ca_key_free_pem(char *pem)
{
    if (pem == NULL)
        return;
    OPENSSL_cleanse(pem, strlen(pem));
    OPENSSL_free(pem);
}

static int check_ec(const EVP_PKEY *key, struct err *err)
{
    const EC_KEY *ec = EVP_PKEY_get0_EC_KEY(key);
    int curve = EC_GROUP_get_curve_name(EC_KEY_get0_group(ec));
    if (curve == NID_X9_62_prime256v1 || curve == NID_secp384r1 || curve == NID_secp521r1)
        return 0;
    const char *name = EC_curve_nid2nist(curve);
    return err_set(err, ERR_INVALID, "its key is ECDSA %s; " ACCEPTED_KEYS,
                   name == NULL ? "on an unknown curve" : name);
}

static int check_rsa(const EVP_PKEY *key, struct err *err)
{
    int bits = EVP_PKEY_bits(key);
    if (bits < CERT_RSA_BITS_MIN)
        return err_set(err, ERR_INVALID, "its key is RSA of %d bits, too weak; " ACCEPTED_KEYS,
                       bits);
    if (bits > CERT_RSA_BITS_MAX)
        return err_set(err, ERR_INVALID, "its key is RSA of %d bits; at most %d are accepted", bits,
                       CERT_RSA_BITS_MAX);
    return 0;
}

int ca_key_check(const EVP_PKEY *key, struct err *err)
{
    switch (EVP_PKEY_id(key)) {
    case EVP_PKEY_EC:
        return check_ec(key, err);
    case EVP_PKEY_RSA:
        return check_rsa(key, err);
    case EVP_PKEY_ED25519:
        return 0;
    default:
        return err_set(err, ERR_INVALID, "its key is of another kind; " ACCEPTED_KEYS);
    }
}

const char *ca_key_describe(const EVP_PKEY *key, char out[CA_KEY_TEXT_MAX])
{
    const EC_KEY *ec = EVP_PKEY_get0_EC_KEY(key);
    const char *curve =
        ec == NULL ? NULL : EC_curve_nid2nist(EC_GROUP_get_curve_name(EC_KEY_get0_group(ec)));
    if (curve != NULL)
        snprintf(out, CA_KEY_TEXT_MAX, "ECDSA %s", curve);
    else if (EVP_PKEY_id(key) == EVP_PKEY_RSA)
        snprintf(out, CA_KEY_TEXT_MAX, "RSA of %d bits", EVP_PKEY_bits(key));
    else
        snprintf(out, CA_KEY_TEXT_MAX, "%s",
                 EVP_PKEY_id(key) == EVP_PKEY_ED25519 ? "Ed25519" : "of another kind");
    ERR_clear_error();
    return out;
}
