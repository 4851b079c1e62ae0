/*
 * What the agent knows of the mesh, on the control thread: runs the configured source, says in the
 * log and to readiness how it goes, and hands each new snapshot on.
 */
#ifndef REMORA_DISCOVERY_H
#define REMORA_DISCOVERY_H

#include "agent_config.h"
#include "err.h"
#include "mesh_snapshot.h"
#include "net_loop.h"
#include "readiness.h"
#include "telemetry_hub.h"
#include "tls_io.h"

struct discovery;

struct discovery_options {
    const struct agent_config *config; /* borrowed; a local file, or else the control plane */
    struct tls_io *io;                 /* borrowed; for the control plane */
    struct readiness *readiness;       /* borrowed; a condition is added */
    void (*on_snapshot)(void *owner, struct mesh_snapshot *snapshot); /* lent */
    void *owner;
};

/* Loads as soon as the loop runs, and again whenever the source changes; `loop` is that of options->io.
 * NULL: *err. */
struct discovery *discovery_new(struct net_loop *loop, const struct discovery_options *options,
                                struct err *err);

/* Somebody waits to know of `name`, as the control plane calls it. A file has nothing more to say. */
void discovery_ask(struct discovery *discovery, const char *name);

/* Loads again now, or connects to the control plane now where it is waiting to. */
void discovery_reload(struct discovery *discovery);

/* Fills discovery's part of *control, which is lent until the next call. */
void discovery_collect(struct discovery *discovery, struct telemetry_control *control);

/* NULL is ignored. */
void discovery_free(struct discovery *discovery);

#endif
