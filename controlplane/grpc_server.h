/*
 * A gRPC server over TLS: accepts, carries out the HTTP/2 side of calls, and hands each complete
 * request to the method that its path names. Bounded in connections, streams, bytes and time,
 * because whoever reaches the port may connect. What the methods do, and who may call them, is
 * theirs.
 */
#ifndef REMORA_GRPC_SERVER_H
#define REMORA_GRPC_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "buf.h"
#include "err.h"
#include "grpc_status.h"
#include "tls_context.h"
#include "tls_io.h"

/* A request as a method sees it; all of it lent. */
struct grpc_server_request {
    const struct addr *peer;
    const char *token; /* of "authorization: Bearer <token>"; NULL: there is none */
    const uint8_t *message;
    size_t message_len;
};

/*
 * A unary method. Appends the answer to `answer` and returns OK; or returns any other status with
 * *err, whose message the caller gets to read.
 */
struct grpc_server_method {
    const char *path; /* "/package.Service/Method" */
    enum grpc_status (*run)(void *owner, const struct grpc_server_request *request,
                            struct buf *answer, struct err *err);
    void *owner;
};

struct grpc_server_options {
    struct addr at;
    unsigned max_connections;      /* more are closed as they come */
    uint64_t handshake_timeout_ms; /* TLS */
    uint64_t
        idle_timeout_ms; /* within which each connection has to finish a call, the next one too */
    size_t request_max;  /* bytes of a message */
    const struct grpc_server_method *methods; /* kept by pointer */
    size_t num_methods;
    /* A connection was turned away or broke: *err lent. For the log; a peer can cause any number.
     */
    void (*on_trouble)(void *owner, const struct addr *peer, const struct err *err);
    void *owner;
};

struct grpc_server;

/* Listens. `io` and its loop outlive the server; takes a reference to `context`. NULL: see *err. */
struct grpc_server *grpc_server_new(struct tls_io *io, const struct grpc_server_options *options,
                                    struct tls_context *context, struct err *err);

/* The certificate for connections from now on. Takes a reference. */
void grpc_server_set_context(struct grpc_server *server, struct tls_context *context);

/* Takes no more connections; those that are there say GOAWAY and end with their last call. */
void grpc_server_start_drain(struct grpc_server *server);

/* Connections that are there. */
unsigned grpc_server_num_connections(const struct grpc_server *server);

/* Closes everything at once. NULL is ignored. */
void grpc_server_free(struct grpc_server *server);

/* Where it listens (port 0 resolved). Not after grpc_server_start_drain. */
const struct addr *grpc_server_addr(const struct grpc_server *server);

#endif
