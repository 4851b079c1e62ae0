/*
 * Who this pod is and whom it trusts, at one moment: an SVID, whom it trusts, and a number that
 * grows with each rotation. What the control thread publishes to the data plane. Immutable, shared
 * between threads by reference count.
 */
#ifndef REMORA_IDENTITY_H
#define REMORA_IDENTITY_H

#include <stdint.h>

#include "err.h"
#include "svid.h"
#include "trust.h"

struct identity;

/*
 * Copies *trust and takes references of its own to what it names. Its first bundle must be of the
 * SVID's trust domain, and no two of one trust domain (asserted). NULL: *err is ERR_NOMEM.
 */
struct identity *identity_new(struct svid *svid, const struct trust *trust, uint64_t epoch,
                              struct err *err);

struct identity *identity_ref(struct identity *identity); /* returns `identity` */
void identity_unref(struct identity *identity);           /* NULL is ignored */

/* Lent until the last unref. */
struct svid *identity_svid(const struct identity *identity);
const struct spiffe_id *identity_id(const struct identity *identity); /* of the SVID */
const struct trust *identity_trust(const struct identity *identity);

/* 1 for the first identity of a process, one more for each that replaces it. */
uint64_t identity_epoch(const struct identity *identity);

#endif
