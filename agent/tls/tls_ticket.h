/*
 * Session tickets, of both sides: how a server seals those that it gives, and how a client keeps
 * those that it got. Private to tls.
 *
 * A server's tickets (RFC 8446, 4.6.1) hold the whole session, the client's chain included, sealed
 * with a key that lives and dies with the context. Behind it stands, authenticated, the moment at
 * which the ticket ends. One that has ended, or that cannot be opened, is as if it were not
 * there: the handshake is a full one.
 */
#ifndef REMORA_TLS_TICKET_H
#define REMORA_TLS_TICKET_H

#include <openssl/base.h>

#include "err.h"

struct tls_ticket_key;
struct tls_ticket_store;

/* NULL: out of memory. */
struct tls_ticket_key *tls_ticket_key_new(void);
void tls_ticket_key_free(struct tls_ticket_key *key); /* NULL is ignored */

/* Makes a server's context give and take tickets, by the key of each connection's context. */
void tls_ticket_use_key(SSL_CTX *ctx);

/* The sessions of a client's context; used by several threads. NULL: out of memory. */
struct tls_ticket_store *tls_ticket_store_new(void);
void tls_ticket_store_free(struct tls_ticket_store *store); /* NULL is ignored */

/* Makes a client's context keep the tickets that come, in the store of each connection's context. */
void tls_ticket_use_store(SSL_CTX *ctx);

/* Offers the newest ticket, which is offered only once, and tells the connection whether the server knows us by it. */
void tls_ticket_offer(struct tls_ticket_store *store, SSL *ssl);

#endif
