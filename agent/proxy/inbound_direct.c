/*
 * Inbound without a tunnel: a connection to a port of the application that was redirected here. What the port takes decides what is looked
 * at before anything else happens: nothing (plaintext), or the client's first bytes, by which it is the mesh's TLS, the port's own, or the
 * application's. Where clear text may enter, the application is connected to at once and the client's bytes are looked at as they come, so
 * that a server that speaks first is served without waiting.
 */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "inbound.h"
#include "proxy_state.h"
#include "sniff.h"
#include "tls_handshake.h"

static const char alpn_istio[] = "istio";

/* What a port takes. */
enum direct_takes {
    TAKES_CLEAR,    /* anything; nothing is looked at */
    TAKES_EITHER,   /* Istio's TLS, or anything else as it is */
    TAKES_MESH,     /* Istio's TLS */
    TAKES_PORT_TLS, /* TLS that ends here by the port's rules */
    TAKES_APP_TLS,  /* TLS that the application ends */
};

static enum direct_takes direct_takes(const struct proxy *proxy, const struct port_entry *entry)
{
    if (entry == NULL)
        return proxy->options.strict ? TAKES_MESH : TAKES_EITHER;
    switch (entry->config->mode) {
    case PORTS_MESH:
        return TAKES_MESH;
    case PORTS_MTLS:
        return TAKES_PORT_TLS;
    case PORTS_PASSTHROUGH:
        return TAKES_APP_TLS;
    case PORTS_PLAINTEXT:
        break;
    }
    return TAKES_CLEAR;
}

static enum direct_takes direct_session_takes(const struct session *session)
{
    return direct_takes(session->proxy, session->port);
}

/* Ends a session whose application, connected to already, or client has failed. */
static void direct_on_stream_failed(struct session *session, enum reason on_reset,
                                    enum stream_fault fault, const struct err *err)
{
    if (fault == STREAM_FAULT_RESET)
        session_close(session, on_reset, NULL);
    else
        session_close(session, err->kind == ERR_NOMEM ? REASON_NO_MEMORY : REASON_IO_FAILED,
                      err->message);
}

/* ------------------------------------------------------------------------------ who it is is known -- */

static void direct_admit(struct session *session);

static const struct waiting_handler direct_waiting = {
    .on_news = direct_admit,
    .on_timeout = inbound_on_timeout,
};

/* Of a connection that is connected to and not read: a client that is TLS, or the application. */
static void direct_on_near_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    direct_on_stream_failed(owner, REASON_CLIENT_GONE, fault, err);
}

static void direct_on_far_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    direct_on_stream_failed(owner, REASON_APP_RESET, fault, err);
}

static const struct stream_handler direct_near_handler = {.on_failed = direct_on_near_failed};

static bool direct_accept(struct session *session);

/* It may enter. */
static void direct_proceed(struct session *session)
{
    if (session->far != NULL)
        session_relay(session);
    else if (session->connecting == NULL)
        inbound_start_connect(session, direct_accept);
}

/* session->how is known, and with TLS of ours the peer. */
static void direct_admit(struct session *session)
{
    const char *detail;
    doorstep_leave(&session->guest);
    inbound_identify(session);
    enum reason reason = inbound_admit(session, &detail);
    if (reason == REASON_PLAINTEXT_REFUSED && session->how == INBOUND_APP_TLS)
        detail = "this is TLS, but not the mesh's: the client does not offer ALPN istio";
    if (reason == REASON_DONE)
        direct_proceed(session);
    else
        inbound_act(session, reason, detail, &direct_waiting, NULL);
}

static void direct_admit_as(struct session *session, enum inbound_how how)
{
    session->how = how;
    direct_admit(session);
}

/* --------------------------------------------------------------------------------- TLS that ends here -- */

/* A client that has been silent before has not been shaking hands. */
static void direct_tell_handshake(const struct session *session, enum reason reason)
{
    const struct telemetry_handshake handshake = {
        .direction = SESSION_INBOUND,
        .reason = reason,
        .is_session = true,
        .duration_ms = net_loop_now_ms(session->proxy->loop) - session->tls_since_ms,
    };
    telemetry_handshake_done(session->proxy->telemetry, &handshake);
}

