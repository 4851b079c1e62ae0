/* Protobuf messages written by hand, so that they can be wrong. */
#ifndef WIRE_H
#define WIRE_H

#include <assert.h>
#include <string.h>

#include "buf.h"

static inline void wire_varint(struct buf *out, uint64_t value)
{
    do {
        uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        int result = buf_append(out, &byte, 1);
        assert(result == 0);
        (void)result;
        value >>= 7;
    } while (value > 0);
}

static inline void wire_number(struct buf *out, unsigned field, uint64_t value)
{
    wire_varint(out, field << 3);
    wire_varint(out, value);
}

static inline void wire_bytes(struct buf *out, unsigned field, const void *bytes, size_t len)
{
    wire_varint(out, field << 3 | 2);
    wire_varint(out, len);
    int result = buf_append(out, bytes, len);
    assert(result == 0);
    (void)result;
}

static inline void wire_text(struct buf *out, unsigned field, const char *text)
{
    wire_bytes(out, field, text, strlen(text));
}

/* Takes `inner`. */
static inline void wire_message(struct buf *out, unsigned field, struct buf *inner)
{
    wire_bytes(out, field, buf_head(inner), buf_len(inner));
    buf_done(inner);
}

#endif
