/*
 * Protocol Buffers' encoding, as far as discovery's envelope needs it: fields one after the other,
 * lent where they stand, so that an answer of a hundred megabytes is read without a copy. What is in
 * the envelope is wds's. Pure.
 */
#ifndef REMORA_XDS_WIRE_H
#define REMORA_XDS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

struct xds_wire {
    const uint8_t *at;
    const uint8_t *end;
};

/* A field; `bytes` are lent, of what has a length in front. */
struct xds_wire_field {
    uint32_t number;
    bool is_bytes;
    uint64_t value; /* of a varint; what has 32 or 64 fixed bits is skipped over */
    const uint8_t *bytes;
    size_t len;
};

struct xds_wire xds_wire_of(const uint8_t *bytes, size_t len);

/* The next field. 1, 0 at the end, -1 when the bytes are no message. */
int xds_wire_next(struct xds_wire *wire, struct xds_wire_field *field);

/*
 * Copies a field's text with a NUL to `out` (`size` bytes). False when it is no bytes, does not fit,
 * is no UTF-8, or holds control characters, which no name and no version does and no log should.
 */
bool xds_wire_text(const struct xds_wire_field *field, char *out, size_t size);

/* Append a field; nothing for "" and 0, as proto3 has it, but for xds_wire_put_bytes. 0, or -1 when
 * out of memory. */
int xds_wire_put_text(struct buf *out, uint32_t number, const char *text);
int xds_wire_put_varint(struct buf *out, uint32_t number, uint64_t value);
int xds_wire_put_bytes(struct buf *out, uint32_t number, const void *bytes, size_t len);

/* A map's entry from text to text; the value may be "". */
int xds_wire_put_entry(struct buf *out, uint32_t number, const char *key, const char *value);

#endif