static void direct_on_handshake(void *owner, struct stream *tls, enum reason reason,
                                const struct err *err)
{
    struct session *session = owner;
    session->handshaking = NULL;
    doorstep_leave(&session->guest);
    direct_tell_handshake(session, reason);
    if (tls == NULL) {
        session_close(session, reason, err->message);
        return;
    }
    struct peer_cert *peer = tls_stream_peer(tls);
    session->near = tls;
    session->peer = peer == NULL ? NULL : peer_cert_ref(peer);
    stream_set_handler(tls, &direct_near_handler, session);
    direct_admit(session);
}

/* Who it is is not known, and as nobody it may not enter. */
static void direct_enter_doorstep(struct session *session)
{
    doorstep_enter(&session->proxy->doorstep, &session->guest, &session->source_addr.ip, session);
}

void inbound_direct_turn_away(void *owner)
{
    session_close(owner, REASON_CROWDED_OUT, NULL);
}

/* What is left of the time that the ClientHello was given, too. */
static uint64_t direct_handshake_ms(const struct session *session)
{
    uint64_t now_ms = net_loop_now_ms(session->proxy->loop);
    return session->tls_until_ms > now_ms ? session->tls_until_ms - now_ms : 1;
}

static void direct_start_handshake(struct session *session, enum session_direct direct,
                                   struct tls_context *context)
{
    struct proxy *proxy = session->proxy;
    const struct tls_conn_params params = {.role = TLS_SERVER, .now_ms = clock_wall_ms()};
    struct err err;
    if (context == NULL) {
        session_close(session, REASON_NO_IDENTITY, NULL);
        return;
    }
    session->how = INBOUND_TLS;
    session->authorized_by = 0; /* as nobody, if at all */
    session_set_tls(session, direct, context);
    direct_enter_doorstep(session);
    session->handshaking =
        tls_handshake_start(proxy->io, session->near, context, &params,
                            direct_handshake_ms(session), direct_on_handshake, session, &err);
    if (session->handshaking == NULL) {
        session_close(session, REASON_NO_MEMORY, err.message);
        return;
    }
    net_tcp_set_read_size(session->near_tcp, TLS_IO_READ);
    session->near = NULL; /* the handshake's */
}

/* ------------------------------------------------------------------------------ what the client said -- */

/* By what is in force now: a client whose connection is older than our certificate may have been silent until now. */
static void direct_start_istio(struct session *session)
{
    direct_start_handshake(session, SESSION_DIRECT_ISTIO, port_table_istio(session->proxy->ports));
}

static void direct_on_verdict_either(struct session *session, enum sniff_verdict verdict,
                                     bool is_istio)
{
    if (is_istio)
        direct_start_istio(session);
    else if (verdict == SNIFF_SILENT && session->authorized_by != 0)
        session_close(session, REASON_IDLE, NULL);
    else
        direct_admit_as(session, verdict == SNIFF_TLS ? INBOUND_APP_TLS : INBOUND_CLEAR);
}

static void direct_on_verdict_mesh(struct session *session, enum sniff_verdict verdict,
                                   bool is_istio, const char *problem)
{
    if (is_istio)
        direct_start_istio(session);
    else if (verdict == SNIFF_SLOW)
        session_close(session, REASON_TLS_TIMEOUT, NULL);
    else if (verdict == SNIFF_BAD)
        session_close(session, REASON_TLS_FAILED, problem);
    else /* which is refused, but for the right reason */
        direct_admit_as(session, verdict == SNIFF_TLS ? INBOUND_APP_TLS : INBOUND_CLEAR);
}

/* Of ports that take TLS and nothing else. */
static void direct_refuse_other(struct session *session, enum sniff_verdict verdict,
                                const char *problem)
{
    if (verdict == SNIFF_BAD)
        session_close(session, REASON_TLS_FAILED, problem);
    else if (verdict == SNIFF_SLOW)
        session_close(session, REASON_TLS_TIMEOUT, NULL);
    else if (verdict == SNIFF_SILENT)
        session_close(session, REASON_TLS_TIMEOUT, "the client has sent nothing");
    else
        session_close(session, REASON_TLS_EXPECTED, NULL);
}

