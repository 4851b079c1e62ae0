#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "net_tcp.h"

enum { WATCHDOG_MS = 10 * 1000 };

/* ------------------------------------------------------------------------------- connections -- */

static void copy_header(char *out, size_t size, const struct h2_header *headers, size_t num,
                        const char *name)
{
    const char *value = h2_header_find(headers, num, name);
    snprintf(out, size, "%s", value == NULL ? "" : value);
}

static void on_headers(void *owner, struct h2_stream *stream, const struct h2_header *headers,
                       size_t num_headers, bool end)
{
    struct peer_connection *connection = owner;
    connection->stream = stream;
    connection->num_streams++;
    connection->ended = false;
    connection->gone = false;
    buf_clear(&connection->received, 0);
    copy_header(connection->path, sizeof(connection->path), headers, num_headers, ":path");
    copy_header(connection->scheme, sizeof(connection->scheme), headers, num_headers, ":scheme");
    copy_header(connection->authority, sizeof(connection->authority), headers, num_headers,
                ":authority");
    copy_header(connection->timeout, sizeof(connection->timeout), headers, num_headers,
                "grpc-timeout");
    copy_header(connection->token, sizeof(connection->token), headers, num_headers,
                "authorization");
    copy_header(connection->cluster_id, sizeof(connection->cluster_id), headers, num_headers,
                "clusterid");
    if (connection->peer->script.on_request != NULL)
        connection->peer->script.on_request(connection);
}

static size_t message_len(const struct buf *buf)
{
    const uint8_t *at = buf_head(buf);
    return (size_t)at[1] << 24 | (size_t)at[2] << 16 | (size_t)at[3] << 8 | at[4];
}

static void on_data(void *owner, struct h2_stream *stream, const uint8_t *bytes, size_t len)
{
    struct peer_connection *connection = owner;
    struct buf *received = &connection->received;
    h2_stream_consume(stream, len);
    if (stream != connection->stream)
        return;
    assert_int_equal(buf_append(received, bytes, len), 0);
    while (buf_len(received) >= 5 && buf_len(received) >= 5 + message_len(received)) {
        size_t message = message_len(received);
        if (connection->peer->script.on_message != NULL)
            connection->peer->script.on_message(connection, buf_head(received) + 5, message);
        buf_consume(received, 5 + message);
    }
}

static void on_end(void *owner, struct h2_stream *stream)
{
    struct peer_connection *connection = owner;
    connection->ended = true;
    if (connection->peer->script.on_end != NULL)
        connection->peer->script.on_end(connection);
}

static void on_closed(void *owner, struct h2_stream *stream, uint32_t code, bool by_peer)
{
    struct peer_connection *connection = owner;
    if (stream != connection->stream)
        return;
    connection->stream = NULL;
    connection->gone = true;
    connection->code = code;
}

static const struct h2_handler handler = {
    .on_output = rpc_link_on_output,
    .on_wants_send = rpc_link_on_wants_send,
    .on_headers = on_headers,
    .on_data = on_data,
    .on_end = on_end,
    .on_closed = on_closed,
};

static void on_gone(struct rpc_link *link, const struct err *err)
{
    struct peer_connection *connection = (struct peer_connection *)link;
    connection->gone = true;
    connection->stream = NULL;
    rpc_link_done(link);
}

static void ignore_read(void *owner, const uint8_t *bytes, size_t len)
{
}

static void ignore_eof(void *owner)
{
}

static void ignore_failed(void *owner, enum stream_fault fault, const struct err *err)
{
}

static const struct stream_handler silent_handler = {
    .on_read = ignore_read, .on_eof = ignore_eof, .on_failed = ignore_failed};

static void take(struct peer *peer, struct stream *stream)
{
    struct peer_connection *connection = calloc(1, sizeof(*connection));
    struct h2_options options;
    struct err err;
    assert_true(peer->num_connections < PEER_CONNECTIONS_MAX);
    peer->connections[peer->num_connections++] = connection;
    connection->peer = peer;
    h2_options_default(&options, H2_SERVER);
    const struct rpc_link_params params = {.loop = peer->loop,
                                           .side = H2_SERVER,
                                           .options = &options,
                                           .handler = &handler,
                                           .on_gone = on_gone};
    assert_int_equal(rpc_link_init(&connection->link, stream, &params, &err), 0);
    if (peer->silent) {
        stream_read_stop(stream);
        stream_set_handler(stream, &silent_handler, peer);
    }
}

static void on_accept(void *owner, struct net_tcp *tcp)
{
    take(owner, net_tcp_stream(tcp));
}

