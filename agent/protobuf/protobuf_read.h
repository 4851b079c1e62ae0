/*
 * Reading protobuf messages that others wrote, with protobuf-c, and what protobuf-c does not do: it
 * bounds the memory (a message of repeated empty messages grows a hundredfold), and refuses text
 * that is not UTF-8 or holds a NUL, where protobuf-c's strings would end early. Messages whose type
 * contains itself must not be declared: protobuf-c descends without limit.
 *
 * A struct protobuf_memory owns what was read; everything is freed at once.
 */
#ifndef REMORA_PROTOBUF_READ_H
#define REMORA_PROTOBUF_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

struct ProtobufCMessageDescriptor;
struct protobuf_memory;

enum protobuf_secrecy {
    PROTOBUF_PLAIN,
    PROTOBUF_SECRET, /* cleared when freed */
};

/* Gives at most `max` bytes. NULL when out of memory. */
struct protobuf_memory *protobuf_memory_new(size_t max, enum protobuf_secrecy secrecy);

/* Frees all that it gave. NULL is ignored. */
void protobuf_memory_free(struct protobuf_memory *memory);

/* Zeroed and aligned for anything, or NULL when `max` or the system's memory is used up, which
 * protobuf_memory_err tells apart. NULL, too, for a `num` of 0. `size` is not 0. */
void *protobuf_memory_array(struct protobuf_memory *memory, size_t num, size_t size);

/* True once the memory has refused something. */
bool protobuf_memory_failed(const struct protobuf_memory *memory);

/* Fills *err with ERR_LIMIT or ERR_NOMEM for a memory that has failed. Returns -1. */
int protobuf_memory_err(const struct protobuf_memory *memory, struct err *err);

/*
 * Unpacks a message of `type` (`&<message>__descriptor`). Returns it, lent by the memory; it must not
 * be given to a `free_unpacked`. NULL: *err is ERR_INVALID (what is malformed, with the path of the
 * field where it is text), ERR_LIMIT or ERR_NOMEM.
 */
const void *protobuf_read(struct protobuf_memory *memory,
                          const struct ProtobufCMessageDescriptor *type, const void *bytes,
                          size_t len, struct err *err);

#endif
