/*
 * TLS on top of any stream: a tls_conn fed by the stream below, offered as a struct stream again.
 * The handshake is an operation of its own with a time limit; only a connection whose peer is
 * verified becomes a stream.
 *
 * As a stream: shutdown is close_notify and the end of the stream below; the peer's close_notify is
 * on_eof. An end without it is STREAM_FAULT_LOST (truncation), never an EOF. What is written during
 * one round of the loop is encrypted into full records and handed down in one write at the round's
 * end, or at once when TLS_STREAM_FLUSH bytes have gathered.
 */
#ifndef REMORA_TLS_STREAM_H
#define REMORA_TLS_STREAM_H

#include <stdint.h>

#include "err.h"
#include "net_loop.h"
#include "reason.h"
#include "stream.h"
#include "tls_conn.h"

/* Bytes of ciphertext that are not held until the end of the round. */
enum { TLS_STREAM_FLUSH = 128 * 1024 };

/*
 * What all TLS streams of one loop share: the buffers that are needed only while bytes pass
 * through.
 */
struct tls_io;

/* NULL: out of memory. */
struct tls_io *tls_io_new(struct net_loop *loop);
void tls_io_free(struct tls_io *io); /* after all its streams and handshakes; NULL is ignored */
struct net_loop *tls_io_loop(const struct tls_io *io);

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
struct tls_handshake *tls_stream_start(struct tls_io *io, struct stream *lower,
                                       struct tls_context *context,
                                       const struct tls_conn_params *params, uint64_t timeout_ms,
                                       tls_handshake_done *done, void *owner, struct err *err);

/* Not after `done`, which will not be called. Closes the stream below. NULL is ignored. */
void tls_stream_cancel(struct tls_handshake *handshake);

/* Of a stream that a handshake gave. All lent until the stream is closed. */
struct peer_cert *tls_stream_peer(const struct stream *stream); /* NULL unless a mesh connection */
struct tls_conn_info tls_stream_info(const struct stream *stream);
struct tls_context *tls_stream_context(const struct stream *stream);

/*
 * After on_failed: why, in finer words than the fault: REASON_TLS_PEER_REFUSED_US when the server
 * refused our certificate after our side of the handshake was done (TLS 1.3), TUNNEL_LOST,
 * TLS_FAILED ... Before: REASON_DONE.
 */
enum reason tls_stream_reason(const struct stream *stream);

/* Hands down now what the end of the round would. For what must be on its way before a close. */
void tls_stream_flush(struct stream *stream);

#endif
