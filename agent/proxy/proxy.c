#include "proxy_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "identity.h"
#include "log.h"

enum {
    DRAIN_LOOK_MS =
        20, /* how often a drain looks whether all is over: HTTP/2's last frames go out between the looks */
    /* Of all connections that may be, one in so many may be one whose handshake is under way: all the others are left to who has shown who he is. */
    DOORSTEP_SHARE = 2,
};

/* --------------------------------------------------------------------------------------------------------------- options -- */

bool proxy_is_own_port(const struct proxy *proxy, uint16_t port)
{
    const struct proxy_options *options = &proxy->options;
    return port == options->outbound_addr.port || port == options->inbound_addr.port ||
           port == options->hbone_addr.port;
}

void proxy_conn_options(const struct proxy *proxy, struct hbone_conn_options *options)
{
    const struct proxy_options *from = &proxy->options;
    options->tls_timeout_ms = from->tls_timeout_ms;
    options->idle_timeout_ms = from->pool_idle_timeout_ms;
    options->ping_after_ms = from->http2_ping_interval_ms;
    options->ping_timeout_ms = from->http2_ping_timeout_ms;
    options->h2.stream_window_max = from->http2_stream_window;
    if (options->h2.stream_window > from->http2_stream_window)
        options->h2.stream_window = from->http2_stream_window;
    options->h2.connection_window = from->http2_connection_window;
    options->h2.max_frame_size = from->http2_frame_size;
}

static void proxy_on_pool_connected(void *owner, enum reason reason, uint64_t duration_ms)
{
    struct proxy *proxy = owner;
    telemetry_connect_done(proxy->telemetry, SESSION_OUTBOUND, reason, duration_ms);
}

static void proxy_on_pool_handshaken(void *owner, const struct addr *peer, enum reason reason,
                                     const struct err *err, uint64_t duration_ms)
{
    struct proxy *proxy = owner;
    const struct telemetry_handshake handshake = {
        .direction = SESSION_OUTBOUND,
        .reason = reason,
        .detail = err != NULL ? err->message : NULL,
        .peer = *peer,
        .duration_ms = duration_ms,
    };
    telemetry_handshake_done(proxy->telemetry, &handshake);
    if (reason != REASON_DONE)
        return;
    telemetry_socket_opened(proxy->telemetry, SESSION_OUTBOUND);
    telemetry_tunnel_opened(proxy->telemetry, SESSION_OUTBOUND);
}

static void proxy_on_pool_closed(void *owner, enum reason reason)
{
    struct proxy *proxy = owner;
    telemetry_socket_closed(proxy->telemetry, SESSION_OUTBOUND);
    telemetry_tunnel_closed(proxy->telemetry, SESSION_OUTBOUND, reason);
}

static const struct hbone_pool_observer proxy_pool_observer = {
    .on_connected = proxy_on_pool_connected,
    .on_handshaken = proxy_on_pool_handshaken,
    .on_closed = proxy_on_pool_closed,
};

static void proxy_pool_options(struct proxy *proxy, struct hbone_pool_options *options)
{
    hbone_pool_options_default(options);
    proxy_conn_options(proxy, &options->conn);
    options->connect_timeout_ms = proxy->options.connect_timeout_ms;
    options->answer_timeout_ms = proxy->options.tunnel_answer_timeout_ms;
    options->max_streams = proxy->options.pool_max_streams;
    options->tcp = proxy->options.tcp;
    options->observer = &proxy_pool_observer;
    options->observer_owner = proxy;
}

/* --------------------------------------------------------------------------------------------------------- start and stop -- */

static void proxy_on_drain_timer(void *owner);

