#include "mesh_arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALIGNMENT = 8,           /* of the widest types that mesh has: pointers and 64-bit numbers */
    BLOCK_BYTES = 16 * 1024, /* more than nearly every object takes; what a builder keeps at hand */
};

struct mesh_arena_block {
    struct mesh_arena_block *next;
    alignas(max_align_t) unsigned char bytes[];
};

static_assert(alignof(void *) <= ALIGNMENT && alignof(uint64_t) <= ALIGNMENT,
              "arrays are aligned for all that mesh puts in them");

void mesh_arena_over(struct mesh_arena *arena, void *memory, size_t len)
{
    *arena = (struct mesh_arena){.bytes = memory, .capacity = len};
}

static void free_blocks(struct mesh_arena_block *block)
{
    while (block != NULL) {
        struct mesh_arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void mesh_arena_done(struct mesh_arena *arena)
{
    free_blocks(arena->blocks);
    *arena = (struct mesh_arena){0};
}

void mesh_arena_reset(struct mesh_arena *arena)
{
    struct mesh_arena_block *kept = arena->capacity == BLOCK_BYTES ? arena->blocks : NULL;
    if (kept == NULL) {
        mesh_arena_done(arena);
        return;
    }
    free_blocks(kept->next);
    kept->next = NULL;
    *arena = (struct mesh_arena){.blocks = kept, .bytes = kept->bytes, .capacity = BLOCK_BYTES};
}

bool mesh_arena_failed(const struct mesh_arena *arena)
{
    return arena->failed;
}

size_t mesh_arena_total(const struct mesh_arena *arena)
{
    return arena->total;
}

static size_t aligned(size_t len, size_t alignment)
{
    return (len + alignment - 1) / alignment * alignment;
}

static int add_block(struct mesh_arena *arena, size_t least)
{
    size_t capacity = least > BLOCK_BYTES ? least : BLOCK_BYTES;
    struct mesh_arena_block *block = malloc(sizeof(*block) + capacity);
    if (block == NULL) {
        arena->failed = true;
        return -1;
    }
    block->next = arena->blocks;
    arena->blocks = block;
    arena->bytes = block->bytes;
    arena->used = 0;
    arena->capacity = capacity;
    return 0;
}

static void *take(struct mesh_arena *arena, size_t len, size_t alignment)
{
    size_t start = aligned(arena->used, alignment);
    if (arena->bytes == NULL || start > arena->capacity || len > arena->capacity - start) {
        assert(arena->bytes == NULL || arena->blocks != NULL);
        if (add_block(arena, len) < 0)
            return NULL;
        start = 0;
    }
    arena->used = start + len;
    arena->total = aligned(arena->total, alignment) + len;
    return arena->bytes + start;
}

void *mesh_arena_array(struct mesh_arena *arena, size_t num, size_t size)
{
    if (num == 0)
        return NULL;
    if (num > (SIZE_MAX / 2) / size) {
        arena->failed = true;
        return NULL;
    }
    void *bytes = take(arena, num * size, ALIGNMENT);
    if (bytes != NULL)
        memset(bytes, 0, num * size);
    return bytes;
}

void *mesh_arena_copy(struct mesh_arena *arena, const void *from, size_t num, size_t size)
{
    void *bytes = mesh_arena_array(arena, num, size);
    if (bytes != NULL)
        memcpy(bytes, from, num * size);
    return bytes;
}

const char *mesh_arena_text(struct mesh_arena *arena, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return "";
    size_t len = strlen(text) + 1;
    char *copy = take(arena, len, 1);
    if (copy == NULL)
        return "";
    memcpy(copy, text, len);
    return copy;
}

const char *mesh_arena_join(struct mesh_arena *arena, const char *first, ...)
{
    va_list parts;
    size_t len = 0;
    va_start(parts, first);
    for (const char *part = first; part != NULL; part = va_arg(parts, const char *))
        len += strlen(part);
    va_end(parts);

    char *text = take(arena, len + 1, 1);
    if (text == NULL)
        return "";
    char *end = text;
    va_start(parts, first);
    for (const char *part = first; part != NULL; part = va_arg(parts, const char *)) {
        size_t part_len = strlen(part);
        memcpy(end, part, part_len);
        end += part_len;
    }
    va_end(parts);
    *end = '\0';
    return text;
}
