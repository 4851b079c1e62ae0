/*
 * Certificates from Istio's CA, or from remora-controlplane, which speaks the same: a cert_source
 * that answers signing requests by IstioCertificateService.CreateCertificate.
 */
#ifndef REMORA_CA_CLIENT_H
#define REMORA_CA_CLIENT_H

#include <stdint.h>

#include "cert_source.h"
#include "err.h"
#include "tls_io.h"

struct ca_client_options {
    const char *address;     /* "host:port" */
    const char *server_name; /* what the CA's certificate must be for; NULL: the host */
    const char *roots_file;  /* PEM by which the CA is verified; read again for each connection */
    const char *token_file;  /* bearer token; read again for each call */
    const char *cluster_id;  /* sent as `clusterid`; NULL or "": not sent */
    int64_t validity_s;      /* the lifetime to ask for */
    uint64_t timeout_ms;     /* for one call, connecting too; 0: 9 s */
};

/*
 * `io` and its loop outlive the source; `options` is copied. Freed by cert_source_free. NULL: *err
 * is ERR_INVALID (the address) or ERR_NOMEM.
 *
 * Fetches fail with the kinds that cert_source.h lists; the message says which control plane or
 * file, and why.
 */
struct cert_source *ca_client_new(struct tls_io *io, const struct ca_client_options *options,
                                  struct err *err);

#endif
