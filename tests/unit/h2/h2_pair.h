/*
 * Two HTTP/2 sessions in memory, and what happens on each side written down.
 */
#ifndef TEST_H2_PAIR_H
#define TEST_H2_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "h2_session.h"

enum { SIDE_STREAMS_MAX = 256 };

/* What a side has seen of one stream. */
struct seen {
    struct h2_stream *stream; /* NULL once closed or let go */
    struct buf data;
    char headers[512]; /* "name=value;..." of the last list */
    unsigned num_headers;
    unsigned num_trailers;
    bool ended;
    bool end_sent;
    unsigned num_writable;
    bool closed;
    uint32_t code;
    bool by_peer;
};

struct side {
    struct h2_session *session;
    struct buf out;      /* produced, not yet carried over */
    size_t num_produced; /* bytes, ever */
    size_t max_out;      /* 0: none; at which the session is blocked */
    bool wants_send;
    bool keep;   /* do not consume what arrives */
    bool answer; /* a server answers each request with 200 at once */
    struct seen streams[SIDE_STREAMS_MAX];
    unsigned num_streams;
    unsigned num_goaways;
    unsigned num_settings;
    unsigned num_malformed;
    char malformed[256];
    uint64_t ping_ack;
    int recv_result;
    int send_result;
    struct err err;
};

struct pair {
    struct side client;
    struct side server;
};

void side_init(struct side *side, enum h2_side which, const struct h2_options *options);
void side_done(struct side *side);

/* Lets it send; then hands it bytes. */
void side_send(struct side *side);
void side_recv(struct side *side, const void *bytes, size_t len);

/* NULL: the default options. */
void pair_init(struct pair *pair, const struct h2_options *client, const struct h2_options *server);
void pair_done(struct pair *pair);

/* Carries bytes to and fro, `chunk` at a time, until both are quiet. */
void pair_pump(struct pair *pair, size_t chunk);

/* A CONNECT of the client, as HBONE's; the place where its events go. */
struct seen *pair_connect(struct pair *pair);

/* What the server has seen of stream number `index`, counted from 0. */
struct seen *pair_at_server(struct pair *pair, unsigned index);

/* Frames made by hand. Both append. `flags` and `type` as RFC 9113. */
void frame_put(struct buf *to, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
               size_t len);
void frame_put_field(struct buf *block, const char *name, const char *value);

#define FRAME_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

#endif
