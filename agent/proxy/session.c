#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "dial.h"
#include "hbone_headers.h"
#include "identity.h"
#include "lookup.h"
#include "proxy_state.h"
#include "sniff.h"
#include "tls_handshake.h"

/* -------------------------------------------------------------------------------------------------------------- opening -- */

static void session_refuse_for_limit(struct proxy *proxy, const struct session *unborn)
{
    struct session_record record = {
        .direction = unborn->direction,
        .source_addr = unborn->source_addr,
        .destination_addr = unborn->destination_addr,
        .reason = REASON_LIMIT,
        .detail = "the agent holds as many connections as it is configured to (max-connections)",
    };
    telemetry_session_opened(proxy->telemetry, &record);
    telemetry_session_closed(proxy->telemetry, &record);
}

struct session *session_new(struct proxy *proxy, enum session_direction direction,
                            const struct addr *source_addr, const struct addr *destination_addr)
{
    const struct session fresh = {
        .proxy = proxy,
        .direction = direction,
        .source_addr = *source_addr,
        .destination_addr = *destination_addr,
        .started_at_ms = net_loop_now_ms(proxy->loop),
    };
    if (proxy->num_sessions >= proxy->options.max_sessions &&
        !doorstep_make_room(&proxy->doorstep, &source_addr->ip)) {
        session_refuse_for_limit(proxy, &fresh);
        return NULL;
    }
    struct session *session = malloc(sizeof(*session));
    if (session == NULL)
        return NULL;
    *session = fresh;
    if (proxy->mesh != NULL)
        session->snapshot = mesh_snapshot_ref(proxy->mesh);
    TAILQ_INSERT_TAIL(&proxy->sessions, session, entry);
    proxy->num_sessions++;
    return session;
}

static void session_count_socket(struct session *session)
{
    session->num_sockets++;
    telemetry_socket_opened(session->proxy->telemetry, session->direction);
}

struct session *session_accept(struct proxy *proxy, enum session_direction direction,
                               struct net_tcp *tcp)
{
    struct addr to;
    struct err err = {0};
    int found = net_tcp_original_destination(tcp, &to, &err);
    if (found < 0)
        to = *net_tcp_local(tcp);
    struct session *session = session_new(proxy, direction, net_tcp_peer(tcp), &to);
    if (session == NULL) {
        stream_abort(net_tcp_stream(tcp));
        return NULL;
    }
    session->near = net_tcp_stream(tcp);
    session->near_tcp = tcp;
    session->original_addr = to;
    session_count_socket(session);
    abandoned_watch(session);
    if (found == 0)
        return session;
    session_close(session, REASON_IO_FAILED, err.message);
    return NULL;
}

void session_set_snapshot(struct session *session, struct mesh_snapshot *snapshot)
{
    mesh_snapshot_ref(snapshot);
    mesh_snapshot_unref(session->snapshot);
    session->snapshot = snapshot;
    session->source = NULL;
    session->destination = NULL;
    session->service = NULL;
    session->num_used = 0;
    session->policy = NULL;
}

void session_touch(const struct session *session)
{
    for (size_t i = 0; i < session->num_used; i++)
        mesh_interest_touch(session->used[i], (uint32_t)(clock_mono_ms() / 1000));
}

void session_keep(const struct session *session)
{
    for (size_t i = 0; i < session->num_used; i++)
        mesh_interest_keep(session->used[i], (uint32_t)(clock_mono_ms() / 1000));
}

void session_take_far(struct session *session, struct net_tcp *tcp)
{
    session->far = net_tcp_stream(tcp);
    session->far_tcp = tcp;
    session_count_socket(session);
}

void session_take_far_tls(struct session *session, struct stream *stream)
{
    struct peer_cert *peer = tls_stream_peer(stream);
    session->far = stream;
    session->peer = peer != NULL ? peer_cert_ref(peer) : NULL;
    session_count_socket(session);
}

void session_set_tls(struct session *session, enum session_direct direct,
                     struct tls_context *context)
{
    if (context != NULL)
        tls_context_ref(context);
    tls_context_unref(session->tls);
    peer_cert_unref(session->peer);
    peer_cert_unref(session->gateway);
    session->tls = context;
    session->peer = NULL;
    session->gateway = NULL;
    session->direct = direct;
}

void session_set_ports(struct session *session, struct port_table *ports)
{
    if (ports != NULL)
        port_table_ref(ports);
    port_table_unref(session->ports);
    session->ports = ports;
}

