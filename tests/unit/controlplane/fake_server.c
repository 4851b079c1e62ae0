#include "fake_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ca_state.h"
#include "clock.h"
#include "net_tcp.h"
#include "rpc_link.h"
#include "tls_handshake.h"

enum { CONNECTIONS_MAX = 8, HEADERS_MAX = 24 };

struct connection {
    struct rpc_link link; /* first */
    struct fake_server *server;
    struct tls_handshake *handshake;
};

struct fake_server {
    struct control_fixture *fixture;
    struct net_listener *listener;
    fake_server_respond *respond;
    struct ca_issuer *issuer;
    struct tls_context *context;
    struct connection *connections[CONNECTIONS_MAX];
    unsigned num_connections;
    unsigned num_requests;
    char *headers[HEADERS_MAX][2];
    unsigned num_headers;
    /* raw */
    const char *bytes;
    bool close;
    struct stream *raw[CONNECTIONS_MAX];
};

static void drop_headers(struct fake_server *server)
{
    for (unsigned i = 0; i < server->num_headers; i++) {
        free(server->headers[i][0]);
        free(server->headers[i][1]);
    }
    server->num_headers = 0;
}

static void on_headers(void *owner, struct h2_stream *stream, const struct h2_header *headers,
                       size_t num_headers, bool end)
{
    struct fake_server *server = ((struct connection *)owner)->server;
    drop_headers(server);
    for (size_t i = 0; i < num_headers; i++) {
        assert_true(server->num_headers < HEADERS_MAX);
        server->headers[server->num_headers][0] = strdup(headers[i].name);
        server->headers[server->num_headers++][1] = strdup(headers[i].value);
    }
}

static void on_data(void *owner, struct h2_stream *stream, const uint8_t *bytes, size_t len)
{
    h2_stream_consume(stream, len);
}

static void on_end(void *owner, struct h2_stream *stream)
{
    struct fake_server *server = ((struct connection *)owner)->server;
    server->num_requests++;
    server->respond(server, stream);
}

static void on_closed(void *owner, struct h2_stream *stream, uint32_t code, bool by_peer)
{
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
    rpc_link_done(link);
}

static void on_handshake(void *owner, struct stream *stream, enum reason reason,
                         const struct err *err)
{
    struct connection *connection = owner;
    struct h2_options options;
    struct err why;
    connection->handshake = NULL;
    if (stream == NULL)
        return;
    h2_options_default(&options, H2_SERVER);
    const struct rpc_link_params params = {.loop = connection->server->fixture->loop,
                                           .side = H2_SERVER,
                                           .options = &options,
                                           .handler = &handler,
                                           .on_gone = on_gone};
    assert_int_equal(rpc_link_init(&connection->link, stream, &params, &why), 0);
}

static void on_accept(void *owner, struct net_tcp *tcp)
{
    struct fake_server *server = owner;
    struct connection *connection = calloc(1, sizeof(*connection));
    const struct tls_conn_params params = {.role = TLS_SERVER, .now_ms = clock_wall_ms()};
    struct err err;
    assert_true(server->num_connections < CONNECTIONS_MAX);
    server->connections[server->num_connections++] = connection;
    connection->server = server;
    connection->handshake =
        tls_handshake_start(server->fixture->io, net_tcp_stream(tcp), server->context, &params,
                            5000, on_handshake, connection, &err);
    assert_non_null(connection->handshake);
}

static void make_context(struct fake_server *server)
{
    struct ca_server_cert cert;
    struct err err;
    bool created;
    server->issuer = ca_state_open(
        &(struct ca_state_options){.dir = server->fixture->state_dir, .now_ms = clock_wall_ms()},
        &created, &err);
    assert_non_null(server->issuer);
    assert_int_equal(ca_issuer_issue_server(server->issuer, "controlplane.test", 600,
                                            clock_wall_ms(), &cert, &err),
                     0);
    server->context = tls_context_new_server(cert.key_pem, strlen(cert.key_pem), cert.chain_pem,
                                             strlen(cert.chain_pem), &err);
    assert_non_null(server->context);
    ca_server_cert_done(&cert);
}

