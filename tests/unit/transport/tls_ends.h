/*
 * What the tests of transport share: a loop, certificates of two agents, and TLS ends that write
 * down what happens to them.
 */
#ifndef TEST_TLS_ENDS_H
#define TEST_TLS_ENDS_H

#include <stdbool.h>

#include "buf.h"
#include "cert_builder.h"
#include "net_tcp.h"
#include "tls_handshake.h"
#include "tls_stream.h"

#define CLIENT_ID   "spiffe://cluster.local/ns/shop/sa/frontend"
#define SERVER_ID   "spiffe://cluster.local/ns/shop/sa/backend"
#define STRANGER_ID "spiffe://cluster.local/ns/other/sa/stranger"

struct end {
    struct tls_handshake *handshake; /* NULL: not started, or over */
    bool shaken;                     /* the handshake is over */
    enum reason reason;
    char error[512];
    struct stream *stream;
    struct buf data;
    bool eof;
    bool shutdown;
    bool failed;
    enum stream_fault fault;
    unsigned num_writable;
    bool hold;          /* do not start to read after the handshake */
    bool close_on_read; /* inside the handler */
};

struct ends {
    struct net_loop *loop;
    struct tls_io *io;
    struct cert_built *root, *client_leaf, *server_leaf;
    struct tls_context *client_tls, *server_tls;
    struct end client, server;
};

void ends_init(struct ends *ends);
/* Closes what is open; asserts that the loop is left empty. */
void ends_done(struct ends *ends);

struct tls_context *ends_context(struct ends *ends, const struct cert_built *leaf,
                                 const struct cert_built *root);

/* Starts the handshake of one end over `lower`. `expected` is the client's. */
void ends_shake(struct ends *ends, struct end *end, enum tls_role role, struct stream *lower,
                const char *expected, uint64_t timeout_ms);

/* Makes `end` the owner of a TLS stream. */
void end_attach(struct end *end, struct stream *stream);
void end_write(struct end *end, const char *text);
void end_close(struct end *end);
bool end_has(const struct end *end, const char *text);

/* A connected pair of sockets as streams. */
void ends_sockets(struct ends *ends, struct net_tcp **client, struct net_tcp **server, int fds[2]);

/* Runs until `is_so`; fails the test after 20 s. */
void ends_until(struct ends *ends, bool (*is_so)(struct ends *ends));
/* Runs a number of rounds, where nothing is expected to come. */
void ends_settle(struct ends *ends);

bool ends_both_shaken(struct ends *ends);

#endif
