#include "grpc_frame.h"

#include <string.h>

enum {
    KEEP_CAPACITY = 64 * 1024, /* bytes of a message's memory that are kept for the next one */
};

void grpc_frame_reader_init(struct grpc_frame_reader *reader, size_t message_max)
{
    *reader = (struct grpc_frame_reader){.message_max = message_max};
}

static void forget_secret(struct grpc_frame_reader *reader)
{
    if (reader->is_secret && reader->message.bytes != NULL)
        explicit_bzero(reader->message.bytes, reader->message.capacity);
}

void grpc_frame_reader_done(struct grpc_frame_reader *reader)
{
    if (reader == NULL)
        return;
    forget_secret(reader);
    buf_done(&reader->message);
}

static void begin_message(struct grpc_frame_reader *reader)
{
    forget_secret(reader);
    buf_clear(&reader->message, reader->is_secret ? 0 : KEEP_CAPACITY);
    reader->header_len = 0;
    reader->message_len = 0;
    reader->complete = false;
}

static int read_header(struct grpc_frame_reader *reader, enum grpc_status *status, struct err *err)
{
    const uint8_t *header = reader->header;
    if (header[0] == 1) {
        *status = GRPC_STATUS_INTERNAL;
        return err_set(err, ERR_PROTOCOL, "gRPC message is compressed, which was not offered");
    }
    if (header[0] != 0) {
        *status = GRPC_STATUS_INTERNAL;
        return err_set(err, ERR_PROTOCOL,
                       "gRPC message begins with 0x%02x, which is no flag of gRPC", header[0]);
    }
    reader->message_len =
        (size_t)header[1] << 24 | (size_t)header[2] << 16 | (size_t)header[3] << 8 | header[4];
    if (reader->message_len > reader->message_max) {
        *status = GRPC_STATUS_RESOURCE_EXHAUSTED;
        return err_set(err, ERR_LIMIT, "gRPC message of %zu bytes; at most %zu are taken",
                       reader->message_len, reader->message_max);
    }
    return 0;
}

static size_t take_header(struct grpc_frame_reader *reader, const uint8_t *bytes, size_t len)
{
    size_t missing = GRPC_FRAME_HEADER_LEN - reader->header_len;
    size_t taken = len < missing ? len : missing;
    memcpy(reader->header + reader->header_len, bytes, taken);
    reader->header_len += taken;
    return taken;
}

static int out_of_memory(const struct grpc_frame_reader *reader, enum grpc_status *status,
                         struct err *err)
{
    *status = GRPC_STATUS_RESOURCE_EXHAUSTED;
    return err_set(err, ERR_NOMEM, "out of memory for a gRPC message of %zu bytes",
                   reader->message_len);
}

ptrdiff_t grpc_frame_reader_feed(struct grpc_frame_reader *reader, const uint8_t *bytes, size_t len,
                                 enum grpc_status *status, struct err *err)
{
    if (len == 0)
        return 0;
    if (reader->complete)
        begin_message(reader);

    size_t taken = 0;
    if (reader->header_len < GRPC_FRAME_HEADER_LEN) {
        taken = take_header(reader, bytes, len);
        if (reader->header_len < GRPC_FRAME_HEADER_LEN)
            return (ptrdiff_t)taken;
        if (read_header(reader, status, err) < 0)
            return -1;
    }
    if (reader->is_secret && reader->message.bytes == NULL && reader->message_len > 0 &&
        buf_reserve(&reader->message, reader->message_len) == NULL)
        return out_of_memory(reader, status, err);
    size_t missing = reader->message_len - buf_len(&reader->message);
    size_t body_len = len - taken < missing ? len - taken : missing;
    if (body_len > 0 && buf_append(&reader->message, bytes + taken, body_len) < 0)
        return out_of_memory(reader, status, err);
    reader->complete = body_len == missing;
    return (ptrdiff_t)(taken + body_len);
}

const uint8_t *grpc_frame_reader_message(const struct grpc_frame_reader *reader, size_t *len)
{
    static const uint8_t empty[1];
    if (!reader->complete)
        return NULL;
    *len = reader->message_len;
    return reader->message_len == 0 ? empty : buf_head(&reader->message);
}

void grpc_frame_reader_drop(struct grpc_frame_reader *reader)
{
    if (reader->complete)
        begin_message(reader);
}

bool grpc_frame_reader_at_boundary(const struct grpc_frame_reader *reader)
{
    return reader->complete || reader->header_len == 0;
}

int grpc_frame_write(struct buf *out, const uint8_t *message, size_t len, struct err *err)
{
    if (len > UINT32_MAX)
        return err_set(err, ERR_LIMIT, "a gRPC message cannot have %zu bytes", len);
    uint8_t *to = buf_reserve(out, GRPC_FRAME_HEADER_LEN + len);
    if (to == NULL)
        return err_set(err, ERR_NOMEM, "out of memory for a gRPC message of %zu bytes", len);
    to[0] = 0;
    to[1] = (uint8_t)(len >> 24);
    to[2] = (uint8_t)(len >> 16);
    to[3] = (uint8_t)(len >> 8);
    to[4] = (uint8_t)len;
    if (len > 0)
        memcpy(to + GRPC_FRAME_HEADER_LEN, message, len);
    buf_commit(out, GRPC_FRAME_HEADER_LEN + len);
    return 0;
}
