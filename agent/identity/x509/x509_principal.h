/*
 * The name of a client in a certificate that is not read by SPIFFE's rules. Private to identity.
 */
#ifndef REMORA_X509_PRINCIPAL_H
#define REMORA_X509_PRINCIPAL_H

#include <openssl/base.h>
#include <openssl/x509.h>

#include "err.h"
#include "pki.h"
#include "principal.h"
#include "reason.h"
#include "spiffe_id.h"

struct x509_principal {
    enum principal_kind kind;
    struct spiffe_id id;          /* PRINCIPAL_URI; the caller's to give to spiffe_id_done */
    char text[PRINCIPAL_MAX + 1]; /* the other kinds */
};

/*
 * By the kinds and in the order of `pki`. 0; or -1 with *reason, one of CERT_MALFORMED,
 * CERT_NO_PRINCIPAL, CERT_BAD_PRINCIPAL, CERT_TWO_URI_SANS, CERT_NO_SPIFFE_ID, CERT_BAD_SPIFFE_ID,
 * NO_MEMORY, and *err.
 */
int x509_principal_read(X509 *leaf, const struct pki *pki, struct x509_principal *principal,
                        enum reason *reason, struct err *err);

/*
 * The subject's common name if it has exactly one that is fit to be shown; "" otherwise. `out` has
 * room for PRINCIPAL_MAX + 1 bytes.
 */
void x509_principal_common_name(const X509 *leaf, char *out);

#endif
