#include "protobuf_wire.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <string.h>

#include "utf8.h"

enum { VARINT_MAX = 10 }; /* bytes */

/* https://protobuf.dev/programming-guides/encoding: the low three bits of a tag. */
enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LEN = 2, WIRE_32 = 5 };

struct wire {
    const uint8_t *at;
    const uint8_t *end;
};

static int read_varint(struct wire *wire, uint64_t *value)
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

static int skip(struct wire *wire, uint64_t len)
{
    if (len > (uint64_t)(wire->end - wire->at))
        return -1;
    wire->at += len;
    return 0;
}

/* Past the value of a field; *value is the part of it that a length stands before, or empty. */
static int read_value(struct wire *wire, unsigned wire_type, struct wire *value)
{
    uint64_t number;
    *value = (struct wire){0};
    switch (wire_type) {
    case WIRE_VARINT:
        return read_varint(wire, &number);
    case WIRE_64:
        return skip(wire, 8);
    case WIRE_32:
        return skip(wire, 4);
    case WIRE_LEN:
        if (read_varint(wire, &number) < 0)
            return -1;
        value->at = wire->at;
        if (skip(wire, number) < 0)
            return -1;
        value->end = wire->at;
        return 0;
    default:
        return -1; /* groups are of protobuf's past; nobody who speaks to us sends them */
    }
}

static int check_text(const struct wire *text, struct err *err)
{
    if (!utf8_is_text((const char *)text->at, (size_t)(text->end - text->at)))
        return err_set(err, ERR_INVALID, "is not UTF-8 text");
    return 0;
}

static int check_message(const ProtobufCMessageDescriptor *type, struct wire wire, struct err *err);

static int check_field(const ProtobufCFieldDescriptor *field, const struct wire *value,
                       struct err *err)
{
    int result = 0;
    if (field->type == PROTOBUF_C_TYPE_STRING)
        result = check_text(value, err);
    else if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        result = check_message(field->descriptor, *value, err);
    return result < 0 ? err_prefix(err, "%s", field->name) : 0;
}

static int check_message(const ProtobufCMessageDescriptor *type, struct wire wire, struct err *err)
{
    while (wire.at < wire.end) {
        uint64_t tag;
        struct wire value;
        if (read_varint(&wire, &tag) < 0 || tag > UINT32_MAX || tag >> 3 == 0 ||
            read_value(&wire, tag & 7, &value) < 0)
            return err_set(err, ERR_INVALID, "is not a protobuf message");
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
        if (field != NULL && (tag & 7) == WIRE_LEN && check_field(field, &value, err) < 0)
            return -1;
    }
    return 0;
}

int protobuf_wire_check(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len,
                        struct err *err)
{
    if (len == 0)
        return 0;
    return check_message(type, (struct wire){.at = bytes, .end = bytes + len}, err);
}
