/*
 * The control plane as the source of discovery: makes the xDS client out of the configuration, and
 * says in the log and in the metrics how it goes. Knows no readiness and no worker.
 */
#ifndef REMORA_XDS_DISCOVERY_H
#define REMORA_XDS_DISCOVERY_H

#include "agent_config.h"
#include "err.h"
#include "mesh_builder.h"
#include "mesh_snapshot.h"
#include "telemetry_hub.h"
#include "tls_io.h"

struct xds_discovery;

/* On the loop's thread, never from inside a call. Neither may be NULL. */
struct xds_discovery_handler {
    /* The mesh has changed; both lent. */
    void (*on_snapshot)(void *owner, struct mesh_snapshot *snapshot,
                        const struct mesh_warnings *warnings);
    /* How far it is, in words, for whoever waits for the first snapshot. `detail` may be NULL. */
    void (*on_progress)(void *owner, const char *what, const char *detail);
};

/* Begins when the loop of `io` runs. `config` and `io` are borrowed. NULL: *err. */
struct xds_discovery *xds_discovery_new(struct tls_io *io, const struct agent_config *config,
                                        const struct xds_discovery_handler *handler, void *owner,
                                        struct err *err);

/* Somebody waits to know of `name`; asked for once, however often it comes. */
void xds_discovery_ask(struct xds_discovery *discovery, const char *name);

/* Connects now, if it is waiting to. */
void xds_discovery_retry_now(struct xds_discovery *discovery);

/* Lent until the next call. */
const struct telemetry_xds *xds_discovery_collect(struct xds_discovery *discovery);

/* NULL is ignored. */
void xds_discovery_free(struct xds_discovery *discovery);

#endif
