#include "xds_wire.h"

#include <string.h>

#include "utf8.h"

enum { VARINT_MAX = 10 }; /* bytes */

/* https://protobuf.dev/programming-guides/encoding: the low three bits of a tag. */
enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LEN = 2, WIRE_32 = 5 };

struct xds_wire xds_wire_of(const uint8_t *bytes, size_t len)
{
    return (struct xds_wire){.at = bytes, .end = bytes + len};
}

static int read_varint(struct xds_wire *wire, uint64_t *value)
{
    *value = 0;
    for (unsigned i = 0; i < VARINT_MAX && wire->at < wire->end; i++) {
        uint8_t byte = *wire->at++;
        *value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0)
            return 0;
    }
    return -1;
}

static int skip(struct xds_wire *wire, uint64_t len)
{
    if (len > (uint64_t)(wire->end - wire->at))
        return -1;
    wire->at += len;
    return 0;
}

static int read_bytes(struct xds_wire *wire, struct xds_wire_field *field)
{
    uint64_t len;
    if (read_varint(wire, &len) < 0)
        return -1;
    field->is_bytes = true;
    field->bytes = wire->at;
    field->len = (size_t)len;
    return skip(wire, len);
}

int xds_wire_next(struct xds_wire *wire, struct xds_wire_field *field)
{
    uint64_t tag;
    *field = (struct xds_wire_field){0};
    if (wire->at == wire->end)
        return 0;
    if (read_varint(wire, &tag) < 0 || tag > UINT32_MAX || tag >> 3 == 0)
        return -1;
    field->number = (uint32_t)(tag >> 3);
    int result = -1; /* groups are of protobuf's past */
    switch (tag & 7) {
    case WIRE_VARINT:
        result = read_varint(wire, &field->value);
        break;
    case WIRE_64:
        result = skip(wire, 8);
        break;
    case WIRE_32:
        result = skip(wire, 4);
        break;
    case WIRE_LEN:
        result = read_bytes(wire, field);
        break;
    default:
        break;
    }
    return result < 0 ? -1 : 1;
}

bool xds_wire_text(const struct xds_wire_field *field, char *out, size_t size)
{
    if (!field->is_bytes || field->len >= size ||
        !utf8_is_text((const char *)field->bytes, field->len))
        return false;
    for (size_t i = 0; i < field->len; i++) {
        if (field->bytes[i] < 0x20 || field->bytes[i] == 0x7f)
            return false;
    }
    if (field->len > 0)
        memcpy(out, field->bytes, field->len);
    out[field->len] = '\0';
    return true;
}

/* ----------------------------------------------------------------------------------- writing -- */

static size_t write_varint(uint8_t *out, uint64_t value)
{
    size_t len = 0;
    while (value >= 0x80) {
        out[len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[len++] = (uint8_t)value;
    return len;
}

static int put_tag(struct buf *out, uint32_t number, unsigned wire_type, uint64_t value)
{
    uint8_t bytes[2 * VARINT_MAX];
    size_t len = write_varint(bytes, (uint64_t)number << 3 | wire_type);
    len += write_varint(bytes + len, value);
    return buf_append(out, bytes, len);
}

int xds_wire_put_bytes(struct buf *out, uint32_t number, const void *bytes, size_t len)
{
    if (put_tag(out, number, WIRE_LEN, len) < 0)
        return -1;
    return buf_append(out, bytes, len);
}

int xds_wire_put_text(struct buf *out, uint32_t number, const char *text)
{
    return text[0] == '\0' ? 0 : xds_wire_put_bytes(out, number, text, strlen(text));
}

int xds_wire_put_varint(struct buf *out, uint32_t number, uint64_t value)
{
    return value == 0 ? 0 : put_tag(out, number, WIRE_VARINT, value);
}

/* Bytes of a field with a length. The numbers of a map's entry fit one byte. */
static size_t text_field_len(const char *text)
{
    uint8_t ignored[VARINT_MAX];
    size_t len = strlen(text);
    return len == 0 ? 0 : 1 + write_varint(ignored, len) + len;
}

int xds_wire_put_entry(struct buf *out, uint32_t number, const char *key, const char *value)
{
    size_t len = text_field_len(key) + text_field_len(value);
    if (put_tag(out, number, WIRE_LEN, len) < 0 || xds_wire_put_text(out, 1, key) < 0)
        return -1;
    return xds_wire_put_text(out, 2, value);
}
