/*
 * Outbound: a connection that the application makes. Accept, find where it was going, decide, then a tunnel to the peer's agent,
 * TLS to the destination itself (Istio's, or originated by a rule of the ports-file), a plain connection, or a refusal. When an endpoint cannot be reached, and nothing was sent yet, the next one is tried.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "dial.h"
#include "hbone_headers.h"
#include "lookup.h"
#include "proxy_state.h"
#include "rng.h"

static void outbound_start(struct session *session);

static bool outbound_is_self_call(const struct proxy *proxy, const struct addr *to)
{
    return ip_is_loopback(&to->ip) && proxy_is_own_port(proxy, to->port);
}

void outbound_on_accept(void *owner, struct net_tcp *tcp)
{
    struct proxy *proxy = owner;
    struct session *session = session_accept(proxy, SESSION_OUTBOUND, tcp);
    if (session == NULL)
        return;
    if (outbound_is_self_call(proxy, &session->original_addr))
        session_close(session, REASON_SELF_CALL, NULL);
    else
        outbound_start(session);
}

/* ---------------------------------------------------------------------------------------------------------- next endpoint -- */

/* Failures of the way to an endpoint, not of the peer's decision: another endpoint may do better. */
static bool outbound_may_try_another(enum reason reason)
{
    switch ((int)reason) {
    case REASON_NO_IDENTITY:
    case REASON_NO_MEMORY:
    case REASON_OUT_OF_DESCRIPTORS:
    case REASON_PEER_REFUSED:
    case REASON_PEER_STATUS:
    case REASON_BAD_REQUEST:
        return false;
    default:
        return true;
    }
}

/* One endpoint's worth of time for each phase; a service whose endpoints all hang must not hold the application for minutes. */
static bool outbound_has_time(const struct session *session)
{
    const struct proxy_options *options = &session->proxy->options;
    uint64_t limit_ms =
        options->connect_timeout_ms + options->tls_timeout_ms + options->tunnel_answer_timeout_ms;
    return net_loop_now_ms(session->proxy->loop) - session->started_at_ms < limit_ms;
}

static struct mesh_request outbound_request(const struct session *session)
{
    const struct proxy *proxy = session->proxy;
    return (struct mesh_request){
        .source = session->source,
        .network = proxy->options.network,
        .destination = session->original_addr,
        .refuse_unknown = proxy->options.refuse_unknown,
        .random = rng_u64(),
        .tried = session->tried,
        .num_tried = session->num_tried,
        .only_tunnels = session->only_tunnels,
    };
}

static void outbound_decide(struct session *session, struct mesh_decision *decision)
{
    const struct mesh_request request = outbound_request(session);
    mesh_decide(session->snapshot, &request, decision);
    memcpy(session->used, decision->used, sizeof(session->used));
    session->num_used = decision->num_used;
    session_touch(session);
}

static void outbound_act(struct session *session, const struct mesh_decision *decision);

/* The attempt at session->target_addr failed with `reason`. Ends the session unless there is another endpoint to try. */
static void outbound_attempt_failed(struct session *session, enum reason reason, const char *detail)
{
    bool another = session->num_tried < MESH_TRIED_MAX && outbound_may_try_another(reason) &&
                   outbound_has_time(session);
    struct mesh_decision decision;
    if (another) {
        session->tried[session->num_tried++] = session->attempt;
        outbound_decide(session, &decision);
        another = mesh_decide_leads(&decision);
    }
    /* With no endpoint left, what the last one failed of says more than that none is left. */
    if (!another)
        session_close(session, reason, detail);
    else
        outbound_act(session, &decision);
}

/* ---------------------------------------------------------------------------------------------------- plain connections -- */

static void outbound_connect_failed(struct session *session, const struct err *err)
{
    enum reason reason = dial_connect_reason(err);
    session_tell_connect(session, reason);
    outbound_attempt_failed(session, reason, err->message);
}

static void outbound_on_connected(void *owner, struct net_tcp *tcp, const struct err *err)
{
    struct session *session = owner;
    session->connecting = NULL;
    if (tcp == NULL) {
        outbound_connect_failed(session, err);
        return;
    }
    session_tell_connect(session, REASON_DONE);
    session_take_far(session, tcp);
    session_relay(session);
}