void session_tell_connect(const struct session *session, enum reason reason)
{
    const struct proxy *proxy = session->proxy;
    telemetry_connect_done(proxy->telemetry, session->direction, reason,
                           net_loop_now_ms(proxy->loop) - session->attempt_at_ms);
}

void session_tell_handshake(const struct session *session, enum reason reason,
                            const struct err *err)
{
    const struct proxy *proxy = session->proxy;
    const struct telemetry_handshake handshake = {
        .direction = session->direction,
        .reason = reason,
        .detail = err != NULL ? err->message : NULL,
        .peer = session->destination_addr,
        .duration_ms = net_loop_now_ms(proxy->loop) - session->attempt_at_ms,
    };
    telemetry_handshake_done(proxy->telemetry, &handshake);
}

static const char *session_workload_type(enum mesh_workload_type type)
{
    switch (type) {
    case MESH_DEPLOYMENT:
        return "deployment";
    case MESH_CRONJOB:
        return "cronjob";
    case MESH_JOB:
        return "job";
    case MESH_POD:
        break;
    }
    return "pod";
}

void session_format_baggage(const struct mesh_workload *workload, char *out, size_t out_len)
{
    out[0] = '\0';
    if (workload == NULL)
        return;
    const struct hbone_baggage baggage = {
        .cluster = workload->cluster_id,
        .ns = workload->namespace_,
        .workload_type = session_workload_type(workload->workload_type),
        .workload = workload->workload_name,
        .service = workload->canonical_name,
        .version = workload->canonical_revision,
        .region = workload->locality.region,
        .zone = workload->locality.zone,
    };
    /* A label that baggage cannot carry leaves it empty: it is for labels only, and no reason to refuse a connection. */
    (void)hbone_baggage_format(&baggage, out, out_len);
}

/* ------------------------------------------------------------------------------------------------------------ the record -- */

static struct session_party session_party(const struct mesh_workload *workload,
                                          const char *identity)
{
    struct session_party party = {.identity = identity};
    if (workload != NULL) {
        party.workload = workload->workload_name;
        party.pod = workload->name;
        party.namespace_ = workload->namespace_;
        party.service_account = workload->service_account;
        party.canonical_name = workload->canonical_name;
        party.canonical_revision = workload->canonical_revision;
        party.cluster = workload->cluster_id;
    }
    return party;
}

static struct session_party session_party_of_baggage(const struct hbone_baggage *baggage,
                                                     const char *identity)
{
    return (struct session_party){
        .identity = identity,
        .workload = baggage->workload,
        .namespace_ = baggage->ns,
        .canonical_name = baggage->service,
        .canonical_revision = baggage->version,
        .cluster = baggage->cluster,
    };
}

void session_learn_foreign(struct session *session, const char *baggage)
{
    if (baggage == NULL || session->foreign != NULL)
        return;
    struct hbone_baggage_store *store = malloc(sizeof(*store));
    if (store == NULL || hbone_baggage_parse(store, baggage, strlen(baggage)) < 0)
        free(store);
    else
        session->foreign = store;
}

/* A server of TLS that is no agent of the mesh may not have asked who we are. */
static bool session_is_mutual(const struct session *session)
{
    if (session->peer == NULL)
        return false;
    return session->direct == SESSION_DIRECT_NONE || session->direction == SESSION_INBOUND ||
           tls_stream_info(session->far).is_own_cert_shown;
}

/* The SPIFFE ID that we have shown; NULL: none, as where a certificate of the ports-file stands for us. */
static const char *session_own_identity(const struct session *session)
{
    const struct identity *identity = tls_context_identity(session->tls);
    bool is_other =
        (session->direct == SESSION_DIRECT_ORIGIN &&
         session->origin->config->certificate.cert_file != NULL) ||
        (session->direct == SESSION_DIRECT_PORT && session->port->config->num_certificates > 0);
    return identity != NULL && !is_other ? identity_id(identity)->uri : NULL;
}

