#include <stdlib.h>

#include "h2_internal.h"

enum {
    FIELD_OVERHEAD = 32,  /* what RFC 9113 6.5.2 adds for each field */
    FIELDS_KEPT = 32,     /* capacity that stays allocated between header blocks */
    FIELDS_AT_FIRST = 16, /* a tunnel's request has five to eight */
};

static int h2_block_grow(struct h2_block *block)
{
    size_t capacity = block->capacity == 0 ? FIELDS_AT_FIRST : block->capacity * 2;
    struct h2_header *fields = reallocarray(block->fields, capacity, sizeof(*fields));
    if (fields == NULL)
        return -1;
    block->fields = fields;
    nghttp2_rcbuf **bufs = reallocarray(block->bufs, capacity, 2 * sizeof(*bufs));
    if (bufs == NULL)
        return -1;
    block->bufs = bufs;
    block->capacity = capacity;
    return 0;
}

int h2_block_add(struct h2_block *block, nghttp2_rcbuf *name, nghttp2_rcbuf *value, size_t limit)
{
    nghttp2_vec name_text = nghttp2_rcbuf_get_buf(name);
    nghttp2_vec value_text = nghttp2_rcbuf_get_buf(value);
    block->list_size += name_text.len + value_text.len + FIELD_OVERHEAD;
    if (block->list_size > limit)
        return 1;
    if (block->num_fields == block->capacity && h2_block_grow(block) < 0)
        return -1;
    nghttp2_rcbuf_incref(name);
    nghttp2_rcbuf_incref(value);
    block->bufs[2 * block->num_fields] = name;
    block->bufs[2 * block->num_fields + 1] = value;
    block->fields[block->num_fields++] = (struct h2_header){
        .name = (const char *)name_text.base,
        .value = (const char *)value_text.base,
        .value_len = value_text.len,
    };
    return 0;
}

void h2_block_clear(struct h2_block *block)
{
    for (size_t i = 0; i < 2 * block->num_fields; i++)
        nghttp2_rcbuf_decref(block->bufs[i]);
    block->num_fields = 0;
    block->list_size = 0;
    if (block->capacity > FIELDS_KEPT)
        h2_block_done(block);
}

void h2_block_done(struct h2_block *block)
{
    for (size_t i = 0; i < 2 * block->num_fields; i++)
        nghttp2_rcbuf_decref(block->bufs[i]);
    free(block->fields);
    free(block->bufs);
    *block = (struct h2_block){0};
}
