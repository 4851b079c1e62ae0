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

struct discovery;

struct discovery_options {
    const struct agent_config *config; /* borrowed */
    struct readiness *readiness;       /* borrowed; a condition is added */
    void (*on_snapshot)(void *owner, struct mesh_snapshot *snapshot); /* lent */
    void *owner;
};

/* Loads as soon as the loop runs, and again whenever the source changes. NULL: *err. */
struct discovery *discovery_new(struct net_loop *loop, const struct discovery_options *options,
                                struct err *err);

/* Loads again now. */
void discovery_reload(struct discovery *discovery);

/* Fills discovery's part of *control. */
void discovery_collect(const struct discovery *discovery, struct telemetry_control *control);

/* NULL is ignored. */
void discovery_free(struct discovery *discovery);

#endif
