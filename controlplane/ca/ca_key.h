/*
 * Keys of the CA and of those that ask it. Private to ca.
 */
#ifndef REMORA_CA_KEY_H
#define REMORA_CA_KEY_H

#include <openssl/base.h>
#include <stddef.h>

#include "err.h"

/* A new P-256 key; the caller frees. NULL: *err is ERR_NOMEM. */
EVP_PKEY *ca_key_new(struct err *err);

/*
 * The one private key of `pem` (PKCS#8, SEC1 or PKCS#1, not encrypted); the caller frees. NULL:
 * *err (ERR_INVALID), which holds nothing of the key.
 */
EVP_PKEY *ca_key_from_pem(const char *pem, size_t pem_len, struct err *err);

/* PKCS#8 in PEM with its NUL; the caller gives it to ca_key_free_pem. NULL: *err is ERR_NOMEM. */
char *ca_key_to_pem(EVP_PKEY *key, struct err *err);

/* Clears and frees. NULL is ignored. */
void ca_key_free_pem(char *pem);

/*
 * Whether a key is one that certificates are issued for and with: the ones that peers accept
 * (peer_cert.h): ECDSA P-256, P-384 or P-521, Ed25519, or RSA of CERT_RSA_BITS_MIN to
 * CERT_RSA_BITS_MAX bits. 0, or -1 with *err (ERR_INVALID) that says what the
 * key is and what it may be.
 */
int ca_key_check(const EVP_PKEY *key, struct err *err);

enum { CA_KEY_TEXT_MAX = 32 };

/* "RSA of 4096 bits", "ECDSA P-256", "Ed25519". Returns `out`. */
const char *ca_key_describe(const EVP_PKEY *key, char out[CA_KEY_TEXT_MAX]);

#endif