struct proxy *proxy_new(struct net_loop *loop, const struct proxy_options *options,
                        struct telemetry *telemetry, struct err *err)
{
    struct proxy *proxy = calloc(1, sizeof(*proxy));
    if (proxy == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    proxy->loop = loop;
    proxy->options = *options;
    proxy->telemetry = telemetry;
    TAILQ_INIT(&proxy->sessions);
    TAILQ_INIT(&proxy->tunnels);
    size_t max_guests = options->max_sessions / DOORSTEP_SHARE;
    doorstep_init(&proxy->doorstep, max_guests, inbound_direct_turn_away);
    doorstep_init(&proxy->tunnel_doorstep, max_guests, inbound_hbone_turn_away);
    proxy->io = tls_io_new(loop);
    proxy->names = net_names_new(loop);
    proxy->drain_timer = net_timer_new(loop, proxy_on_drain_timer, proxy);
    if (proxy->io == NULL || proxy->names == NULL || proxy->drain_timer == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        goto fail;
    }
    if (waiting_init(proxy, err) < 0 || abandoned_init(proxy, err) < 0 ||
        recheck_init(proxy, err) < 0)
        goto fail;
    struct hbone_pool_options pool_options;
    proxy_pool_options(proxy, &pool_options);
    proxy->pool = hbone_pool_new(proxy->io, &pool_options, err);
    if (proxy->pool == NULL)
        goto fail;
    return proxy;
fail:
    proxy_free(proxy);
    return NULL;
}

/* Who was dropped is not known; net sees to it that this comes once a second at most. */
static void tell_overload(const struct proxy *proxy, enum session_direction direction)
{
    telemetry_accept_overload(proxy->telemetry, direction);
    LOG_WARN("proxy", "connections dropped: out of file descriptors; raise the agent's limit",
             LOG_S("direction", direction == SESSION_OUTBOUND ? "outbound" : "inbound"));
}

static void outbound_on_overload(void *owner)
{
    tell_overload(owner, SESSION_OUTBOUND);
}

static void inbound_on_overload(void *owner)
{
    tell_overload(owner, SESSION_INBOUND);
}

static void proxy_close_listeners(struct proxy *proxy)
{
    struct net_listener **listeners[] = {&proxy->outbound, &proxy->outbound_ipv6, &proxy->inbound,
                                         &proxy->hbone};
    for (size_t i = 0; i < sizeof(listeners) / sizeof(listeners[0]); i++) {
        net_listener_free(*listeners[i]);
        *listeners[i] = NULL;
    }
}

static struct net_listener *proxy_listen_at(struct proxy *proxy, const struct addr *at,
                                            const char *what,
                                            void (*on_accept)(void *owner, struct net_tcp *tcp),
                                            void (*on_overload)(void *owner), struct err *err)
{
    const struct net_listener_options options = {.reuse_port = proxy->options.reuse_port,
                                                 .tcp = proxy->options.tcp};
    struct net_listener *listener =
        net_listener_new(proxy->loop, at, &options, on_accept, on_overload, proxy, err);
    if (listener == NULL)
        err_prefix(err, "%s listener", what);
    return listener;
}

/* The application's own IPv6 traffic is redirected to ::1. A kernel without IPv6 has none. */
static int proxy_listen_ipv6(struct proxy *proxy, struct err *err)
{
    struct addr at = {.ip = {.family = IP_V6}, .port = proxy->options.outbound_addr.port};
    at.ip.bytes[15] = 1;
    struct err own = {0};
    proxy->outbound_ipv6 =
        proxy_listen_at(proxy, &at, "outbound", outbound_on_accept, outbound_on_overload, &own);
    if (proxy->outbound_ipv6 != NULL || own.sys == EAFNOSUPPORT || own.sys == EADDRNOTAVAIL)
        return 0;
    *err = own;
    return -1;
}

int proxy_listen(struct proxy *proxy, struct err *err)
{
    const struct proxy_options *options = &proxy->options;
    proxy->outbound = proxy_listen_at(proxy, &options->outbound_addr, "outbound",
                                      outbound_on_accept, outbound_on_overload, err);
    if (proxy->outbound == NULL)
        goto fail;
    if (options->ipv6 && proxy_listen_ipv6(proxy, err) < 0)
        goto fail;
    proxy->inbound = proxy_listen_at(proxy, &options->inbound_addr, "inbound",
                                     inbound_direct_on_accept, inbound_on_overload, err);
    if (proxy->inbound == NULL)
        goto fail;
    proxy->hbone = proxy_listen_at(proxy, &options->hbone_addr, "HBONE", inbound_hbone_on_accept,
                                   inbound_on_overload, err);
    if (proxy->hbone == NULL)
        goto fail;
    return 0;
fail:
    proxy_close_listeners(proxy);
    return -1;
}

static void proxy_end_sessions(struct proxy *proxy)
{
    struct session *session;
    while ((session = TAILQ_FIRST(&proxy->sessions)) != NULL)
        session_close(session, REASON_DRAINED, NULL);
}

void proxy_free(struct proxy *proxy)
{
    if (proxy == NULL)
        return;
    proxy_close_listeners(proxy);
    proxy_end_sessions(proxy);
    inbound_hbone_free(proxy);
    hbone_pool_free(proxy->pool);
    net_names_free(proxy->names);
    tls_io_free(proxy->io);
    net_timer_free(proxy->drain_timer);
    waiting_done(proxy);
    abandoned_done(proxy);
    recheck_done(proxy);
    mesh_snapshot_unref(proxy->mesh);
    tls_context_unref(proxy->tls);
    port_table_unref(proxy->ports);
    free(proxy);
}

/* ----------------------------------------------------------------------------------------------------- what it decides by -- */

void proxy_set_mesh(struct proxy *proxy, struct mesh_snapshot *snapshot)
{
    struct mesh_snapshot *former = proxy->mesh;
    const struct mesh_workload *former_local = proxy->local;
    const struct proxy_options *options = &proxy->options;
    proxy->mesh = mesh_snapshot_ref(snapshot);
    proxy->local = mesh_snapshot_workload_by_name(snapshot, options->pod_namespace,
                                                  options->pod_name, options->service_account);
    waiting_on_news(proxy);
    recheck_on_mesh(proxy, former, former_local);
    mesh_snapshot_unref(former);
}

void proxy_set_ports(struct proxy *proxy, struct port_table *table)
{
    port_table_ref(table);
    port_table_unref(proxy->ports);
    proxy->ports = table;
    recheck_on_ports(proxy);
}

void proxy_set_tls(struct proxy *proxy, struct tls_context *context)
{
    if (context != NULL)
        tls_context_ref(context);
    tls_context_unref(proxy->tls);
    proxy->tls = context;
    hbone_pool_set_context(proxy->pool, context);
    if (context != NULL)
        inbound_hbone_retire(proxy, identity_svid(tls_context_identity(context)));
    recheck_on_trust(proxy);
}

size_t proxy_num_sessions(const struct proxy *proxy)
{
    return proxy->num_sessions;
}

/* ----------------------------------------------------------------------------------------------------------------- drain -- */

static bool proxy_is_quiet(const struct proxy *proxy)
{
    struct hbone_pool_stats stats;
    hbone_pool_get_stats(proxy->pool, &stats);
    return proxy->num_sessions == 0 && proxy->num_tunnels == 0 && stats.connections == 0;
}

static void proxy_finish_drain(struct proxy *proxy)
{
    void (*on_drained)(void *owner) = proxy->on_drained;
    proxy->on_drained = NULL;
    on_drained(proxy->drain_owner);
}

static void proxy_on_drain_timer(void *owner)
{
    struct proxy *proxy = owner;
    bool is_late = net_loop_now_ms(proxy->loop) >= proxy->drain_deadline_ms;
    /* The last bytes of what has ended count, too, as long as there is time. */
    if (proxy_is_quiet(proxy) && (is_late || !tls_io_is_lingering(proxy->io))) {
        proxy_finish_drain(proxy);
        return;
    }
    if (is_late) {
        proxy_end_sessions(proxy);
        inbound_hbone_close(proxy);
        hbone_pool_close(proxy->pool);
    }
    net_timer_start(proxy->drain_timer, DRAIN_LOOK_MS);
}

void proxy_start_drain(struct proxy *proxy, uint64_t deadline_ms, void (*on_drained)(void *owner),
                       void *owner)
{
    assert(proxy->on_drained == NULL);
    proxy->on_drained = on_drained;
    proxy->drain_owner = owner;
    proxy->drain_deadline_ms = net_loop_now_ms(proxy->loop) + deadline_ms;
    proxy_close_listeners(proxy);
    inbound_hbone_drain(proxy);
    hbone_pool_drain(proxy->pool);
    net_timer_start(proxy->drain_timer, 0);
}

void proxy_end_drain(struct proxy *proxy)
{
    if (proxy->on_drained == NULL)
        return; /* it is over already */
    proxy->drain_deadline_ms = net_loop_now_ms(proxy->loop);
    net_timer_start(proxy->drain_timer, 0);
}
