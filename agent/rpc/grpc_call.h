/*
 * One gRPC call on a channel: a stream of messages each way, of which a unary call is the case of
 * one and one. Does not know what the messages mean.
 *
 * A unary call whose server has certainly not seen it (REFUSED_STREAM, or GOAWAY with a smaller last
 * stream) goes out once more by itself.
 */
#ifndef REMORA_GRPC_CALL_H
#define REMORA_GRPC_CALL_H

#include <stdbool.h>
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
    const uint8_t *message; /* the first request, or NULL: none yet; copied */
    size_t message_len;
    size_t answer_max; /* bytes of one message of the answer; memory grows with what came only */
    bool answer_is_secret; /* it holds keys: its memory is taken whole, and cleared */
    /*
     * For all of it, connecting too; told to the server. 0: the call has no end of its own, and
     * connect_timeout_ms bounds the time until it has a connection. One of the two is not 0
     * (asserted).
     */
    uint64_t timeout_ms;
    uint64_t connect_timeout_ms; /* until on_open; 0: timeout_ms alone bounds it */
    /* We may say more than `message`: grpc_call_send, and grpc_call_end_sending at the end. */
    bool keeps_sending;
};

/* Those marked (NULL) may be NULL. In each but on_end the call may be cancelled, but the channel not
 * be freed. */
struct grpc_call_handler {
    /* (NULL) The connection stands, and the call goes out on it. Once; again when a unary call was
     * sent again. */
    void (*on_open)(void *owner);
    /* (NULL) The answer begins: the server has taken the call. */
    void (*on_answer)(void *owner);
    /* A message of the answer, lent. */
    void (*on_message)(void *owner, const uint8_t *message, size_t len);
    /* (NULL) grpc_call_send had refused, and most of what waited has gone out. */
    void (*on_writable)(void *owner);
    /*
     * (NULL) The server takes no more calls on this call's connection and will end it (GOAWAY). The
     * call goes on for now; another one started from here on gets a connection of its own, so that
     * a stream's successor can stand before the stream ends. Once.
     */
    void (*on_goaway)(void *owner);
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

enum { GRPC_CALL_QUEUE_HIGH = 256 * 1024 };

/*
 * Sends another request (copied), now or when flow control lets it; before on_open it waits. Only
 * where keeps_sending was asked for and not after grpc_call_end_sending (both asserted). No handler
 * is called from inside. 0, or -1 and nothing is sent of it: ERR_LIMIT while GRPC_CALL_QUEUE_HIGH
 * bytes and more wait (so that what waits is bounded by that and one message), ERR_NOMEM.
 */
int grpc_call_send(struct grpc_call *call, const uint8_t *message, size_t len, struct err *err);

/* We say nothing more. Once; the answer goes on. */
void grpc_call_end_sending(struct grpc_call *call);

/* Not after on_end. No handler is called any more; the server sees RST_STREAM(CANCEL). NULL is
 * ignored. */
void grpc_call_cancel(struct grpc_call *call);

#endif
