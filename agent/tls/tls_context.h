/*
 * What TLS connections share: versions, groups, own certificate, whom to trust. Built once, then
 * immutable and shared between threads by reference count. The kinds: the mesh (HBONE: both roles,
 * mutual, SPIFFE), Istio's own mutual TLS (the same with another ALPN), the door of an application
 * (server; clients of any PKI), an origin (client of a server outside of the mesh that wants a
 * certificate), a client of the control plane (server verified by name), and the control plane's
 * server (no client certificate).
 *
 * None of them takes or sends early data or renegotiates; TLS 1.2, where it is allowed, has ECDHE,
 * AEAD suites and the extended master secret (RFC 7627) only.
 */
#ifndef REMORA_TLS_CONTEXT_H
#define REMORA_TLS_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cert_bytes.h"
#include "cert_rules.h"
#include "err.h"
#include "identity.h"
#include "peer_cert.h"
#include "principal.h"
#include "reason.h"

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
 * Istio's own mutual TLS, as its Envoy sidecars speak it; both roles. As the mesh kind, with ALPN
 * "istio": a client offers that and nothing else, a server selects it whenever the client's list has
 * it and refuses who does not offer it. "istio-peer-exchange", which puts a preamble in front of the
 * application's bytes, is neither offered nor selected.
 */
struct tls_context *tls_context_new_istio(struct identity *identity, const struct cert_rules *rules,
                                          struct err *err);

enum {
    TLS_CONTEXT_CERTS_MAX = 32,      /* certificates of one port */
    TLS_CONTEXT_ALPN_MAX = 16,       /* protocols */
    TLS_CONTEXT_TICKET_S = 2 * 3600, /* seconds that a ticket can be used for, at most */
};

/* A certificate from PEM. Zeroed: the workload's own. */
struct tls_context_cert {
    struct cert_bytes key;   /* not encrypted */
    struct cert_bytes chain; /* leaf first */
    /* The server names that it is for, lower case; "*.example.com" is every name with one label in
     * the place of the star. None: the DNS SANs of the leaf. Servers only. */
    const char *const *names;
    size_t num_names;
};

/* What a port of the application takes. All is read or copied during the call. */
struct tls_app_server {
    struct identity *identity;      /* NULL: none; then certs and client_roots must be given */
    const struct cert_rules *rules; /* of SPIFFE; NULL: the strict ones */
    /* Chosen by SNI; who asks for no name, or for one that none has, gets the first. None: the
     * workload's SVID. */
    const struct tls_context_cert *certs;
    size_t num_certs;
    /*
     * Clients must lead to one of these, and are read by the rules of RFC 5280 (pki.h). Zeroed:
     * clients are of the mesh, by the X.509-SVID rules against the identity's trust, and have no
     * principal but their SPIFFE ID.
     */
    struct cert_bytes client_roots;
    unsigned verify_depth;                 /* CA certificates between; with client_roots only */
    bool is_client_cert_optional;          /* a client without a certificate is let in, as nobody */
    const enum principal_kind *principals; /* pki.h; with client_roots only; none: PRINCIPAL_URI */
    size_t num_principals;
    const char *const *alpn; /* in our order of preference; none: ALPN is not negotiated */
    size_t num_alpn;
    bool allow_tls12;
    /*
     * Session tickets, for TLS 1.3 only. They are sealed by keys that live and die with this
     * context, so a ticket of another port, or of this one before an identity, a trust or a
     * configuration changed (each of which is a new context), is worth nothing: the handshake is a
     * full one. A ticket ends with the first of TLS_CONTEXT_TICKET_S, the client's certificate path
     * and our own certificate; a connection that resumes has the client's chain verified again, at
     * its own moment, and fails as a first one would. Each can be used more than once. A client whose
     * chain is very long (about 12 KiB) gets none that is of use.
     */
    bool resumption;
};

/*
 * The server of a port's own mutual TLS: TLS 1.3, or also 1.2. NULL: *err, ERR_INVALID saying which
 * of it cannot be used.
 */
struct tls_context *tls_context_new_app_server(const struct tls_app_server *server,
                                               struct err *err);

/* A destination to which mutual TLS is originated. All is read or copied during the call. */
struct tls_origin {
    struct identity *identity;      /* NULL: none; then cert and roots must be given */
    const struct cert_rules *rules; /* of SPIFFE; NULL: the strict ones */
    struct tls_context_cert cert;   /* presented when asked for */
    /* The server is verified by either: one of these SPIFFE IDs, against the identity's trust ... */
    const char *const *spiffe_ids;
    size_t num_spiffe_ids;
    /* ... or a DNS name or an address, which must be among its SANs, against these roots. */
    const char *server_name; /* NULL: by spiffe_ids */
    struct cert_bytes roots;
    unsigned verify_depth;   /* CA certificates between; with roots only */
    const char *sni;         /* NULL: server_name if it is a DNS name, else none */
    const char *const *alpn; /* offered; none: no ALPN. The server may choose none */
    size_t num_alpn;
    bool allow_tls12;
    /* Tickets of the server are used, each once (RFC 8446, C.4), for TLS 1.3 only; the server's chain
     * is verified again by then, and none outlives our own certificate. */
    bool resumption;
};

/* NULL: *err, ERR_INVALID saying which of it cannot be used. */
struct tls_context *tls_context_new_origin(const struct tls_origin *origin, struct err *err);

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

/* The identity that it was made of, lent; NULL: it was made without. */
struct identity *tls_context_identity(const struct tls_context *context);

/* When the first certificate of our own ends, wall clock; INT64_MAX: it has none. */
int64_t tls_context_not_after_ms(const struct tls_context *context);

/*
 * Judges a peer of an earlier connection by what this context trusts (peer_cert_recheck and
 * peer_cert_recheck_pki) and, an origin by SPIFFE ID, by whom it expects (IDENTITY_MISMATCH): what
 * replaces the context that the connection was made with. Not for contexts of the control plane.
 */
enum reason tls_context_recheck(const struct tls_context *context, const struct peer_cert *peer,
                                int64_t now_ms, int64_t grace_ms, struct err *err);

/*
 * The same peer by a path that this context trusts and that is valid now, after its former path has
 * ended (peer_cert_recheck_time): a root that is renewed keeps its name and its key. A reference, or
 * NULL: there is none, or no memory. As above, not for contexts of the control plane.
 */
struct peer_cert *tls_context_renew_peer(const struct tls_context *context,
                                         const struct peer_cert *peer, int64_t now_ms);

#endif
