/*
 * What the files of this module share: the proxy's own state, and the entry points of the three ways in. Private to proxy/.
 */
#ifndef REMORA_PROXY_STATE_H
#define REMORA_PROXY_STATE_H

#include <sys/queue.h>

#include "abandoned.h"
#include "doorstep.h"
#include "hbone_pool.h"
#include "net_names.h"
#include "proxy.h"
#include "recheck.h"
#include "session.h"
#include "telemetry.h"
#include "tls_stream.h"

TAILQ_HEAD(session_list, session);
TAILQ_HEAD(inbound_tunnel_list, inbound_tunnel);

struct proxy {
    struct net_loop *loop;
    struct proxy_options options;
    struct telemetry *telemetry;

    /* What is decided by. */
    struct mesh_snapshot *mesh;        /* counted; NULL: discovery has said nothing yet */
    const struct mesh_workload *local; /* this pod in it, or NULL */
    struct tls_context *tls;           /* counted; NULL: no valid identity */
    struct port_table *ports;          /* counted; NULL: none was set */

    struct tls_io *io;
    struct hbone_pool *pool;
    struct net_names *names; /* of destinations that have no address */
    struct net_listener *outbound;
    struct net_listener *outbound_ipv6;
    struct net_listener *inbound;
    struct net_listener *hbone;

    struct session_list sessions;
    size_t num_sessions;
    struct waiting waiting;             /* the sessions that wait for discovery */
    struct abandoned abandoned;         /* those that are being established */
    struct inbound_tunnel_list tunnels; /* inbound HBONE connections */
    size_t num_tunnels;
    struct doorstep doorstep;        /* of sessions without a tunnel */
    struct doorstep tunnel_doorstep; /* of `tunnels` */

    struct recheck recheck;

    struct net_timer *drain_timer;
    uint64_t drain_deadline_ms;      /* in the loop's time */
    void (*on_drained)(void *owner); /* NULL unless draining */
    void *drain_owner;
};

/*
 * True for a port of the data path, to which no connection may be made on anybody's behalf: it would come back. Metrics and
 * readiness are not among them; whoever policy allows may ask for them through a tunnel.
 */
bool proxy_is_own_port(const struct proxy *proxy, uint16_t port);

/* The limits of an HBONE connection, either side, as configured. */
void proxy_conn_options(const struct proxy *proxy, struct hbone_conn_options *options);

/* Listener callbacks; `owner` is the proxy. Each takes the connection. */
void outbound_on_accept(void *owner, struct net_tcp *tcp);
void inbound_direct_on_accept(void *owner, struct net_tcp *tcp);
void inbound_hbone_on_accept(void *owner, struct net_tcp *tcp);

/*
 * Inbound HBONE connections whose clients have seen another certificate of ours than `latest`: their next requests go onto
 * connections with the latest one. Clients thus never depend for long on what we have replaced, and on the roots behind it.
 */
void inbound_hbone_retire(struct proxy *proxy, const struct svid *latest);

/* All inbound HBONE connections: no new requests; or: end them in this round of the loop. */
void inbound_hbone_drain(struct proxy *proxy);
void inbound_hbone_close(struct proxy *proxy);

/* For the doorsteps: ends an inbound_tunnel, a session. */
void inbound_hbone_turn_away(void *owner);
void inbound_direct_turn_away(void *owner);

/* As hbone_pool_review, for the inbound ones. */
unsigned inbound_hbone_review(struct proxy *proxy, const struct hbone_pool_review *review);

/* Frees them, when no session is left. */
void inbound_hbone_free(struct proxy *proxy);

#endif
