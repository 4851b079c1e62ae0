/*
 * The identity held, kept for the next start of this process: certificate chain, key, bundles of all
 * trust domains and revocation lists as one private file. With it an agent that is restarted while
 * its source is not there goes on where it was. What is read back is judged like a fresh answer
 * (rotation_offer); that nobody else has written it is what private_file.h is for.
 */
#ifndef REMORA_CERT_CACHE_H
#define REMORA_CERT_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "cert_source.h"
#include "err.h"
#include "identity.h"
#include "private_file.h"
#include "trust_extras.h"

enum { CERT_CACHE_MAX = 64 * 1024 * 1024 }; /* bytes; nearly all of it for revocation lists */

/*
 * Replaces the file in `dir`: the identity's SVID and the roots of its trust domain, and `brought`
 * (rotation_brought), so that what comes from elsewhere is not kept past its time. -1 with *err:
 * ERR_SYSTEM, ERR_LIMIT or ERR_NOMEM; the former one is as it was.
 */
int cert_cache_write(struct private_dir *dir, const struct identity *identity,
                     const struct trust_extras *brought, struct err *err);

/* What a file holds. Its memory is cleared when it is freed. */
struct cert_cached;

/* NULL: *err is ERR_NOT_FOUND (there is none), ERR_INVALID (not ours, or damaged), or as
 * private_file_read. */
struct cert_cached *cert_cache_read(struct private_dir *dir, struct err *err);

/* The same from bytes, which are copied. */
struct cert_cached *cert_cache_parse(const uint8_t *bytes, size_t len, struct err *err);

/* Lent until cert_cached_free. */
const struct cert_fetched *cert_cached_fetched(const struct cert_cached *cached);

void cert_cached_free(struct cert_cached *cached); /* NULL is ignored */

#endif
