#include "hbone_server.h"

#include <assert.h>
#include <stdlib.h>

#include "clock.h"
#include "hbone_conn.h"
#include "hbone_request.h"
#include "tls_handshake.h"
#include "tls_stream.h"

enum { FIRST_REQUEST_TIMEOUT_MS = 10 * 1000 };

struct hbone_server {
    struct tls_io *io;
    struct tls_handshake *handshake; /* until it is done */
    struct hbone_conn *conn;         /* from then on */
    struct net_task closing;         /* hbone_server_close during the handshake */
    bool is_closing;
    enum reason close_reason;
    bool is_retired; /* hbone_server_retire during the handshake */
    struct hbone_server_options options;
    const struct hbone_server_handler *handler;
    void *owner;
    struct peer_cert *peer;
    struct addr peer_addr;
    struct addr local_addr;
    bool handshaken;
};

void hbone_server_options_default(struct hbone_server_options *options)
{
    hbone_conn_options_default(&options->conn, H2_SERVER);
    options->first_request_timeout_ms = FIRST_REQUEST_TIMEOUT_MS;
}

static void release(struct hbone_server *server)
{
    net_task_cancel(&server->closing);
    peer_cert_unref(server->peer);
    free(server);
}

static void end(struct hbone_server *server, enum reason reason, const struct err *err)
{
    server->handler->on_closed(server->owner, reason, err, server->handshaken);
    release(server);
}

/* ---------------------------------------------------------------------------- the connection -- */

static void on_request(void *owner, struct h2_stream *h2, const struct h2_header *headers,
                       size_t num_headers, bool is_end)
{
    struct hbone_server *server = owner;
    hbone_request_receive(server, server->conn, h2, headers, num_headers, is_end);
}

static void on_malformed(void *owner, const char *why)
{
    hbone_server_report_malformed(owner, why);
}

static void on_over(void *owner, enum reason reason, const struct err *err)
{
    struct hbone_server *server = owner;
    server->conn = NULL;
    end(server, reason, err);
}

static const struct hbone_conn_handler conn_handler = {
    .on_request = on_request,
    .on_malformed = on_malformed,
    .on_over = on_over,
};

static void on_handshake(void *owner, struct stream *tls, enum reason reason, const struct err *err)
{
    struct hbone_server *server = owner;
    server->handshake = NULL;
    if (tls == NULL) {
        end(server, reason, err);
        return;
    }
    struct hbone_conn_params params = {
        .side = H2_SERVER,
        .options = &server->options.conn,
        .first_request_timeout_ms = server->options.first_request_timeout_ms,
    };
    struct err why;
    server->conn = hbone_conn_new(server->io, tls, &params, &conn_handler, server, &why);
    if (server->conn == NULL) {
        stream_close(tls);
        end(server, REASON_NO_MEMORY, &why);
        return;
    }
    net_task_cancel(&server->closing);
    if (server->is_closing) /* the handshake was done in the round in which it was to be given up */
        hbone_conn_close(server->conn, server->close_reason, NULL);
    else if (server->is_retired)
        hbone_conn_drain(server->conn, REASON_DONE);
    server->peer = peer_cert_ref(tls_stream_peer(tls));
    server->handshaken = true;
    if (server->handler->on_handshaken != NULL)
        server->handler->on_handshaken(server->owner);
}

/* -------------------------------------------------------------------------- starting, ending -- */

static void on_closing(void *owner)
{
    struct hbone_server *server = owner;
    tls_handshake_cancel(server->handshake);
    server->handshake = NULL;
    end(server, server->close_reason, NULL);
}

struct hbone_server *hbone_server_start(struct tls_io *io, struct net_tcp *tcp,
                                        struct tls_context *context,
                                        const struct hbone_server_options *options,
                                        const struct hbone_server_handler *handler, void *owner,
                                        struct err *err)
{
    struct hbone_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        err_set(err, ERR_NOMEM, "HBONE server: out of memory");
        return NULL;
    }
    server->io = io;
    server->closing = (struct net_task){.run = on_closing, .owner = server};
    server->options = *options;
    server->handler = handler;
    server->owner = owner;
    server->peer_addr = *net_tcp_peer(tcp);
    server->local_addr = *net_tcp_local(tcp);
    const struct tls_conn_params params = {.role = TLS_SERVER, .now_ms = clock_wall_ms()};
    server->handshake =
        tls_handshake_start(io, net_tcp_stream(tcp), context, &params, options->conn.tls_timeout_ms,
                            on_handshake, server, err);
    if (server->handshake == NULL) {
        release(server);
        return NULL;
    }
    net_tcp_set_read_size(tcp, TLS_IO_READ);
    return server;
}

void hbone_server_drain(struct hbone_server *server)
{
    if (server->conn != NULL)
        hbone_conn_drain(server->conn, REASON_DRAINED);
    else
        hbone_server_close(server, REASON_DRAINED, NULL);
}

void hbone_server_retire(struct hbone_server *server)
{
    if (server->is_retired)
        return;
    server->is_retired = true;
    if (server->conn != NULL && hbone_conn_is_open(server->conn))
        hbone_conn_drain(server->conn, REASON_DONE);
}

void hbone_server_close(struct hbone_server *server, enum reason reason, const struct err *err)
{
    if (server->conn != NULL) {
        hbone_conn_close(server->conn, reason, err);
        return;
    }
    server->is_closing = true;
    server->close_reason = reason;
    net_task_schedule(tls_io_loop(server->io), &server->closing);
}

void hbone_server_free(struct hbone_server *server)
{
    if (server == NULL)
        return;
    tls_handshake_cancel(server->handshake);
    hbone_conn_free(server->conn);
    release(server);
}

/* ------------------------------------------------------------------------------------ asking -- */

const struct hbone_server_handler *hbone_server_handler_get(const struct hbone_server *server)
{
    return server->handler;
}

void *hbone_server_owner(const struct hbone_server *server)
{
    return server->owner;
}

void hbone_server_report_malformed(struct hbone_server *server, const char *why)
{
    if (server->handler->on_malformed != NULL)
        server->handler->on_malformed(server->owner, why);
}

const struct addr *hbone_server_peer_addr(const struct hbone_server *server)
{
    return &server->peer_addr;
}

const struct addr *hbone_server_local_addr(const struct hbone_server *server)
{
    return &server->local_addr;
}

struct peer_cert *hbone_server_peer(const struct hbone_server *server)
{
    return server->peer;
}

struct tls_conn_info hbone_server_tls_info(const struct hbone_server *server)
{
    if (server->conn == NULL || hbone_conn_tls(server->conn) == NULL)
        return (struct tls_conn_info){"", "", "", "", false, false};
    return tls_stream_info(hbone_conn_tls(server->conn));
}

unsigned hbone_server_num_streams(const struct hbone_server *server)
{
    return server->conn == NULL ? 0 : h2_session_num_streams(hbone_conn_h2(server->conn));
}
