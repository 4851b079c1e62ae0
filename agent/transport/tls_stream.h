/*
 * TLS on top of any stream: a tls_conn fed by the stream below, offered as a struct stream again.
 * tls_handshake.h makes them.
 *
 * As a stream: shutdown is close_notify and the end of the stream below; the peer's close_notify is
 * on_eof. An end without it is STREAM_FAULT_LOST (truncation), never an EOF. What is written during
 * one round of the loop is encrypted into full records and handed down in one write at the round's
 * end, or at once when TLS_STREAM_FLUSH bytes have gathered.
 */
#ifndef REMORA_TLS_STREAM_H
#define REMORA_TLS_STREAM_H

#include <stdbool.h>

#include "reason.h"
#include "stream.h"
#include "tls_conn.h"

/* Bytes of ciphertext that are not held until the end of the round. */
enum { TLS_STREAM_FLUSH = 128 * 1024 };

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

/*
 * As stream_abort, but the other end sees the alert access_denied, after what was written: it is known, and may not. What it does not
 * take soon is dropped.
 */
void tls_stream_deny(struct stream *stream);

/*
 * After stream_shutdown, and after on_failed, too: whether the other end's kernel has all that was written, whatever has become of our
 * close_notify behind it. False as well when that cannot be known, because what is below is no TCP connection.
 */
bool tls_stream_is_delivered(const struct stream *stream);

/* Hands down now what the end of the round would. For what must be on its way before a close. */
void tls_stream_flush(struct stream *stream);

#endif
