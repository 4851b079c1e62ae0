/*
 * How a gRPC call ended: the status codes and the two trailers that carry them, grpc-status and
 * grpc-message. Pure.
 */
#ifndef REMORA_GRPC_STATUS_H
#define REMORA_GRPC_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#define GRPC_STATUS_MAP(X)                                                                         \
    X(OK, 0)                                                                                       \
    X(CANCELLED, 1)                                                                                \
    X(UNKNOWN, 2)                                                                                  \
    X(INVALID_ARGUMENT, 3)                                                                         \
    X(DEADLINE_EXCEEDED, 4)                                                                        \
    X(NOT_FOUND, 5)                                                                                \
    X(ALREADY_EXISTS, 6)                                                                           \
    X(PERMISSION_DENIED, 7)                                                                        \
    X(RESOURCE_EXHAUSTED, 8)                                                                       \
    X(FAILED_PRECONDITION, 9)                                                                      \
    X(ABORTED, 10)                                                                                 \
    X(OUT_OF_RANGE, 11)                                                                            \
    X(UNIMPLEMENTED, 12)                                                                           \
    X(INTERNAL, 13)                                                                                \
    X(UNAVAILABLE, 14)                                                                             \
    X(DATA_LOSS, 15)                                                                               \
    X(UNAUTHENTICATED, 16)

enum grpc_status {
#define GRPC_STATUS_ID(id, number) GRPC_STATUS_##id = number,
    GRPC_STATUS_MAP(GRPC_STATUS_ID)
#undef GRPC_STATUS_ID
};

enum {
    GRPC_STATUS_MESSAGE_MAX = 512, /* bytes of a decoded message, NUL included */
    GRPC_STATUS_ENCODED_MAX =
        3 * 512 + 1, /* the longest that such a message becomes, NUL included */
};

/* "UNAVAILABLE"; "?" for a number that is no status. */
const char *grpc_status_name(enum grpc_status status);

/* The value of grpc-status. A number that is not in the list is UNKNOWN, as gRPC wants it; -1 (no
 * *status) if it is no number. */
int grpc_status_parse(const char *text, size_t len, enum grpc_status *status);

/* For an answer without grpc-status (a proxy in between, not a gRPC server): what its HTTP status
 * stands for. */
enum grpc_status grpc_status_from_http(int http_status);

/*
 * The value of grpc-message: percent-encoded where it is not printable ASCII. `out` has `size`
 * bytes; a message that does not fit (it does with GRPC_STATUS_ENCODED_MAX) is cut between
 * characters. Returns `out`.
 */
const char *grpc_status_encode_message(const char *message, char *out, size_t size);

/*
 * The other way. What is not valid percent-encoding stays as it came, as gRPC wants it. Control
 * characters become spaces, because the text goes into our messages. Cut to fit `size`. Returns
 * `out`.
 */
const char *grpc_status_decode_message(const char *text, size_t len, char *out, size_t size);

#endif
