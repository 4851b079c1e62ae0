/*
 * The private key of an SVID. This folder is on the include path of tls and certrotate only (the
 * CMake target remora_identity_key), so that the build shows who can see a key.
 */
#ifndef REMORA_SVID_KEY_H
#define REMORA_SVID_KEY_H

#ifndef REMORA_SEES_PRIVATE_KEYS
#error "only identity, tls and certrotate see private keys (CMake target remora_identity_key)"
#endif

#include <openssl/base.h>

#include "svid.h"

/*
 * Reads a private key from PEM: PKCS#8, SEC1 or PKCS#1, not encrypted. The caller frees it. NULL:
 * *err (ERR_INVALID or ERR_NOMEM), which holds nothing of the key.
 */
EVP_PKEY *svid_key_read_pem(const char *pem, size_t pem_len, struct err *err);

/* The key, lent until the last unref of the SVID. Not const because BoringSSL's users of keys are
 * not; nobody changes it. */
EVP_PKEY *svid_key_get(const struct svid *svid);

/* As svid_new, with a key that exists already; takes a reference to `key` on success. */
struct svid *svid_key_new_svid(EVP_PKEY *key, const struct cert_bytes *chain, struct err *err);

#endif
