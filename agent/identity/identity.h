/*
 * Who this pod is and whom it trusts, at one moment: an SVID, the trust bundles, and a number that
 * grows with each rotation. What the control thread publishes to the data plane. Immutable, shared
 * between threads by reference count.
 */
#ifndef REMORA_IDENTITY_H
#define REMORA_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "svid.h"
#include "trust_bundle.h"

struct identity;

/*
 * Takes references of its own. `bundles` holds at least one, no two of one trust domain, and one of
 * the SVID's (asserted). NULL: *err is ERR_NOMEM.
 */
struct identity *identity_new(struct svid *svid, struct trust_bundle *const *bundles,
                              size_t num_bundles, uint64_t epoch, struct err *err);

struct identity *identity_ref(struct identity *identity); /* returns `identity` */
void identity_unref(struct identity *identity);           /* NULL is ignored */

/* Lent until the last unref. */
struct svid *identity_svid(const struct identity *identity);
const struct spiffe_id *identity_id(const struct identity *identity); /* of the SVID */
struct trust_bundle *const *identity_bundles(const struct identity *identity, size_t *num_bundles);

/* 1 for the first identity of a process, one more for each that replaces it. */
uint64_t identity_epoch(const struct identity *identity);

#endif
