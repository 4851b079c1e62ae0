/*
 * Memory that is allocated piece by piece and freed all at once: what a snapshot is made of. Private to mesh.
 *
 * Running out of memory is remembered instead of reported by each call, so that code which copies deep structures stays
 * readable: what is returned then is harmless, and the one who started the copy asks mesh_arena_failed at the end.
 */
#ifndef REMORA_MESH_ARENA_H
#define REMORA_MESH_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct mesh_arena_block;

/* A zeroed struct is valid and empty. */
struct mesh_arena {
    struct mesh_arena_block *blocks; /* the newest first */
    size_t used;                     /* bytes of the newest block */
    size_t capacity;                 /* bytes of the newest block */
    bool failed;
};

void mesh_arena_done(struct mesh_arena *arena);
bool mesh_arena_failed(const struct mesh_arena *arena);

/* Zeroed memory for `num` objects of `size` bytes, aligned for any type. NULL for none, and when out of memory. */
void *mesh_arena_array(struct mesh_arena *arena, size_t num, size_t size);

/* A copy of `num` objects of `size` bytes; NULL as above. */
void *mesh_arena_copy(struct mesh_arena *arena, const void *from, size_t num, size_t size);

/* A copy of the text. "" for NULL, for "", and when out of memory. */
const char *mesh_arena_text(struct mesh_arena *arena, const char *text);

/* The texts one after another, up to a NULL, as one. */
const char *mesh_arena_join(struct mesh_arena *arena, const char *first, ...)
    __attribute__((sentinel));

#endif
