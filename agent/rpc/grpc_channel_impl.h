/* What channel, connections and calls know of each other. For grpc_*.c alone. */
#ifndef REMORA_GRPC_CHANNEL_IMPL_H
#define REMORA_GRPC_CHANNEL_IMPL_H

#include <stdbool.h>
#include <sys/queue.h>

#include "buf.h"
#include "dial.h"
#include "grpc_call.h"
#include "grpc_channel.h"
#include "grpc_frame.h"
#include "grpc_target.h"
#include "net_resolve.h"
#include "rpc_link.h"

TAILQ_HEAD(grpc_call_queue, grpc_call);

struct grpc_connection {
    struct rpc_link link; /* first: see rpc_link.h */
    struct grpc_channel *channel;
    LIST_ENTRY(grpc_connection) entry;
    struct grpc_call_queue calls; /* that have a stream here */

    /* Asks the peer for a sign of life, or waits for it. */
    struct net_timer *keepalive;
    bool ping_sent;         /* and not answered */
    uint64_t received_then; /* bytes, when the timer was started last */
};

/* A header of the call's own; both texts are owned. */
struct grpc_call_field {
    char *name;
    char *value; /* cleared when freed */
};

enum grpc_call_state {
    GRPC_CALL_WAITING, /* for a connection */
    GRPC_CALL_OPEN,    /* has a stream */
    GRPC_CALL_ENDED,   /* on_end is due */
};

struct grpc_call {
    struct grpc_channel *channel;
    const struct grpc_call_handler *handler;
    void *owner;
    enum grpc_call_state state;
    TAILQ_ENTRY(grpc_call) entry;       /* of the channel's waiting or its connection's calls */
    struct grpc_connection *connection; /* while it is open */
    struct h2_stream *stream;           /* while it is open */
    struct net_timer *deadline;
    struct net_task end; /* calls on_end, which must not happen inside the session's callbacks */

    const char *path;
    struct grpc_call_field fields[GRPC_CALL_METADATA_MAX];
    size_t num_fields;
    uint64_t timeout_ms;         /* 0: none */
    uint64_t connect_timeout_ms; /* 0: none */
    uint64_t started_at_ms;
    /* Framed. Of a unary call kept whole, because a refused request is sent again; else what waits
     * for the connection. */
    struct buf request;
    bool keeps_sending;
    bool ended_sending;
    bool refused_to_send; /* on_writable is owed */
    bool told_goaway;

    struct grpc_frame_reader answer;
    bool answered; /* headers of an answer have come */
    bool resent;
    bool calling;   /* a handler runs */
    bool cancelled; /* inside a handler, which is the reason that the call is still there */
    enum grpc_status status;
    struct err err;
};

struct grpc_channel {
    struct tls_io *io;
    struct net_loop *loop;
    char *address;
    char *peer;
    struct grpc_target target;
    char *server_name; /* TLS */
    char *roots_file;  /* TLS */
    uint64_t connect_timeout_ms;
    uint64_t tls_timeout_ms;
    uint64_t idle_ms;
    uint64_t keepalive_ms;
    uint64_t keepalive_timeout_ms;

    unsigned num_calls;
    struct grpc_call_queue waiting;
    LIST_HEAD(, grpc_connection) connections; /* newest first */
    struct net_timer *idle;
    struct net_task pump; /* gives waiting calls what they wait for */

    /* The attempt to connect that is under way, if there is one: resolve, then dial one address
     * after the other. */
    struct net_resolve *resolve;
    struct dial *dial;
    struct net_connect *connect; /* in plain text */
    struct tls_context *context;
    struct addr addrs[NET_RESOLVE_MAX];
    size_t num_addrs;
    size_t next_addr;
};

/* ------------------------------------------------------------------------- of grpc_channel.c -- */

/* Lets waiting calls go on, at the end of the round. */
void grpc_channel_pump(struct grpc_channel *channel);

/* A call begins; waits no longer, or its stream is gone; is about to be freed. */
void grpc_channel_call_begun(struct grpc_channel *channel, struct grpc_call *call);
void grpc_channel_call_left(struct grpc_channel *channel);
void grpc_channel_call_done(struct grpc_channel *channel);

/* The attempt to connect has failed: so have the calls that wait. */
void grpc_channel_connect_failed(struct grpc_channel *channel, const struct err *err);

/* ------------------------------------------------------------------------- of grpc_attempt.c -- */

/* Begins to connect. Ends in grpc_connection_new or grpc_channel_connect_failed, perhaps at once. */
void grpc_attempt_start(struct grpc_channel *channel);
bool grpc_attempt_is_running(const struct grpc_channel *channel);
void grpc_attempt_drop(struct grpc_channel *channel);

/* ---------------------------------------------------------------------- of grpc_connection.c -- */

/* Takes the stream and becomes the channel's newest connection. NULL: *err; the stream is closed.
 */
struct grpc_connection *grpc_connection_new(struct grpc_channel *channel, struct stream *stream,
                                            struct err *err);

/* Leaves the channel and closes. Its calls must be gone. */
void grpc_connection_free(struct grpc_connection *connection);

bool grpc_connection_has_room(const struct grpc_connection *connection);

/* Opens the call's stream and hands out what waits. The call may be gone when this returns 0. 0, or
 * -1 with *err. */
int grpc_connection_open(struct grpc_connection *connection, struct grpc_call *call,
                         struct err *err);

/* ----------------------------------------------------------------------------- of grpc_call.c --
 */

/* Ends the call with *err, to whose message the server's address is put in front. on_end comes at
 * the end of the round. */
void grpc_call_fail(struct grpc_call *call, enum grpc_status status, const struct err *err);

/* The call has got its stream. */
void grpc_call_on_open(struct grpc_call *call);

/* The call's connection will end. */
void grpc_call_on_goaway(struct grpc_call *call);

/* What came for the call's stream. */
void grpc_call_on_writable(struct grpc_call *call);
void grpc_call_on_headers(struct grpc_call *call, const struct h2_header *headers,
                          size_t num_headers, bool end);
void grpc_call_on_data(struct grpc_call *call, const uint8_t *bytes, size_t len);
void grpc_call_on_trailers(struct grpc_call *call, const struct h2_header *headers,
                           size_t num_headers);
void grpc_call_on_closed(struct grpc_call *call, uint32_t code, bool by_peer,
                         const struct err *link_err);

#endif
