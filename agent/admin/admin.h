/*
 * What the agent shows to probes and scrapers: /healthz/ready and /healthz/live on the readiness
 * port, /metrics and /stats/prometheus on the metrics port. Reads only; nothing here changes
 * anything. On the control loop's thread.
 */
#ifndef REMORA_ADMIN_H
#define REMORA_ADMIN_H

#include "addr.h"
#include "err.h"
#include "net_loop.h"
#include "readiness.h"
#include "telemetry_hub.h"

struct admin;

struct admin_options {
    struct addr readiness_addr;
    struct addr metrics_addr;
    const struct readiness *readiness; /* borrowed */
    struct telemetry_hub *telemetry;   /* borrowed */
    /* Fills what the control thread knows; called at each scrape. What it points to must stay until
     * the next call. */
    void (*collect)(void *owner, struct telemetry_control *control);
    /*
     * Appends one line to `out` for each thread of the agent that does not react, none when all is
     * well. 0, or -1 when out of memory. Called at each /healthz/live.
     */
    int (*find_stuck)(void *owner, struct buf *out);
    void *owner;
};

/* Listens on both ports. `options` is copied. NULL: *err names the port. */
struct admin *admin_new(struct net_loop *loop, const struct admin_options *options,
                        struct err *err);

/* The bound addresses (port 0 resolved). */
const struct addr *admin_readiness_addr(const struct admin *admin);
const struct addr *admin_metrics_addr(const struct admin *admin);

/* NULL is ignored. */
void admin_free(struct admin *admin);

#endif
