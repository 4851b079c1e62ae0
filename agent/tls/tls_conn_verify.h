/*
 * What verification needs of its connection, and what it tells it. Private to tls.
 */
#ifndef REMORA_TLS_CONN_VERIFY_H
#define REMORA_TLS_CONN_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "tls_conn.h"
#include "tls_context_ssl.h"

int64_t tls_conn_now_ms(const struct tls_conn *conn);

/*
 * Whether `uri`, or the same under an alias of our trust domain, is among the expected identities; if not, the first of them, lent, and how many
 * there are.
 */
bool tls_conn_expects(const struct tls_conn *conn, const char *uri, const char **first,
                      size_t *num);

/* Copies the body of the peer's Certificate message, until the peer is accepted or refused. */
void tls_conn_keep_cert_message(struct tls_conn *conn, const uint8_t *body, size_t len);

/* A client's server asks for our certificate; or it did so in the session that is offered to it. */
void tls_conn_note_cert_asked(struct tls_conn *conn);
void tls_conn_note_cert_known(struct tls_conn *conn);
bool tls_conn_is_cert_shown(const struct tls_conn *conn);

/* Until when a ticket that is given now can be used, wall clock; and a bound for it. */
int64_t tls_conn_ticket_end_ms(const struct tls_conn *conn);
void tls_conn_limit_tickets(struct tls_conn *conn, int64_t end_ms);

void tls_conn_accept_peer(struct tls_conn *conn, struct peer_cert *peer); /* takes the reference */
void tls_conn_refuse_peer(struct tls_conn *conn, enum reason reason, const struct err *err);

#endif
