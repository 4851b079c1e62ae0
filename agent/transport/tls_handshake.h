/*
 * A TLS handshake over any stream, with a time limit. Only a connection whose peer is verified
 * becomes a stream.
 */
#ifndef REMORA_TLS_HANDSHAKE_H
#define REMORA_TLS_HANDSHAKE_H

#include <stdint.h>

#include "err.h"
#include "reason.h"
#include "stream.h"
#include "tls_conn.h"
#include "tls_io.h"

struct tls_handshake;

/*
 * How a handshake ended. Success: `stream` is the callback's to keep, reason is REASON_DONE, err
 * NULL. Failure: stream is NULL, reason one of TLS_*, CERT_*, IDENTITY_MISMATCH, NO_MEMORY; *err
 * lent. The alert is on its way to the peer by then.
 */
typedef void tls_handshake_done(void *owner, struct stream *stream, enum reason reason,
                                const struct err *err);

/*
 * Starts a handshake over `lower`, whose owner and handler this becomes. `params` is read during
 * the call. Returns NULL (with *err) when it could not start: `lower` is then still the caller's.
 * Else `done` comes once, later, and the handshake frees itself; after a failure `lower` is closed
 * by then.
 */
struct tls_handshake *tls_handshake_start(struct tls_io *io, struct stream *lower,
                                          struct tls_context *context,
                                          const struct tls_conn_params *params, uint64_t timeout_ms,
                                          tls_handshake_done *done, void *owner, struct err *err);

/* Not after `done`, which will not be called. Closes the stream below. NULL is ignored. */
void tls_handshake_cancel(struct tls_handshake *handshake);

#endif
