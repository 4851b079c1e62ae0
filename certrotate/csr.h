/*
 * A certificate signing request (RFC 2986) with the key that it was made for. Each request has a
 * key of its own.
 */
#ifndef REMORA_CSR_H
#define REMORA_CSR_H

#include <stddef.h>

#include "err.h"
#include "svid.h"

struct csr;

/*
 * Makes an ECDSA P-256 key and a request for it: SHA-256, empty subject, one extension, a critical
 * subject alternative name with the URI `identity_uri`, which must be a SPIFFE ID. What Istio's CA
 * and its other clients exchange. NULL: *err is ERR_INVALID or ERR_NOMEM.
 */
struct csr *csr_new(const char *identity_uri, struct err *err);

/* Drops the key, which is zeroed unless an SVID holds it too. NULL is ignored. */
void csr_free(struct csr *csr);

/* The request as PEM, NUL-terminated, lent until csr_free. */
const char *csr_pem(const struct csr *csr);

/* The SVID of our key and the chain (leaf first) that the CA issued. Not checked: svid_check.
 * NULL: see svid_new. */
struct svid *csr_combine(const struct csr *csr, const struct cert_bytes *chain, struct err *err);

#endif
