/*
 * An HTTP/2 connection (RFC 9113) without I/O, for either side: bytes in, bytes out, streams as
 * objects. HBONE and gRPC stand on it. It knows nothing of sockets, TLS, tunnels or messages, and
 * reads no clock.
 *
 * How it is driven. Bytes of the peer go into h2_session_recv. Bytes for the peer come out of
 * handler->on_output, which is called only from inside h2_session_send and h2_stream_write.
 * Whatever else produces output (a request, an answer, an acknowledgement, a window update) only
 * queues it and calls on_wants_send, once until the next h2_session_send: the owner then calls
 * h2_session_send when the current round of events is over, so that many frames make one write.
 *
 * Where callbacks run. on_headers, on_data, on_end, on_trailers and the connection's own run inside
 * h2_session_recv; on_writable, on_end_sent and on_closed inside h2_session_recv or
 * h2_session_send, never inside h2_stream_*. Inside any callback every function may be called
 * except h2_session_recv, h2_session_send and h2_session_free.
 *
 * Flow control. A stream's credit goes back to the peer when the owner says that the bytes are
 * dealt with (h2_stream_consume). The connection's credit goes back on receipt as long as little is
 * parked (received, not yet consumed) on the whole connection, so that one stuck stream does not
 * stop the others; beyond that it waits, so that memory is bounded by H2_PARKED_FREE and one
 * connection window. A stream whose owner keeps up gets its window doubled, up to
 * stream_window_max.
 */
#ifndef REMORA_H2_SESSION_H
#define REMORA_H2_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum {
    /* Payload of one DATA frame: with its header, exactly four full TLS records. */
    H2_DATA_MAX = 4 * 16384 - 9,
    /* Parked bytes for which the connection's credit is returned all the same. */
    H2_PARKED_FREE = 4 * 1024 * 1024,
};

enum h2_side { H2_CLIENT, H2_SERVER };

/* Error codes, RFC 9113 section 7. Peers may send others. */
enum h2_code {
    H2_NO_ERROR = 0x0,
    H2_PROTOCOL_ERROR = 0x1,
    H2_INTERNAL_ERROR = 0x2,
    H2_FLOW_CONTROL_ERROR = 0x3,
    H2_SETTINGS_TIMEOUT = 0x4,
    H2_STREAM_CLOSED = 0x5,
    H2_FRAME_SIZE_ERROR = 0x6,
    H2_REFUSED_STREAM = 0x7,
    H2_CANCEL = 0x8,
    H2_COMPRESSION_ERROR = 0x9,
    H2_CONNECT_ERROR = 0xa,
    H2_ENHANCE_YOUR_CALM = 0xb,
    H2_INADEQUATE_SECURITY = 0xc,
    H2_HTTP_1_1_REQUIRED = 0xd,
};

/*
 * A header field, pseudo-headers (":status") included. Names are lower case. In received fields
 * both texts are NUL-terminated, hold no NUL inside and are lent for the callback; value_len is for
 * those who need it.
 */
struct h2_header {
    const char *name;
    const char *value;
    size_t value_len; /* sending: 0 means strlen(value) */
    bool
        unique; /* sending: the value does not repeat, so it is kept out of the compression table */
};

/* The value of the first field with this name, or NULL. */
const char *h2_header_find(const struct h2_header *headers, size_t num_headers, const char *name);

struct h2_options {
    uint32_t max_streams;       /* streams that the peer may have open at once (server) */
    uint32_t stream_window;     /* bytes a new stream may receive ahead */
    uint32_t stream_window_max; /* what that grows to while the owner keeps up */
    uint32_t connection_window; /* bytes */
    uint32_t max_frame_size;    /* the largest frame that we accept: 16384 .. 16777215 */
    uint32_t max_header_list;   /* bytes as RFC 9113 6.5.2 counts; more resets the stream */
};

/*
 * What HBONE's peers use (docs: ztunnel's values), except that streams start with a smaller window
 * and grow into it.
 */
void h2_options_default(struct h2_options *options, enum h2_side side);

struct h2_session;
struct h2_stream;

