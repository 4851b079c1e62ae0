#include "mesh_interest.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "refcount.h"

struct mesh_interest {
    struct refcount refcount;
    atomic_uint last_used_s;
    atomic_uint last_kept_s;
    atomic_uint *touched; /* last_used_s: not part of what is const in a const interest */
    atomic_uint *kept;    /* last_kept_s, likewise */
    char name[];
};

struct mesh_interest *mesh_interest_new(const char *name)
{
    size_t len = strlen(name) + 1;
    struct mesh_interest *interest = malloc(sizeof(*interest) + len);
    if (interest == NULL)
        return NULL;
    refcount_init(&interest->refcount);
    atomic_init(&interest->last_used_s, 0);
    interest->touched = &interest->last_used_s;
    atomic_init(&interest->last_kept_s, 0);
    interest->kept = &interest->last_kept_s;
    memcpy(interest->name, name, len);
    return interest;
}

struct mesh_interest *mesh_interest_ref(struct mesh_interest *interest)
{
    refcount_get(&interest->refcount);
    return interest;
}

void mesh_interest_unref(struct mesh_interest *interest)
{
    if (interest != NULL && refcount_put(&interest->refcount))
        free(interest);
}

const char *mesh_interest_name(const struct mesh_interest *interest)
{
    return interest->name;
}

/* Reading first keeps the cache line shared among workers that touch within the same second. */
void mesh_interest_touch(const struct mesh_interest *interest, uint32_t now_s)
{
    if (mesh_interest_last_used(interest) != now_s)
        atomic_store_explicit(interest->touched, now_s, memory_order_relaxed);
}

void mesh_interest_keep(const struct mesh_interest *interest, uint32_t now_s)
{
    if (mesh_interest_last_kept(interest) != now_s)
        atomic_store_explicit(interest->kept, now_s, memory_order_relaxed);
}

uint32_t mesh_interest_last_used(const struct mesh_interest *interest)
{
    return atomic_load_explicit(&interest->last_used_s, memory_order_relaxed);
}

uint32_t mesh_interest_last_kept(const struct mesh_interest *interest)
{
    return atomic_load_explicit(&interest->last_kept_s, memory_order_relaxed);
}
