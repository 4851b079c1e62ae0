/* A certificate chain in words. */
#ifndef REMORA_INSPECT_TEXT_H
#define REMORA_INSPECT_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "inspect_chain.h"

/*
 * Appends, for each certificate: identity or names, subject, issuer, serial and fingerprint, times
 * (absolute, and relative to now_ms, wall clock), key, signature and usages. One that cannot be read
 * is called so. 0, or -1 when out of memory.
 */
int inspect_text_write(const struct inspect_chain *chain, int64_t now_ms, struct buf *out);

/* Whether it is a certificate at all. */
bool inspect_text_is_cert(const struct peer_cert_der *der);

/* Whether it is a CA's; what cannot be read is not. */
bool inspect_text_is_ca(const struct peer_cert_der *der);

enum { INSPECT_TEXT_DURATION_MAX = 32 };

/* "3 days 4 h", "2 h 5 min", "40 s", of a duration that is not negative. Returns `out`. */
const char *inspect_text_duration(int64_t ms, char out[INSPECT_TEXT_DURATION_MAX]);

#endif
