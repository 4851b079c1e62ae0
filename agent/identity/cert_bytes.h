/*
 * Certificates, keys and revocation lists as they come from outside: text or binary.
 */
#ifndef REMORA_CERT_BYTES_H
#define REMORA_CERT_BYTES_H

#include <stddef.h>

enum cert_encoding {
    CERT_PEM, /* text blocks, one after the other; text between them is skipped; no NUL needed */
    CERT_DER, /* each object's DER directly after the one before (as in the Workload API) */
};

/* Lent. Zeroed: there is none. */
struct cert_bytes {
    const void *bytes; /* NULL: none */
    size_t len;
    enum cert_encoding encoding;
};

#endif
