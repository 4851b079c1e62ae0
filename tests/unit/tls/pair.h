/*
 * Two TLS connections that talk to each other in memory, and certificates for them.
 */
#ifndef REMORA_TLS_TEST_PAIR_H
#define REMORA_TLS_TEST_PAIR_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "cert_builder.h"
#include "tls_conn.h"
#include "tls_context.h"

#define PAIR_CLIENT_ID "spiffe://td/ns/a/sa/client"
#define PAIR_SERVER_ID "spiffe://td/ns/a/sa/server"

struct pair {
    struct tls_conn *client, *server;
    struct buf client_plain, server_plain; /* what each has received */
};

/*
 * A mesh context of this leaf that trusts `roots_pem`, for the trust domain of the leaf and for
 * "td". The caller unrefs.
 */
struct tls_context *pair_context(const struct cert_built *leaf, const char *roots_pem);

/* A server, and a client that expects `expected` (NULL: a named client, which expects nobody). */
void pair_open(struct pair *pair, struct tls_context *client, struct tls_context *server,
               const char *expected);
void pair_done(struct pair *pair);

/* Carries the bytes both ways, `chunk` bytes at a time, until neither side has any. */
void pair_pump(struct pair *pair, size_t chunk);

/* Moves what is in the output of `from` to `to`, `chunk` bytes at a time. */
void pair_move(struct tls_conn *from, struct tls_conn *to, struct buf *plain, size_t chunk);

#endif
