/*
 * A public key infrastructure that knows nothing of SPIFFE: roots, and what certificates under them must be and may say. As one value; a
 * plain view that owns nothing. Certificates are read by RFC 5280: keyUsage and extended key usage may be absent, where present they are
 * obeyed.
 */
#ifndef REMORA_PKI_H
#define REMORA_PKI_H

#include <stddef.h>

#include "principal.h"
#include "trust.h"
#include "trust_bundle.h"

enum pki_peer {
    PKI_CLIENT, /* its principal is what the certificate says, by `principals` */
    PKI_SERVER, /* its certificate must be for `server_name` */
};

struct pki {
    enum pki_peer peer;
    struct trust_bundle *roots; /* of no trust domain (trust_bundle_new with NULL) */
    /* CA certificates between the leaf and the root, as OpenSSL counts verify depth; 0: the root itself has issued it. */
    unsigned max_intermediates;
    /*
     * The kinds of name that are looked at, in this order: the first kind of which the certificate has a name is the one, and if that
     * name cannot be used, the certificate is refused; it is never a later one then. PKI_CLIENT.
     */
    enum principal_kind principals[NUM_PRINCIPAL_KINDS];
    size_t num_principals;
    /* DNS name (lower case) or address that a SAN must match; the common name is not looked at. PKI_SERVER. */
    const char *server_name;
};

#endif