static void on_unix_ready(void *owner)
{
    struct peer *peer = owner;
    struct err err;
    int fd = accept4(peer->unix_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    struct net_tcp *tcp = net_tcp_from_fd(peer->loop, fd, &(struct net_tcp_options){0}, &err);
    assert_non_null(tcp);
    take(peer, net_tcp_stream(tcp));
}

/* -------------------------------------------------------------------------------------- life -- */

int peer_setup(void **state)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    struct err err;
    peer->unix_fd = -1;
    peer->loop = net_loop_new(&err);
    peer->io = tls_io_new(peer->loop);
    *state = peer;
    return peer->io == NULL ? -1 : 0;
}

int peer_teardown(void **state)
{
    struct peer *peer = *state;
    net_listener_free(peer->listener);
    net_poll_free(peer->poll);
    if (peer->unix_fd >= 0) {
        close(peer->unix_fd);
        unlink(peer->socket_path);
    }
    for (unsigned i = 0; i < peer->num_connections; i++) {
        rpc_link_done(&peer->connections[i]->link);
        buf_done(&peer->connections[i]->received);
        free(peer->connections[i]);
    }
    tls_io_free(peer->io);
    assert_int_equal(net_loop_free(peer->loop), 0);
    free(peer);
    return 0;
}

void peer_listen(struct peer *peer)
{
    struct addr at;
    struct err err;
    assert_int_equal(addr_parse(&at, "127.0.0.1:1", NULL), 0);
    at.port = 0;
    peer->listener = net_listener_new(peer->loop, &at, &(struct net_listener_options){0}, on_accept,
                                      NULL, peer, &err);
    assert_non_null(peer->listener);
    snprintf(peer->address, sizeof(peer->address), "tcp://127.0.0.1:%u",
             net_listener_addr(peer->listener)->port);
}

void peer_listen_unix(struct peer *peer)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct err err;
    snprintf(peer->socket_path, sizeof(peer->socket_path), "/tmp/remora-rpc-%d.sock", getpid());
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", peer->socket_path);
    peer->unix_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->unix_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(peer->unix_fd, 8), 0);
    peer->poll = net_poll_new(peer->loop, peer->unix_fd, on_unix_ready, peer, &err);
    assert_non_null(peer->poll);
    snprintf(peer->address, sizeof(peer->address), "unix://%s", peer->socket_path);
}

struct grpc_channel *peer_channel(struct peer *peer, const struct grpc_channel_options *more)
{
    struct grpc_channel_options options = *more;
    struct err err;
    options.address = peer->address;
    struct grpc_channel *channel = grpc_channel_new(peer->io, &options, &err);
    if (channel == NULL)
        fail_msg("%s", err.message);
    return channel;
}

static void on_watchdog(void *owner)
{
    struct peer *peer = owner;
    peer->timed_out = true;
    net_loop_stop(peer->loop);
}

struct waiting {
    struct peer *peer;
    const bool *done;
    struct net_timer *look;
};

static void on_look(void *owner)
{
    struct waiting *waiting = owner;
    if (*waiting->done)
        net_loop_stop(waiting->peer->loop);
    else
        net_timer_start(waiting->look, 1);
}

void peer_run(struct peer *peer, const bool *done)
{
    struct net_timer *watchdog = net_timer_new(peer->loop, on_watchdog, peer);
    struct waiting waiting = {.peer = peer, .done = done};
    waiting.look = net_timer_new(peer->loop, on_look, &waiting);
    net_timer_start(watchdog, WATCHDOG_MS);
    net_timer_start(waiting.look, 0);
    net_loop_run(peer->loop);
    net_timer_free(waiting.look);
    net_timer_free(watchdog);
    if (peer->timed_out)
        fail_msg("nothing happened for ten seconds");
}

struct peer_connection *peer_newest(struct peer *peer)
{
    assert_true(peer->num_connections > 0);
    return peer->connections[peer->num_connections - 1];
}

/* ------------------------------------------------------------------------------------ answers -- */

void peer_respond(struct peer_connection *connection)
{
    static const struct h2_header headers[] = {
        {.name = ":status", .value = "200"}, {.name = "content-type", .value = "application/grpc"}};
    assert_int_equal(h2_stream_respond(connection->stream, headers, 2, false), 0);
}

void peer_send(struct peer_connection *connection, const void *message, size_t len)
{
    uint8_t prefix[5] = {0, (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
                         (uint8_t)len};
    h2_stream_write(connection->stream, prefix, sizeof(prefix));
    h2_stream_write(connection->stream, message, len);
}

void peer_finish(struct peer_connection *connection, const char *status, const char *message)
{
    const struct h2_header trailers[] = {{.name = "grpc-status", .value = status},
                                         {.name = "grpc-message", .value = message}};
    assert_int_equal(h2_stream_trailers(connection->stream, trailers, 2), 0);
}