/* A hello that breaks the rules is the TLS library's to refuse, with the alert that says why. */
static void direct_on_verdict_port_tls(struct session *session, enum sniff_verdict verdict)
{
    if (verdict == SNIFF_TLS || verdict == SNIFF_BAD)
        direct_start_handshake(session, SESSION_DIRECT_PORT, session->port->tls);
    else
        direct_refuse_other(session, verdict, NULL);
}

static void direct_on_verdict_app_tls(struct session *session, enum sniff_verdict verdict,
                                      const char *problem)
{
    if (verdict == SNIFF_TLS)
        direct_admit_as(session, INBOUND_APP_TLS);
    else
        direct_refuse_other(session, verdict, problem);
}

static void direct_learn_hello(struct session *session, const struct client_hello *hello,
                               bool *is_istio)
{
    const char *sni = client_hello_sni(hello);
    *is_istio = client_hello_offers_alpn(hello, alpn_istio);
    if (sni[0] != '\0') /* for the log only: without memory it is not there */
        session->sni = strdup(sni);
}

static void direct_on_verdict(struct session *session, enum sniff_verdict verdict)
{
    bool is_istio = false;
    const char *problem = verdict == SNIFF_BAD ? sniff_problem(session->sniff) : NULL;
    if (verdict == SNIFF_TLS)
        direct_learn_hello(session, sniff_hello(session->sniff), &is_istio);
    session->tls_since_ms = sniff_since_ms(session->sniff);
    session->tls_until_ms = sniff_until_ms(session->sniff);
    sniff_free(session->sniff);
    session->sniff = NULL;
    if (session->far != NULL)
        stream_read_stop(session->far);
    enum direct_takes takes = direct_session_takes(session);
    if (verdict == SNIFF_ENDED && takes != TAKES_EITHER) {
        /* Nobody speaks to it before its TLS does: it has only looked whether somebody listens. */
        session_close(session, REASON_CLIENT_GONE, NULL);
        return;
    }
    switch (takes) {
    case TAKES_CLEAR: /* is not looked at */
    case TAKES_EITHER:
        direct_on_verdict_either(session, verdict, is_istio);
        return;
    case TAKES_MESH:
        direct_on_verdict_mesh(session, verdict, is_istio, problem);
        return;
    case TAKES_PORT_TLS:
        direct_on_verdict_port_tls(session, verdict);
        return;
    case TAKES_APP_TLS:
        direct_on_verdict_app_tls(session, verdict, problem);
        return;
    }
}

static void direct_on_sniff_failed(struct session *session, enum stream_fault fault,
                                   const struct err *err)
{
    direct_on_near_failed(session, fault, err);
}

/* False: without memory the session has ended. */
static bool direct_sniff_for(struct session *session, uint64_t silent_ms, uint64_t hello_ms)
{
    const struct sniff_options options = {
        .silent_ms = silent_ms,
        .hello_ms = hello_ms,
        .on_verdict = direct_on_verdict,
        .on_failed = direct_on_sniff_failed,
    };
    session->sniff = sniff_start(session, session->near_tcp, &options);
    if (session->sniff != NULL)
        return true;
    session_close(session, REASON_NO_MEMORY, NULL);
    return false;
}

/* Where only TLS helps the client: its whole handshake has one time. */
static void direct_sniff(struct session *session)
{
    if (direct_sniff_for(session, session->proxy->options.tls_timeout_ms, 0))
        direct_enter_doorstep(session);
}

/* ----------------------------------------------------------------- the application, before the client -- */

/* The application speaks, or ends, before the client has said what it is: no client of TLS waits for that. */
static void direct_on_server_first(struct session *session, const uint8_t *bytes, size_t len)
{
    stream_read_stop(session->far);
    if (net_tcp_unread(session->far_tcp, bytes, len) < 0 || sniff_give_up(session->sniff) < 0) {
        session_close(session, REASON_NO_MEMORY, NULL);
        return;
    }
    sniff_free(session->sniff);
    session->sniff = NULL;
    session->how = INBOUND_CLEAR;
    direct_proceed(session);
}

