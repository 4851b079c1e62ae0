/*
 * What is inside of a context: for those who make one of some kind, and for the connection. Private
 * to tls.
 */
#ifndef REMORA_TLS_CONTEXT_SSL_H
#define REMORA_TLS_CONTEXT_SSL_H

#include <openssl/base.h>
#include <stdbool.h>
#include <stdint.h>

#include "pki.h"
#include "refcount.h"
#include "tls_alpn.h"
#include "tls_conn.h"
#include "tls_context.h"
#include "tls_own_cert.h"
#include "tls_ticket.h"

enum tls_context_kind {
    TLS_CONTEXT_MESH, /* and Istio's: both roles */
    TLS_CONTEXT_APP_SERVER,
    TLS_CONTEXT_ORIGIN,
    TLS_CONTEXT_NAMED_CLIENT,
    TLS_CONTEXT_NAMED_SERVER,
};

/* Of a server that has several certificates. */
struct tls_context_choice {
    struct tls_own_cert cert;
    SSL_CTX *ctx;
};

struct tls_context {
    struct refcount refs;
    enum tls_context_kind kind;
    SSL_CTX *client; /* NULL: not this role */
    SSL_CTX *server;
    struct identity *identity; /* NULL: none */
    struct cert_rules rules;   /* of SPIFFE */
    CRYPTO_BUFFER_POOL *pool; /* peers' certificates, held once however many connections; or NULL */
    struct tls_alpn alpn;
    bool is_alpn_required;
    char *server_name; /* to be verified: of a named client, of an origin known by name */
    char *sni;         /* of an origin; NULL: none is sent */
    struct pki pki;    /* roots NULL: peers are verified by SPIFFE's rules */
    bool is_client_cert_optional;
    char **expected; /* SPIFFE IDs of an origin */
    size_t num_expected;
    struct tls_own_cert own; /* of an origin; else in choices, or the SVID */
    struct tls_context_choice *choices;
    size_t num_choices;
    int64_t not_after_ms;                  /* of the first certificate of our own to end */
    struct tls_ticket_key *ticket_key;     /* NULL: a server without tickets */
    struct tls_ticket_store *ticket_store; /* NULL: a client that keeps none */
};

/*
 * What all have in common: versions, groups, ALPN, no tickets. `ctx` may be NULL (out of memory). 0,
 * or -1 with BoringSSL's error queue filled.
 */
int tls_context_configure(const struct tls_context *context, SSL_CTX *ctx, enum tls_role role,
                          uint16_t min_version);

/*
 * What those have in common that verify by tls_verify.h: signatures, how peers are verified, and
 * memory for their certificates. `verify_mode` is SSL_VERIFY_...
 */
int tls_context_configure_verify(const struct tls_context *context, SSL_CTX *ctx, int verify_mode,
                                 bool allow_tls12);

/*
 * -1 and *err with BoringSSL's first error in words, for what only a wrong key, a wrong certificate
 * or a lack of memory can break; empties the queue.
 */
int tls_context_err(struct err *err, const char *doing);

enum tls_context_kind tls_context_kind(const struct tls_context *context);

/* All lent. The SSL_CTX is NULL for a role that the context does not have. */
SSL_CTX *tls_context_ssl(const struct tls_context *context, enum tls_role role);
const char *tls_context_server_name(const struct tls_context *context); /* of a named client */
struct tls_ticket_key *tls_context_ticket_key(const struct tls_context *context);
struct tls_ticket_store *tls_context_ticket_store(const struct tls_context *context);

/* Whom peers are verified against: the identity's trust, or nobody's. */
const struct trust *tls_context_trust(const struct tls_context *context);

#endif
