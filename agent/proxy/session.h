/*
 * One connection of the application, from accept to its one end. What is common to all three ways a session comes to be
 * (outbound.c, inbound_direct.c, inbound_hbone.c) is here: what it holds, the relay, the idle timer, and session_close, the only
 * place where a session ends.
 *
 * "Near" is the connection that was accepted, "far" the one that was made because of it.
 */
#ifndef REMORA_SESSION_H
#define REMORA_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "doorstep.h"
#include "hbone_headers.h"
#include "hbone_nested.h"
#include "hbone_pool.h"
#include "hbone_server.h"
#include "mesh_decide.h"
#include "mesh_snapshot.h"
#include "net_tcp.h"
#include "origin.h"
#include "peer_cert.h"
#include "port_table.h"
#include "proxy.h"
#include "reason.h"
#include "relay.h"
#include "session_record.h"
#include "waiting.h"

struct dial;
struct lookup;
struct sniff;
struct tls_handshake;

/* How an inbound session came. */
enum inbound_how {
    INBOUND_TUNNEL,    /* a CONNECT; or it is not an inbound session */
    INBOUND_UNDECIDED, /* without a tunnel; what it is is not known yet */
    INBOUND_CLEAR,
    INBOUND_APP_TLS, /* the application's own TLS */
    INBOUND_TLS,     /* TLS that ends here; see session->direct */
};

/* TLS that ends on this very connection, with no tunnel around it; of which kind its context is. */
enum session_direct {
    SESSION_DIRECT_NONE,
    SESSION_DIRECT_ISTIO,  /* Istio's mutual TLS, either direction */
    SESSION_DIRECT_PORT,   /* inbound: of the port of original_addr */
    SESSION_DIRECT_ORIGIN, /* outbound: of `origin` */
};

struct session {
    TAILQ_ENTRY(session) entry; /* in proxy->sessions */
    struct proxy *proxy;
    enum session_direction direction;

    struct addr source_addr;
    struct addr
        destination_addr; /* the other end of the far (outbound) or near (inbound) connection */
    struct addr original_addr; /* outbound: where the application was going */
    struct addr target_addr;   /* where the application listens */
    bool has_target;

    /* What it was decided with; the snapshot keeps the borrowed objects alive. */
    struct mesh_snapshot *snapshot;
    const struct mesh_workload *source;
    const struct mesh_workload *destination;
    const struct mesh_service *service;
    const struct mesh_interest
        *used[MESH_USED_MAX]; /* outbound: the names that it was decided by */
    size_t num_used;
    const char *policy;
    struct hbone_baggage_store *foreign; /* see session_learn_foreign; owned, or NULL */
    struct peer_cert *peer;              /* counted; NULL without mutual TLS */
    struct peer_cert
        *gateway; /* counted; outbound: who carries the tunnel into another network, or NULL */
    struct tls_context *tls; /* counted; whose identity was ours; NULL without mutual TLS */
    enum session_direct direct;
    struct port_table
        *ports;             /* counted; whose contexts and rules `tls` and `origin` are; or NULL */
    uint64_t judged_by;     /* once it stands: by which ports (recheck.h) */
    uint64_t authorized_by; /* inbound: by which policies (recheck.h); 0: not yet */

    /* Inbound: */
    const struct port_entry
        *port; /* what its port takes; lent by `ports`; NULL: there is no entry */
    enum inbound_how how;
    char *sni; /* that the client asked for; owned; NULL: none, or not looked at */
    struct doorstep_guest guest; /* while nobody may enter as nobody and who it is is not known */
    uint64_t tls_since_ms;       /* in the loop's time: when near's handshake began */
    uint64_t tls_until_ms;       /* and when it is to be done */

    struct stream *near;
    struct stream *far;
    struct net_tcp *near_tcp; /* below near, or below the TLS there; NULL: a tunnel */
    struct net_tcp *far_tcp;  /* likewise */
    struct relay relay;
    bool relaying;
    bool opened;          /* the metrics know of it */
    unsigned num_sockets; /* TCP connections among near and far */
    struct net_timer *idle;
    uint64_t started_at_ms;

