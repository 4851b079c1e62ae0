/*
 * What TLS connections share: versions, groups, own certificate, whom to trust. Built once, then
 * immutable and shared between threads by reference count. There are three kinds: the mesh (both
 * roles, mutual, SPIFFE), a client of the control plane (server verified by name), and the control
 * plane's server (no client certificate).
 */
#ifndef REMORA_TLS_CONTEXT_H
#define REMORA_TLS_CONTEXT_H

#include <stddef.h>

#include "cert_rules.h"
#include "err.h"
#include "identity.h"

struct tls_context;

/*
 * For HBONE, both roles in one object: TLS 1.3 only, ALPN h2 offered and required, own certificate
 * presented and the peer's required (peer_cert.h), no resumption, no tickets, no early data, no
 * renegotiation. Groups: X25519MLKEM768 where the library has it, X25519, P-256, P-384. Takes a
 * reference to `identity`, which should have passed svid_check. `rules` NULL: the strict ones.
 * NULL: see *err.
 */
struct tls_context *tls_context_new_mesh(struct identity *identity, const struct cert_rules *rules,
                                         struct err *err);

/*
 * A client that verifies the server by name, without a certificate of its own: TLS 1.2 or 1.3, ALPN
 * h2 offered and required. The server's chain must lead to a root in `roots_pem`, and a DNS SAN (or
 * IP SAN, when server_name is an address) must match `server_name`; the common name is not looked
 * at. SNI is sent for DNS names. NULL: see *err.
 */
struct tls_context *tls_context_new_client(const char *roots_pem, size_t roots_pem_len,
                                           const char *server_name, struct err *err);

/*
 * A server that asks for no client certificate: TLS 1.3, ALPN h2 required. `key_pem` as in
 * svid_new_pem, chain leaf first; the leaf needs no SPIFFE ID. NULL: see *err.
 */
struct tls_context *tls_context_new_server(const char *key_pem, size_t key_pem_len,
                                           const char *chain_pem, size_t chain_pem_len,
                                           struct err *err);

struct tls_context *tls_context_ref(struct tls_context *context); /* returns `context` */
void tls_context_unref(struct tls_context *context);              /* NULL is ignored */

/* The identity of a mesh context, lent; NULL for the other kinds. */
struct identity *tls_context_identity(const struct tls_context *context);

#endif
