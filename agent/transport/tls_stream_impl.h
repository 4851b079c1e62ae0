/* How a finished handshake becomes a stream. For tls_handshake only. */
#ifndef REMORA_TLS_STREAM_IMPL_H
#define REMORA_TLS_STREAM_IMPL_H

#include "buf.h"
#include "stream.h"
#include "tls_conn.h"
#include "tls_io.h"

/*
 * Takes `lower` and `conn`, which is open or was closed by the peer, and `plain`: what the peer
 * sent together with the end of its handshake. NULL: out of memory, nothing is taken.
 */
struct stream *tls_stream_new(struct tls_io *io, struct stream *lower, struct tls_conn *conn,
                              struct buf *plain);

#endif
