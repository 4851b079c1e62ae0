#include "recheck.h"

#include <limits.h>

#include "clock.h"
#include "identity.h"
#include "inbound.h"
#include "origin.h"
#include "proxy_state.h"

enum {
    /* Of a batch: verifying a chain takes a few tenths of a millisecond, a policy a few
     * microseconds. */
    PEERS_AT_ONCE = 16,
    SESSIONS_AT_ONCE = 256,
    /* How late the end of a certificate, a clock that was set, or a resume after a suspend may be
     * noticed. */
    LOOK_MS = 10 * 1000,
    /* To the next batch. With 0 it would come in the same round, before anybody else's turn: before
     * 1.45, libuv fires a timer that is due by its cached time again and again. */
    BATCH_MS = 1,
};

/* Not without an identity: it comes back with a trust of its own, which is judged by then. */
static bool recheck_may_judge_trust(const struct proxy *proxy)
{
    return proxy->recheck.trust_pending && proxy->tls != NULL;
}

static bool recheck_is_busy(const struct proxy *proxy)
{
    return proxy->recheck.policy_pending || proxy->recheck.ports_pending ||
           proxy->recheck.time_pending || recheck_may_judge_trust(proxy);
}

static void recheck_set_timer(struct proxy *proxy)
{
    net_timer_start(proxy->recheck.timer, recheck_is_busy(proxy) ? BATCH_MS : LOOK_MS);
}

/* ------------------------------------------------------------------------------------ peers -- */

static void recheck_count(struct proxy *proxy, enum session_direction direction, enum reason reason)
{
    telemetry_recheck_closed(proxy->telemetry, direction, reason);
}

static void recheck_close_carried(struct session *session, enum reason reason,
                                  const struct err *err)
{
    struct err why = *err;
    err_prefix(&why, "network gateway");
    session_close(session, reason, why.message);
}

/* The sessions inside connections of this peer, also those in a tunnel within one, each with its own line. */
static void recheck_close_sessions(struct proxy *proxy, const struct peer_cert *peer,
                                   enum reason reason, const struct err *err)
{
    struct session *session = TAILQ_FIRST(&proxy->sessions);
    while (session != NULL) {
        struct session *next = TAILQ_NEXT(session, entry);
        if (session->peer == peer || session->gateway == peer)
            recheck_count(proxy, session->direction, reason);
        if (session->peer == peer)
            session_close(session, reason, err->message);
        else if (session->gateway == peer)
            recheck_close_carried(session, reason, err);
        session = next;
    }
}

static enum reason recheck_conclude(struct proxy *proxy, const struct peer_cert *peer,
                                    enum reason reason, const struct err *err)
{
    if (reason != REASON_DONE)
        recheck_close_sessions(proxy, peer, reason, err);
    return reason;
}

static enum reason recheck_judge(void *owner, const struct peer_cert *peer, struct err *err)
{
    static const struct cert_rules STRICT = {0};
    struct proxy *proxy = owner;
    const struct trust *trust = identity_trust(tls_context_identity(proxy->tls));
    enum reason reason = peer_cert_recheck(peer, trust, &STRICT, clock_wall_ms(),
                                           (int64_t)proxy->options.peer_expiry_grace_ms, err);
    return recheck_conclude(proxy, peer, reason, err);
}

static enum reason recheck_judge_time(void *owner, const struct peer_cert *peer, struct err *err)
{
    struct proxy *proxy = owner;
    enum reason reason = peer_cert_recheck_time(peer, clock_wall_ms(),
                                                (int64_t)proxy->options.peer_expiry_grace_ms, err);
    if (reason != REASON_DONE && proxy->tls != NULL)
        return recheck_judge(owner, peer, err);
    return recheck_conclude(proxy, peer, reason, err);
}

/* A batch; false: there are more. */
static bool recheck_trust(struct proxy *proxy)
{
    const struct hbone_pool_review review = {
        .generation = proxy->recheck.trust_generation,
        .max = PEERS_AT_ONCE,
        .now_ms = clock_wall_ms(),
        .judge = recheck_judge,
        .owner = proxy,
    };
    return inbound_hbone_review(proxy, &review) < review.max &&
           hbone_pool_review(proxy->pool, &review) < review.max;
}

static void recheck_time(struct proxy *proxy)
{
    const struct hbone_pool_review review = {
        .max = UINT_MAX,
        .now_ms = clock_wall_ms(),
        .judge = recheck_judge_time,
        .owner = proxy,
    };
    inbound_hbone_review(proxy, &review);
    hbone_pool_review(proxy->pool, &review);
}

