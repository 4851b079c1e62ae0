/*
 * Inbound HBONE: a peer agent's connection to 15008 and the tunnels inside it. The TLS and HTTP/2 of it is hbone_server's; here
 * each CONNECT becomes a session: is the target ours, may the peer enter, does the application accept.
 */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "hbone_headers.h"
#include "identity.h"
#include "inbound.h"
#include "mesh_inbound.h"
#include "proxy_state.h"

struct inbound_tunnel {
    TAILQ_ENTRY(inbound_tunnel) entry; /* in proxy->tunnels */
    struct proxy *proxy;
    struct hbone_server *server;
    struct tls_context *tls; /* counted */
    uint64_t accepted_at_ms;
    uint64_t judged;             /* for which generation of trust (recheck.h) */
    struct doorstep_guest guest; /* until its handshake is done */
};

/* -------------------------------------------------------------------------------------------------------- the connection -- */

static void inbound_tunnel_free(struct inbound_tunnel *tunnel)
{
    tls_context_unref(tunnel->tls);
    free(tunnel);
}

/* Its connection is gone. */
static void inbound_tunnel_forget(struct inbound_tunnel *tunnel)
{
    struct proxy *proxy = tunnel->proxy;
    telemetry_socket_closed(proxy->telemetry, SESSION_INBOUND);
    doorstep_leave(&tunnel->guest);
    TAILQ_REMOVE(&proxy->tunnels, tunnel, entry);
    proxy->num_tunnels--;
    inbound_tunnel_free(tunnel);
}

/* A connection that ends before there is a tunnel to speak of: told like a failed handshake. */
static void inbound_tell_handshake(struct proxy *proxy, const struct addr *peer,
                                   const struct addr *local, enum reason reason, const char *detail,
                                   uint64_t since_ms)
{
    const struct telemetry_handshake handshake = {
        .direction = SESSION_INBOUND,
        .reason = reason,
        .detail = detail,
        .peer = *peer,
        .local = *local,
        .duration_ms = net_loop_now_ms(proxy->loop) - since_ms,
    };
    telemetry_handshake_done(proxy->telemetry, &handshake);
}

static void inbound_on_closed(void *owner, enum reason reason, const struct err *err,
                              bool handshaken)
{
    struct inbound_tunnel *tunnel = owner;
    struct proxy *proxy = tunnel->proxy;
    if (handshaken) {
        telemetry_tunnel_closed(proxy->telemetry, SESSION_INBOUND, reason);
    } else {
        inbound_tell_handshake(proxy, hbone_server_peer_addr(tunnel->server),
                               hbone_server_local_addr(tunnel->server), reason,
                               err != NULL ? err->message : NULL, tunnel->accepted_at_ms);
    }
    inbound_tunnel_forget(tunnel);
}

static void inbound_on_handshaken(void *owner)
{
    struct inbound_tunnel *tunnel = owner;
    doorstep_leave(&tunnel->guest);
    inbound_tell_handshake(tunnel->proxy, hbone_server_peer_addr(tunnel->server),
                           hbone_server_local_addr(tunnel->server), REASON_DONE, NULL,
                           tunnel->accepted_at_ms);
    telemetry_tunnel_opened(tunnel->proxy->telemetry, SESSION_INBOUND);
    tunnel->judged = recheck_generation_of(tunnel->proxy, tunnel->tls);
}

/* ------------------------------------------------------------------------------------------------------------ the tunnels -- */

static bool inbound_accept_request(struct session *session)
{
    char baggage[HBONE_BAGGAGE_MAX];
    session_format_baggage(session->destination, baggage, sizeof(baggage));
    session->near = hbone_request_accept(session->request, baggage);
    session->request = NULL;
    free(session->authority);
    session->authority = NULL;
    if (session->near == NULL) {
        session_close(session, REASON_NO_MEMORY, NULL);
        return false;
    }
    return true;
}

static void inbound_on_request_gone(void *owner, struct hbone_request *request)
{
    struct session *session = owner;
    session->request = NULL;
    session_close(session, REASON_CLIENT_GONE, NULL);
}

/*
 * The name of the service that a CONNECT by host name is for, when discovery on demand has to know it first; else NULL. It is
 * one of those that this pod's workload says it serves, so that a peer cannot make us ask for anything.
 */
static const char *inbound_service_needed(const struct session *session)
{
    const struct mesh_workload *local = session->destination;
    if (session->authority->ip.family != IP_NONE || local == NULL ||
        !mesh_snapshot_is_on_demand(session->snapshot))
        return NULL;
    for (size_t i = 0; i < local->num_services; i++) {
        const char *key = local->services[i].service;
        const char *slash = strchr(key, '/');
        if (slash != NULL && strcmp(slash + 1, session->authority->host) == 0)
            return key;
    }
    return NULL;
}

