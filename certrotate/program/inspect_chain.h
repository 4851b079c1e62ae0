/* A certificate chain as it came, from a file or from a server. */
#ifndef REMORA_INSPECT_CHAIN_H
#define REMORA_INSPECT_CHAIN_H

#include <stdint.h>

#include "cert_rules.h"
#include "err.h"
#include "peer_cert.h"

enum {
    INSPECT_CHAIN_FILE_MAX = 1024 * 1024,   /* bytes */
    INSPECT_CHAIN_MAX = 2 * CERT_CHAIN_MAX, /* more than a peer takes, to show that it is more */
};

/* Zeroed: empty. */
struct inspect_chain {
    struct peer_cert_der certs[INSPECT_CHAIN_MAX]; /* owned; leaf first */
    size_t num_certs;
};

/*
 * Reads PEM's certificates (other blocks are passed over) or DER, into an empty chain. At least one: of
 * what has none, *err says what it is instead. What is inside the certificates is not looked at. 0, or
 * -1 with *err and an empty chain.
 */
int inspect_chain_parse(struct inspect_chain *chain, const uint8_t *bytes, size_t len,
                        struct err *err);

/* The same from a file. */
int inspect_chain_read(struct inspect_chain *chain, const char *path, struct err *err);

/*
 * Connects and takes the chain that the server presents, whatever it is; then closes. Blocks for at
 * most `timeout_ms` for each of the two. `server_name` "": no SNI. 0, or -1 with *err (ERR_INVALID,
 * ERR_SYSTEM, ERR_TIMEOUT, ERR_TLS).
 */
int inspect_chain_fetch(struct inspect_chain *chain, const char *address, const char *server_name,
                        uint64_t timeout_ms, struct err *err);

/* NULL and an empty one are ignored. */
void inspect_chain_done(struct inspect_chain *chain);

/* Copies a certificate to the end. 0, or -1 with *err (ERR_LIMIT, ERR_NOMEM). */
int inspect_chain_add(struct inspect_chain *chain, const uint8_t *der, size_t len, struct err *err);

#endif