static void session_record(const struct session *session, struct session_record *record)
{
    const char *own = NULL;
    const char *peer = NULL;
    bool is_mutual = session_is_mutual(session);
    if (is_mutual)
        own = session_own_identity(session);
    if (session->peer != NULL)
        peer = peer_cert_name(session->peer);
    bool outbound = session->direction == SESSION_OUTBOUND;
    *record = (struct session_record){
        .direction = session->direction,
        .source_addr = session->source_addr,
        .destination_addr = session->destination_addr,
        .target_addr = session->target_addr,
        .has_target = session->has_target,
        .source = session_party(session->source, outbound ? own : peer),
        .destination = session_party(session->destination, outbound ? peer : own),
        .mutual_tls = is_mutual,
        .policy = session->policy,
        .sni = session->sni,
    };
    if (session->foreign != NULL && outbound)
        record->destination = session_party_of_baggage(&session->foreign->members, peer);
    else if (session->foreign != NULL)
        record->source = session_party_of_baggage(&session->foreign->members, peer);
    if (session->service != NULL) {
        record->service_hostname = session->service->hostname;
        record->service_namespace = session->service->namespace_;
        record->service_name = session->service->name;
    }
}

/* ----------------------------------------------------------------------------------------------------------- established -- */

/* Why, when the relay broke: which side is the application depends on the direction. */
static enum reason session_relay_reason(const struct session *session, enum relay_side side,
                                        enum stream_fault fault)
{
    bool application = (side == RELAY_NEAR) == (session->direction == SESSION_OUTBOUND);
    bool tunnel = !application && session->peer != NULL;
    bool direct = !application && session->direct != SESSION_DIRECT_NONE;
    if (direct && fault == STREAM_FAULT_PROTOCOL)
        return tls_stream_reason(side == RELAY_NEAR ? session->near : session->far);
    switch (fault) {
    case STREAM_FAULT_RESET:
        return application ? REASON_APP_RESET : REASON_PEER_RESET;
    case STREAM_FAULT_TIMEOUT:
        return REASON_PEER_TIMEOUT;
    case STREAM_FAULT_LOST:
        if (direct) /* an end without close_notify: many leave so, and no fault of anything between */
            return REASON_PEER_RESET;
        return tunnel ? REASON_TUNNEL_LOST : REASON_IO_FAILED;
    case STREAM_FAULT_PROTOCOL:
        return REASON_HTTP2_FAILED;
    case STREAM_FAULT_IO:
        break;
    }
    return REASON_IO_FAILED;
}

static void session_on_relay_done(void *owner)
{
    session_close(owner, REASON_DONE, NULL);
}

/*
 * Who speaks TLS on its own connection and leaves without a word, or does not stay to hear ours, has done so in good order if nothing
 * can be missing: the application had ended, and the other end has all that it said. What that might have had to say still is not
 * taken for whole: the application sees a reset where it had not ended before (session_close).
 */
static bool session_is_farewell(const struct session *session, enum relay_side side,
                                enum stream_fault fault)
{
    bool is_near = side == RELAY_NEAR;
    if (session->direct == SESSION_DIRECT_NONE ||
        is_near != (session->direction == SESSION_INBOUND) ||
        (fault != STREAM_FAULT_RESET && fault != STREAM_FAULT_LOST))
        return false;
    return is_near ? session->relay.from_far.eof && tls_stream_is_delivered(session->near)
                   : session->relay.from_near.eof && tls_stream_is_delivered(session->far);
}

static const char *session_relay_detail(const struct session *session, enum stream_fault fault,
                                        const struct err *err)
{
    if (fault == STREAM_FAULT_RESET) /* says nothing beyond itself */
        return NULL;
    if (fault == STREAM_FAULT_LOST && session->direct != SESSION_DIRECT_NONE)
        return "it ended without TLS close_notify, as many programs do; whether it had more to say "
               "cannot be known, so the application sees a reset";
    return err->message;
}

static void session_on_relay_failed(void *owner, enum relay_side side, enum stream_fault fault,
                                    const struct err *err)
{
    struct session *session = owner;
    if (session_is_farewell(session, side, fault))
        session_close(session, REASON_DONE, NULL);
    else
        session_close(session, session_relay_reason(session, side, fault),
                      session_relay_detail(session, fault, err));
}

static const struct relay_handler session_relay_handler = {
    .on_done = session_on_relay_done,
    .on_failed = session_on_relay_failed,
};

/*
 * The timer is not restarted for each byte: it looks, when it fires, how long the relay has really been idle.
 */
static void session_on_idle_timer(void *owner)
{
    struct session *session = owner;
    uint64_t timeout_ms = session->proxy->options.idle_timeout_ms;
    uint64_t idle_ms = net_loop_now_ms(session->proxy->loop) - session->relay.active_at_ms;
    if (idle_ms >= timeout_ms) {
        session_close(session, REASON_IDLE, NULL);
        return;
    }
    net_timer_start(session->idle, timeout_ms - idle_ms);
}

