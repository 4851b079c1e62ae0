/*
 * Who a peer is: verification of the certificate chain that it presented, by the X.509-SVID rules or
 * by those of another PKI. Takes bytes and the time as values; no TLS here. Nothing of a certificate is believed, and
 * nothing is returned, before all of it is checked.
 */
#ifndef REMORA_PEER_CERT_H
#define REMORA_PEER_CERT_H

#include <stddef.h>
#include <stdint.h>

#include "cert_rules.h"
#include "err.h"
#include "pki.h"
#include "principal.h"
#include "reason.h"
#include "refcount.h"
#include "spiffe_id.h"
#include "trust.h"

/*
 * A verified peer. Immutable, shared by reference count: sessions keep it for their access-log
 * line.
 */
struct peer_cert {
    struct refcount refs;          /* private */
    struct peer_cert_chain *chain; /* private: what it presented, to be verified again */
    enum principal_kind kind;
    const char *principal;   /* principal.h; never NULL, never "" */
    const char *common_name; /* the subject's; NULL: none that can be shown, or an X.509-SVID */
    struct spiffe_id id; /* as the certificate says it, alias or not; empty unless PRINCIPAL_URI */
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
    const struct trust *trust;
    struct cert_rules rules; /* of SPIFFE */
    /*
     * NULL: the X.509-SVID rules. Else those of this PKI; of `trust` only the revocation lists count
     * then, and that nobody speaks for a trust domain of which we have a bundle but that bundle.
     */
    const struct pki *pki;
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
 *                      path lengths (the root's, too), name constraints
 *   CERT_WEAK          anywhere below the root: a key other than RSA of 2048 to 8192 bits, P-256,
 *                      P-384, P-521 and Ed25519; a signature other than ECDSA or RSA PKCS #1 with
 *                      SHA-256, SHA-384 or SHA-512, and Ed25519
 *   CERT_KEY_USAGE     keyUsage missing, not critical, without digitalSignature, or with
 *                      keyCertSign or cRLSign; or an extended key usage without serverAuth or
 *                      without clientAuth (X.509-SVID 4.4 wants both), or one of a CA below the
 *                      root that permits neither both nor any
 *   CERT_NOT_YET_VALID a certificate of the path, leaf first, starts after now_ms
 *   CERT_EXPIRED       a certificate of the path, leaf first, ended before now_ms
 *   CERT_REVOKED       a certificate of the path, leaf first, is on a revocation list of its issuer
 *   CRL_EXPIRED        trust->crl_strict is set, and none of its issuer's lists is of now
 *
 * By a PKI's rules the order is:
 *
 *   CERT_MALFORMED     as above
 *   CERT_IS_CA         as above
 *   CERT_UNTRUSTED     as above, with the PKI's roots
 *   CERT_TOO_DEEP      more intermediates than pki->max_intermediates
 *   CERT_WEAK          as above
 *   CERT_KEY_USAGE     the leaf has a keyUsage without digitalSignature, or with keyCertSign or
 *                      cRLSign; a certificate below the root has an extended key usage without
 *                      clientAuth (of a client) or serverAuth (of a server)
 *   CERT_NOT_YET_VALID, CERT_EXPIRED, CERT_REVOKED, CRL_EXPIRED  as above
 *   of a client: CERT_NO_PRINCIPAL   no name of the kinds in pki->principals
 *                CERT_BAD_PRINCIPAL  the name that counts is there twice, or cannot be used
 *                CERT_TWO_URI_SANS, CERT_NO_SPIFFE_ID, CERT_BAD_SPIFFE_ID  the same, of the URI SAN
 *                CERT_WRONG_TRUST_DOMAIN  the SPIFFE ID is of a trust domain that we know, and the
 *                      chain does not lead to that one's bundle too
 *   of a server: IDENTITY_MISMATCH   no SAN matches pki->server_name
 */
struct peer_cert *peer_cert_verify(const struct peer_cert_check *check, enum reason *reason,
                                   struct err *err);

/*
 * Verifies the same chain again, by what is trusted now: REASON_DONE, or the first of the reasons
 * above that applies, with *err. For connections that outlast a change of trust. The time is judged
 * more mildly: whose certificates have ended less than grace_ms ago may stay, a clock that was set
 * back makes nobody untrusted, and neither does a revocation list that has expired.
 */
enum reason peer_cert_recheck(const struct peer_cert *peer, const struct trust *trust,
                              const struct cert_rules *rules, int64_t now_ms, int64_t grace_ms,
                              struct err *err);

/* The same by the rules of this PKI, as in peer_cert_check. A principal that is another one now is
 * IDENTITY_MISMATCH. */
enum reason peer_cert_recheck_pki(const struct peer_cert *peer, const struct trust *trust,
                                  const struct pki *pki, int64_t now_ms, int64_t grace_ms,
                                  struct err *err);

/* The part of it that needs no signatures: CERT_EXPIRED, or REASON_DONE. By the path that was found
 * first: after CERT_EXPIRED the other two may find another, to a root that was renewed. */
enum reason peer_cert_recheck_time(const struct peer_cert *peer, int64_t now_ms, int64_t grace_ms,
                                   struct err *err);

/*
 * The same peer by a path that is valid now, for who has found that the former path has ended: a
 * reference to one with the times of that path; NULL when there is none, or no memory. `by` gives
 * the rules and the moment; its chain is not looked at, and a revocation list that has expired
 * makes nobody untrusted.
 */
struct peer_cert *peer_cert_verify_again(const struct peer_cert *peer,
                                         const struct peer_cert_check *by);

/* The peer's name for logs: a SPIFFE ID with its scheme, else the principal. Lent. */
const char *peer_cert_name(const struct peer_cert *peer);

struct peer_cert *peer_cert_ref(struct peer_cert *peer); /* returns `peer` */
void peer_cert_unref(struct peer_cert *peer);            /* NULL is ignored */

#endif
