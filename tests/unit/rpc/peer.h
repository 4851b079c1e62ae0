/*
 * A loop, and a gRPC server in plain text on it that does with its streams what a test tells it to.
 */
#ifndef REMORA_TEST_PEER_H
#define REMORA_TEST_PEER_H

#include <stdbool.h>

#include "buf.h"
#include "grpc_call.h"
#include "grpc_channel.h"
#include "h2_session.h"
#include "net_loop.h"
#include "rpc_link.h"
#include "tls_io.h"

enum { PEER_CONNECTIONS_MAX = 16 };

struct peer;

struct peer_connection {
    struct rpc_link link; /* first */
    struct peer *peer;
    struct h2_stream *stream; /* the newest */
    struct buf received;      /* of that stream */
    char path[128];
    char scheme[16];
    char authority[128];
    char timeout[16];
    char token[64]; /* of "authorization" */
    char cluster_id[64];
    unsigned num_streams;
    bool ended;    /* the client's direction of the newest stream */
    bool gone;     /* the newest stream, or the connection */
    uint32_t code; /* of the reset */
};

/* What a test wants to be called for; NULL: nothing. */
struct peer_script {
    void (*on_request)(struct peer_connection *connection); /* headers are there */
    void (*on_message)(struct peer_connection *connection, const uint8_t *message, size_t len);
    void (*on_end)(struct peer_connection *connection); /* of the client's direction */
};

struct peer {
    struct net_loop *loop;
    struct tls_io *io;
    struct peer_script script;
    struct net_listener *listener; /* one of the two */
    struct net_poll *poll;
    int unix_fd;
    char address[256];
    char socket_path[64];
    struct peer_connection *connections[PEER_CONNECTIONS_MAX];
    unsigned num_connections;
    bool silent; /* accepts and reads nothing */
    bool timed_out;
};

/* cmocka's; *state is the peer, which does not listen yet. */
int peer_setup(void **state);
int peer_teardown(void **state);

void peer_listen(struct peer *peer);
void peer_listen_unix(struct peer *peer);

struct grpc_channel *peer_channel(struct peer *peer, const struct grpc_channel_options *more);

/* Runs until *done; fails the test after ten seconds. */
void peer_run(struct peer *peer, const bool *done);

/* The newest connection. */
struct peer_connection *peer_newest(struct peer *peer);

/* Headers of an answer; a message; grpc-status. */
void peer_respond(struct peer_connection *connection);
void peer_send(struct peer_connection *connection, const void *message, size_t len);
void peer_finish(struct peer_connection *connection, const char *status, const char *message);

#endif