static void outbound_start_connect(struct session *session)
{
    const struct proxy *proxy = session->proxy;
    struct err err = {0};
    session->attempt_at_ms = net_loop_now_ms(proxy->loop);
    session->connecting =
        net_connect_start(proxy->loop, &session->target_addr, &proxy->options.tcp,
                          proxy->options.connect_timeout_ms, outbound_on_connected, session, &err);
    /* The kernel may know at once that there is no way: an attempt like any other. */
    if (session->connecting == NULL)
        outbound_connect_failed(session, &err);
}

/* ------------------------------------------------------------------------------------------------- TLS without a tunnel -- */

static void outbound_dial_failed(struct session *session, enum reason reason, const struct err *err)
{
    if (session->is_handshaking)
        session_tell_handshake(session, reason, err);
    else
        session_tell_connect(session, reason);
    outbound_attempt_failed(session, reason, err->message);
}

static void outbound_on_dialled(void *owner, struct stream *stream, enum reason reason,
                                const struct err *err)
{
    struct session *session = owner;
    session->dialling = NULL;
    if (stream == NULL) {
        outbound_dial_failed(session, reason, err);
        return;
    }
    session_tell_handshake(session, REASON_DONE, NULL);
    session_take_far_tls(session, stream);
    session_relay(session);
}

static void outbound_on_dial_connected(void *owner)
{
    struct session *session = owner;
    session_tell_connect(session, REASON_DONE);
    session->is_handshaking = true;
    session->attempt_at_ms = net_loop_now_ms(session->proxy->loop);
}

static enum starttls outbound_starttls(const struct session *session)
{
    bool is_postgresql = session->direct == SESSION_DIRECT_ORIGIN &&
                         session->origin->config->starttls == PORTS_STARTTLS_POSTGRESQL;
    return is_postgresql ? STARTTLS_POSTGRESQL : STARTTLS_NONE;
}

/* TLS to session->target_addr. `context` NULL: there is no valid identity for it. */
static void outbound_start_dial(struct session *session, struct tls_context *context,
                                const struct mesh_decision *expected)
{
    const struct proxy *proxy = session->proxy;
    struct err err = {0};
    if (context == NULL) {
        outbound_attempt_failed(session, REASON_NO_IDENTITY, NULL);
        return;
    }
    const struct dial_params params = {
        .to = session->target_addr,
        .context = context,
        .expected = expected != NULL ? expected->identities : NULL,
        .num_expected = expected != NULL ? expected->num_identities : 0,
        .tcp = proxy->options.tcp,
        .connect_timeout_ms = proxy->options.connect_timeout_ms,
        .starttls = outbound_starttls(session),
        .tls_timeout_ms = proxy->options.tls_timeout_ms,
        .on_connected = outbound_on_dial_connected,
    };
    session->is_handshaking = false;
    session->attempt_at_ms = net_loop_now_ms(proxy->loop);
    session->dialling = dial_start(proxy->io, &params, outbound_on_dialled, session, &err);
    if (session->dialling == NULL)
        outbound_dial_failed(session, dial_connect_reason(&err), &err);
}

static void outbound_start_istio(struct session *session, const struct mesh_decision *decision)
{
    struct port_table *ports = session->proxy->ports;
    struct tls_context *context = ports != NULL ? port_table_istio(ports) : NULL;
    /* A rule that it was found for stays its rule, should the next endpoint be for that one again. */
    if (session->origin == NULL)
        session_set_ports(session, ports);
    session_set_tls(session, SESSION_DIRECT_ISTIO, context);
    outbound_start_dial(session, context, decision);
}

static void outbound_start_origin(struct session *session)
{
    session_set_tls(session, SESSION_DIRECT_ORIGIN, session->origin->tls);
    outbound_start_dial(session, session->origin->tls, NULL);
}

/* --------------------------------------------------------------------------------------------- in clear, unless by a rule -- */

