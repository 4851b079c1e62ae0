/*
 * A TCP connection and TLS on it, as one step that can be cancelled.
 */
#ifndef REMORA_DIAL_H
#define REMORA_DIAL_H

#include <stdint.h>

#include "addr.h"
#include "err.h"
#include "net_tcp.h"
#include "reason.h"
#include "starttls.h"
#include "stream.h"
#include "tls_context.h"
#include "tls_io.h"

struct dial;

struct dial_params {
    struct addr to;
    struct tls_context *context;
    const char *const *expected; /* as in tls_conn_params; for mesh contexts */
    size_t num_expected;
    struct net_tcp_options tcp;
    uint64_t connect_timeout_ms;
    enum starttls starttls;
    uint64_t tls_timeout_ms;           /* asking for TLS included */
    void (*on_connected)(void *owner); /* TCP stands, TLS begins; may be NULL */
};

/*
 * Success: `stream` is a TLS stream and the callback's to keep, reason REASON_DONE, err NULL.
 * Failure: stream NULL, *err lent, and reason is what dial_connect_reason says, or the handshake's (tls_handshake.h, starttls.h).
 */
typedef void dial_done(void *owner, struct stream *stream, enum reason reason,
                       const struct err *err);

/*
 * Copies `params` and takes a reference to the context. NULL (with *err, whose reason
 * dial_connect_reason gives) when it could not start; `done` is then not called. Else `done` comes
 * once, later, and the dial frees itself.
 */
struct dial *dial_start(struct tls_io *io, const struct dial_params *params, dial_done *done,
                        void *owner, struct err *err);

/* Not after `done`, which will not be called. NULL is ignored. */
void dial_cancel(struct dial *dial);

/*
 * The way of connecting failed with *err: CONNECT_REFUSED, CONNECT_TIMEOUT, OUT_OF_DESCRIPTORS,
 * NO_MEMORY or CONNECT_FAILED.
 */
enum reason dial_connect_reason(const struct err *err);

#endif
