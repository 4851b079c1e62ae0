/*
 * The names that one client has subscribed to, of one type, and what it holds under them. Pure.
 */
#ifndef REMORA_DISCOVERY_NAMES_H
#define REMORA_DISCOVERY_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "discovery_resource.h"

struct discovery_name {
    char *text;
    char version[DISCOVERY_VERSION_MAX]; /* in which the client holds the resource of this name; "":
                                            it holds none */
    bool asked;   /* the client has subscribed to it; else it was told, and counts as subscribed */
    bool pending; /* it waits for an answer */
    bool again;   /* and so does everything that it leads to, though the client was told before */
};

/* A zeroed one is empty. */
struct discovery_names {
    void *tree;
    size_t num;
};

/* NULL: it is not there. */
struct discovery_name *discovery_names_find(const struct discovery_names *names, const char *text);

/* Finds it or makes it. NULL: out of memory. */
struct discovery_name *discovery_names_put(struct discovery_names *names, const char *text);

/* Removing what is not there is nothing. */
void discovery_names_remove(struct discovery_names *names, const char *text);

/* All of them in the order of strcmp; none may be put or removed meanwhile. */
void discovery_names_each(const struct discovery_names *names,
                          void (*on_name)(void *owner, struct discovery_name *name), void *owner);

void discovery_names_done(struct discovery_names *names);

#endif
