/*
 * One tunnel: an HTTP/2 stream as a struct stream. Internal to hbone; the others see the struct
 * stream.
 *
 * END_STREAM is the half-close. A reset of ours is RST_STREAM: CONNECT_ERROR for stream_abort (RFC
 * 9113 8.5: the TCP connection at our side was reset), CANCEL for a close before the end. A peer's
 * RST_STREAM is STREAM_FAULT_RESET, except NO_ERROR, which says that the peer has all it wants:
 * EOF, and what we still write is dropped.
 */
#ifndef REMORA_HBONE_STREAM_H
#define REMORA_HBONE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "h2_session.h"
#include "hbone_conn.h"
#include "stream.h"

/* How a request ended that did not become a tunnel. */
struct hbone_loss {
    uint32_t code; /* H2_... */
    bool by_peer;
    enum reason reason;    /* of the connection's end, when that is why; else REASON_DONE */
    const struct err *err; /* may be NULL */
};

/* Whoever waits for a stream to become a tunnel. */
struct hbone_opener {
    /* (client) The answer; the stream is still the opener's. */
    void (*on_answer)(void *opener, const struct h2_header *headers, size_t num_headers, bool end);
    /* It will not become one; the stream is gone. */
    void (*on_lost)(void *opener, const struct hbone_loss *loss);
};

/*
 * Makes one of an HTTP/2 stream, which becomes its owner's. `ended`: the peer's direction has
 * ended. Until hbone_stream_open what arrives is parked. NULL: out of memory; nothing is taken.
 */
struct hbone_stream *hbone_stream_new(struct hbone_conn *conn, struct h2_stream *h2, bool ended,
                                      const struct hbone_opener *opener, void *opener_owner);

/* It is a tunnel from now on, and the caller's. */
struct stream *hbone_stream_open(struct hbone_stream *stream);

/* Gives up a stream that is no tunnel yet, without on_lost. */
void hbone_stream_drop(struct hbone_stream *stream, uint32_t code);

struct h2_stream *hbone_stream_h2(const struct hbone_stream *stream);

/* What HTTP/2 tells; `stream` may be NULL (dropped). */
void hbone_stream_on_answer(struct hbone_stream *stream, const struct h2_header *headers,
                            size_t num_headers, bool end);
void hbone_stream_on_data(struct hbone_stream *stream, const uint8_t *bytes, size_t len);
void hbone_stream_on_end(struct hbone_stream *stream);
void hbone_stream_on_writable(struct hbone_stream *stream);
void hbone_stream_on_end_sent(struct hbone_stream *stream);
void hbone_stream_on_closed(struct hbone_stream *stream, uint32_t code, bool by_peer);

#endif