    /* Not established yet: what runs. At most one of them, but where it is said. */
    TAILQ_ENTRY(session) watched; /* in the proxy's list: see abandoned.h */
    bool is_watched;
    struct waiting_session waiting; /* for discovery */
    struct sniff *sniff; /* inbound: what the client's first bytes are; beside connecting */
    struct tls_handshake
        *handshaking; /* inbound: near's, which is NULL meanwhile; beside connecting */
    struct net_connect *connecting;     /* a plain connection */
    struct lookup *lookup;              /* outbound: of a host name */
    struct hbone_pool_wait *tunnelling; /* outbound: a tunnel */
    struct hbone_nested *nesting;       /* outbound: a tunnel into another network */
    struct origin_search searching;     /* outbound: of a rule, by a host name */
    struct dial *dialling;              /* outbound: TLS without a tunnel */
    bool is_handshaking;                /* of `dialling`: the connection stands */
    uint64_t attempt_at_ms;             /* when it began */
    struct hbone_request
        *request; /* inbound: the CONNECT to be answered, while the application is connected to */
    struct hbone_authority *authority;       /* of a request that waits for discovery; owned */
    bool (*accept)(struct session *session); /* inbound: answers it; see inbound.h */

    /* Inbound: where the application is dialled, and whether it is told by a PROXY header that proxied_addr was asked for. */
    struct addr dial_addr;
    bool is_proxied;
    struct addr proxied_addr;

    /* Outbound: endpoints that failed, and whether one of them was to be reached by a tunnel. */
    struct addr attempt; /* mesh_decision.attempt of the one under way */
    struct addr tried[MESH_TRIED_MAX];
    size_t num_tried;
    bool only_tunnels;

    /* Outbound: mutual TLS is originated by this rule; once it is, for whichever endpoint; or NULL. Lent by `ports`. */
    const struct port_destination *origin;
};

/*
 * A session in the proxy's list. Takes nothing yet. NULL: out of memory, or the limit of sessions was reached; that has then been
 * counted and logged with `source_addr` and `destination_addr`, and the caller drops the connection.
 */
struct session *session_new(struct proxy *proxy, enum session_direction direction,
                            const struct addr *source_addr, const struct addr *destination_addr);

/*
 * A session for a redirected connection, which it takes, with original_addr known. NULL: there is none; the connection was reset,
 * and counted and logged with the reason.
 */
struct session *session_accept(struct proxy *proxy, enum session_direction direction,
                               struct net_tcp *tcp);

/* Decided by this snapshot from now on, of which it takes a reference; what it had borrowed of the one before is forgotten. */
void session_set_snapshot(struct session *session, struct mesh_snapshot *snapshot);

/* The names that it was decided by are of use now: discovery on demand asks for them anew, in time. */
void session_touch(const struct session *session);

/* It lives on: discovery on demand does not forget these names. */
void session_keep(const struct session *session);

/* Takes the connection that was made because of the accepted one. */
void session_take_far(struct session *session, struct net_tcp *tcp);

/*
 * The same, with TLS on it: takes the stream that a dial has given, and remembers whose it is.
 */
void session_take_far_tls(struct session *session, struct stream *stream);

/* TLS begins anew with another endpoint, by `context` (NULL: without): who the one before was is forgotten. */
void session_set_tls(struct session *session, enum session_direct direct,
                     struct tls_context *context);

/* By this table from now on, of which it takes a reference; NULL: by none. */
void session_set_ports(struct session *session, struct port_table *ports);

/* Counts a TCP connect that began at attempt_at_ms. REASON_DONE: it succeeded. */
void session_tell_connect(const struct session *session, enum reason reason);

/* Counts a TLS handshake with destination_addr that began at attempt_at_ms. REASON_DONE (err NULL): it succeeded. */
void session_tell_handshake(const struct session *session, enum reason reason,
                            const struct err *err);

/* Writes what HBONE's baggage says of a workload (NULL: nothing) to `out`. */
void session_format_baggage(const struct mesh_workload *workload, char *out, size_t out_len);

/*
 * The party that we cannot look up because it is in another network, as its baggage describes it: an inbound session's source,
 * an outbound one's destination. For labels only. NULL, or what cannot be read, changes nothing.
 */
void session_learn_foreign(struct session *session, const char *baggage);

/* Starts the relay: near and far are both there. */
void session_relay(struct session *session);

/*
 * Ends the session, for this reason and no other: cancels what runs, answers a CONNECT that waits, closes both connections
 * (REASON_DONE: they have ended, or one is reset whose other side has not; else: both are reset, so that nobody takes a cut for an end),
 * counts it, writes its access-log line, and frees it. `detail` (may be NULL) says more than the reason's sentence.
 */
void session_close(struct session *session, enum reason reason, const char *detail);

#endif