void recheck_on_trust(struct proxy *proxy)
{
    struct recheck *recheck = &proxy->recheck;
    /* Without an identity there is nothing new to judge by: who is connected was trusted. */
    if (proxy->tls == NULL)
        return;
    struct tls_context *former = recheck->judged_by;
    recheck->judged_by = tls_context_ref(proxy->tls);
    if (former != NULL && !trust_is_same(identity_trust(tls_context_identity(former)),
                                         identity_trust(tls_context_identity(proxy->tls)))) {
        recheck->trust_generation++;
        recheck->trust_pending = true;
    }
    if (recheck->trust_pending) /* since now, or since before the identity was lost */
        recheck_set_timer(proxy);
    tls_context_unref(former);
}

uint64_t recheck_generation_of(struct proxy *proxy, const struct tls_context *context)
{
    struct recheck *recheck = &proxy->recheck;
    if (context == recheck->judged_by)
        return recheck->trust_generation;
    recheck->trust_pending = true;
    recheck_set_timer(proxy);
    return 0;
}

/* ----------------------------------------------------------------------- without a tunnel -- */

static bool recheck_is_direct(const struct session *session)
{
    return session->direct != SESSION_DIRECT_NONE && session->peer != NULL;
}

/* What would judge the session's peer if it came now; NULL: nothing does, or there is no identity now. */
static const struct tls_context *recheck_context_of(const struct session *session)
{
    const struct port_table *ports = session->proxy->ports;
    const struct port_destination *origin = NULL;
    const struct port_entry *port = NULL;
    switch (session->direct) {
    case SESSION_DIRECT_NONE:
        return NULL;
    case SESSION_DIRECT_ISTIO:
        return port_table_istio(ports);
    case SESSION_DIRECT_PORT:
        port = port_table_find(ports, session->original_addr.port);
        return port != NULL ? port->tls : NULL;
    case SESSION_DIRECT_ORIGIN:
        origin = origin_find_same(ports, session->origin->config);
        return origin != NULL ? origin->tls : NULL;
    }
    return NULL;
}

static void recheck_direct(struct session *session)
{
    struct proxy *proxy = session->proxy;
    const struct tls_context *context = recheck_context_of(session);
    struct err err;
    if (context == NULL)
        return;
    enum reason reason = tls_context_recheck(context, session->peer, clock_wall_ms(),
                                             (int64_t)proxy->options.peer_expiry_grace_ms, &err);
    if (reason == REASON_DONE)
        return;
    recheck_count(proxy, session->direction, reason);
    session_close(session, reason, err.message);
}

static void recheck_port(struct session *session)
{
    session->judged_by = session->proxy->recheck.ports_generation;
    if (!inbound_direct_may_stay(session)) {
        recheck_count(session->proxy, session->direction, REASON_PORT_CHANGED);
        session_close(session, REASON_PORT_CHANGED, NULL);
    } else if (recheck_is_direct(session)) {
        recheck_direct(session);
    }
}

/* A batch, of those whose certificates have to be verified; what else there is costs nothing. False: there are more. */
static bool recheck_ports(struct proxy *proxy)
{
    unsigned num = 0;
    struct session *session = TAILQ_FIRST(&proxy->sessions);
    while (session != NULL && num < PEERS_AT_ONCE) {
        struct session *next = TAILQ_NEXT(session, entry);
        if (session->relaying && session->judged_by != proxy->recheck.ports_generation) {
            num += recheck_is_direct(session);
            recheck_port(session);
        }
        session = next;
    }
    return num < PEERS_AT_ONCE;
}

/*
 * The path by which the peer was verified has ended. By another one it is known from now on, so that
 * it costs its signatures only once; without one its session ends.
 */
static void recheck_direct_late(struct session *session, int64_t now_ms, enum reason reason,
                                const struct err *err)
{
    const struct tls_context *context = recheck_context_of(session);
    struct peer_cert *renewed =
        context == NULL ? NULL : tls_context_renew_peer(context, session->peer, now_ms);
    if (renewed != NULL) {
        peer_cert_unref(session->peer);
        session->peer = renewed;
        return;
    }
    recheck_count(session->proxy, session->direction, reason);
    session_close(session, reason, err->message);
}

/* A batch, of those whose certificates have to be verified. False: there are more. */
static bool recheck_direct_time(struct proxy *proxy)
{
    int64_t now_ms = clock_wall_ms();
    unsigned num = 0;
    struct session *session = TAILQ_FIRST(&proxy->sessions);
    while (session != NULL && num < PEERS_AT_ONCE) {
        struct session *next = TAILQ_NEXT(session, entry);
        struct err err;
        enum reason reason = REASON_DONE;
        if (recheck_is_direct(session) && session->relaying)
            reason = peer_cert_recheck_time(session->peer, now_ms,
                                            (int64_t)proxy->options.peer_expiry_grace_ms, &err);
        if (reason != REASON_DONE) {
            recheck_direct_late(session, now_ms, reason, &err);
            num++;
        }
        session = next;
    }
    return num < PEERS_AT_ONCE;
}