static void listen_on_loopback(struct fake_server *server,
                               void (*accept)(void *owner, struct net_tcp *tcp))
{
    struct err err;
    struct addr at;
    assert_int_equal(addr_parse(&at, "127.0.0.1:1", NULL), 0);
    at.port = 0;
    server->listener = net_listener_new(
        server->fixture->loop, &at, &(struct net_listener_options){0}, accept, NULL, server, &err);
    assert_non_null(server->listener);
    control_fixture_set_port(server->fixture, net_listener_addr(server->listener)->port);
}

struct fake_server *fake_server_new(struct control_fixture *fixture, fake_server_respond *respond)
{
    struct fake_server *server = calloc(1, sizeof(*server));
    server->fixture = fixture;
    server->respond = respond;
    make_context(server);
    listen_on_loopback(server, on_accept);
    return server;
}

static void raw_on_read(void *owner, const uint8_t *bytes, size_t len)
{
}

static void raw_on_eof(void *owner)
{
}

static void raw_on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
}

static const struct stream_handler raw_handler = {
    .on_read = raw_on_read, .on_eof = raw_on_eof, .on_failed = raw_on_failed};

static void on_accept_raw(void *owner, struct net_tcp *tcp)
{
    struct fake_server *server = owner;
    struct stream *stream = net_tcp_stream(tcp);
    assert_true(server->num_connections < CONNECTIONS_MAX);
    server->raw[server->num_connections++] = stream;
    stream_set_handler(stream, &raw_handler, server);
    stream_read_start(stream);
    stream_write(stream, (const uint8_t *)server->bytes, strlen(server->bytes));
    if (server->close)
        stream_shutdown(stream);
}

struct fake_server *fake_server_new_raw(struct control_fixture *fixture, const char *bytes,
                                        bool close)
{
    struct fake_server *server = calloc(1, sizeof(*server));
    server->fixture = fixture;
    server->bytes = bytes;
    server->close = close;
    make_context(server);
    listen_on_loopback(server, on_accept_raw);
    return server;
}

void fake_server_free(struct fake_server *server)
{
    net_listener_free(server->listener);
    for (unsigned i = 0; i < server->num_connections; i++) {
        stream_close(server->raw[i]);
        if (server->connections[i] == NULL)
            continue;
        tls_handshake_cancel(server->connections[i]->handshake);
        rpc_link_done(&server->connections[i]->link);
        free(server->connections[i]);
    }
    drop_headers(server);
    tls_context_unref(server->context);
    ca_issuer_free(server->issuer);
    free(server);
}

unsigned fake_server_num_requests(const struct fake_server *server)
{
    return server->num_requests;
}

unsigned fake_server_num_connections(const struct fake_server *server)
{
    return server->num_connections;
}

const char *fake_server_header(const struct fake_server *server, const char *name)
{
    for (unsigned i = 0; i < server->num_headers; i++) {
        if (strcmp(server->headers[i][0], name) == 0)
            return server->headers[i][1];
    }
    return "";
}

struct ca_issuer *fake_server_issuer(const struct fake_server *server)
{
    return server->issuer;
}

void fake_server_answer(struct h2_stream *stream, const void *message, size_t len)
{
    static const struct h2_header headers[] = {
        {.name = ":status", .value = "200"}, {.name = "content-type", .value = "application/grpc"}};
    static const struct h2_header trailers[] = {{.name = "grpc-status", .value = "0"}};
    uint8_t prefix[5] = {0, (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
                         (uint8_t)len};
    h2_stream_respond(stream, headers, 2, false);
    h2_stream_write(stream, prefix, sizeof(prefix));
    h2_stream_write(stream, message, len);
    h2_stream_trailers(stream, trailers, 1);
}