static bool session_is_tunnelled(const struct session *session)
{
    return session->peer != NULL && session->direct == SESSION_DIRECT_NONE;
}

void session_relay(struct session *session)
{
    struct proxy *proxy = session->proxy;
    abandoned_unwatch(session);
    if (proxy->options.idle_timeout_ms > 0) {
        session->idle = net_timer_new(proxy->loop, session_on_idle_timer, session);
        if (session->idle == NULL) {
            session_close(session, REASON_NO_MEMORY, NULL);
            return;
        }
        net_timer_start(session->idle, proxy->options.idle_timeout_ms);
    }
    struct session_record record;
    session_record(session, &record);
    telemetry_session_opened(proxy->telemetry, &record);
    session->opened = true;
    session->relaying = true;
    if (session_is_tunnelled(session))
        telemetry_stream_opened(proxy->telemetry, session->direction);
    recheck_add(session);
    relay_start(&session->relay, proxy->loop, session->near, session->far, &session_relay_handler,
                session);
}

/* --------------------------------------------------------------------------------------------------------------- closing -- */

/* What a peer's CONNECT is answered when there is no tunnel to give. */
static unsigned session_http_status(enum reason reason)
{
    if (reason == REASON_WRONG_DESTINATION || reason == REASON_BAD_REQUEST)
        return 400;
    if (reason == REASON_DENIED_BY_POLICY || reason == REASON_NOT_ALLOWED ||
        reason == REASON_POLICY_UNKNOWN)
        return 401;
    return 503;
}

static void session_tell_end(struct session *session, enum reason reason, const char *detail)
{
    struct session_record record;
    session_record(session, &record);
    if (!session->opened)
        telemetry_session_opened(session->proxy->telemetry, &record);
    if (session->relaying) {
        record.bytes_received = session->relay.from_near.num_bytes;
        record.bytes_sent = session->relay.from_far.num_bytes;
    }
    record.duration_ms = net_loop_now_ms(session->proxy->loop) - session->started_at_ms;
    record.reason = reason;
    record.detail = detail;
    telemetry_session_closed(session->proxy->telemetry, &record);
}

static void session_free(struct session *session)
{
    peer_cert_unref(session->peer);
    peer_cert_unref(session->gateway);
    tls_context_unref(session->tls);
    port_table_unref(session->ports);
    mesh_snapshot_unref(session->snapshot);
    free(session->sni);
    free(session->authority);
    free(session);
}

/* Who has proved to be somebody is told that he is refused. */
static void session_cut_near(struct session *session, enum reason reason)
{
    bool is_told = session->how == INBOUND_TLS && session->near != NULL &&
                   reason_severity(reason) == REASON_REFUSED;
    if (is_told)
        tls_stream_deny(session->near);
    else
        stream_abort(session->near);
}

static void session_end_side(struct stream *stream, bool is_whole)
{
    if (is_whole)
        stream_close(stream);
    else
        stream_abort(stream);
}

void session_close(struct session *session, enum reason reason, const char *detail)
{
    struct proxy *proxy = session->proxy;
    doorstep_leave(&session->guest);
    net_timer_free(session->idle);
    waiting_cancel(session);
    abandoned_unwatch(session);
    sniff_free(session->sniff);
    tls_handshake_cancel(session->handshaking);
    net_connect_cancel(session->connecting);
    lookup_cancel(session);
    origin_search_cancel(session);
    dial_cancel(session->dialling);
    hbone_pool_cancel(session->tunnelling);
    hbone_nested_cancel(session->nesting);
    /* The peer is told after the line is written: `detail` may be lent by what closes now. */
    session_tell_end(session, reason, detail);
    if (session->request != NULL)
        hbone_request_refuse(session->request, session_http_status(reason));
    if (reason == REASON_DONE) {
        session_end_side(session->near, session->relay.from_far.eof);
        session_end_side(session->far, session->relay.from_near.ended);
    } else {
        session_cut_near(session, reason);
        stream_abort(session->far);
    }
    for (unsigned i = 0; i < session->num_sockets; i++)
        telemetry_socket_closed(proxy->telemetry, session->direction);
    if (session->relaying && session_is_tunnelled(session))
        telemetry_stream_closed(proxy->telemetry, session->direction);
    TAILQ_REMOVE(&proxy->sessions, session, entry);
    proxy->num_sessions--;
    session_free(session);
}