static void direct_on_far_read(void *owner, const uint8_t *bytes, size_t len)
{
    direct_on_server_first(owner, bytes, len);
}

static void direct_on_far_eof(void *owner)
{
    direct_on_server_first(owner, NULL, 0);
}

static const struct stream_handler direct_far_handler = {
    .on_read = direct_on_far_read,
    .on_eof = direct_on_far_eof,
    .on_failed = direct_on_far_failed,
};

/* The application has accepted. False: who the client is is not known yet. */
static bool direct_accept(struct session *session)
{
    stream_set_handler(session->far, &direct_far_handler, session);
    if (session->sniff != NULL)
        stream_read_start(session->far);
    return session->sniff == NULL && session->handshaking == NULL &&
           session->waiting.handler == NULL;
}

static void direct_decide_either(struct session *session);

static const struct waiting_handler direct_either_waiting = {
    .on_news = direct_decide_either,
    .on_timeout = inbound_on_timeout,
};

/*
 * Where clear text may enter, and this client as nobody, too, the application is connected to at once. Where it may not, only Istio's TLS
 * can help it.
 */
static void direct_decide_either(struct session *session)
{
    const struct proxy_options *options = &session->proxy->options;
    const char *detail;
    inbound_identify(session);
    enum reason reason = inbound_admit(session, &detail);
    if (inbound_may_change(session, reason)) {
        waiting_start(session, NULL, &direct_either_waiting);
    } else if (reason != REASON_DONE) {
        direct_sniff(session);
    } else if (direct_sniff_for(session, options->idle_timeout_ms, options->tls_timeout_ms)) {
        inbound_start_connect(session, direct_accept);
    }
}

/* ------------------------------------------------------------------------------------------- accept -- */

static void direct_decide(struct session *session)
{
    const char *detail;
    inbound_identify(session);
    enum reason reason = inbound_check_target(session, &detail);
    if (reason != REASON_DONE) {
        session_close(session, reason, detail);
        return;
    }
    switch (direct_session_takes(session)) {
    case TAKES_CLEAR:
        direct_admit_as(session, INBOUND_CLEAR);
        return;
    case TAKES_EITHER:
        direct_decide_either(session);
        return;
    case TAKES_MESH:
    case TAKES_PORT_TLS:
    case TAKES_APP_TLS:
        direct_sniff(session);
        return;
    }
}

void inbound_direct_on_accept(void *owner, struct net_tcp *tcp)
{
    struct session *session = session_accept(owner, SESSION_INBOUND, tcp);
    if (session == NULL)
        return;
    session->target_addr = session->original_addr;
    session->dial_addr = session->original_addr;
    session->has_target = true;
    session->how = INBOUND_UNDECIDED;
    if (inbound_find_port(session))
        direct_decide(session);
    else
        session_close(session, REASON_PORTS_UNKNOWN, NULL);
}

/* ------------------------------------------------------------------------------------ judging again -- */

/* Whom no certificate names may not stay where one is required now. */
static bool direct_has_what_port_wants(const struct session *session, const struct port_entry *port)
{
    return session->direct == SESSION_DIRECT_PORT &&
           (session->peer != NULL || port->config->is_client_cert_optional);
}

bool inbound_direct_may_stay(const struct session *session)
{
    const struct proxy *proxy = session->proxy;
    const struct port_entry *port = port_table_find(proxy->ports, session->target_addr.port);
    bool is_untouched = session->how == INBOUND_CLEAR || session->how == INBOUND_APP_TLS;
    if (session->how == INBOUND_TUNNEL)
        return true;
    switch (direct_takes(proxy, port)) {
    case TAKES_CLEAR:
        return is_untouched;
    case TAKES_EITHER:
        return is_untouched || session->direct == SESSION_DIRECT_ISTIO;
    case TAKES_MESH:
        return session->direct == SESSION_DIRECT_ISTIO;
    case TAKES_PORT_TLS:
        return direct_has_what_port_wants(session, port);
    case TAKES_APP_TLS:
        break;
    }
    return session->how == INBOUND_APP_TLS;
}
