/*
 * BoringSSL's way to the bytes: reads from a span that the caller lends, writes to a buffer.
 * Private to tls.
 */
#ifndef REMORA_TLS_BIO_H
#define REMORA_TLS_BIO_H

#include <openssl/base.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* Where a BIO reads and writes; its owner keeps it while the BIO lives. */
struct tls_bio {
    const uint8_t *in; /* lent for the time of one call into BoringSSL */
    size_t in_len;
    struct buf *out;
    bool out_of_memory; /* a write failed for it */
};

/* NULL when out of memory. An empty input is "try again", not the end. */
BIO *tls_bio_new(struct tls_bio *span);

#endif
