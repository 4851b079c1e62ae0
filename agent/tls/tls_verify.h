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

/* BoringSSL's custom verify callback of mesh contexts: peer_cert_verify, and for a client the expected identities. */
enum ssl_verify_result_t tls_verify_peer(SSL *ssl, uint8_t *out_alert);

/* Why the server of a named client was refused: BoringSSL's verify result in words. REASON_DONE when it was not. */
enum reason tls_verify_explain_named(const SSL *ssl, const char *server_name, struct err *err);

/* True for an IPv4 or IPv6 literal: verified by IP SAN and never sent as SNI (RFC 6066, 3). */
bool tls_verify_is_address(const char *server_name);

#endif
