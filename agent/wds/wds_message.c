#include "wds_message.h"

char *wds_message_text(const char *text)
{
    union {
        const char *in;
        char *out;
    } pointer = {.in = text == NULL ? "" : text};
    return pointer.out;
}

void *wds_message_list(struct protobuf_memory *memory, size_t num, size_t size)
{
    char *structs = protobuf_memory_array(memory, num, size);
    void **list = protobuf_memory_array(memory, num, sizeof(void *));
    if (structs == NULL || list == NULL)
        return NULL;
    for (size_t i = 0; i < num; i++)
        list[i] = structs + i * size;
    return list;
}

int wds_message_pack(struct buf *out, const ProtobufCMessage *message,
                     struct protobuf_memory *memory, struct err *err)
{
    uint8_t *to = NULL;
    if (!protobuf_memory_failed(memory))
        to = buf_reserve(out, protobuf_c_message_get_packed_size(message));
    if (to != NULL)
        buf_commit(out, protobuf_c_message_pack(message, to));
    protobuf_memory_free(memory);
    return to != NULL ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}
