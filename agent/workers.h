/* All data workers as one. On the control thread, except where it says otherwise. */
#ifndef REMORA_WORKERS_H
#define REMORA_WORKERS_H

#include "agent_config.h"
#include "buf.h"
#include "err.h"
#include "mesh_snapshot.h"
#include "net_loop.h"
#include "port_table.h"
#include "telemetry_hub.h"
#include "tls_context.h"

struct workers;

struct workers_handler {
    /* All on the control loop. */
    void (*on_drained)(void *owner);               /* every worker has drained */
    void (*on_ask)(void *owner, const char *name); /* sessions wait to know of this; lent. May come
                                                      again while they do */
};

/*
 * Makes the workers and opens their listeners; threads start with workers_start. `config` and
 * `telemetry` are borrowed. `control_loop` is where the handler is called. NULL: *err names the
 * port.
 */
struct workers *workers_new(struct net_loop *control_loop, const struct agent_config *config,
                            struct telemetry_hub *telemetry, const struct workers_handler *handler,
                            void *owner, struct err *err);

int workers_start(struct workers *workers, struct err *err);

void workers_publish_mesh(struct workers *workers, struct mesh_snapshot *snapshot);
void workers_publish_ports(struct workers *workers, struct port_table *table);
void workers_publish_tls(struct workers *workers, struct tls_context *context);

/* Once; `on_drained` follows. */
void workers_start_drain(struct workers *workers, uint64_t deadline_ms);

/* Ends a drain that is under way at once. */
void workers_end_drain(struct workers *workers);

/* Appends a line for each worker that has not reacted for `limit_ms` since it was last asked, and
 * asks all. 0, or -1 when out of memory. */
int workers_find_stuck(struct workers *workers, uint64_t limit_ms, struct buf *out);

/* NULL is ignored. */
void workers_free(struct workers *workers);

#endif
