/*
 * Names of resources and what the delta protocol has to remember of each: private to xds_delta. A
 * balanced tree, because names are the server's to choose.
 */
#ifndef REMORA_XDS_NAMES_H
#define REMORA_XDS_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct xds_ask;

/* In wildcard mode there is one of these for each resource of the mesh: it is kept small. */
struct xds_name {
    char *version;                /* NULL: not held */
    struct xds_ask *ask;          /* NULL: we do not ask for it and never did */
    LIST_HEAD(, xds_ask) answers; /* the subscribed names that this resource answers */
    bool unconfirmed;             /* held, but the present stream was not told so */
    bool in_set;                  /* the server counts it as subscribed on the present stream */
    char text[];
};

/* What there is to know of a name that is asked for by that name, or that is to be unsubscribed. */
struct xds_ask {
    struct xds_name *name;
    bool wanted;
    bool answered;                    /* found or not */
    struct xds_name *answered_by;     /* NULL: not found */
    LIST_ENTRY(xds_ask) answer_entry; /* of answered_by->answers */
    uint64_t stamp;                   /* of the resource that named it last */
    TAILQ_ENTRY(xds_ask) wanted_entry;

    bool leaving; /* in the queue of what is to be unsubscribed */
    bool joining; /* in the queue of what is to be subscribed, after that */
    TAILQ_ENTRY(xds_ask) leaving_entry;
    TAILQ_ENTRY(xds_ask) joining_entry;
};

TAILQ_HEAD(xds_ask_queue, xds_ask);

/* Zeroed is empty. */
struct xds_names {
    void *tree;
    size_t num_held;
};

void xds_names_done(struct xds_names *names);

/* NULL: it is not there. */
struct xds_name *xds_names_find(const struct xds_names *names, const char *text);

/* Finds or adds. NULL when out of memory. */
struct xds_name *xds_names_get(struct xds_names *names, const char *text);

/* The name's ask, made when there is none. NULL when out of memory. */
struct xds_ask *xds_names_ask(struct xds_name *name);

/* Frees it when nothing is to be remembered of it. */
void xds_names_put(struct xds_names *names, struct xds_name *name);

/* Holds it in this version (copied), or no more (NULL). 0, or -1 when out of memory. */
int xds_names_set_version(struct xds_names *names, struct xds_name *name, const char *version);

/* All, in the order of strcmp. None may be added or freed inside. */
void xds_names_each(const struct xds_names *names,
                    void (*on_name)(void *owner, struct xds_name *name), void *owner);

#endif
