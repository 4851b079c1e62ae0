/*
 * PEM to DER. Private to identity.
 */
#ifndef REMORA_X509_PEM_H
#define REMORA_X509_PEM_H

#include <openssl/base.h>
#include <openssl/pool.h>
#include <stddef.h>

#include "err.h"

/*
 * Reads the concatenated CERTIFICATE blocks of `pem`, in order; text between blocks is skipped. Any
 * other block, a block that cannot be read, none at all, and more than `max` are errors that say
 * which certificate. What they contain is not looked at. The caller frees the result with
 * sk_CRYPTO_BUFFER_pop_free. NULL: *err.
 */
STACK_OF(CRYPTO_BUFFER) *x509_pem_read_certs(const char *pem, size_t pem_len, size_t max,
                                             struct err *err);

/*
 * Reads the first private key (PKCS#8, SEC1 or PKCS#1, not encrypted). The caller frees it. NULL:
 * *err, which holds nothing of the key.
 */
EVP_PKEY *x509_pem_read_key(const char *pem, size_t pem_len, struct err *err);

#endif
