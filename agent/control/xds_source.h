/*
 * The mesh as a control plane tells it, over delta xDS: keeps the present snapshot, applies each
 * answer at the cost of the answer's size, and gives out a new snapshot when it has changed, at most
 * one each `coalesce_ms`. On the control thread; workers get the snapshots and ask for what they
 * miss through the owner.
 *
 * No snapshot is given out before the policies and the pod's own workload (wildcard: all addresses)
 * have been answered for once, because a mesh without its policies permits too much. A snapshot
 * from the cache has both. No answer says that it is the last of those in which all addresses come:
 * that is believed when none has come for 200 ms, or after 5 s of them.
 *
 * On demand, a name that a worker asks for (xds_source_ask) is subscribed. Once it is answered,
 * found or not, the next snapshot has a mesh_interest for it (mesh_snapshot_answered), which workers
 * touch when they use it. What has not been touched for `unused_ms` is unsubscribed, and what was
 * only held because of it is dropped: the service with its endpoints. Names that are in use are
 * asked for anew from time to time, because istiod does not tell when something comes to be where
 * nothing was (`absent_ms`), or that a service has a new endpoint (`refresh_ms`, and at once when an
 * endpoint goes).
 *
 * What cannot be used is rejected with a NACK, while the good resources of the same answer apply,
 * and what was held by its name stays. A policy with a pattern, an address or a condition that is
 * not understood is rejected as a whole (wds.h): to leave out what it says would permit more than it
 * does. Where there is no earlier version of it, one of its name and scope that permits nothing
 * stands in (xds_stand_in.h).
 */
#ifndef REMORA_XDS_SOURCE_H
#define REMORA_XDS_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "mesh_builder.h"
#include "mesh_snapshot.h"
#include "tls_io.h"
#include "xds_client.h"
#include "xds_node.h"
#include "xds_type.h"

struct xds_source_options {
    struct xds_client_options client;
    struct xds_node node;
    bool wildcard;
    /* Names that are always subscribed on demand: the pod's addresses, "<network>/<ip>". */
    const char *const *own_names;
    size_t num_own_names;
    uint64_t coalesce_ms; /* 0: 50 ms */
    /*
     * 0: 10 min. Longer than the pauses of what runs each few minutes (scrapes, crons, health
     * checks, pools that reconnect), so that these do not wait for an answer each time; short enough
     * that an agent forgets what its pod talked to once, during its start for example.
     */
    uint64_t unused_ms;
    /* 0: 5 s: how late a thing is found that was not there when asked for, or the first endpoint of a
     * service. */
    uint64_t absent_ms;
    uint64_t refresh_ms; /* 0: 30 s: how late a further endpoint of a service is found */
    /* A file in a memory-backed directory, see xds_cache.h; NULL: no cache. What it says is given out
     * when no server has answered within two seconds, or has refused to. */
    const char *cache_file;
};

struct xds_source_stats {
    bool connected;
    uint64_t num_updates[XDS_NUM_TYPES]; /* resources taken, and removals */
    uint64_t num_rejected[XDS_NUM_TYPES];
    uint64_t num_acks;
    uint64_t num_nacks;
    uint64_t num_answers[XDS_NUM_TYPES]; /* messages of a type of ours */
    uint64_t num_bytes[XDS_NUM_TYPES];   /* of these messages */
    uint64_t num_snapshots;
    uint64_t num_asked; /* names that workers asked for and that were not subscribed */
    uint64_t num_expired;
    uint64_t num_ends[XDS_NUM_ENDS];
    size_t num_held[XDS_NUM_TYPES];
    size_t num_subscribed;
    int64_t last_answer_ms;     /* wall clock; 0: never */
    const char *server_version; /* lent until the next call of the source */
    bool from_cache; /* what is given out is the cache's: no server has confirmed it yet */
};

/* Called on the loop's thread, never from inside a call of the source, but inside which everything
 * but xds_source_free may be called. None may be NULL. */
struct xds_source_handler {
    /* The mesh has changed; both lent. */
    void (*on_snapshot)(void *owner, struct mesh_snapshot *snapshot,
                        const struct mesh_warnings *warnings);
    void (*on_connected)(void *owner);
    void (*on_disconnected)(void *owner, enum xds_end end, const struct err *err,
                            uint64_t retry_ms); /* *err lent; NULL: in order */
    /* For the log; a control plane can cause any number. All lent. */
    void (*on_rejected)(void *owner, enum xds_type type, const char *name, const char *reason);
    /* Something else to tell, that the source gets over: the cache, memory. Lent. */
    void (*on_trouble)(void *owner, const struct err *err);
};

struct xds_source;

/*
 * Begins to connect when the loop runs. `io` and its loop outlive the source; `handler` is kept by
 * pointer, `options` copied. NULL: *err is ERR_INVALID (the address, a name) or ERR_NOMEM.
 */
struct xds_source *xds_source_new(struct tls_io *io, const struct xds_source_options *options,
                                  const struct xds_source_handler *handler, void *owner,
                                  struct err *err);

/* Writes the cache if it is due; no handler is called any more. NULL is ignored. */
void xds_source_free(struct xds_source *source);

/*
 * Somebody wants this name; however many do, it is asked for once. 0: the answer will be in a
 * snapshot (or is in the present one). -1: it will not: ERR_INVALID (there is no such name),
 * ERR_LIMIT (too many), ERR_NOMEM. In wildcard mode nothing happens.
 */
int xds_source_ask(struct xds_source *source, const char *name, struct err *err);

/* The present snapshot, lent; NULL before the first. */
struct mesh_snapshot *xds_source_snapshot(const struct xds_source *source);

/* Connects now rather than when the back-off says. */
void xds_source_retry_now(struct xds_source *source);

void xds_source_stats(const struct xds_source *source, struct xds_source_stats *stats);

#endif