void recheck_on_ports(struct proxy *proxy)
{
    proxy->recheck.ports_generation++;
    proxy->recheck.ports_pending = true;
    recheck_set_timer(proxy);
}

void recheck_add(struct session *session)
{
    struct proxy *proxy = session->proxy;
    /* Without a table nothing was decided by one: an outbound tunnel. */
    bool is_current = session->ports == NULL || session->ports == proxy->ports;
    session->judged_by = is_current ? proxy->recheck.ports_generation : 0;
    if (is_current)
        return;
    proxy->recheck.ports_pending = true;
    recheck_set_timer(proxy);
}

/* --------------------------------------------------------------------------------- policies -- */

/*
 * Only what policies say ends a session that lives. That discovery has lost sight of this pod for a
 * moment, or names a policy that it is about to describe, changes nothing for who is in already.
 */
static bool recheck_is_refusal(const struct mesh_verdict *verdict)
{
    return !verdict->allowed &&
           (verdict->reason == REASON_DENIED_BY_POLICY || verdict->reason == REASON_NOT_ALLOWED);
}

static void recheck_authorize(struct proxy *proxy, struct session *session)
{
    struct mesh_verdict verdict;
    inbound_authorize(session, proxy->mesh, proxy->local, &verdict);
    if (!recheck_is_refusal(&verdict))
        return;
    session->policy = verdict.policy;
    recheck_count(proxy, session->direction, verdict.reason);
    session_close(session, verdict.reason, "policy changed while connected");
}

/* A batch; false: there are more. */
static bool recheck_policy(struct proxy *proxy)
{
    uint64_t generation = proxy->recheck.policy_generation;
    unsigned num = 0;
    struct session *session = TAILQ_FIRST(&proxy->sessions);
    while (session != NULL && num < SESSIONS_AT_ONCE) {
        struct session *next = TAILQ_NEXT(session, entry);
        if (session->authorized_by != 0 && session->authorized_by != generation) {
            session->authorized_by = generation;
            recheck_authorize(proxy, session);
            num++;
        }
        session = next;
    }
    return num < SESSIONS_AT_ONCE;
}

void recheck_on_mesh(struct proxy *proxy, const struct mesh_snapshot *former,
                     const struct mesh_workload *former_local)
{
    /* Most news are about others: what was not changed is shared with the snapshot before. */
    if (former == NULL ||
        (former_local == proxy->local && mesh_snapshot_shares_policies(former, proxy->mesh)))
        return;
    proxy->recheck.policy_generation++;
    proxy->recheck.policy_pending = true;
    recheck_set_timer(proxy);
}

/* --------------------------------------------------------------------------------- destinations -- */

/*
 * A connection that lives on says nothing to discovery by itself. Whoever holds some for hours, and loses them while the control plane
 * is away, must still be able to make new ones.
 */
static void recheck_on_touch_timer(void *owner)
{
    struct proxy *proxy = owner;
    const struct session *session;
    TAILQ_FOREACH (session, &proxy->sessions, entry)
        session_keep(session);
    net_timer_start(proxy->recheck.touch_timer, proxy->options.touch_ms);
}

/* ------------------------------------------------------------------------------------ timer -- */

static void recheck_on_timer(void *owner)
{
    struct proxy *proxy = owner;
    struct recheck *recheck = &proxy->recheck;
    if (recheck->policy_pending)
        recheck->policy_pending = !recheck_policy(proxy);
    if (recheck_may_judge_trust(proxy))
        recheck->trust_pending = !recheck_trust(proxy);
    if (recheck->ports_pending)
        recheck->ports_pending = !recheck_ports(proxy);
    if (recheck->time_pending) {
        recheck->time_pending = !recheck_direct_time(proxy);
    } else if (!recheck_is_busy(proxy)) {
        recheck_time(proxy);
        recheck->time_pending = !recheck_direct_time(proxy);
    }
    recheck_set_timer(proxy);
}

int recheck_init(struct proxy *proxy, struct err *err)
{
    proxy->recheck.trust_generation = 1;
    proxy->recheck.policy_generation = 1;
    proxy->recheck.ports_generation = 1;
    proxy->recheck.timer = net_timer_new(proxy->loop, recheck_on_timer, proxy);
    proxy->recheck.touch_timer = net_timer_new(proxy->loop, recheck_on_touch_timer, proxy);
    if (proxy->recheck.timer == NULL || proxy->recheck.touch_timer == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    recheck_set_timer(proxy);
    if (proxy->options.touch_ms > 0)
        net_timer_start(proxy->recheck.touch_timer, proxy->options.touch_ms);
    return 0;
}

void recheck_done(struct proxy *proxy)
{
    net_timer_free(proxy->recheck.timer);
    net_timer_free(proxy->recheck.touch_timer);
    tls_context_unref(proxy->recheck.judged_by);
}
