/*
 * Who a peer is: verification of the certificate chain that it presented, by the X.509-SVID rules.
 * Takes bytes and the time as values; no TLS here. Nothing of a certificate is believed, and
 * nothing is returned, before all of it is checked.
 */
#ifndef REMORA_PEER_CERT_H
#define REMORA_PEER_CERT_H

#include <stddef.h>
#include <stdint.h>

#include "cert_rules.h"
#include "err.h"
#include "reason.h"
#include "refcount.h"
#include "spiffe_id.h"
#include "trust_bundle.h"

/*
 * A verified peer. Immutable, shared by reference count: sessions keep it for their access-log
 * line.
 */
struct peer_cert {
    struct refcount refs; /* private */
    struct spiffe_id id;
    /* Of the whole path, wall clock: the latest start and the earliest end. */
    int64_t not_before_ms;
    int64_t not_after_ms;
    char serial[CERT_SERIAL_TEXT_MAX];       /* of the leaf, hex, lower case */
    char fingerprint[CERT_FINGERPRINT_TEXT]; /* hex of the first 8 bytes of the leaf's SHA-256 */
};

/* One certificate as it came. */
struct peer_cert_der {
    const uint8_t *bytes;
    size_t len;
};

struct peer_cert_check {
    const struct peer_cert_der *chain; /* leaf first */
    size_t num_certs;
    struct trust_bundle *const *bundles; /* one for each trust domain that we trust */
    size_t num_bundles;
    struct cert_rules rules;
    int64_t now_ms; /* wall clock */
};

/*
 * Verifies. The rules are the same for clients and servers. Returns a reference, or NULL with
 * *reason and *err (ERR_TLS with the specifics: which certificate, which rule, by how much; or
 * ERR_NOMEM). When several things are wrong, the first of this order is the reason, always:
 *
 *   CERT_MALFORMED     no certificate, too many or too long, not DER, an extension that cannot be
 *                      read or stands twice
 *   CERT_TWO_URI_SANS  more than one URI among the subject alternative names
 *   CERT_NO_SPIFFE_ID  none (the common name is never looked at), or one that is not spiffe:
 *   CERT_BAD_SPIFFE_ID breaks the rules of a SPIFFE ID, or has no path
 *   CERT_IS_CA         basicConstraints says CA
 *   CERT_WRONG_TRUST_DOMAIN  we have no bundle for the trust domain
 *   CERT_UNTRUSTED     RFC 5280 path validation, time aside, finds no way to a root of that trust
 *                      domain's bundle and of no other: signatures, issuers' CA mark and key usage,
 *                      path lengths, name constraints
 *   CERT_WEAK          anywhere below the root: a key other than RSA of 2048 to 8192 bits, P-256,
 *                      P-384, P-521 and Ed25519; a signature other than ECDSA or RSA PKCS #1 with
 *                      SHA-256, SHA-384 or SHA-512, and Ed25519
 *   CERT_KEY_USAGE     keyUsage missing, not critical, without digitalSignature, or with
 *                      keyCertSign or cRLSign; or an extended key usage without serverAuth or
 *                      without clientAuth (X.509-SVID 4.4 wants both)
 *   CERT_NOT_YET_VALID a certificate of the path, leaf first, starts after now_ms
 *   CERT_EXPIRED       a certificate of the path, leaf first, ended before now_ms
 */
struct peer_cert *peer_cert_verify(const struct peer_cert_check *check, enum reason *reason,
                                   struct err *err);

struct peer_cert *peer_cert_ref(struct peer_cert *peer); /* returns `peer` */
void peer_cert_unref(struct peer_cert *peer);            /* NULL is ignored */

#endif