/* The same while it has to be asked for. What is known is told to be of use. */
static const char *inbound_service_to_ask(const struct session *session)
{
    const char *key = inbound_service_needed(session);
    if (key == NULL)
        return NULL;
    const struct mesh_interest *interest = mesh_snapshot_answered(session->snapshot, key);
    if (interest != NULL)
        mesh_interest_touch(interest, (uint32_t)(clock_mono_ms() / 1000));
    bool known = interest != NULL || mesh_snapshot_service(session->snapshot, key) != NULL;
    return known ? NULL : key;
}

/* Where the CONNECT leads; see mesh_inbound.h. */
static enum reason inbound_find_target(struct session *session, const char **detail)
{
    const struct hbone_authority *authority = session->authority;
    const struct mesh_arrival arrival = {
        .local = session->destination,
        .network = session->proxy->options.network,
        .address = session->destination_addr.ip,
        .ip = authority->ip,
        .host = authority->host,
        .port = authority->port,
    };
    struct mesh_landing landing;
    mesh_inbound_land(session->snapshot, &arrival, &landing);
    session->service = landing.service;
    session->target_addr = landing.target;
    session->has_target = true;
    session->dial_addr = landing.dial;
    session->is_proxied = landing.is_proxied;
    session->proxied_addr = landing.original;
    *detail = landing.detail;
    return inbound_find_port(session) ? landing.reason : REASON_PORTS_UNKNOWN;
}

static void inbound_request_decide(struct session *session);

static void inbound_on_request_timeout(struct session *session)
{
    if (inbound_service_to_ask(session) != NULL)
        session_close(session, REASON_DISCOVERY_TIMEOUT, NULL);
    else
        inbound_on_timeout(session);
}

static const struct waiting_handler inbound_request_waiting = {
    .on_news = inbound_request_decide,
    .on_timeout = inbound_on_request_timeout,
};

static void inbound_request_decide(struct session *session)
{
    const char *detail = NULL;
    inbound_identify(session);
    const char *ask = inbound_service_to_ask(session);
    if (ask != NULL) {
        waiting_start(session, ask, &inbound_request_waiting);
        return;
    }
    enum reason reason = inbound_find_target(session, &detail);
    if (reason == REASON_DONE)
        reason = inbound_admit(session, &detail);
    inbound_act(session, reason, detail, &inbound_request_waiting, inbound_accept_request);
}

/* A session for one CONNECT, with the peer's identity and ours. NULL: see session_new. */
static struct session *inbound_new_session(struct inbound_tunnel *tunnel)
{
    struct session *session =
        session_new(tunnel->proxy, SESSION_INBOUND, hbone_server_peer_addr(tunnel->server),
                    hbone_server_local_addr(tunnel->server));
    if (session == NULL)
        return NULL;
    session->peer = peer_cert_ref(hbone_server_peer(tunnel->server));
    session->tls = tls_context_ref(tunnel->tls);
    return session;
}

/* The client is in another network: its address says nothing here, so what it says of itself is all there is for labels. */
static bool inbound_is_foreign(const struct proxy *proxy, const struct hbone_request_info *info)
{
    return info->x_forwarded_network != NULL &&
           strcmp(info->x_forwarded_network, proxy->options.network) != 0;
}

static void inbound_on_request(void *owner, struct hbone_request *request,
                               const struct hbone_request_info *info)
{
    struct inbound_tunnel *tunnel = owner;
    struct session *session = inbound_new_session(tunnel);
    if (session == NULL) {
        hbone_request_refuse(request, 503);
        return;
    }
    session->request = request;
    hbone_request_set_owner(request, session);
    session->authority = malloc(sizeof(*session->authority));
    if (session->authority == NULL) {
        session_close(session, REASON_NO_MEMORY, NULL);
        return;
    }
    *session->authority = info->authority;
    if (inbound_is_foreign(tunnel->proxy, info))
        session_learn_foreign(session, info->baggage);
    inbound_request_decide(session);
}

/* A CONNECT that cannot be understood: answered by hbone_server, told here like any refused session. */
static void inbound_on_malformed(void *owner, const char *why)
{
    struct inbound_tunnel *tunnel = owner;
    struct session *session = inbound_new_session(tunnel);
    if (session == NULL)
        return;
    inbound_identify(session);
    session_close(session, REASON_BAD_REQUEST, why);
}

/* ------------------------------------------------------------------------------------------------------------ accept, end -- */

static const struct hbone_server_handler inbound_server_handler = {
    .on_handshaken = inbound_on_handshaken,
    .on_request = inbound_on_request,
    .on_request_gone = inbound_on_request_gone,
    .on_malformed = inbound_on_malformed,
    .on_closed = inbound_on_closed,
};

