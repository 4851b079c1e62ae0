/*
 * A gRPC server over TLS: accepts, carries out the HTTP/2 side of calls, and hands each complete
 * message to the method that its path names; unary methods, and methods that stream both ways.
 * Bounded in connections, streams, bytes and time, because whoever reaches the port may connect.
 * What the methods do, and who may call them, is theirs.
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
    const char *token;      /* of "authorization: Bearer <token>"; NULL: there is none */
    const uint8_t *message; /* of a unary method; NULL: see grpc_server_streaming */
    size_t message_len;
};

/* A call of a streaming method, from its headers to its end. */
struct grpc_server_call;

/*
 * A method that streams both ways. None of the functions may be NULL. A status other than OK ends the
 * call with it and with the message of *err, which the caller gets to read; on_closed does not
 * follow when on_open said so, and does when another did.
 *
 * What the client sends waits, through flow control, while grpc_server_call_is_full.
 */
struct grpc_server_streaming {
    /* A client calls; nothing of it has been read but its headers. *call_owner is what the other
     * functions get. */
    enum grpc_status (*on_open)(void *owner, struct grpc_server_call *call,
                                const struct grpc_server_request *request, void **call_owner,
                                struct err *err);
    /* A message of the client, lent. */
    enum grpc_status (*on_message)(void *call_owner, const uint8_t *message, size_t len,
                                   struct err *err);
    /* The call was full, and is not any more. As on_message. */
    enum grpc_status (*on_writable)(void *call_owner, struct err *err);
    /* The call is over, from either side; what was sent may still be on its way. The last call of
     * any. */
    void (*on_closed)(void *call_owner);
};

/* Sends a message. Not inside on_open. 0, or -1 with *err: ERR_LIMIT, ERR_NOMEM. */
int grpc_server_call_send(struct grpc_server_call *call, const uint8_t *message, size_t len,
                          struct err *err);

/* True: on_writable comes when messages go out again; until then no more should be sent. */
bool grpc_server_call_is_full(const struct grpc_server_call *call);

/* Ends the call from our side, after what was sent; `message` goes with any status but OK. on_closed
 * is called inside. Not inside any function of grpc_server_streaming. */
void grpc_server_call_finish(struct grpc_server_call *call, enum grpc_status status,
                             const char *message);

/*
 * A method. A unary one appends the answer to `answer` and returns OK; or returns any other status
 * with *err, whose message the caller gets to read.
 */
struct grpc_server_method {
    const char *path;   /* "/package.Service/Method" */
    size_t request_max; /* bytes of a message */
    enum grpc_status (*run)(void *owner, const struct grpc_server_request *request,
                            struct buf *answer, struct err *err); /* NULL: see `streaming` */
    const struct grpc_server_streaming *streaming;
    void *owner;
};

struct grpc_server_options {
    struct addr at;
    unsigned max_connections;      /* more are closed as they come */
    uint64_t handshake_timeout_ms; /* TLS */
    /* Within which each connection has to finish a call, the next one too; not while it streams. */
    uint64_t idle_timeout_ms;
    /* A client that streams and says nothing for this long is asked for a sign of life (PING), and
     * has as long again to give one. */
    uint64_t keepalive_ms;
    /* A connection this old is asked to go (GOAWAY), some sooner than others, up to a tenth; what
     * still runs after the grace is cut off. So clients come to servers that were added later. 0:
     * for ever. */
    uint64_t max_age_ms;
    uint64_t max_age_grace_ms;
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

/* Takes no more connections; those that are there say GOAWAY and end with their last call. Streaming
 * calls end at once, with UNAVAILABLE. */
void grpc_server_start_drain(struct grpc_server *server);

/* Connections that are there. */
unsigned grpc_server_num_connections(const struct grpc_server *server);

/* Closes everything at once. NULL is ignored. */
void grpc_server_free(struct grpc_server *server);

/* Where it listens (port 0 resolved). Not after grpc_server_start_drain. */
const struct addr *grpc_server_addr(const struct grpc_server *server);

#endif
