/* One connection of the server: handshake, HTTP/2, timers. */
#include <stdlib.h>

#include "clock.h"
#include "grpc_server_impl.h"
#include "rng.h"

enum {
    STREAMS_MAX = 16, /* of a connection; an agent has a stream, and a call at times */
    STREAM_WINDOW = 64 * 1024,
    CONNECTION_WINDOW = 128 * 1024,
    FRAME_MAX = 16384,
    HEADER_LIST_MAX = 16 * 1024, /* a token has one thousand */
    DRAIN_MS = 5000,             /* for the peer to take the GOAWAY and end */
};

/* ------------------------------------------------------------------------------------ HTTP/2 -- */

static void connection_on_headers(void *owner, struct h2_stream *stream,
                                  const struct h2_header *headers, size_t num_headers, bool end)
{
    grpc_server_call_on_headers(owner, stream, headers, num_headers, end);
}

static void connection_on_data(void *owner, struct h2_stream *stream, const uint8_t *bytes,
                               size_t len)
{
    struct grpc_server_call *call = h2_stream_owner(stream);
    /* A client that does not take its answers may not ask for more and more. */
    if (call != NULL && call->is_full)
        call->parked += len;
    else
        h2_stream_consume(stream, len);
    if (call != NULL)
        grpc_server_call_on_data(call, bytes, len);
}

static void connection_on_end(void *owner, struct h2_stream *stream)
{
    struct grpc_server_call *call = h2_stream_owner(stream);
    if (call != NULL)
        grpc_server_call_on_end(call);
}

static void connection_on_writable(void *owner, struct h2_stream *stream)
{
    struct grpc_server_call *call = h2_stream_owner(stream);
    if (call != NULL)
        grpc_server_streaming_on_writable(call);
}

/* The answer is out. A client that still sends is told not to (RFC 9113, 8.1). */
static void connection_on_end_sent(void *owner, struct h2_stream *stream)
{
    struct grpc_server_call *call = h2_stream_owner(stream);
    if (call != NULL)
        grpc_server_call_free(call);
    h2_stream_reset(stream, H2_NO_ERROR);
}

static void connection_on_closed(void *owner, struct h2_stream *stream, uint32_t code, bool by_peer)
{
    struct grpc_server_call *call = h2_stream_owner(stream);
    if (call != NULL)
        grpc_server_call_free(call);
}

static const struct h2_handler session_handler = {
    .on_output = rpc_link_on_output,
    .on_wants_send = rpc_link_on_wants_send,
    .on_headers = connection_on_headers,
    .on_data = connection_on_data,
    .on_end = connection_on_end,
    .on_writable = connection_on_writable,
    .on_end_sent = connection_on_end_sent,
    .on_closed = connection_on_closed,
};

/* -------------------------------------------------------------------------------------- time -- */

static void tell_trouble(struct grpc_server_connection *connection, const struct err *err)
{
    const struct grpc_server_options *options = &connection->server->options;
    options->on_trouble(options->owner, &connection->peer, err);
}

static void drain(struct grpc_server_connection *connection, uint64_t grace_ms)
{
    connection->draining = true;
    h2_session_start_drain(connection->link.session);
    net_timer_start(connection->idle, grace_ms);
}

void grpc_server_connection_drain(struct grpc_server_connection *connection)
{
    if (connection->handshake != NULL) {
        grpc_server_connection_free(connection);
        return;
    }
    struct grpc_server_call *call = LIST_FIRST(&connection->calls);
    while (call != NULL) {
        struct grpc_server_call *next = LIST_NEXT(call, entry);
        if (call->is_open)
            grpc_server_call_finish(call, GRPC_STATUS_UNAVAILABLE, "the server is ending");
        call = next;
    }
    drain(connection, DRAIN_MS);
}

static void on_idle(void *owner)
{
    struct grpc_server_connection *connection = owner;
    if (connection->draining || !LIST_EMPTY(&connection->calls))
        grpc_server_connection_free(connection);
    else
        drain(connection, DRAIN_MS);
}

void grpc_server_connection_served(struct grpc_server_connection *connection)
{
    if (!connection->draining && connection->num_streaming == 0)
        net_timer_start(connection->idle, connection->server->options.idle_timeout_ms);
}

static void on_age(void *owner)
{
    struct grpc_server_connection *connection = owner;
    if (!connection->draining)
        drain(connection, connection->server->options.max_age_grace_ms);
}

/* Clients that came together do not all go together. */
static void start_age(struct grpc_server_connection *connection)
{
    uint64_t max_ms = connection->server->options.max_age_ms;
    if (max_ms > 0)
        net_timer_start(connection->age, max_ms - rng_u64() % (max_ms / 10 + 1));
}

