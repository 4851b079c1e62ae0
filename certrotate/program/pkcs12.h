/*
 * A private key with its certificates as PKCS#12 (RFC 7292), for browsers. BoringSSL's own writer
 * knows, in the versions that are around, only the algorithms of the nineties (40 bits of RC2,
 * 3DES, SHA-1), which today's readers refuse; this one writes what openssl 3 writes: PBES2 with
 * PBKDF2-HMAC-SHA-256 and AES-256-CBC, and a MAC by HMAC-SHA-256.
 */
#ifndef REMORA_PKCS12_H
#define REMORA_PKCS12_H

#include <openssl/base.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "peer_cert.h"

enum {
    PKCS12_PASSWORD_MIN = 8,
    PKCS12_PASSWORD_MAX = 256, /* bytes */
    /*
     * Of PBKDF2 and of the MAC's own derivation, both of which an attacker may try. .NET reads at
     * most 300,000, over all parts a million; three times this many are below both.
     */
    PKCS12_ITERATIONS = 100 * 1000,
};

/*
 * 0, or -1 with *err (ERR_INVALID): too short or too long, or with bytes that are not visible ASCII
 * or a space. Readers do not agree how other characters become a key.
 */
int pkcs12_check_password(const char *password, struct err *err);

struct pkcs12_plan {
    EVP_PKEY *key;
    const struct peer_cert_der *certs; /* the key's first */
    size_t num_certs;                  /* not 0 */
    const char *name;                  /* shown by browsers; UTF-8 */
    const char *password;              /* checked as above */
};

/* Whether bytes, at least one, may be a PKCS#12 file; they are not read to their end. */
bool pkcs12_may_be(const uint8_t *bytes, size_t len);

/* Appends the file. 0, or -1 with *err: ERR_INVALID (the name), ERR_NOMEM. */
int pkcs12_write(const struct pkcs12_plan *plan, struct buf *out, struct err *err);

#endif
