/*
 * What the files of this module share. Not for others.
 */
#ifndef REMORA_H2_INTERNAL_H
#define REMORA_H2_INTERNAL_H

#include <nghttp2/nghttp2.h>
#include <sys/queue.h>

#include "buf.h"
#include "h2_session.h"

/* What has happened to a stream and is still to be told to its owner. */
enum h2_event {
    H2_EVENT_END_SENT = 1 << 0,
    H2_EVENT_WRITABLE = 1 << 1,
    H2_EVENT_CLOSED = 1 << 2,
};

struct h2_trailers;

struct h2_stream {
    struct h2_session *session;
    void *owner;
    TAILQ_ENTRY(h2_stream) entry;       /* in session->streams */
    TAILQ_ENTRY(h2_stream) event_entry; /* in session->events, when events is not 0 */
    struct buf queue;                   /* bytes that had to wait */
    const uint8_t *lent;                /* bytes behind the queue, only during h2_stream_write */
    size_t lent_len;
    struct h2_trailers *trailers; /* NULL: none wait */
    int32_t id;
    uint32_t close_code;
    uint32_t parked;  /* received and not consumed */
    uint32_t window;  /* receive window in force */
    uint32_t kept_up; /* bytes consumed since the window last grew or the owner lagged */
    uint8_t events;   /* enum h2_event */
    bool announced;   /* the owner knows it */
    bool orphan;      /* the owner has let go; it lives until nghttp2 has closed it */
    bool finishing;   /* an orphan whose queue still goes out */
    bool closed;      /* nghttp2 has closed it */
    bool by_peer;
    bool unsent;   /* the request never left */
    bool answered; /* final response headers were received (client), or submitted (server) */
    bool ending;   /* h2_stream_end or h2_stream_trailers was called */
    bool end_went; /* our END_STREAM went out */
    bool was_high;
};

TAILQ_HEAD(h2_stream_list, h2_stream);

/* The header block that is being received. At most one at a time (RFC 9113 4.3). */
struct h2_block {
    struct h2_header *fields;
    nghttp2_rcbuf **bufs; /* two for each field: what its texts live in */
    size_t num_fields;
    size_t capacity;
    size_t list_size; /* RFC 9113 6.5.2 */
};

struct h2_session {
    nghttp2_session *ng;
    const struct h2_handler *handler;
    void *owner;
    struct h2_options options;
    enum h2_side side;
    struct h2_stream_list streams;
    struct h2_stream_list events;
    struct h2_block block;
    unsigned num_streams; /* that count against the limit: open in nghttp2's eyes or about to be */
    uint64_t parked;      /* sum over the streams */
    uint64_t owed;        /* connection credit that was not given back */
    bool receiving;
    bool sending;
    bool asked; /* on_wants_send was called, h2_session_send has not run since */
    bool again; /* callbacks in h2_session_send produced more */
    bool blocked;
    bool broken;
    bool draining;
    bool drain_ping; /* the PING that measures a round trip is under way */
    bool own_goaway; /* a GOAWAY with an error code is the owner's wish, not a fault */
    char why[160];   /* nghttp2's last complaint */
};

/* -------------------------------------------------------------------------------- h2_options -- */

void h2_options_apply(const struct h2_options *options, nghttp2_option *option);
int h2_options_submit(const struct h2_session *session); /* 0, or nghttp2's error */

/* --------------------------------------------------------------------------------- h2_header -- */

enum { H2_FIELDS_SENT_MAX = 32 };

/* Fills nva (H2_FIELDS_SENT_MAX entries); the texts stay where they are. */
void h2_header_to_nv(const struct h2_header *headers, size_t num_headers, nghttp2_nv *nva);

/* ---------------------------------------------------------------------------------- h2_block -- */

/*
 * Adds a received field. 0, -1 (out of memory), or 1 when the list has become larger than `limit`.
 */
int h2_block_add(struct h2_block *block, nghttp2_rcbuf *name, nghttp2_rcbuf *value, size_t limit);
void h2_block_clear(struct h2_block *block);
void h2_block_done(struct h2_block *block);

/* ------------------------------------------------------------------------------- h2_trailers -- */

/* Copies headers into one allocation (NULL: out of memory) and submits them. */
struct h2_trailers *h2_trailers_new(const struct h2_header *headers, size_t num_headers);
int h2_trailers_submit(const struct h2_trailers *trailers, nghttp2_session *ng, int32_t stream_id);

/* ------------------------------------------------------------------------------ h2_callbacks -- */

/* NULL: out of memory. */
nghttp2_session_callbacks *h2_callbacks_new(void);

/* -------------------------------------------------------------------------------- h2_session -- */

/* Sees to it that h2_session_send will run. */
void h2_session_ask(struct h2_session *session);

/* Runs nghttp2's sending side once. Not while receiving or sending. */
void h2_session_produce(struct h2_session *session);

/* Gives back as much of the connection's credit as the parked bytes permit. */
void h2_session_settle_credit(struct h2_session *session);

/* Remembers what makes further use of the connection senseless. */
void h2_session_set_broken(struct h2_session *session, int ng_error);

/* --------------------------------------------------------------------------------- h2_stream -- */

struct h2_stream *h2_stream_new(struct h2_session *session);
void h2_stream_free(struct h2_stream *stream);
void h2_stream_post(struct h2_stream *stream, enum h2_event event);
void h2_stream_on_data(struct h2_stream *stream, const uint8_t *bytes, size_t len);

/* Everything that waits, and how it goes out: nghttp2's data source. */
nghttp2_data_provider h2_stream_provider(struct h2_stream *stream);
size_t h2_stream_peek(const struct h2_stream *stream);
void h2_stream_emit(struct h2_stream *stream, const uint8_t *head, size_t len);

#endif
