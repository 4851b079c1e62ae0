/*
 * What some protocols want said in clear before TLS begins. Only the way to a server; nothing that is heard in clear is believed, but
 * that TLS may begin.
 */
#ifndef REMORA_STARTTLS_H
#define REMORA_STARTTLS_H

#include <stdint.h>

#include "err.h"
#include "net_loop.h"
#include "reason.h"
#include "stream.h"

enum starttls {
    STARTTLS_NONE, /* TLS begins with the first byte */
    STARTTLS_POSTGRESQL, /* SSLRequest, answered by "S" (PostgreSQL manual, Message Flow: SSL Session Encryption) */
};

struct starttls_request;

/*
 * How asking ended. Success: `stream` is the one that was given, with nothing read and its reading stopped, the callback's to keep; reason is
 * REASON_DONE, err NULL. Failure: stream NULL and closed by then, *err lent; reason is TLS_FAILED (no TLS there, or
 * bytes where there can be none), TLS_TIMEOUT.
 */
typedef void starttls_done(void *owner, struct stream *stream, enum reason reason,
                           const struct err *err);

/*
 * Asks for TLS, and waits at most `timeout_ms` for the answer. `kind` is not STARTTLS_NONE. Becomes the owner and handler of `stream`. NULL:
 * out of memory; `stream` is then still the caller's. Else `done` comes once, later, and the request frees itself.
 */
struct starttls_request *starttls_start(struct net_loop *loop, struct stream *stream,
                                        enum starttls kind, uint64_t timeout_ms,
                                        starttls_done *done, void *owner);

/* Not after `done`, which will not be called. Closes the stream. NULL is ignored. */
void starttls_cancel(struct starttls_request *request);

#endif
