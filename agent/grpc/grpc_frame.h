/*
 * Messages inside the DATA of a gRPC stream: each has five bytes in front, a flag and a length
 * ("Length-Prefixed-Message" of "gRPC over HTTP2"). Pure: bytes in, messages out. Not for what the
 * messages mean, and not for HTTP/2.
 *
 * Compressed messages are refused: no side here says that it can read them.
 */
#ifndef REMORA_GRPC_FRAME_H
#define REMORA_GRPC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "grpc_status.h"

enum {
    GRPC_FRAME_HEADER_LEN =
        5, /* bytes: compressed-flag, then the message's length in network order */
};

/* Takes a stream's bytes in pieces of any size. Memory grows with the bytes that came, never with a
 * length that is promised. */
struct grpc_frame_reader {
    size_t message_max; /* bytes */
    uint8_t header[GRPC_FRAME_HEADER_LEN];
    size_t header_len;  /* bytes of header[] that are there */
    size_t message_len; /* what the header says; known once header_len is full */
    struct buf message;
    bool complete;
    /* Set after init for messages that hold keys: their memory, taken whole when the length is known
     * so that it is never moved, is cleared before it is freed or used anew. */
    bool is_secret;
};

/* `message_max`: bytes that one message may have. */
void grpc_frame_reader_init(struct grpc_frame_reader *reader, size_t message_max);

/* Frees what is held. NULL and a zeroed struct are ignored. */
void grpc_frame_reader_done(struct grpc_frame_reader *reader);

/*
 * Takes bytes until one message is complete or all `len` are taken, and returns how many were (0
 * only for len 0). Afterwards grpc_frame_reader_message tells whether a message is there; the next
 * call begins the next one. Returns -1 when the stream is broken, with *status for the other side:
 * INTERNAL (compressed without our asking, or a flag that does not exist), RESOURCE_EXHAUSTED
 * (longer than message_max, or out of memory); the reader is of no use then.
 */
ptrdiff_t grpc_frame_reader_feed(struct grpc_frame_reader *reader, const uint8_t *bytes, size_t len,
                                 enum grpc_status *status, struct err *err);

/* The complete message, lent until the next call of feed or done, or NULL when there is none. Never
 * NULL for an empty message. */
const uint8_t *grpc_frame_reader_message(const struct grpc_frame_reader *reader, size_t *len);

/* The message is dealt with: a large one's memory goes now rather than when the next one comes. */
void grpc_frame_reader_drop(struct grpc_frame_reader *reader);

/* True between two messages; when the stream ends and this is false, the last message was cut off.
 */
bool grpc_frame_reader_at_boundary(const struct grpc_frame_reader *reader);

/* Appends header and message. 0, or -1 with ERR_LIMIT (4 GiB and more) or ERR_NOMEM. */
int grpc_frame_write(struct buf *out, const uint8_t *message, size_t len, struct err *err);

#endif
