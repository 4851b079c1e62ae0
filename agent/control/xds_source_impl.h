/* What the files of xds_source share. For xds_source*.c alone. */
#ifndef REMORA_XDS_SOURCE_IMPL_H
#define REMORA_XDS_SOURCE_IMPL_H

#include "net_loop.h"
#include "xds_cache.h"
#include "xds_mesh.h"
#include "xds_source.h"
#include "xds_wants.h"

enum {
    XDS_SOURCE_UPKEEP_MS = 1000,   /* how often what is due is looked for; more often for tests */
    XDS_SOURCE_DISTURBED_MS = 100, /* a service that has lost an endpoint is asked for after this */
    XDS_SOURCE_RESTLESS_MS = 60 * 1000, /* and is expected to change on for this long */
    XDS_SOURCE_SETTLED_MS = 10 * 1000,  /* after which what was to come has come */
    XDS_SOURCE_START_OVER_MS = 1000,    /* after memory was out */
    XDS_SOURCE_WHOLE_MS = 200,          /* no address came for this long: that was all of them */
    XDS_SOURCE_WHOLE_MAX_MS = 5 * 1000, /* or they never cease to change */
    XDS_SOURCE_CACHE_WAIT_MS = 2000,    /* for a server, before the cache is believed */
    XDS_SOURCE_CACHE_WRITE_MS = 5000,   /* from a change to its being written, and as long again */
    XDS_SOURCE_CACHE_WRITE_NUM = 10000, /* for so many resources: all of them are written */
};

/* The present stream's confirming of what was held before it. */
struct xds_source_settling {
    bool is_answered;
    size_t num_unconfirmed;
    uint64_t since_ms; /* monotonic: the number has been the same */
};

struct xds_source {
    struct net_loop *loop;
    struct tls_io *io;
    struct xds_source_options *options; /* a copy, see xds_source_options.c */
    const struct xds_source_handler *handler;
    void *owner;
    bool wildcard;
    uint64_t coalesce_ms;
    uint64_t upkeep_ms;
    struct xds_wants_times times;

    struct xds_delta *delta;
    struct xds_client *client;
    struct xds_mesh mesh;
    struct xds_wants wants;

    struct net_timer *publish;
    uint64_t publish_at_ms; /* of the loop; 0: not due */
    uint64_t published_at_ms;
    bool is_ready;     /* complete once; since then each change is given out */
    uint64_t begun_ms; /* of the loop: when this stream's first addresses came; 0: none has */
    uint64_t whole_ms; /* in wildcard mode: when those that came are believed to be all */
    bool answered_now; /* the answer being taken has answered what somebody may wait for */

    struct net_timer *upkeep;
    uint64_t upkeep_at_ms;
    bool sweep_due;
    struct xds_source_settling settling[XDS_NUM_TYPES];

    struct xds_cache *cache; /* NULL: there is none */
    struct net_timer *cache_timer;
    bool cache_pending; /* it was read, and is not given out yet */
    bool cache_dirty;
    bool from_cache;

    uint64_t num_snapshots;
    struct xds_source_stats stats; /* the counters */
    struct err trouble;            /* of xds_source_new, told when the loop runs; ERR_NONE: none */
};

/* ---------------------------------------------------------------------------- of xds_source.c -- */

/* Gives out what has changed, after `ms` or as soon as may be. */
void xds_source_publish_in(struct xds_source *source, uint64_t ms);

/* Now. False: memory is out, and the source has started over. */
bool xds_source_publish(struct xds_source *source);

/* ---------------------------------------------------------------------- of xds_source_upkeep.c -- */

/* What is due: names to be asked for again or given up, resources that nobody needs. */
void xds_source_upkeep(void *source);
void xds_source_upkeep_in(struct xds_source *source, uint64_t ms);

/* ----------------------------------------------------------------------- of xds_source_cache.c -- */

/* Reads the cache into the mesh; its troubles are told later, and harm nothing. */
void xds_source_read_cache(struct xds_source *source);

/* Gives out what the cache said, if nothing better has come. */
void xds_source_believe_cache(struct xds_source *source);

/* The present snapshot is to be written in a while, or now if it has not been. */
void xds_source_mark_cache(struct xds_source *source);
void xds_source_write_cache(struct xds_source *source);
void xds_source_on_cache_timer(void *source);

/* --------------------------------------------------------------------- of xds_source_options.c -- */

/* A copy of the options with all they point to. NULL when out of memory. */
struct xds_source_options *xds_source_options_copy(const struct xds_source_options *options);

/* NULL is ignored. */
void xds_source_options_free(struct xds_source_options *options);

#endif
