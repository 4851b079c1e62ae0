/*
 * What protobuf-c does not check of a message's bytes, against the description of its type. Private
 * to protobuf.
 */
#ifndef REMORA_PROTOBUF_WIRE_H
#define REMORA_PROTOBUF_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct ProtobufCMessageDescriptor;

/*
 * That the bytes are fields all through, and that text is UTF-8 without NUL (Protocol Buffers
 * language guide, "string"). 0, or -1: *err is ERR_INVALID and begins with the field's path.
 */
int protobuf_wire_check(const struct ProtobufCMessageDescriptor *type, const uint8_t *bytes,
                        size_t len, struct err *err);

#endif
