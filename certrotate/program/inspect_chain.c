#include "inspect_chain.h"

#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file_read.h"
#include "pkcs12.h"

enum { BLOCK_NAME_MAX = 40 }; /* bytes of what stands after BEGIN */

int inspect_chain_add(struct inspect_chain *chain, const uint8_t *der, size_t len, struct err *err)
{
    if (chain->num_certs == INSPECT_CHAIN_MAX)
        return err_set(err, ERR_LIMIT,
                       "more than %d certificates; peers take a chain of %d at most, the "
                       "certificate first and its intermediates behind it",
                       INSPECT_CHAIN_MAX, CERT_CHAIN_MAX);
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    if (copy == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    memcpy(copy, der, len);
    chain->certs[chain->num_certs++] = (struct peer_cert_der){.bytes = copy, .len = len};
    return 0;
}

void inspect_chain_done(struct inspect_chain *chain)
{
    if (chain == NULL)
        return;
    for (size_t i = 0; i < chain->num_certs; i++)
        free((void *)(uintptr_t)chain->certs[i].bytes);
    *chain = (struct inspect_chain){0};
}

/* What a file without certificates may be instead. */
static int say_what(const char *name, struct err *err)
{
    if (strcmp(name, PEM_STRING_X509_TRUSTED) == 0)
        return err_set(err, ERR_INVALID,
                       "it is a certificate in a form of openssl's own, which peers cannot read; "
                       "\"openssl x509 -in FILE -out OTHER\" makes a plain one of it");
    if (strstr(name, "REQUEST") != NULL)
        return err_set(err, ERR_INVALID,
                       "it is a certificate signing request, not a certificate; "
                       "remora-controlplane sign makes one of it");
    if (strstr(name, "KEY") != NULL)
        return err_set(err, ERR_INVALID, "it is a key, and there is no certificate in it");
    if (strstr(name, "CRL") != NULL)
        return err_set(err, ERR_INVALID, "it is a revocation list, not a certificate; see --crl");
    if (strstr(name, "PKCS7") != NULL || strstr(name, "CMS") != NULL)
        return err_set(err, ERR_INVALID,
                       "it is PKCS#7; \"openssl pkcs7 -print_certs\" takes the certificates out");
    if (strstr(name, "PKCS12") != NULL)
        return err_set(err, ERR_INVALID,
                       "it is PKCS#12; \"openssl pkcs12 -nokeys\" takes the certificates out");
    return err_set(err, ERR_INVALID, "there is no certificate in it");
}

/* 1: there was a block, 0: no more. -1: *err. `other` gets the name of one that is none. */
static int read_block(struct inspect_chain *chain, BIO *pem, char *other, struct err *err)
{
    char *name = NULL, *header = NULL;
    uint8_t *der = NULL;
    long len;
    if (!PEM_read_bio(pem, &name, &header, &der, &len)) {
        bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
        ERR_clear_error();
        return is_end ? 0 : err_set(err, ERR_INVALID, "a PEM block that cannot be read");
    }
    int result = 1;
    bool is_cert = strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0;
    if (!is_cert)
        snprintf(other, BLOCK_NAME_MAX, "%s", name);
    else if (inspect_chain_add(chain, der, (size_t)len, err) < 0)
        result = -1;
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    return result;
}

static int read_pem(struct inspect_chain *chain, const uint8_t *bytes, size_t len, struct err *err)
{
    BIO *pem = BIO_new_mem_buf(bytes, (int)len);
    if (pem == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int result = 1;
    char other[BLOCK_NAME_MAX] = "";
    while (result == 1)
        result = read_block(chain, pem, other, err);
    BIO_free(pem);
    return result == 0 && chain->num_certs == 0 ? say_what(other, err) : result;
}

/* The two kinds of DER that are most often taken for a certificate. */
static const char *kind_of_der(const uint8_t *bytes, size_t len)
{
    const uint8_t *at = bytes;
    X509_REQ *request = d2i_X509_REQ(NULL, &at, (long)len);
    bool is_request = request != NULL;
    X509_REQ_free(request);
    ERR_clear_error();
    if (is_request)
        return "REQUEST";
    return pkcs12_may_be(bytes, len) ? "PKCS12" : NULL;
}

static int read_der(struct inspect_chain *chain, const uint8_t *bytes, size_t len, struct err *err)
{
    CBS rest, cert;
    CBS_init(&rest, bytes, len);
    while (CBS_len(&rest) > 0) {
        if (!CBS_get_asn1_element(&rest, &cert, CBS_ASN1_SEQUENCE))
            return err_set(err, ERR_INVALID, "neither PEM nor DER");
        const char *kind = kind_of_der(CBS_data(&cert), CBS_len(&cert));
        if (kind != NULL)
            return say_what(kind, err);
        if (inspect_chain_add(chain, CBS_data(&cert), CBS_len(&cert), err) < 0)
            return -1;
    }
    return 0;
}

int inspect_chain_parse(struct inspect_chain *chain, const uint8_t *bytes, size_t len,
                        struct err *err)
{
    enum { DER_FIRST_BYTE = 0x30 }; /* a SEQUENCE; no PEM begins with the digit 0 */
    int result = len > 0 && bytes[0] == DER_FIRST_BYTE ? read_der(chain, bytes, len, err)
                                                       : read_pem(chain, bytes, len, err);
    if (result < 0)
        inspect_chain_done(chain);
    return result;
}

int inspect_chain_read(struct inspect_chain *chain, const char *path, struct err *err)
{
    size_t len;
    uint8_t *bytes = file_read_any(path, INSPECT_CHAIN_FILE_MAX, &len, err);
    if (bytes == NULL)
        return -1;
    int result = inspect_chain_parse(chain, bytes, len, err);
    file_read_free(bytes, len); /* there may be a key in it */
    return result < 0 ? err_prefix(err, "%s", strcmp(path, "-") == 0 ? "standard input" : path) : 0;
}
