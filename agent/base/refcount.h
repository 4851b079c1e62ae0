/* A counter for objects that several threads share. The last unref frees. */
#ifndef REMORA_REFCOUNT_H
#define REMORA_REFCOUNT_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>

struct refcount {
    atomic_uint count;
};

static inline void refcount_init(struct refcount *refcount)
{
    atomic_init(&refcount->count, 1);
}

static inline void refcount_get(struct refcount *refcount)
{
    unsigned before = atomic_fetch_add_explicit(&refcount->count, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

/* True when this was the last reference: the caller then frees the object. */
static inline bool refcount_put(struct refcount *refcount)
{
    unsigned before = atomic_fetch_sub_explicit(&refcount->count, 1, memory_order_acq_rel);
    assert(before > 0);
    return before == 1;
}

/* True when the caller's reference is the only one: the object is as good as new, and may be changed
 * although it was shared. */
static inline bool refcount_is_sole(const struct refcount *refcount)
{
    return atomic_load_explicit(&refcount->count, memory_order_acquire) == 1;
}

#endif
