#include "protobuf_read.h"

#include <protobuf-c/protobuf-c.h>

#include "protobuf_wire.h"

static void *on_alloc(void *memory, size_t len)
{
    /* protobuf-c takes NULL for a failure, and asks for 0 bytes for an empty list of bytes. */
    return protobuf_memory_array(memory, len == 0 ? 1 : len, 1);
}

/* Everything goes with the memory. */
static void on_free(void *memory, void *bytes)
{
    (void)memory;
    (void)bytes;
}

const void *protobuf_read(struct protobuf_memory *memory, const ProtobufCMessageDescriptor *type,
                          const void *bytes, size_t len, struct err *err)
{
    ProtobufCAllocator allocator = {.alloc = on_alloc, .free = on_free, .allocator_data = memory};
    if (protobuf_wire_check(type, bytes, len, err) < 0)
        return NULL;
    const void *message = protobuf_c_message_unpack(type, &allocator, len, bytes);
    if (message == NULL && protobuf_memory_failed(memory))
        protobuf_memory_err(memory, err);
    else if (message == NULL)
        err_set(err, ERR_INVALID, "is not a protobuf message");
    return message;
}
