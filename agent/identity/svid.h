/*
 * An X.509-SVID of our own: a private key and its certificate chain. Immutable, shared between
 * threads by reference count. The key is zeroed when the last reference goes. How to get at the key
 * is in key/svid_key.h, which only tls and certrotate see.
 */
#ifndef REMORA_SVID_H
#define REMORA_SVID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cert_bytes.h"
#include "cert_rules.h"
#include "err.h"
#include "spiffe_id.h"
#include "trust.h"

struct svid;

/*
 * From a key (PEM: PKCS#8, SEC1 or PKCS#1; DER: PKCS#8; not encrypted) and a chain, leaf first.
 * Reads, and demands that the leaf has exactly one URI SAN that is a SPIFFE ID; whether all of it is usable
 * says svid_check. NULL: *err is ERR_INVALID (naming key or chain, and which certificate),
 * ERR_LIMIT or ERR_NOMEM. Key bytes appear in no message.
 */
struct svid *svid_new(const struct cert_bytes *key, const struct cert_bytes *chain,
                      struct err *err);

/* The same from PEM texts. */
struct svid *svid_new_pem(const char *key_pem, size_t key_pem_len, const char *chain_pem,
                          size_t chain_pem_len, struct err *err);

struct svid *svid_ref(struct svid *svid); /* returns `svid` */
void svid_unref(struct svid *svid);       /* NULL is ignored */

/*
 * Whether this SVID may be used now: the key belongs to the leaf, the leaf keeps the X.509-SVID
 * rules for client and server, the chain leads to a root of `bundle`, every certificate on the way
 * is within its time at now_ms (wall clock), no issuer on the way ends before the leaf, and the SPIFFE ID is `expected_uri` (NULL: any ID of
 * the bundle's trust domain). `rules` NULL: the strict ones. 0, or -1 with *err (ERR_INVALID).
 */
int svid_check(const struct svid *svid, struct trust_bundle *bundle, const char *expected_uri,
               const struct cert_rules *rules, int64_t now_ms, struct err *err);

/*
 * Whether this SVID, which has passed svid_check, stands on a revocation list of `trust` itself, or
 * an issuer of it does: *err then says which.
 */
bool svid_is_revoked(const struct svid *svid, const struct trust *trust,
                     const struct cert_rules *rules, int64_t now_ms, struct err *err);

/* Lent until the last unref. */
const struct spiffe_id *svid_id(const struct svid *svid);
const char *svid_serial(const struct svid *svid); /* hex, lower case */

/* Hex of the first 8 bytes of the leaf's SHA-256. */
const char *svid_fingerprint(const struct svid *svid);

/* The time in which all certificates of the chain are valid, wall clock: the latest start and the
 * earliest end. */
int64_t svid_not_before_ms(const struct svid *svid);
int64_t svid_not_after_ms(const struct svid *svid);

/* Certificates in the chain, the leaf included, and the DER of each, lent until the last unref. */
size_t svid_num_certs(const struct svid *svid);
const uint8_t *svid_der(const struct svid *svid, size_t index, size_t *len);

#endif
