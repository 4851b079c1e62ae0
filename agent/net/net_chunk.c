#include "net_chunk.h"

#include <stdlib.h>

#include "net_loop_impl.h"

/* Twice what one stalled connection may hold; more is given back, since an idle agent shall be
 * small. */
enum { SPARES_MAX = 8 };

struct net_chunk *net_chunk_take(struct net_loop *loop)
{
    struct net_chunk *chunk = loop->spare_chunks;
    if (chunk != NULL) {
        loop->spare_chunks = chunk->next;
        loop->num_spare_chunks--;
    } else {
        chunk = malloc(sizeof(*chunk));
        if (chunk == NULL)
            return NULL;
    }
    chunk->next = NULL;
    chunk->len = 0;
    return chunk;
}

void net_chunk_return(struct net_loop *loop, struct net_chunk *chunk)
{
    if (chunk == NULL)
        return;
    if (loop->num_spare_chunks == SPARES_MAX) {
        free(chunk);
        return;
    }
    chunk->next = loop->spare_chunks;
    loop->spare_chunks = chunk;
    loop->num_spare_chunks++;
}

void net_chunk_free_spares(struct net_loop *loop)
{
    while (loop->spare_chunks != NULL) {
        struct net_chunk *chunk = loop->spare_chunks;
        loop->spare_chunks = chunk->next;
        free(chunk);
    }
    loop->num_spare_chunks = 0;
}
