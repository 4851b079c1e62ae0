/*
 * One data worker: a thread with its own loop, proxy and telemetry handle. The control thread makes
 * it, hands it what was published, and ends it; the worker's own thread touches nothing of the
 * control thread's but the mailbox, and that only when it was woken.
 */
#ifndef REMORA_WORKER_H
#define REMORA_WORKER_H

#include <stdint.h>

#include "err.h"
#include "mesh_snapshot.h"
#include "proxy.h"
#include "telemetry_hub.h"
#include "tls_context.h"

struct worker;

struct worker_options {
    unsigned index;
    const struct proxy_options *proxy; /* read during worker_new; its texts are borrowed */
    struct telemetry_hub *telemetry;   /* borrowed */
    /* Called on the worker's thread, once, when its drain is over. */
    void (*on_drained)(void *owner);
    void *owner;
};

/*
 * Makes a worker and opens its listeners, on the caller's thread; its own does not run yet, so that
 * a port that is taken is the caller's error. NULL: *err.
 */
struct worker *worker_new(const struct worker_options *options, struct err *err);

/* Starts the thread. 0, or -1 with *err. */
int worker_start(struct worker *worker, struct err *err);

/* The following are for the control thread. What is published takes a reference of its own; of
 * several before the worker looks the last counts. */
void worker_publish_mesh(struct worker *worker, struct mesh_snapshot *snapshot);
void worker_publish_ports(struct worker *worker, struct port_table *table);
void worker_publish_tls(struct worker *worker, struct tls_context *context); /* NULL: none valid */
void worker_start_drain(struct worker *worker, uint64_t deadline_ms);
void worker_end_drain(struct worker *worker);

/*
 * Asks the worker for a sign of life and returns how long an earlier question has been without
 * answer, in milliseconds; 0 when none is. `now_ms` is monotonic.
 */
uint64_t worker_probe(struct worker *worker, uint64_t now_ms);

/* Stops the thread, ends what is left, and frees. NULL is ignored. */
void worker_free(struct worker *worker);

#endif
