/*
 * What a client has still to be told about one type, in the order in which it will be. Pure. A
 * zeroed one is empty.
 */
#ifndef REMORA_DISCOVERY_PUSH_H
#define REMORA_DISCOVERY_PUSH_H

#include <stdbool.h>

#include "discovery_resource.h"

struct discovery_push {
    struct discovery_list resources; /* counted here */
    size_t num_sent;
    struct discovery_texts removed; /* owned */
    size_t removed_capacity;
    size_t num_removed_sent;
};

/* 0, or -1 when out of memory. */
int discovery_push_add(struct discovery_push *push, struct discovery_resource *resource);
int discovery_push_add_removed(struct discovery_push *push, const char *name);

/* Resources, and names of removed ones, that have not been taken yet. */
size_t discovery_push_num_resources(const struct discovery_push *push);
size_t discovery_push_num_removed(const struct discovery_push *push);

/*
 * Takes resources of together at most `max` bytes, but at least one if there is one. *num is how
 * many stand at the result; lent until discovery_push_reset.
 */
struct discovery_resource *const *discovery_push_take(struct discovery_push *push, size_t max,
                                                      size_t *num);
const char *const *discovery_push_take_removed(struct discovery_push *push, size_t max,
                                               size_t *num);

/* Empties it. */
void discovery_push_reset(struct discovery_push *push);

#endif
