/* The agent's source of certificates, as its configuration says. */
#ifndef REMORA_AGENT_CERT_SOURCE_H
#define REMORA_AGENT_CERT_SOURCE_H

#include "agent_config.h"
#include "cert_source.h"
#include "err.h"
#include "tls_io.h"

/*
 * `io` outlives the source. `identity` is our SPIFFE ID by our names, which the Workload API is asked
 * for first. Freed by cert_source_free. NULL: *err.
 */
struct cert_source *agent_cert_source_new(struct tls_io *io, const struct agent_config *config,
                                          const char *identity, struct err *err);

/* Somebody wants it tried anew: what the source has given up for good, it takes up again. */
void agent_cert_source_retry(struct cert_source *source, const struct agent_config *config);

/* What the configuration's own checks cannot see. 0, or -1 with *err (ERR_INVALID). */
int agent_cert_source_check(const struct agent_config *config, struct err *err);

#endif
