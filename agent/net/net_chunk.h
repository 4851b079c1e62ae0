/*
 * Where bytes wait that the kernel did not take: few large pieces, one write each. Used ones are
 * kept for the next connection that stalls, so that back-pressure does not allocate in steady
 * state.
 */
#ifndef REMORA_NET_CHUNK_H
#define REMORA_NET_CHUNK_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "net_loop.h"

enum {
    NET_CHUNK_LEN = 64 * 1024, /* one read's worth */
};

struct net_chunk {
    uv_write_t req;
    struct net_chunk *next; /* among the spares */
    size_t len;             /* bytes filled in */
    uint8_t bytes[NET_CHUNK_LEN];
};

/* An empty one. NULL when out of memory. */
struct net_chunk *net_chunk_take(struct net_loop *loop);

/* Gives it back. NULL is ignored. */
void net_chunk_return(struct net_loop *loop, struct net_chunk *chunk);

/* Frees what is kept; at the loop's end. */
void net_chunk_free_spares(struct net_loop *loop);

#endif
