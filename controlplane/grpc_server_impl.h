/* What server, connections and calls know of each other. For grpc_server*.c alone. */
#ifndef REMORA_GRPC_SERVER_IMPL_H
#define REMORA_GRPC_SERVER_IMPL_H

#include <stdbool.h>
#include <sys/queue.h>

#include "grpc_frame.h"
#include "grpc_server.h"
#include "net_tcp.h"
#include "rpc_link.h"
#include "tls_handshake.h"

/* A call that is being received or answered. Lives as long as its HTTP/2 stream. */
struct grpc_server_call {
    struct grpc_server_connection *connection;
    struct h2_stream *stream;
    LIST_ENTRY(grpc_server_call) entry;
    const struct grpc_server_method *method;
    char *token; /* NULL: none; cleared when freed */
    struct grpc_frame_reader request;
    bool has_message;
    bool answered; /* nothing more is read or sent */

    void *owner;   /* of a streaming method's call, once it is open */
    bool is_open;  /* on_closed is due */
    bool is_full;  /* on_writable is due */
    size_t parked; /* bytes of the client's whose credit waits until the call is not full */
};

struct grpc_server_connection {
    struct rpc_link link; /* first: see rpc_link.h; zeroed until the handshake is done */
    struct grpc_server *server;
    LIST_ENTRY(grpc_server_connection) entry;
    struct addr peer;
    struct tls_handshake *handshake; /* until it is done */
    struct net_timer *idle;
    struct net_timer *keepalive; /* runs while there are streaming calls */
    struct net_timer *age;
    uint64_t num_received; /* when keepalive was looked at last */
    bool asked_for_life;   /* a PING is out */
    bool draining;
    unsigned num_streaming; /* calls */
    LIST_HEAD(, grpc_server_call) calls;
};

struct grpc_server {
    struct tls_io *io;
    struct grpc_server_options options;
    struct tls_context *context;
    struct net_listener *listener; /* NULL: no more connections are taken */
    unsigned num_connections;
    LIST_HEAD(, grpc_server_connection) connections;
};

/* ------------------------------------------------------------------ of grpc_server_connection.c --
 */

/* Takes the connection over, from its handshake to its end. */
void grpc_server_connection_start(struct grpc_server *server, struct net_tcp *tcp);
void grpc_server_connection_free(struct grpc_server_connection *connection);

/* No more calls; it ends with the last one. */
void grpc_server_connection_drain(struct grpc_server_connection *connection);

/* A call was answered in full, which is what keeps a connection. */
void grpc_server_connection_served(struct grpc_server_connection *connection);

/* A streaming call begins or ends. */
void grpc_server_connection_streams(struct grpc_server_connection *connection, bool begins);

/* ------------------------------------------------------------------------ of grpc_server_call.c --
 */

/* A request begins: makes a call of it, or answers it at once. */
void grpc_server_call_on_headers(struct grpc_server_connection *connection,
                                 struct h2_stream *stream, const struct h2_header *headers,
                                 size_t num_headers, bool end);
void grpc_server_call_on_data(struct grpc_server_call *call, const uint8_t *bytes, size_t len);
void grpc_server_call_on_end(struct grpc_server_call *call);
void grpc_server_call_free(struct grpc_server_call *call);

/* "Trailers-Only": status and nothing else. */
void grpc_server_call_refuse(struct grpc_server_call *call, enum grpc_status status,
                             const char *message);

/* -------------------------------------------------------------------- of grpc_server_streaming.c --
 */

/* A call of a streaming method begins: opens it or refuses it. */
void grpc_server_streaming_open(struct grpc_server_call *call);

/* Hands over the messages that are complete. */
void grpc_server_streaming_on_data(struct grpc_server_call *call, const uint8_t *bytes, size_t len);

/* The client sends no more. */
void grpc_server_streaming_on_end(struct grpc_server_call *call);
void grpc_server_streaming_on_writable(struct grpc_server_call *call);

/* The call is over without our doing. */
void grpc_server_streaming_close(struct grpc_server_call *call);

#endif
