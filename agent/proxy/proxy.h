/*
 * One worker's data path: its listeners, its pool of tunnels, its live sessions. Everything is used on the thread of the loop
 * that it was made with. What it decides by (mesh snapshot, identity) is handed in; it knows no control plane, no file, no
 * option parser.
 */
#ifndef REMORA_PROXY_H
#define REMORA_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "err.h"
#include "mesh_snapshot.h"
#include "net_loop.h"
#include "net_tcp.h"
#include "port_table.h"
#include "tls_context.h"

struct telemetry; /* telemetry/telemetry.h: one worker's handle on metrics and access log */

/* All durations in milliseconds; 0 only where it says so. Texts are borrowed for the life of the proxy. */
struct proxy_options {
    /* Who this pod is: how its own workload is found in the snapshot. */
    const char *pod_name;
    const char *pod_namespace;
    const char *service_account;
    const char *network;
    const char *cluster_id;

    struct addr
        outbound_addr; /* loopback; and on the IPv6 loopback at the same port when ipv6 is set */
    struct addr inbound_addr; /* plaintext, wildcard */
    struct addr hbone_addr;   /* wildcard */
    bool ipv6;
    bool reuse_port; /* more than one worker */

    bool strict;         /* inbound: plaintext is refused */
    bool refuse_unknown; /* outbound: registry-only */

    /*
     * Discovery. What it does not know yet is waited for: this pod itself, what is at a destination, and, when policies come by
     * themselves, those that this pod's workload names.
     */
    uint64_t discovery_timeout_ms; /* 0: nothing is waited for */
    uint64_t touch_ms; /* how often what live connections go to is said to be of use; 0: never */
    bool await_policies;
    bool
        pass_unanswered; /* outbound: a destination of which nothing was said in time is dialled in clear */
    /*
     * Somebody waits for the control plane to answer for `name`, which is lent. Called on the proxy's thread, once for all who
     * wait and again as long as they do. false: it could not be taken now. NULL: nobody can be asked.
     */
    bool (*on_ask)(void *owner, const char *name);
    void *ask_owner;

    uint64_t connect_timeout_ms;
    uint64_t tls_timeout_ms;
    uint64_t tunnel_answer_timeout_ms;
    uint64_t idle_timeout_ms; /* 0: none */
    uint64_t http2_ping_interval_ms;
    uint64_t http2_ping_timeout_ms;
    uint32_t http2_stream_window;
    uint32_t http2_connection_window;
    uint32_t http2_frame_size;
    uint32_t http2_max_streams;
    uint32_t pool_max_streams;
    uint64_t pool_idle_timeout_ms;
    uint64_t peer_expiry_grace_ms; /* how long a tunnel may outlast its peer's certificate */
    struct net_tcp_options tcp;
    size_t max_sessions; /* of this worker; more are refused with REASON_LIMIT */
};

struct proxy;

/* `options` is copied, its texts are not; `telemetry` is borrowed. Opens no socket. NULL: see *err. */
struct proxy *proxy_new(struct net_loop *loop, const struct proxy_options *options,
                        struct telemetry *telemetry, struct err *err);

/* Opens the listeners. 0, or -1 with *err that names the port; then nothing is left open. */
int proxy_listen(struct proxy *proxy, struct err *err);

/*
 * New sessions are decided by `snapshot` from now on, and those that waited for it. Live ones keep theirs, but inbound ones are
 * authorized by the new one's policies, and closed if these forbid them. Takes a reference of its own.
 */
void proxy_set_mesh(struct proxy *proxy, struct mesh_snapshot *snapshot);

/*
 * New connections to the application's ports are taken, and mutual TLS is originated, by `table` from now on; until the first one, both
 * are refused with REASON_PORTS_UNKNOWN, lest anything go in clear by mistake. Live connections without a tunnel are closed where their
 * port takes no such ones any more, and the peers of those with TLS are judged by the new contexts. Takes a reference of its own.
 */
void proxy_set_ports(struct proxy *proxy, struct port_table *table);

/*
 * New tunnels, in and out, use `context` from now on. Connections that exist and show another certificate of ours take no new
 * ones: they end their streams and close. When it
 * trusts differently, the peers of all live tunnels are verified again, and those that it does not trust are closed. NULL: there is no valid
 * identity; new tunnels are refused with REASON_NO_IDENTITY. Takes a reference of its own.
 */
void proxy_set_tls(struct proxy *proxy, struct tls_context *context);

/*
 * Closes the listeners, tells peers (GOAWAY), and lets the live sessions finish until the deadline; what is left then ends with
 * REASON_DRAINED. `on_drained` is called once, later, when no session and no tunnel is left. Once.
 */
void proxy_start_drain(struct proxy *proxy, uint64_t deadline_ms, void (*on_drained)(void *owner),
                       void *owner);

/* Ends a drain that is under way at once; `on_drained` still follows. Nothing when it is over. */
void proxy_end_drain(struct proxy *proxy);

size_t proxy_num_sessions(const struct proxy *proxy);

/* Ends what is left, sessions with REASON_DRAINED, and frees. NULL is ignored. */
void proxy_free(struct proxy *proxy);

#endif
