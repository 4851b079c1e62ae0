#include "tls_context.h"

#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/time.h>

#include "clock.h"
#include "tls_conn_verify.h"
#include "tls_context_ssl.h"
#include "tls_kinds.h"
#include "tls_library_groups.h"
#include "tls_verify.h"

/*
 * What both ends can sign with and verify. No SHA-1. RSA PKCS #1 v1.5, which comes last, is for TLS
 * 1.2 only (RFC 8446, 4.2.3).
 */
static const uint16_t SIGNATURES[] = {
    SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_ED25519,
    SSL_SIGN_ECDSA_SECP384R1_SHA384, SSL_SIGN_ECDSA_SECP521R1_SHA512,
    SSL_SIGN_RSA_PSS_RSAE_SHA256,    SSL_SIGN_RSA_PSS_RSAE_SHA384,
    SSL_SIGN_RSA_PSS_RSAE_SHA512,    SSL_SIGN_RSA_PKCS1_SHA256,
    SSL_SIGN_RSA_PKCS1_SHA384,       SSL_SIGN_RSA_PKCS1_SHA512,
};

enum {
    NUM_SIGNATURES_12 = sizeof(SIGNATURES) / sizeof(SIGNATURES[0]),
    NUM_SIGNATURES_13 = NUM_SIGNATURES_12 - 3,
};

/* ------------------------------------------------------------------- what all have in common -- */

/* The moment of a session is that of its connection; `ssl` is NULL where there is none. */
static void on_time(const SSL *ssl, struct timeval *now)
{
    const struct tls_conn *conn = ssl == NULL ? NULL : SSL_get_app_data(ssl);
    int64_t now_ms = conn == NULL ? clock_wall_ms() : tls_conn_now_ms(conn);
    *now = (struct timeval){.tv_sec = (time_t)(now_ms / 1000)};
}

int tls_context_configure(const struct tls_context *context, SSL_CTX *ctx, enum tls_role role,
                          uint16_t min_version)
{
    if (ctx == NULL)
        return -1;
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_current_time_cb(ctx, on_time);
    if (!SSL_CTX_set_min_proto_version(ctx, min_version) ||
        !SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) || !SSL_CTX_set_num_tickets(ctx, 0) ||
        tls_library_groups_set(ctx) < 0)
        return -1;
    /* Of TLS 1.2; those of 1.3 are all good. */
    if (min_version < TLS1_3_VERSION &&
        !SSL_CTX_set_strict_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20"))
        return -1;
    return tls_alpn_use(&context->alpn, ctx, role);
}

/* Of a client: its server has asked for a certificate. */
static int on_cert_asked(SSL *ssl, void *unused)
{
    tls_conn_note_cert_asked(SSL_get_app_data(ssl));
    return 1;
}

int tls_context_configure_verify(const struct tls_context *context, SSL_CTX *ctx, int verify_mode,
                                 bool allow_tls12)
{
    size_t num = allow_tls12 ? NUM_SIGNATURES_12 : NUM_SIGNATURES_13;
    if (!SSL_CTX_set_signing_algorithm_prefs(ctx, SIGNATURES, num) ||
        !SSL_CTX_set_verify_algorithm_prefs(ctx, SIGNATURES, num))
        return -1;
    SSL_CTX_set0_buffer_pool(ctx, context->pool);
    SSL_CTX_set_custom_verify(ctx, verify_mode, tls_verify_peer);
    SSL_CTX_set_msg_callback(ctx, tls_verify_on_message);
    SSL_CTX_set_cert_cb(ctx, on_cert_asked, NULL);
    return 0;
}

int tls_context_err(struct err *err, const char *doing)
{
    uint32_t code = ERR_peek_error();
    const char *why = code == 0 ? NULL : ERR_reason_error_string(code);
    err_set(err, ERR_INVALID, "%s: %s", doing, why == NULL ? "out of memory" : why);
    ERR_clear_error();
    return -1;
}

/* ------------------------------------------------------------------------------------- kinds -- */

