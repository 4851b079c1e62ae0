/*
 * One gRPC call on a channel: a stream of messages each way, of which a unary call is the case of
 * one and one. Does not know what the messages mean.
 */
#ifndef REMORA_GRPC_CALL_H
#define REMORA_GRPC_CALL_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "grpc_channel.h"
#include "grpc_status.h"

struct grpc_call;

struct grpc_metadata {
    const char *name; /* lower case */
    const char *value;
};

enum { GRPC_CALL_METADATA_MAX = 8 };

struct grpc_call_params {
    const char *path; /* "/package.Service/Method"; kept by pointer */
    const struct grpc_metadata
        *metadata;          /* copied; cleared when the call ends, it may hold a token */
    size_t num_metadata;    /* at most GRPC_CALL_METADATA_MAX (asserted) */
    const uint8_t *message; /* the request; copied */
    size_t message_len;
    size_t answer_max;   /* bytes of one message of the answer */
    uint64_t timeout_ms; /* for all of it, connecting too; told to the server. Not 0 (asserted) */
};

struct grpc_call_handler {
    /* A message of the answer, lent. May cancel the call, but not free the channel. */
    void (*on_message)(void *owner, const uint8_t *message, size_t len);
    /*
     * How the call ended, once, last; the call frees itself afterwards. OK and err NULL, or *err
     * lent: where, what, and the server's own words. Its kind: ERR_DENIED (the server says that we
     * may not, or that the request is wrong), ERR_TLS (the server's certificate), ERR_TIMEOUT,
     * ERR_SYSTEM or ERR_NOT_FOUND (not reachable, or a file not readable), ERR_PROTOCOL, ERR_LIMIT,
     * ERR_NOMEM. Any function may be called inside, grpc_channel_free too.
     */
    void (*on_end)(void *owner, enum grpc_status status, const struct err *err);
};

/*
 * Starts a call; no handler is called from inside. `handler` is kept by pointer. NULL: *err is
 * ERR_NOMEM, or ERR_LIMIT for a message that is too long.
 */
struct grpc_call *grpc_call_start(struct grpc_channel *channel,
                                  const struct grpc_call_params *params,
                                  const struct grpc_call_handler *handler, void *owner,
                                  struct err *err);

/* Not after on_end. No handler is called any more; the server sees RST_STREAM(CANCEL). NULL is
 * ignored. */
void grpc_call_cancel(struct grpc_call *call);

#endif