static void on_keepalive(void *owner)
{
    struct grpc_server_connection *connection = owner;
    struct err err;
    bool lives = connection->link.num_received != connection->num_received;
    if (!lives && connection->asked_for_life) {
        err_set(&err, ERR_TIMEOUT, "the client gives no sign of life");
        tell_trouble(connection, &err);
        grpc_server_connection_free(connection);
        return;
    }
    connection->num_received = connection->link.num_received;
    connection->asked_for_life = !lives;
    if (!lives)
        h2_session_ping(connection->link.session, 0);
    net_timer_start(connection->keepalive, connection->server->options.keepalive_ms);
}

void grpc_server_connection_streams(struct grpc_server_connection *connection, bool begins)
{
    if (begins && connection->num_streaming++ == 0) {
        if (!connection->draining)
            net_timer_stop(connection->idle);
        net_timer_start(connection->keepalive, connection->server->options.keepalive_ms);
    } else if (!begins && --connection->num_streaming == 0) {
        net_timer_stop(connection->keepalive);
        grpc_server_connection_served(connection);
    }
}

/* -------------------------------------------------------------------------------------- life -- */

static void on_gone(struct rpc_link *link, const struct err *err)
{
    struct grpc_server_connection *connection = (struct grpc_server_connection *)link;
    /* Clients leave, that is no trouble; that they break HTTP/2 is. */
    if (err != NULL && err->kind == ERR_PROTOCOL)
        tell_trouble(connection, err);
    grpc_server_connection_free(connection);
}

static int start_session(struct grpc_server_connection *connection, struct stream *stream,
                         struct err *err)
{
    struct h2_options options;
    h2_options_default(&options, H2_SERVER);
    options.max_streams = STREAMS_MAX;
    options.stream_window = STREAM_WINDOW;
    options.stream_window_max = STREAM_WINDOW;
    options.connection_window = CONNECTION_WINDOW;
    options.max_frame_size = FRAME_MAX;
    options.max_header_list = HEADER_LIST_MAX;
    const struct rpc_link_params params = {.loop = tls_io_loop(connection->server->io),
                                           .side = H2_SERVER,
                                           .options = &options,
                                           .handler = &session_handler,
                                           .on_gone = on_gone};
    return rpc_link_init(&connection->link, stream, &params, err);
}

static void on_handshake_done(void *owner, struct stream *stream, enum reason reason,
                              const struct err *err)
{
    struct grpc_server_connection *connection = owner;
    struct err why;
    connection->handshake = NULL;
    if (stream == NULL) {
        why = *err;
    } else if (start_session(connection, stream, &why) == 0) {
        grpc_server_connection_served(connection);
        start_age(connection);
        return;
    } else {
        stream_close(stream);
    }
    err_prefix(&why, "TLS handshake");
    tell_trouble(connection, &why);
    grpc_server_connection_free(connection);
}

static int start_handshake(struct grpc_server_connection *connection, struct net_tcp *tcp,
                           struct err *err)
{
    struct grpc_server *server = connection->server;
    const struct tls_conn_params params = {.role = TLS_SERVER, .now_ms = clock_wall_ms()};
    struct net_loop *loop = tls_io_loop(server->io);
    connection->idle = net_timer_new(loop, on_idle, connection);
    connection->keepalive = net_timer_new(loop, on_keepalive, connection);
    connection->age = net_timer_new(loop, on_age, connection);
    if (connection->idle == NULL || connection->keepalive == NULL || connection->age == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    connection->handshake = tls_handshake_start(server->io, net_tcp_stream(tcp), server->context,
                                                &params, server->options.handshake_timeout_ms,
                                                on_handshake_done, connection, err);
    return connection->handshake == NULL ? -1 : 0;
}

void grpc_server_connection_start(struct grpc_server *server, struct net_tcp *tcp)
{
    struct grpc_server_connection *connection = calloc(1, sizeof(*connection));
    struct err err;
    if (connection == NULL) {
        stream_abort(net_tcp_stream(tcp));
        return;
    }
    connection->server = server;
    connection->peer = *net_tcp_peer(tcp);
    LIST_INIT(&connection->calls);
    LIST_INSERT_HEAD(&server->connections, connection, entry);
    server->num_connections++;
    if (start_handshake(connection, tcp, &err) < 0) {
        tell_trouble(connection, &err);
        grpc_server_connection_free(connection);
        stream_abort(net_tcp_stream(tcp));
    }
}

void grpc_server_connection_free(struct grpc_server_connection *connection)
{
    while (!LIST_EMPTY(&connection->calls))
        grpc_server_call_free(LIST_FIRST(&connection->calls));
    tls_handshake_cancel(connection->handshake);
    rpc_link_done(&connection->link);
    net_timer_free(connection->idle);
    net_timer_free(connection->keepalive);
    net_timer_free(connection->age);
    LIST_REMOVE(connection, entry);
    connection->server->num_connections--;
    free(connection);
}
