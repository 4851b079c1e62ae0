#include "protobuf_read.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_BYTES = 4096, /* one workload or policy, mostly */
};

struct block {
    struct block *next;
    size_t capacity;
    alignas(max_align_t) unsigned char bytes[];
};

struct protobuf_memory {
    struct block *blocks; /* the newest first; space is taken from that one only */
    size_t used;          /* of the newest */
    size_t max;
    size_t total; /* of all blocks */
    bool secret;
    bool over;   /* max would have been passed */
    bool failed; /* by max or by malloc */
};

struct protobuf_memory *protobuf_memory_new(size_t max, enum protobuf_secrecy secrecy)
{
    struct protobuf_memory *memory = calloc(1, sizeof(*memory));
    if (memory != NULL) {
        memory->max = max;
        memory->secret = secrecy == PROTOBUF_SECRET;
    }
    return memory;
}

void protobuf_memory_free(struct protobuf_memory *memory)
{
    if (memory == NULL)
        return;
    struct block *block = memory->blocks;
    while (block != NULL) {
        struct block *next = block->next;
        if (memory->secret)
            explicit_bzero(block->bytes, block->capacity);
        free(block);
        block = next;
    }
    free(memory);
}

static int add_block(struct protobuf_memory *memory, size_t least)
{
    size_t capacity = least > BLOCK_BYTES ? least : BLOCK_BYTES;
    memory->over = least > memory->max - memory->total;
    if (capacity > memory->max - memory->total)
        capacity = least;
    struct block *block = memory->over ? NULL : malloc(sizeof(*block) + capacity);
    if (block == NULL) {
        memory->failed = true;
        return -1;
    }
    *block = (struct block){.next = memory->blocks, .capacity = capacity};
    memory->blocks = block;
    memory->total += capacity;
    memory->used = 0;
    return 0;
}

void *protobuf_memory_array(struct protobuf_memory *memory, size_t num, size_t size)
{
    const size_t unit = alignof(max_align_t);
    if (num == 0 || memory->failed)
        return NULL;
    if (num > memory->max / size) {
        memory->over = memory->failed = true;
        return NULL;
    }
    size_t len = (num * size + unit - 1) / unit * unit;
    if (memory->blocks == NULL || len > memory->blocks->capacity - memory->used) {
        if (add_block(memory, len) < 0)
            return NULL;
    }
    void *bytes = memory->blocks->bytes + memory->used;
    memory->used += len;
    return memset(bytes, 0, len);
}

bool protobuf_memory_failed(const struct protobuf_memory *memory)
{
    return memory->failed;
}

int protobuf_memory_err(const struct protobuf_memory *memory, struct err *err)
{
    if (memory->over)
        return err_set(err, ERR_LIMIT, "takes more than %zu bytes of memory when decoded",
                       memory->max);
    return err_set(err, ERR_NOMEM, "out of memory");
}