/*
 * All get the session's owner; `stream`'s own is h2_stream_owner(stream). Those marked (NULL) may
 * be NULL.
 */
struct h2_handler {
    /* Bytes for the peer, in order, lent for the call. May call h2_session_set_blocked. */
    void (*on_output)(void *owner, const uint8_t *bytes, size_t len);
    /* See above: h2_session_send is due. */
    void (*on_wants_send)(void *owner);

    /*
     * Server: a well-formed request; the stream is new and has no owner yet. Client: the final
     * response (1xx are swallowed). `end`: the peer's direction ends here; on_end is not called for
     * it. Malformed ones (RFC 9113 8.1.1, 8.5) never get here: their stream is reset with
     * PROTOCOL_ERROR, see on_malformed.
     */
    void (*on_headers)(void *owner, struct h2_stream *stream, const struct h2_header *headers,
                       size_t num_headers, bool end);
    /* len > 0. Each byte is to be given back by h2_stream_consume, now or later. */
    void (*on_data)(void *owner, struct h2_stream *stream, const uint8_t *bytes, size_t len);
    /* END_STREAM without trailers. */
    void (*on_end)(void *owner, struct h2_stream *stream);
    /* (NULL: on_end instead) Trailers; they end the peer's direction too. */
    void (*on_trailers)(void *owner, struct h2_stream *stream, const struct h2_header *headers,
                        size_t num_headers);

    /* (NULL) h2_stream_queued has fallen to H2_QUEUE_LOW after having been at H2_QUEUE_HIGH. */
    void (*on_writable)(void *owner, struct h2_stream *stream);
    /* (NULL) Our END_STREAM went out through on_output, everything before it too. */
    void (*on_end_sent)(void *owner, struct h2_stream *stream);
    /*
     * The last call for a stream; its pointer is invalid when the callback returns. `code` is
     * H2_NO_ERROR when both directions had ended, else what the RST_STREAM of the peer said
     * (`by_peer`; NO_ERROR is possible) or what ended it on our side. H2_REFUSED_STREAM means that
     * the peer has done nothing with the request (RST_STREAM, or GOAWAY with a smaller last
     * stream): it may be sent again elsewhere. Not called after h2_stream_reset.
     */
    void (*on_closed)(void *owner, struct h2_stream *stream, uint32_t code, bool by_peer);

    /*
     * (NULL) A request that RFC 9113 calls malformed was reset by us; `why` is a phrase. Other
     * streams go on.
     */
    void (*on_malformed)(void *owner, const char *why);
    /* (NULL) The peer's SETTINGS arrived (each time). */
    void (*on_settings)(void *owner);
    /*
     * (NULL) The peer takes no new streams. Its unprocessed ones are closed with H2_REFUSED_STREAM
     * right after.
     */
    void (*on_goaway)(void *owner, uint32_t code);
    /* (NULL) The answer to h2_session_ping. */
    void (*on_ping_ack)(void *owner, uint64_t payload);
};

enum {
    H2_QUEUE_HIGH = 256 * 1024, /* as STREAM_HIGH_WATER */
    H2_QUEUE_LOW = 64 * 1024,   /* as STREAM_LOW_WATER */
};

/* -------------------------------------------------------------------------------- connection -- */

/*
 * Queues the preface and SETTINGS. `options` is copied, `handler` is kept by pointer. on_wants_send
 * is not called for what is queued here: the owner sends when it is ready. NULL: see *err.
 */
struct h2_session *h2_session_new(enum h2_side side, const struct h2_options *options,
                                  const struct h2_handler *handler, void *owner, struct err *err);

/* Frees it and its streams; no callback. NULL is ignored. */
void h2_session_free(struct h2_session *session);

/*
 * Takes bytes of the peer, all of them. -1 (ERR_PROTOCOL, ERR_NOMEM): the connection is broken;
 * h2_session_send still gets the GOAWAY out that tells the peer why; then h2_session_end_streams
 * and close.
 */
int h2_session_recv(struct h2_session *session, const uint8_t *bytes, size_t len, struct err *err);

/*
 * Produces what is queued, until there is nothing more or the session is blocked. -1 (ERR_NOMEM):
 * as in h2_session_recv.
 */
