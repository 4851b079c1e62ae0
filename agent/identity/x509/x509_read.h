/*
 * Outside bytes to certificates' DER and to keys. Private to identity.
 */
#ifndef REMORA_X509_READ_H
#define REMORA_X509_READ_H

#include <openssl/base.h>
#include <openssl/pool.h>
#include <stddef.h>

#include "cert_bytes.h"
#include "err.h"

/*
 * Reads certificates in order: PEM's CERTIFICATE blocks (text between them is skipped), or
 * concatenated DER. Any other block or object, one that cannot be read, none at all, and more than
 * `max` are errors that say which certificate. What they contain is not looked at. The caller frees
 * the result with sk_CRYPTO_BUFFER_pop_free. NULL: *err.
 */
STACK_OF(CRYPTO_BUFFER) *x509_read_certs(const struct cert_bytes *certs, size_t max,
                                         struct err *err);

/*
 * Reads certificate revocation lists in the same way (X509 CRL blocks); an empty text has none,
 * any other text without one is an error. Each is at most `max_len` bytes.
 */
STACK_OF(CRYPTO_BUFFER) *x509_read_crls(const struct cert_bytes *crls, size_t max, size_t max_len,
                                        struct err *err);

/*
 * Reads the first private key (PEM: PKCS#8, SEC1 or PKCS#1; DER: PKCS#8, and nothing after it; not
 * encrypted). The caller frees it. NULL: *err, which holds nothing of the key.
 */
EVP_PKEY *x509_read_key(const struct cert_bytes *key, struct err *err);

#endif
