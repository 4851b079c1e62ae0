/*
 * The names that this agent wants to know of, on demand: since when, how they were answered, and who
 * still uses them. Private to xds_source. No I/O, no clock.
 */
#ifndef REMORA_XDS_WANTS_H
#define REMORA_XDS_WANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "mesh_interest.h"

struct xds_want {
    struct mesh_interest *interest; /* of whose name it is */
    const char *name;               /* lent by the interest */
    bool own;                       /* always wanted */
    bool answered;
    char *by; /* the resource that answered; NULL: there is none */
    /* What the resource was found to be, once after each answer. */
    bool is_judged;
    bool is_service;
    bool is_empty;        /* a service without an endpoint */
    uint64_t asked_at_ms; /* the last time */
    /* A service that has lost an endpoint: to be asked for at once, and more often for a while. */
    bool disturbed;
    uint64_t restless_until_ms;
    LIST_ENTRY(xds_want) entry;
};

/* Zeroed is empty. */
struct xds_wants {
    void *tree;
    LIST_HEAD(, xds_want) all;
    size_t num;
};

void xds_wants_done(struct xds_wants *wants);

/* NULL: it is not there. */
struct xds_want *xds_wants_find(const struct xds_wants *wants, const char *name);

/* Not there yet (asserted). NULL when out of memory. */
struct xds_want *xds_wants_add(struct xds_wants *wants, const char *name, uint64_t now_ms);
void xds_wants_remove(struct xds_wants *wants, struct xds_want *want);

/* Remembers the answer; `by` (copied) NULL: there is none. 0, or -1 when out of memory. */
int xds_want_set_answer(struct xds_want *want, const char *by);
void xds_want_clear_answer(struct xds_want *want);

/* The service has lost an endpoint: names that it answered are to be asked for. */
void xds_wants_disturb(struct xds_wants *wants, const char *service, uint64_t until_ms);

/* What to do about a name, in times of a monotonic clock. */
struct xds_wants_times {
    uint64_t unused_ms;
    uint64_t absent_ms;
    uint64_t refresh_ms;
};

enum xds_want_due { XDS_WANT_NOTHING, XDS_WANT_ASK_AGAIN, XDS_WANT_EXPIRE };

/* A service may get endpoints without a word, and is asked for again; an empty one as often as what
 * is absent or has not been answered. An absence that is out of use is forgotten instead: it may be
 * the address of a pod by now, which is not to be dialled in clear because it once was none. */
enum xds_want_due xds_want_due(const struct xds_want *want, const struct xds_wants_times *times,
                               uint64_t now_ms);

#endif
