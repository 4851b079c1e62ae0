#include "grpc_server.h"

#include <stdlib.h>

#include "grpc_server_impl.h"

static const struct net_tcp_options tcp_options = {
    .keepalive_idle_s = 60, .keepalive_interval_s = 20, .keepalive_count = 3};

static void tell_trouble(struct grpc_server *server, const struct addr *peer, const char *what)
{
    struct err err;
    err_set(&err, ERR_LIMIT, "%s", what);
    server->options.on_trouble(server->options.owner, peer, &err);
}

static void server_on_accept(void *owner, struct net_tcp *tcp)
{
    struct grpc_server *server = owner;
    if (server->num_connections < server->options.max_connections) {
        grpc_server_connection_start(server, tcp);
        return;
    }
    tell_trouble(server, net_tcp_peer(tcp), "too many connections");
    stream_abort(net_tcp_stream(tcp));
}

static void server_on_overload(void *owner)
{
    struct grpc_server *server = owner;
    tell_trouble(server, &server->options.at, "out of file descriptors");
}

struct grpc_server *grpc_server_new(struct tls_io *io, const struct grpc_server_options *options,
                                    struct tls_context *context, struct err *err)
{
    struct grpc_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    server->io = io;
    server->options = *options;
    server->context = tls_context_ref(context);
    LIST_INIT(&server->connections);
    server->listener = net_listener_new(tls_io_loop(io), &options->at,
                                        &(struct net_listener_options){.tcp = tcp_options},
                                        server_on_accept, server_on_overload, server, err);
    if (server->listener == NULL) {
        grpc_server_free(server);
        return NULL;
    }
    return server;
}

void grpc_server_set_context(struct grpc_server *server, struct tls_context *context)
{
    tls_context_unref(server->context);
    server->context = tls_context_ref(context);
}

void grpc_server_start_drain(struct grpc_server *server)
{
    struct grpc_server_connection *connection = LIST_FIRST(&server->connections);
    net_listener_free(server->listener);
    server->listener = NULL;
    while (connection != NULL) {
        struct grpc_server_connection *next = LIST_NEXT(connection, entry);
        grpc_server_connection_drain(connection);
        connection = next;
    }
}

unsigned grpc_server_num_connections(const struct grpc_server *server)
{
    return server->num_connections;
}

void grpc_server_free(struct grpc_server *server)
{
    if (server == NULL)
        return;
    if (server->listener != NULL)
        net_listener_free(server->listener);
    while (!LIST_EMPTY(&server->connections))
        grpc_server_connection_free(LIST_FIRST(&server->connections));
    tls_context_unref(server->context);
    free(server);
}

const struct addr *grpc_server_addr(const struct grpc_server *server)
{
    return net_listener_addr(server->listener);
}
