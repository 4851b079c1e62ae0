/*
 * The agent's identity on the control thread: runs the rotation with the configured source, says in
 * the log and to readiness how it goes, and hands each new TLS context on.
 */
#ifndef REMORA_CERTIFICATES_H
#define REMORA_CERTIFICATES_H

#include "agent_config.h"
#include "err.h"
#include "net_loop.h"
#include "readiness.h"
#include "rotation.h"
#include "telemetry_hub.h"
#include "tls_context.h"
#include "tls_io.h"

struct certificates;

struct certificates_options {
    const struct agent_config *config; /* borrowed */
    struct readiness *readiness;       /* borrowed; a condition is added */
    /* A context for new tunnels, lent; NULL: the last certificate has expired and none is valid. */
    void (*on_context)(void *owner, struct tls_context *context);
    void *owner;
};

/* Whether the names in *config make a SPIFFE ID. 0, or -1 with *err (ERR_INVALID). */
int certificates_check_names(const struct agent_config *config, struct err *err);

/* Starts nothing yet. `io`, of `loop`, is for the CA and is borrowed. NULL: *err. */
struct certificates *certificates_new(struct net_loop *loop, struct tls_io *io,
                                      const struct certificates_options *options, struct err *err);

void certificates_start(struct certificates *certificates);

/* Fetches now, whatever the plan says. */
void certificates_reload(struct certificates *certificates);

/* The SPIFFE ID by the pod's names, lent: what the agent asks for and insists on, but with the
 * Workload API, where it is only asked for first. */
const char *certificates_identity(const struct certificates *certificates);

/* Fills the certificate's part of *control, whose list is lent until the next call. */
void certificates_collect(struct certificates *certificates, struct telemetry_control *control);

/* NULL is ignored. */
void certificates_free(struct certificates *certificates);

#endif
