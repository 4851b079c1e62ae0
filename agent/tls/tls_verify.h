/*
 * Whether the other end of a handshake is one that we talk to. Private to tls.
 */
#ifndef REMORA_TLS_VERIFY_H
#define REMORA_TLS_VERIFY_H

#include <openssl/base.h>
#include <openssl/ssl.h>
#include <stdbool.h>

#include "err.h"
#include "reason.h"
#include "tls_conn.h"

/*
 * BoringSSL's custom verify callback of all contexts but those of the control plane:
 * peer_cert_verify, and for a client that expects SPIFFE IDs, these.
 */
enum ssl_verify_result_t tls_verify_peer(SSL *ssl, uint8_t *out_alert);

/*
 * The same after a server has resumed a session, which BoringSSL does not verify again: by the chain
 * that came with the ticket. 0, also when the session has no client certificate; or -1 with the
 * connection told why, and *alert.
 */
int tls_verify_resumed(SSL *ssl, uint8_t *alert);

/*
 * BoringSSL's message callback of the same contexts: keeps the peer's Certificate message until it is
 * verified. BoringSSL refuses a leaf that may not sign (a CA's, typically) before anybody is asked,
 * and keeps nothing of it.
 */
void tls_verify_on_message(int is_write, int version, int content_type, const void *bytes,
                           size_t len, SSL *ssl, void *unused);

/*
 * What is wrong with certificates that BoringSSL has refused: their Certificate message, judged by
 * the same rules and in the same order as any other.
 */
enum reason tls_verify_explain_refused(const struct tls_conn *conn, const uint8_t *message,
                                       size_t message_len, struct err *err);

/*
 * Why the server of a named client was refused: BoringSSL's verify result in words. REASON_DONE
 * when it was not.
 */
enum reason tls_verify_explain_named(const SSL *ssl, const char *server_name, struct err *err);

/* True for an IPv4 or IPv6 literal: verified by IP SAN and never sent as SNI (RFC 6066, 3). */
bool tls_verify_is_address(const char *server_name);

#endif