static void inbound_server_options(const struct proxy *proxy, struct hbone_server_options *options)
{
    hbone_server_options_default(options);
    proxy_conn_options(proxy, &options->conn);
    options->conn.h2.max_streams = proxy->options.http2_max_streams;
    options->first_request_timeout_ms = proxy->options.tls_timeout_ms;
}

static void inbound_hbone_drop(struct proxy *proxy, struct net_tcp *tcp, enum reason reason,
                               const char *detail)
{
    inbound_tell_handshake(proxy, net_tcp_peer(tcp), net_tcp_local(tcp), reason, detail,
                           net_loop_now_ms(proxy->loop));
    stream_abort(net_tcp_stream(tcp));
}

void inbound_hbone_on_accept(void *owner, struct net_tcp *tcp)
{
    struct proxy *proxy = owner;
    if (proxy->tls == NULL) {
        inbound_hbone_drop(proxy, tcp, REASON_NO_IDENTITY, NULL);
        return;
    }
    if (proxy->num_tunnels >= proxy->options.max_sessions &&
        !doorstep_make_room(&proxy->tunnel_doorstep, &net_tcp_peer(tcp)->ip)) {
        inbound_hbone_drop(proxy, tcp, REASON_LIMIT,
                           "as many tunnels are open as connections are allowed (max-connections)");
        return;
    }
    struct inbound_tunnel *tunnel = calloc(1, sizeof(*tunnel));
    if (tunnel == NULL) {
        inbound_hbone_drop(proxy, tcp, REASON_NO_MEMORY, NULL);
        return;
    }
    tunnel->proxy = proxy;
    tunnel->tls = tls_context_ref(proxy->tls);
    tunnel->accepted_at_ms = net_loop_now_ms(proxy->loop);
    struct hbone_server_options options;
    inbound_server_options(proxy, &options);
    struct err err = {0};
    tunnel->server = hbone_server_start(proxy->io, tcp, proxy->tls, &options,
                                        &inbound_server_handler, tunnel, &err);
    if (tunnel->server == NULL) {
        inbound_hbone_drop(proxy, tcp, REASON_NO_MEMORY, err.message);
        inbound_tunnel_free(tunnel);
        return;
    }
    telemetry_socket_opened(proxy->telemetry, SESSION_INBOUND);
    TAILQ_INSERT_TAIL(&proxy->tunnels, tunnel, entry);
    proxy->num_tunnels++;
    doorstep_enter(&proxy->tunnel_doorstep, &tunnel->guest, &net_tcp_peer(tcp)->ip, tunnel);
}

void inbound_hbone_turn_away(void *owner)
{
    struct inbound_tunnel *tunnel = owner;
    hbone_server_close(tunnel->server, REASON_CROWDED_OUT, NULL);
}

void inbound_hbone_drain(struct proxy *proxy)
{
    struct inbound_tunnel *tunnel;
    TAILQ_FOREACH (tunnel, &proxy->tunnels, entry)
        hbone_server_drain(tunnel->server);
}

void inbound_hbone_retire(struct proxy *proxy, const struct svid *latest)
{
    struct inbound_tunnel *tunnel;
    TAILQ_FOREACH (tunnel, &proxy->tunnels, entry) {
        if (identity_svid(tls_context_identity(tunnel->tls)) != latest)
            hbone_server_retire(tunnel->server);
    }
}

void inbound_hbone_close(struct proxy *proxy)
{
    struct inbound_tunnel *tunnel;
    TAILQ_FOREACH (tunnel, &proxy->tunnels, entry)
        hbone_server_close(tunnel->server, REASON_DRAINED, NULL);
}

unsigned inbound_hbone_review(struct proxy *proxy, const struct hbone_pool_review *review)
{
    unsigned num = 0;
    struct inbound_tunnel *tunnel;
    TAILQ_FOREACH (tunnel, &proxy->tunnels, entry) {
        const struct peer_cert *peer = hbone_server_peer(tunnel->server);
        bool is_due = review->generation == 0 || tunnel->judged != review->generation;
        if (num == review->max)
            break;
        if (peer == NULL || !is_due)
            continue;
        struct err err;
        enum reason reason = review->judge(review->owner, peer, &err);
        if (reason != REASON_DONE)
            hbone_server_close(tunnel->server, reason, &err);
        if (review->generation != 0)
            tunnel->judged = review->generation;
        num++;
    }
    return num;
}

void inbound_hbone_free(struct proxy *proxy)
{
    struct inbound_tunnel *tunnel;
    while ((tunnel = TAILQ_FIRST(&proxy->tunnels)) != NULL) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): TAILQ_REMOVE took it out */
        hbone_server_free(tunnel->server);
        inbound_tunnel_forget(tunnel);
    }
}