static void outbound_on_rule(struct session *session, const struct port_destination *rule)
{
    session->origin = rule;
    if (rule != NULL) {
        outbound_start_origin(session);
        return;
    }
    session_set_tls(session, SESSION_DIRECT_NONE, NULL);
    outbound_start_connect(session);
}

static void outbound_on_unknown_rule(struct session *session, const char *host,
                                     const struct err *err)
{
    struct err why = *err;
    err_prefix(&why, "whether the ports-file's rule for \"%.*s\" is for this destination",
               PRINCIPAL_DNS_MAX, host);
    session_close(session, err->kind == ERR_LIMIT ? REASON_LIMIT : REASON_NAME_NOT_RESOLVED,
                  why.message);
}

static const struct origin_handler outbound_origin_handler = {
    .on_rule = outbound_on_rule,
    .on_unknown = outbound_on_unknown_rule,
};

/* What was to be reached by a rule once is reached by it at every endpoint: who breaks TLS must not get clear text. */
static void outbound_start_unprotected(struct session *session)
{
    if (session->origin != NULL)
        outbound_start_origin(session);
    else if (session->proxy->ports == NULL)
        session_close(session, REASON_PORTS_UNKNOWN, NULL);
    else
        origin_search_start(session, &outbound_origin_handler);
}

/* --------------------------------------------------------------------------------------------------------------- tunnels -- */

static void outbound_on_answer(struct session *session, struct stream *stream,
                               const struct hbone_pool_answer *answer)
{
    if (answer->peer != NULL && session->tls != NULL) {
        peer_cert_unref(session->peer);
        session->peer = peer_cert_ref(answer->peer);
    }
    if (stream == NULL) {
        outbound_attempt_failed(session, answer->reason,
                                answer->err != NULL ? answer->err->message : NULL);
        return;
    }
    session->far = stream;
    session_relay(session);
}

static void outbound_on_tunnel(void *owner, struct stream *stream,
                               const struct hbone_pool_answer *answer)
{
    struct session *session = owner;
    session->tunnelling = NULL;
    outbound_on_answer(session, stream, answer);
}

static void outbound_on_nested(void *owner, struct stream *stream,
                               const struct hbone_pool_answer *answer)
{
    struct session *session = owner;
    session->nesting = NULL;
    if (stream != NULL) {
        session_learn_foreign(session, answer->baggage);
        session->gateway = peer_cert_ref(answer->gateway);
    }
    outbound_on_answer(session, stream, answer);
}

static bool outbound_ask_for_tunnel(struct session *session, const struct mesh_decision *decision,
                                    const struct hbone_pool_request *request)
{
    struct hbone_pool *pool = session->proxy->pool;
    if (!decision->is_nested) {
        session->tunnelling = hbone_pool_connect(pool, request, outbound_on_tunnel, session);
        return session->tunnelling != NULL;
    }
    const struct hbone_nested_request nested = {
        .outer = *request,
        .expected = decision->inner_identities,
        .num_expected = decision->num_inner_identities,
    };
    session->nesting = hbone_nested_start(pool, &nested, outbound_on_nested, session);
    return session->nesting != NULL;
}

/* What the CONNECT asks for: an address; another network's gateway is asked for the service by its name. */
static const char *outbound_authority(const struct mesh_decision *decision, char *out)
{
    struct hbone_authority authority = {.ip = decision->target.ip, .port = decision->target.port};
    if (decision->is_nested) {
        assert(decision->service != NULL);
        authority.ip = (struct ip){0};
        snprintf(authority.host, sizeof(authority.host), "%s", decision->service->hostname);
    }
    return hbone_authority_format(&authority, out);
}

