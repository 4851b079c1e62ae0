/*
 * The rules that X.509-SVID (sections 2 to 4) sets for a leaf. Private to identity.
 */
#ifndef REMORA_X509_LEAF_H
#define REMORA_X509_LEAF_H

#include <openssl/base.h>

#include "cert_rules.h"
#include "err.h"
#include "reason.h"
#include "spiffe_id.h"

/*
 * Reads the SPIFFE ID: exactly one URI SAN, a valid ID with a path. 0 and *id, which the caller
 * gives to spiffe_id_done; or -1 with *reason, one of CERT_MALFORMED, CERT_TWO_URI_SANS,
 * CERT_NO_SPIFFE_ID, CERT_BAD_SPIFFE_ID, NO_MEMORY, and *err.
 */
int x509_leaf_read_id(X509 *leaf, struct spiffe_id *id, enum reason *reason, struct err *err);

/* keyUsage and extended key usage. 0, or -1 with *err: the reason is then CERT_KEY_USAGE. */
int x509_leaf_check_usage(X509 *leaf, const struct cert_rules *rules, struct err *err);

#endif
