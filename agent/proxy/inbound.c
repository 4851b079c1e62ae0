#include "inbound.h"

#include "dial.h"
#include "identity.h"
#include "proxy_state.h"
#include "proxy_v2.h"

void inbound_identify(struct session *session)
{
    const struct proxy *proxy = session->proxy;
    if (proxy->mesh == NULL)
        return;
    /* A client takes its time to say who it is; what was known when it came may be forbidden by now. */
    if (session->snapshot != proxy->mesh)
        session_set_snapshot(session, proxy->mesh);
    session->destination = proxy->local;
    session->source = mesh_snapshot_workload_by_ip(session->snapshot, proxy->options.network,
                                                   &session->source_addr.ip);
}

/*
 * Connections are only made to this pod. An address that discovery does not give it would make the agent a relay for whoever can
 * reach it.
 */
static bool inbound_is_own_address(const struct mesh_workload *local, const struct ip *ip)
{
    for (size_t i = 0; i < local->num_ips; i++) {
        if (ip_equal(&local->ips[i], ip))
            return true;
    }
    return false;
}

/*
 * What policies see of a peer. One of another trust domain, or without a SPIFFE ID, has a principal and nothing else: its namespaces and
 * service accounts are not the ones that our policies mean.
 */
static void inbound_fill_peer(const struct session *session, struct mesh_peer *peer)
{
    const struct spiffe_id *id = &session->peer->id;
    if (session->peer->kind != PRINCIPAL_URI) {
        *peer = (struct mesh_peer){.principal = session->peer->principal};
        return;
    }
    const struct trust *trust = identity_trust(tls_context_identity(session->tls));
    *peer = (struct mesh_peer){.principal = id->principal, .trust_domain = id->trust_domain};
    if (!trust_is_own_domain(trust, id->trust_domain))
        return;
    peer->own_trust_domain = trust_bundle_trust_domain(trust->bundles[0]);
    peer->aliases = trust->aliases;
    peer->num_aliases = trust->num_aliases;
    peer->namespace_ = id->ns;
    peer->service_account = id->sa;
}

/* The ports-file has the last word. Ports whose clients are nobody, or may be, are for the policies alone. */
static bool inbound_is_strict(const struct session *session)
{
    if (session->port == NULL)
        return session->proxy->options.strict;
    return session->port->config->mode == PORTS_MESH;
}

void inbound_authorize(const struct session *session, const struct mesh_snapshot *snapshot,
                       const struct mesh_workload *local, struct mesh_verdict *verdict)
{
    struct mesh_peer peer;
    if (session->peer != NULL)
        inbound_fill_peer(session, &peer);
    const struct mesh_access access = {
        .destination = local,
        .peer = session->peer != NULL ? &peer : NULL,
        .source_ip = session->source_addr.ip,
        .target = session->target_addr,
        .strict = inbound_is_strict(session),
    };
    mesh_authorize(snapshot, &access, verdict);
}

bool inbound_find_port(struct session *session)
{
    struct port_table *table = session->proxy->ports;
    if (table == NULL)
        return false;
    session_set_ports(session, table);
    session->port = port_table_find(table, session->target_addr.port);
    return true;
}

enum reason inbound_check_target(const struct session *session, const char **detail)
{
    *detail = NULL;
    if (proxy_is_own_port(session->proxy, session->target_addr.port))
        return REASON_SELF_CALL;
    if (session->destination == NULL ||
        inbound_is_own_address(session->destination, &session->target_addr.ip))
        return REASON_DONE;
    *detail = "discovery does not give this address to this pod";
    return REASON_WRONG_DESTINATION;
}

enum reason inbound_admit(struct session *session, const char **detail)
{
    const struct proxy *proxy = session->proxy;
    enum reason reason = inbound_check_target(session, detail);
    if (reason != REASON_DONE)
        return reason;
    if (session->destination == NULL)
        return REASON_UNKNOWN_LOCAL_WORKLOAD;
    struct mesh_verdict verdict;
    inbound_authorize(session, session->snapshot, session->destination, &verdict);
    session->policy = verdict.policy;
    if (verdict.allowed)
        session->authorized_by = proxy->recheck.policy_generation;
    return verdict.allowed ? REASON_DONE : verdict.reason;
}

bool inbound_may_change(const struct session *session, enum reason reason)
{
    return reason == REASON_UNKNOWN_LOCAL_WORKLOAD ||
           (reason == REASON_POLICY_UNKNOWN && session->proxy->options.await_policies);
}

void inbound_act(struct session *session, enum reason reason, const char *detail,
                 const struct waiting_handler *waiting, bool (*accept)(struct session *session))
{
    if (reason == REASON_DONE)
        inbound_start_connect(session, accept);
    else if (inbound_may_change(session, reason))
        waiting_start(session, NULL, waiting);
    else
        session_close(session, reason, detail);
}

void inbound_on_timeout(struct session *session)
{
    if (session->destination == NULL)
        session_close(session, REASON_UNKNOWN_LOCAL_WORKLOAD, waiting_local_detail(session));
    else
        session_close(session, REASON_POLICY_UNKNOWN, NULL);
}

static bool inbound_has_proxy_header(const struct session *session)
{
    return session->is_proxied || (session->port != NULL && session->port->config->proxy_protocol);
}

/* The first bytes that the application gets: who calls, and what for. Nobody else has written to it yet. */
static void inbound_write_proxy_header(const struct session *session)
{
    const struct peer_cert *peer = session->peer;
    struct proxy_v2_tls tls = {
        .has_client_cert = peer != NULL,
        .common_name = peer != NULL ? peer->common_name : NULL,
    };
    if (session->how == INBOUND_TLS) {
        struct tls_conn_info info = tls_stream_info(session->near);
        tls.version = info.version;
        tls.cipher = info.cipher;
        tls.alpn = info.alpn;
        tls.is_resumed = info.is_resumed;
    }
    /* An application tunnel's header says what Istio's says, and no more. */
    bool is_tls = !session->is_proxied && (peer != NULL || session->how == INBOUND_TLS);
    const struct proxy_v2 header = {
        .source = session->source_addr,
        .destination = session->is_proxied ? session->proxied_addr : session->target_addr,
        .identity = peer != NULL ? peer_cert_name(peer) : NULL,
        .authority = session->sni,
        .tls = is_tls ? &tls : NULL,
    };
    uint8_t bytes[PROXY_V2_MAX];
    stream_write(session->far, bytes, proxy_v2_write(&header, bytes));
}

static void inbound_on_connected(void *owner, struct net_tcp *tcp, const struct err *err)
{
    struct session *session = owner;
    session->connecting = NULL;
    enum reason reason = tcp != NULL ? REASON_DONE : dial_connect_reason(err);
    session_tell_connect(session, reason);
    if (tcp == NULL) {
        session_close(session, reason, err->message);
        return;
    }
    session_take_far(session, tcp);
    if (inbound_has_proxy_header(session))
        inbound_write_proxy_header(session);
    if (session->accept == NULL || session->accept(session))
        session_relay(session);
}

void inbound_start_connect(struct session *session, bool (*accept)(struct session *session))
{
    const struct proxy *proxy = session->proxy;
    struct err err = {0};
    session->accept = accept;
    session->attempt_at_ms = net_loop_now_ms(proxy->loop);
    session->connecting =
        net_connect_start(proxy->loop, &session->dial_addr, &proxy->options.tcp,
                          proxy->options.connect_timeout_ms, inbound_on_connected, session, &err);
    if (session->connecting == NULL)
        session_close(session, dial_connect_reason(&err), err.message);
}