static struct tls_context *context_new(enum tls_context_kind kind, struct err *err)
{
    struct tls_context *context = calloc(1, sizeof(*context));
    if (context == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    refcount_init(&context->refs);
    context->kind = kind;
    context->not_after_ms = INT64_MAX;
    return context;
}

/* The context if it was configured, else NULL. */
static struct tls_context *checked(struct tls_context *context, int result)
{
    ERR_clear_error(); /* of memory that was not there, or of an attempt that another made good */
    if (result == 0)
        return context;
    tls_context_unref(context);
    return NULL;
}

struct tls_context *tls_context_new_mesh(struct identity *identity, const struct cert_rules *rules,
                                         struct err *err)
{
    struct tls_context *context = context_new(TLS_CONTEXT_MESH, err);
    return context == NULL
               ? NULL
               : checked(context, tls_mesh_configure(context, identity, rules, "h2", err));
}

struct tls_context *tls_context_new_istio(struct identity *identity, const struct cert_rules *rules,
                                          struct err *err)
{
    struct tls_context *context = context_new(TLS_CONTEXT_MESH, err);
    return context == NULL
               ? NULL
               : checked(context, tls_mesh_configure(context, identity, rules, "istio", err));
}

struct tls_context *tls_context_new_app_server(const struct tls_app_server *server, struct err *err)
{
    struct tls_context *context = context_new(TLS_CONTEXT_APP_SERVER, err);
    return context == NULL ? NULL
                           : checked(context, tls_app_server_configure(context, server, err));
}

struct tls_context *tls_context_new_origin(const struct tls_origin *origin, struct err *err)
{
    struct tls_context *context = context_new(TLS_CONTEXT_ORIGIN, err);
    return context == NULL ? NULL : checked(context, tls_origin_configure(context, origin, err));
}

struct tls_context *tls_context_new_client(const char *roots_pem, size_t roots_pem_len,
                                           const char *server_name, struct err *err)
{
    struct tls_context *context = context_new(TLS_CONTEXT_NAMED_CLIENT, err);
    return context == NULL
               ? NULL
               : checked(context, tls_named_configure_client(context, roots_pem, roots_pem_len,
                                                             server_name, err));
}

struct tls_context *tls_context_new_server(const char *key_pem, size_t key_pem_len,
                                           const char *chain_pem, size_t chain_pem_len,
                                           struct err *err)
{
    struct tls_context *context = context_new(TLS_CONTEXT_NAMED_SERVER, err);
    return context == NULL
               ? NULL
               : checked(context, tls_named_configure_server(context, key_pem, key_pem_len,
                                                             chain_pem, chain_pem_len, err));
}

/* ----------------------------------------------------------------------------------- sharing -- */

struct tls_context *tls_context_ref(struct tls_context *context)
{
    refcount_get(&context->refs);
    return context;
}

static void release_choices(struct tls_context *context)
{
    for (size_t i = 0; i < context->num_choices; i++) {
        SSL_CTX_free(context->choices[i].ctx);
        tls_own_cert_done(&context->choices[i].cert);
    }
    free(context->choices);
}

void tls_context_unref(struct tls_context *context)
{
    if (context == NULL || !refcount_put(&context->refs))
        return;
    tls_ticket_store_free(context->ticket_store); /* whose certificates are in the pool */
    SSL_CTX_free(context->client);
    SSL_CTX_free(context->server);
    release_choices(context);
    tls_own_cert_done(&context->own);
    CRYPTO_BUFFER_POOL_free(context->pool);
    tls_ticket_key_free(context->ticket_key);
    tls_alpn_done(&context->alpn);
    trust_bundle_unref(context->pki.roots);
    identity_unref(context->identity);
    for (size_t i = 0; i < context->num_expected; i++)
        free(context->expected[i]);
    free(context->expected);
    free(context->server_name);
    free(context->sni);
    free(context);
}

/* ------------------------------------------------------------------------------------ asking -- */

struct identity *tls_context_identity(const struct tls_context *context)
{
    return context->identity;
}

int64_t tls_context_not_after_ms(const struct tls_context *context)
{
    return context->not_after_ms;
}

/* Whether a server that is verified by SPIFFE ID is still one of those that are named; any is, where none are. */
static bool is_expected(const struct tls_context *context, const char *uri)
{
    const struct trust *trust = tls_context_trust(context);
    for (size_t i = 0; i < context->num_expected; i++)
        if (trust_is_same_id(trust, context->expected[i], uri))
            return true;
    return context->num_expected == 0;
}

static enum reason recheck_svid(const struct tls_context *context, const struct peer_cert *peer,
                                int64_t now_ms, int64_t grace_ms, struct err *err)
{
    enum reason reason =
        peer_cert_recheck(peer, tls_context_trust(context), &context->rules, now_ms, grace_ms, err);
    if (reason != REASON_DONE || is_expected(context, peer->id.uri))
        return reason;
    err_set(err, ERR_TLS, "'%.160s' is not expected here any more", peer->id.uri);
    return REASON_IDENTITY_MISMATCH;
}

enum reason tls_context_recheck(const struct tls_context *context, const struct peer_cert *peer,
                                int64_t now_ms, int64_t grace_ms, struct err *err)
{
    const struct trust *trust = tls_context_trust(context);
    if (context->pki.roots != NULL)
        return peer_cert_recheck_pki(peer, trust, &context->pki, now_ms, grace_ms, err);
    if (peer->kind == PRINCIPAL_URI)
        return recheck_svid(context, peer, now_ms, grace_ms, err);
    err_set(err, ERR_TLS, "'%.160s' is no SPIFFE ID, and only those are known now",
            peer->principal);
    return REASON_IDENTITY_MISMATCH;
}

struct peer_cert *tls_context_renew_peer(const struct tls_context *context,
                                         const struct peer_cert *peer, int64_t now_ms)
{
    bool is_spiffe = context->pki.roots == NULL;
    const struct peer_cert_check by = {
        .trust = tls_context_trust(context),
        .rules = context->rules,
        .pki = is_spiffe ? NULL : &context->pki,
        .now_ms = now_ms,
    };
    struct peer_cert *renewed = peer_cert_verify_again(peer, &by);
    if (renewed == NULL || !is_spiffe || is_expected(context, renewed->id.uri))
        return renewed;
    peer_cert_unref(renewed);
    return NULL;
}

enum tls_context_kind tls_context_kind(const struct tls_context *context)
{
    return context->kind;
}

SSL_CTX *tls_context_ssl(const struct tls_context *context, enum tls_role role)
{
    return role == TLS_CLIENT ? context->client : context->server;
}

const char *tls_context_server_name(const struct tls_context *context)
{
    return context->server_name;
}

struct tls_ticket_key *tls_context_ticket_key(const struct tls_context *context)
{
    return context->ticket_key;
}

struct tls_ticket_store *tls_context_ticket_store(const struct tls_context *context)
{
    return context->ticket_store;
}

const struct trust *tls_context_trust(const struct tls_context *context)
{
    static const struct trust NOBODY = {0};
    return context->identity == NULL ? &NOBODY : identity_trust(context->identity);
}