static void outbound_start_tunnel(struct session *session, const struct mesh_decision *decision)
{
    struct proxy *proxy = session->proxy;
    session_set_tls(session, SESSION_DIRECT_NONE, proxy->tls);
    char authority[HBONE_AUTHORITY_TEXT];
    char forwarded[HBONE_FORWARDED_TEXT];
    char traceparent[HBONE_TRACEPARENT_TEXT];
    char baggage[HBONE_BAGGAGE_MAX];
    uint8_t random[HBONE_TRACE_RANDOM];
    struct hbone_traceparent trace;
    rng_bytes(random, sizeof(random));
    hbone_traceparent_make(&trace, random);
    session_format_baggage(session->source, baggage, sizeof(baggage));
    const char *host = session->service != NULL ? session->service->hostname : NULL;
    const struct hbone_pool_request request = {
        .peer = decision->tunnel,
        .expected = decision->identities,
        .num_expected = decision->num_identities,
        .authority = outbound_authority(decision, authority),
        .baggage = baggage,
        .forwarded = hbone_forwarded_format(&session->source_addr, host, forwarded),
        .traceparent = hbone_traceparent_format(&trace, traceparent),
        .network = decision->is_nested ? proxy->options.network : NULL,
    };
    if (!outbound_ask_for_tunnel(session, decision, &request))
        session_close(session, REASON_NO_MEMORY, NULL);
}

/* -------------------------------------------------------------------------------------------------------------- host names -- */

static void outbound_on_found(struct session *session, const struct mesh_decision *decision)
{
    outbound_act(session, decision);
}

static void outbound_on_not_found(struct session *session, const struct err *err)
{
    outbound_attempt_failed(session, REASON_NAME_NOT_RESOLVED, err->message);
}

static void outbound_start_lookup(struct session *session, const struct mesh_decision *decision)
{
    const struct mesh_request request = outbound_request(session);
    lookup_start(session, &request, decision, outbound_on_found, outbound_on_not_found);
}

/* ------------------------------------------------------------------------------------------------- waiting for discovery -- */

/* Passing through is for what nobody has ever said anything of: what is known to be in the mesh is never dialled in clear. */
static void outbound_on_unanswered(struct session *session)
{
    bool known = session->service != NULL || session->destination != NULL;
    if (known || session->only_tunnels) {
        session_close(session, REASON_DISCOVERY_TIMEOUT,
                      "the destination is known; what stands in front of it is not");
    } else if (session->proxy->options.pass_unanswered) {
        session->destination_addr = session->target_addr;
        session->has_target = true;
        outbound_start_unprotected(session);
    } else {
        session_close(session, REASON_DISCOVERY_TIMEOUT, NULL);
    }
}

static void outbound_on_unknown_local(struct session *session)
{
    session_close(session, REASON_UNKNOWN_LOCAL_WORKLOAD, waiting_local_detail(session));
}

static const struct waiting_handler outbound_unanswered = {
    .on_news = outbound_start,
    .on_timeout = outbound_on_unanswered,
};

static const struct waiting_handler outbound_unknown_local = {
    .on_news = outbound_start,
    .on_timeout = outbound_on_unknown_local,
};

/* -------------------------------------------------------------------------------------------------------- decide and act -- */

static void outbound_act(struct session *session, const struct mesh_decision *decision)
{
    session->service = decision->service;
    session->destination = decision->workload;
    session->target_addr = decision->target;
    session->attempt = decision->attempt;
    session->has_target = mesh_decide_leads(decision);
    if (session->has_target && decision->resolve != NULL) {
        session->only_tunnels = session->only_tunnels || decision->kind != MESH_PASSTHROUGH;
        outbound_start_lookup(session, decision);
        return;
    }
    switch (decision->kind) {
    case MESH_TUNNEL:
        session->destination_addr = decision->tunnel;
        session->only_tunnels = true;
        outbound_start_tunnel(session, decision);
        return;
    case MESH_PASSTHROUGH:
        session->destination_addr = decision->target;
        outbound_start_unprotected(session);
        return;
    case MESH_ISTIO_MTLS:
        session->destination_addr = decision->target;
        session->only_tunnels = true;
        outbound_start_istio(session, decision);
        return;
    case MESH_ASK:
        waiting_start(session, decision->ask, &outbound_unanswered);
        return;
    case MESH_REFUSE:
        break;
    }
    session_close(session, decision->reason, decision->detail[0] != '\0' ? decision->detail : NULL);
}

static void outbound_start(struct session *session)
{
    session->source = session->proxy->local;
    if (session->source == NULL) {
        waiting_start(session, NULL, &outbound_unknown_local);
        return;
    }
    struct mesh_decision decision;
    outbound_decide(session, &decision);
    outbound_act(session, &decision);
}
