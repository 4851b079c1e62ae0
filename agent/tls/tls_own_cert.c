#include "tls_own_cert.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "svid_key.h"
#include "tls_pem.h"

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "out of memory");
}

void tls_own_cert_done(struct tls_own_cert *cert)
{
    EVP_PKEY_free(cert->key);
    sk_CRYPTO_BUFFER_pop_free(cert->chain, CRYPTO_BUFFER_free);
    for (size_t i = 0; i < cert->num_names; i++)
        free(cert->names[i]);
    free(cert->names);
    *cert = (struct tls_own_cert){0};
}

static int add_der(struct tls_own_cert *cert, const uint8_t *der, size_t len)
{
    CRYPTO_BUFFER *buffer = CRYPTO_BUFFER_new(der, len, NULL);
    if (buffer != NULL && sk_CRYPTO_BUFFER_push(cert->chain, buffer) != 0)
        return 0;
    CRYPTO_BUFFER_free(buffer);
    return -1;
}

int tls_own_cert_from_svid(struct tls_own_cert *cert, const struct svid *svid, struct err *err)
{
    EVP_PKEY *key = svid_key_get(svid);
    EVP_PKEY_up_ref(key);
    *cert = (struct tls_own_cert){
        .key = key, .chain = sk_CRYPTO_BUFFER_new_null(), .not_after_ms = svid_not_after_ms(svid)};
    int result = cert->chain == NULL ? -1 : 0;
    for (size_t i = 0; i < svid_num_certs(svid) && result == 0; i++) {
        size_t len;
        const uint8_t *der = svid_der(svid, i, &len);
        result = add_der(cert, der, len);
    }
    if (result == 0)
        return 0;
    tls_own_cert_done(cert);
    return out_of_memory(err);
}

/* ---------------------------------------------------------------------------------------- PEM -- */

/* API version 17 has no function that gives the seconds since 1970. */
static int read_end(const X509 *x509, int64_t *end_ms)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days, seconds;
    int ok = epoch != NULL && ASN1_TIME_diff(&days, &seconds, epoch, X509_get0_notAfter(x509));
    ASN1_TIME_free(epoch);
    ERR_clear_error();
    if (!ok)
        return -1;
    *end_ms = ((int64_t)days * 86400 + seconds) * 1000;
    return 0;
}

static int add_x509(struct tls_own_cert *cert, X509 *x509, struct err *err)
{
    int64_t end_ms;
    if (read_end(x509, &end_ms) < 0)
        return err_set(err, ERR_INVALID, "a certificate's validity cannot be read");
    if (end_ms < cert->not_after_ms)
        cert->not_after_ms = end_ms;
    uint8_t *der = NULL;
    int len = i2d_X509(x509, &der);
    int result = len <= 0 ? -1 : add_der(cert, der, (size_t)len);
    OPENSSL_free(der);
    ERR_clear_error();
    return result < 0 ? out_of_memory(err) : 0;
}

static int add_name(struct tls_own_cert *cert, const char *name, size_t len)
{
    char **names = realloc(cert->names, (cert->num_names + 1) * sizeof(*names));
    if (names == NULL)
        return -1;
    cert->names = names;
    char *copy = strndup(name, len);
    if (copy == NULL)
        return -1;
    for (char *at = copy; *at != '\0'; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at + ('a' - 'A'));
    cert->names[cert->num_names++] = copy;
    return 0;
}

static int add_names_of_leaf(struct tls_own_cert *cert, const X509 *leaf)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    ERR_clear_error();
    int result = 0;
    for (size_t i = 0; i < sk_GENERAL_NAME_num(names) && result == 0; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS)
            result = add_name(cert, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
                              (size_t)ASN1_STRING_length(name->d.dNSName));
    }
    GENERAL_NAMES_free(names);
    return result;
}

static int add_names(struct tls_own_cert *cert, const struct tls_context_cert *pem,
                     const X509 *leaf)
{
    if (pem->num_names == 0)
        return add_names_of_leaf(cert, leaf);
    for (size_t i = 0; i < pem->num_names; i++)
        if (add_name(cert, pem->names[i], strlen(pem->names[i])) < 0)
            return -1;
    return 0;
}

static int add_chain(struct tls_own_cert *cert, const struct tls_context_cert *pem, struct err *err)
{
    STACK_OF(X509) *certs = tls_pem_read_certs(pem->chain.bytes, pem->chain.len, err);
    if (certs == NULL)
        return err_prefix(err, "certificate chain");
    int result = 0;
    if (sk_X509_num(certs) > CERT_CHAIN_MAX)
        result = err_set(err, ERR_LIMIT, "certificate chain: more than %d", CERT_CHAIN_MAX);
    for (size_t i = 0; i < sk_X509_num(certs) && result == 0; i++)
        result = add_x509(cert, sk_X509_value(certs, i), err);
    X509 *leaf = sk_X509_value(certs, 0);
    if (result == 0 && X509_check_private_key(leaf, cert->key) != 1)
        result = err_set(err, ERR_INVALID, "the private key does not belong to the certificate");
    if (result == 0 && add_names(cert, pem, leaf) < 0)
        result = out_of_memory(err);
    sk_X509_pop_free(certs, X509_free);
    ERR_clear_error();
    return result;
}

int tls_own_cert_from_pem(struct tls_own_cert *cert, const struct tls_context_cert *pem,
                          struct err *err)
{
    *cert = (struct tls_own_cert){.not_after_ms = INT64_MAX};
    cert->key = svid_key_read_pem(pem->key.bytes, pem->key.len, err);
    if (cert->key == NULL)
        return err_prefix(err, "key");
    cert->chain = sk_CRYPTO_BUFFER_new_null();
    int result = cert->chain == NULL ? out_of_memory(err) : add_chain(cert, pem, err);
    if (result < 0)
        tls_own_cert_done(cert);
    return result;
}

/* ------------------------------------------------------------------------------------- using -- */

int tls_own_cert_use(const struct tls_own_cert *cert, SSL_CTX *ctx)
{
    CRYPTO_BUFFER *chain[CERT_CHAIN_MAX];
    size_t num = sk_CRYPTO_BUFFER_num(cert->chain);
    for (size_t i = 0; i < num; i++)
        chain[i] = sk_CRYPTO_BUFFER_value(cert->chain, i);
    return SSL_CTX_set_chain_and_key(ctx, chain, num, cert->key, NULL) ? 0 : -1;
}

static bool matches(const char *name, const char *server_name, bool by_wildcard)
{
    if (!by_wildcard)
        return strcasecmp(name, server_name) == 0;
    const char *rest = strchr(server_name, '.');
    return name[0] == '*' && rest != NULL && rest != server_name && strcasecmp(name + 1, rest) == 0;
}

bool tls_own_cert_is_for(const struct tls_own_cert *cert, const char *server_name, bool by_wildcard)
{
    for (size_t i = 0; i < cert->num_names; i++)
        if (matches(cert->names[i], server_name, by_wildcard))
            return true;
    return false;
}
