/*
 * HBONE tunnels to other agents, over connections that are shared and kept: one pool a loop. A
 * request goes onto an open connection with room, to the same address and for the same expected
 * identities; else as many connections are opened, in parallel, as the requests that wait need.
 */
#ifndef REMORA_HBONE_POOL_H
#define REMORA_HBONE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "err.h"
#include "hbone_options.h"
#include "peer_cert.h"
#include "reason.h"
#include "stream.h"
#include "tls_context.h"
#include "tls_io.h"

struct hbone_pool;

/* What a pool tells of its connections, for metrics; the same thread. Any may be NULL. */
struct hbone_pool_observer {
    /* A TCP connect is over: REASON_DONE or why not. */
    void (*on_connected)(void *owner, enum reason reason, uint64_t duration_ms);
    /* A TLS handshake is over: REASON_DONE, and the connection counts as open; or why not. */
    void (*on_handshaken)(void *owner, const struct addr *peer, enum reason reason,
                          const struct err *err, uint64_t duration_ms);
    /* An open connection is over; DONE is an orderly end. */
    void (*on_closed)(void *owner, enum reason reason);
};

struct hbone_pool_options {
    const struct hbone_pool_observer *observer; /* NULL: none */
    void *observer_owner;
    struct hbone_conn_options conn;
    uint64_t connect_timeout_ms;
    uint64_t
        answer_timeout_ms; /* from the request to its answer, the peer's own connecting included */
    unsigned max_streams;  /* on one connection; the peer's limit counts too */
    struct net_tcp_options tcp;
};

/*
 * The defaults: 10 s connect, 15 s answer, 100 streams, keepalive as in the field (180 s, 180 s,
 * 9).
 */
void hbone_pool_options_default(struct hbone_pool_options *options);

/*
 * `io` and its loop outlive the pool. `options` is copied. Requests fail with NO_IDENTITY until
 * hbone_pool_set_context.
 */
struct hbone_pool *hbone_pool_new(struct tls_io *io, const struct hbone_pool_options *options,
                                  struct err *err);

/*
 * Closes every connection at once. No wait may be under way; tunnels must have been closed by their
 * owners. NULL is ignored.
 */
void hbone_pool_free(struct hbone_pool *pool);

/*
 * The certificate and the trust for everything from now on: at start and at each rotation.
 * Connections made with an older one finish their tunnels and close, requests that still wait go
 * out with the new one; none fails. Takes a reference. NULL: there is no valid identity any more;
 * requests fail with NO_IDENTITY, existing connections finish their tunnels and close.
 */
void hbone_pool_set_context(struct hbone_pool *pool, struct tls_context *context);

/*
 * Closes idle connections now and the others as soon as their tunnels end. Requests are still
 * taken.
 */
void hbone_pool_drain(struct hbone_pool *pool);

/*
 * Ends every open connection at the end of this round with DRAINED, tunnels and all, whether its
 * peer takes our last words or not.
 */
void hbone_pool_close(struct hbone_pool *pool);

/* A look at the peers of the open connections. */
struct hbone_pool_review {
    uint64_t generation; /* each is judged once for it; 0: all are, whatever came before */
    unsigned max;        /* judged at most */
    int64_t now_ms;      /* wall clock */
    /*
     * Whether this peer may stay connected: REASON_DONE, or why not with *err. May close tunnels,
     * and may not call the pool.
     */
    enum reason (*judge)(void *owner, const struct peer_cert *peer, struct err *err);
    void *owner;
};

/*
 * Has peers judged. Connections whose peer may not stay end at the end of this round with that
 * reason, tunnels and all; those whose peer's certificate nears its end (three quarters of what was
 * left of it when they were made are over) finish their tunnels and take no new ones. Returns how
 * many were judged; fewer than max: all are.
 */
unsigned hbone_pool_review(struct hbone_pool *pool, const struct hbone_pool_review *review);

struct hbone_pool_stats {
    unsigned connecting;
    unsigned connections; /* open, whether usable for new tunnels or not */
    unsigned tunnels;     /* answered with 200 and not closed yet */
    unsigned waiting;     /* requests without an answer */
    uint64_t dials;       /* started, ever */
    uint64_t reuses;      /* requests that went onto a connection that was open already, ever */
};

void hbone_pool_get_stats(const struct hbone_pool *pool, struct hbone_pool_stats *stats);

/* -------------------------------------------------------------------------------- one tunnel -- */

struct hbone_pool_request {
    struct addr peer;            /* the other agent: ip:15008 */
    const char *const *expected; /* the SPIFFE IDs of which the peer must have one; at least one */
    size_t num_expected;
    const char *authority;
    const char *baggage; /* this and the following: NULL or "" is left out */
    const char *forwarded;
    const char *traceparent;
    const char *network; /* x-forwarded-network: ours, for peers in another one */
};

struct hbone_pool_answer {
    enum reason reason;  /* REASON_DONE: there is a tunnel. See below. */
    unsigned status;     /* HTTP status of the answer; 0 when none came */
    const char *baggage; /* of the answer; NULL when none */
    /* Who answered; NULL when there was no verified connection. peer_cert_ref to keep it. */
    struct peer_cert *peer;
    struct peer_cert *gateway; /* of a tunnel in a tunnel: who carries it; likewise */
    const struct err *err;     /* details in words; NULL for REASON_DONE */
};

/*
 * The end of a request, once; everything in *answer is lent. `stream` is the tunnel and the
 * callback's to keep; NULL on failure, with reason
 *   NO_IDENTITY, OUT_OF_DESCRIPTORS, NO_MEMORY: before anything was sent;
 *   TUNNEL_CONNECT_REFUSED, TUNNEL_TIMEOUT, CONNECT_FAILED: the agent's port cannot be reached;
 *   TLS_*, CERT_*, IDENTITY_MISMATCH: the handshake failed (TLS_PEER_REFUSED_US included);
 *   PEER_REFUSED (401), PEER_UNREACHABLE (503), PEER_STATUS (any other but 200): the answer;
 *   PEER_SILENT: no answer in time;
 *   PEER_RESET, TUNNEL_LOST, PEER_TIMEOUT, HTTP2_FAILED: stream or connection broke before it.
 * Nothing of the application's was sent in any of these cases, so another endpoint may be tried.
 */
typedef void hbone_pool_done(void *owner, struct stream *stream,
                             const struct hbone_pool_answer *answer);

struct hbone_pool_wait;

/*
 * Asks for a tunnel; copies *request. `done` is called once, never from inside this function,
 * unless the wait is cancelled. NULL only when out of memory.
 */
struct hbone_pool_wait *hbone_pool_connect(struct hbone_pool *pool,
                                           const struct hbone_pool_request *request,
                                           hbone_pool_done *done, void *owner);

/* Not after `done`, which will not be called; the peer's stream is reset. NULL is ignored. */
void hbone_pool_cancel(struct hbone_pool_wait *wait);

#endif