int h2_session_send(struct h2_session *session, struct err *err);

/*
 * While blocked, nothing is produced: set it when the layer below has a full queue. Unblocking
 * calls on_wants_send.
 */
void h2_session_set_blocked(struct h2_session *session, bool blocked);

/*
 * Nothing will be received or sent any more: a GOAWAY passed and no stream is left. The owner
 * closes the connection.
 */
bool h2_session_is_finished(const struct h2_session *session);

/*
 * The connection below is gone: on_closed(code, by_peer false) for every stream; nothing may be
 * sent afterwards.
 */
void h2_session_end_streams(struct h2_session *session, uint32_t code);

/*
 * Streams that are open, and (client) how many the peer permits: 100 until its SETTINGS are here.
 */
unsigned h2_session_num_streams(const struct h2_session *session);
unsigned h2_session_max_streams(const struct h2_session *session);

/*
 * Client: false once the peer's GOAWAY or our drain forbids new streams, stream ids have run out,
 * or it is broken.
 */
bool h2_session_takes_requests(const struct h2_session *session);

/* 0, or -1 when out of memory. */
int h2_session_ping(struct h2_session *session, uint64_t payload);

/*
 * Ends the connection gracefully. Server: GOAWAY with the last stream id 2^31-1, and the final one
 * a round trip later (measured by a PING of its own, which on_ping_ack does not see), RFC 9113 6.8.
 * Client: no further requests and a GOAWAY. Streams go on.
 */
void h2_session_start_drain(struct h2_session *session);

/* GOAWAY with `code`, at once and final. */
void h2_session_goaway(struct h2_session *session, uint32_t code);

/*
 * Frees buffers that streams keep for speed and do not need now. For a timer that runs every few
 * seconds.
 */
void h2_session_trim(struct h2_session *session);

/* ----------------------------------------------------------------------------------- streams -- */

/*
 * Client: opens a stream. The peer's direction starts with on_headers. `end`: we send nothing more.
 * NULL: see *err (ERR_LIMIT when h2_session_takes_requests says no or max_streams are open).
 */
struct h2_stream *h2_session_request(struct h2_session *session, const struct h2_header *headers,
                                     size_t num_headers, bool end, void *owner, struct err *err);

/* Server: the response, once. `end`: nothing follows. 0, or -1 when out of memory. */
int h2_stream_respond(struct h2_stream *stream, const struct h2_header *headers, size_t num_headers,
                      bool end);

void *h2_stream_owner(const struct h2_stream *stream);
void h2_stream_set_owner(struct h2_stream *stream, void *owner);
struct h2_session *h2_stream_session(const struct h2_stream *stream);

/*
 * Sends `len` bytes (server: after h2_stream_respond). What flow control and the layer below take
 * now goes out at once through on_output without being copied; the rest is copied. The owner
 * watches h2_stream_queued and stops feeding at H2_QUEUE_HIGH. Out of memory closes the stream
 * (on_closed with H2_INTERNAL_ERROR).
 */
void h2_stream_write(struct h2_stream *stream, const uint8_t *bytes, size_t len);
size_t h2_stream_queued(const struct h2_stream *stream);

/* END_STREAM after what was written. Once; no h2_stream_write after it. */
void h2_stream_end(struct h2_stream *stream);

/* Trailers instead of h2_stream_end, after what was written. 0, or -1 when out of memory. */
int h2_stream_trailers(struct h2_stream *stream, const struct h2_header *headers,
                       size_t num_headers);

/* Gives `len` received bytes of credit back. */
void h2_stream_consume(struct h2_stream *stream, size_t len);

/*
 * Lets go of the stream: RST_STREAM(code) unless both directions have ended already. What is queued
 * is dropped, except with H2_NO_ERROR after our end was asked for (h2_stream_end, a response with
 * `end`): then all of it goes out first, and the reset only asks the peer to send no more (RFC 9113
 * 8.1). What was not consumed counts as consumed. No callback follows, and the pointer is invalid
 * at once.
 */
void h2_stream_reset(struct h2_stream *stream, uint32_t code);

#endif
