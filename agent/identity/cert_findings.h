/*
 * What peers would refuse about one certificate, whoever has issued it: each rule asked by itself,
 * so that a person sees all that is wrong at once. For tools; what decides is peer_cert_verify, with
 * the same rules by the same code.
 */
#ifndef REMORA_CERT_FINDINGS_H
#define REMORA_CERT_FINDINGS_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "peer_cert.h"
#include "pki.h"
#include "reason.h"

enum { CERT_FINDINGS_MAX = 8 };

struct cert_finding {
    enum reason reason;
    struct err why;
};

/*
 * Looks at `leaf` as a peer in the mesh does, or, with `pki` (PKI_CLIENT; its roots are not looked
 * at), as an application's own door. Writes the findings in the order of peer_cert.h and returns how
 * many there are; 0: nothing is wrong but, maybe, with its issuer. A certificate that cannot be read
 * is one finding. now_ms: wall clock.
 */
size_t cert_findings_list(const struct peer_cert_der *leaf, const struct pki *pki, int64_t now_ms,
                          struct cert_finding out[CERT_FINDINGS_MAX]);

#endif
