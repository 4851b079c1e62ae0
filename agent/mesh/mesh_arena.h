/*
 * Memory that is allocated piece by piece and freed all at once: what the objects of a snapshot are made of. Private to mesh.
 *
 * An object is made twice: in an arena that grows, to learn how long it is, then in one block of that length. So each object is
 * one allocation, and nobody has to say twice what it is made of.
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
    struct mesh_arena_block *blocks; /* the newest first; NULL in the memory of somebody else */
    unsigned char *bytes;            /* of the newest block, or the memory of somebody else */
    size_t used;                     /* of these */
    size_t capacity;                 /* of these */
    size_t total;                    /* what all that was taken would use of one piece of memory */
    bool failed;
};

/* In `len` bytes of the caller's, aligned for any type, which hold all that will be taken. Nothing is to be freed. */
void mesh_arena_over(struct mesh_arena *arena, void *memory, size_t len);

/* Frees all. The struct is empty then. */
void mesh_arena_done(struct mesh_arena *arena);

/* Forgets all that was taken; keeps a little memory for what comes. */
void mesh_arena_reset(struct mesh_arena *arena);

bool mesh_arena_failed(const struct mesh_arena *arena);

/* Bytes that the same allocations would use of one piece of memory. */
size_t mesh_arena_total(const struct mesh_arena *arena);

/* Zeroed memory for `num` objects of `size` bytes, aligned for any type that mesh has. NULL for none, and when out of memory. */
void *mesh_arena_array(struct mesh_arena *arena, size_t num, size_t size);

/* A copy of `num` objects of `size` bytes; NULL as above. */
void *mesh_arena_copy(struct mesh_arena *arena, const void *from, size_t num, size_t size);

/* A copy of the text. "" for NULL, for "", and when out of memory. */
const char *mesh_arena_text(struct mesh_arena *arena, const char *text);

/* The texts one after another, up to a NULL, as one. */
const char *mesh_arena_join(struct mesh_arena *arena, const char *first, ...)
    __attribute__((sentinel));

#endif
