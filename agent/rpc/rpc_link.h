/*
 * An HTTP/2 session on a stream: carries bytes between the two, sends once a round, holds the
 * session back while the stream is full, and ends the connection in order. gRPC's client and server
 * stand on it; what the HTTP/2 streams mean is theirs. Not for HBONE, whose connections have a
 * pool's needs.
 *
 *   struct peer {
 *       struct rpc_link link;    the first member: the session's handlers get a pointer to it
 *       ...
 *   };
 */
#ifndef REMORA_RPC_LINK_H
#define REMORA_RPC_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "h2_session.h"
#include "net_loop.h"
#include "stream.h"

struct rpc_link;

/*
 * The connection is over: the peer or we ended it in order (err NULL), or it broke (*err lent). The
 * session's streams have had their on_closed. Called once, never from inside a callback of the
 * session, with rpc_link_done as the one thing left to do, which is permitted inside.
 */
typedef void rpc_link_gone(struct rpc_link *link, const struct err *err);

struct rpc_link {
    struct h2_session *session; /* for the owner's use; the rest is private but num_received */
    struct stream *stream;
    struct net_loop *loop;
    struct net_task flush;
    struct net_timer *linger; /* bounds the wait for our last bytes to go out */
    rpc_link_gone *on_gone;
    uint64_t num_received; /* bytes from the peer: its signs of life; for the owner to read */
    bool closing; /* nothing is received any more; gone comes when our last bytes are out */
    struct err err;
};

struct rpc_link_params {
    struct net_loop *loop;
    enum h2_side side;
    const struct h2_options *options; /* read during the call */
    /* Kept by pointer. rpc_link_on_output and rpc_link_on_wants_send have to be in their places;
     * the other functions get the link as their owner. */
    const struct h2_handler *handler;
    rpc_link_gone *on_gone;
};

/*
 * Takes `stream` on success, and starts to read and write. 0, or -1 with *err: ERR_NOMEM.
 */
int rpc_link_init(struct rpc_link *link, struct stream *stream,
                  const struct rpc_link_params *params, struct err *err);

/*
 * Closes the stream and frees the session, without a callback to anybody. Not from inside a
 * callback of the session. A zeroed link and NULL are ignored.
 */
void rpc_link_done(struct rpc_link *link);

/*
 * Breaks the connection off because of *err, which its streams' on_closed and gone get to see. Not
 * from inside a callback of the session; the link is gone when this returns.
 */
void rpc_link_fail(struct rpc_link *link, const struct err *err);

/* Why the connection broke, for on_closed of a stream that ends with it; ERR_NONE while it lives.
 */
const struct err *rpc_link_err(const struct rpc_link *link);

/* Handlers of the session. */
void rpc_link_on_output(void *owner, const uint8_t *bytes, size_t len);
void rpc_link_on_wants_send(void *owner);

#endif
