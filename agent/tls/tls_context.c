#include "tls_context.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "refcount.h"
#include "svid_key.h"
#include "tls_context_ssl.h"
#include "tls_library_groups.h"
#include "tls_pem.h"
#include "tls_verify.h"

struct tls_context {
    struct refcount refs;
    enum tls_context_kind kind;
    SSL_CTX *client;
    SSL_CTX *server;
    struct identity *identity; /* mesh */
    struct cert_rules rules;   /* mesh */
    CRYPTO_BUFFER_POOL *pool;  /* mesh: peers' certificates, held once however many connections */
    char *server_name;         /* named client */
};

static const uint8_t ALPN_H2[] = {2, 'h', '2'};

/*
 * What both ends of the mesh can sign with and verify. No PKCS#1 v1.5 and no SHA-1 (RFC 8446,
 * 4.2.3).
 */
static const uint16_t SIGNATURES[] = {
    SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_ED25519,
    SSL_SIGN_ECDSA_SECP384R1_SHA384, SSL_SIGN_ECDSA_SECP521R1_SHA512,
    SSL_SIGN_RSA_PSS_RSAE_SHA256,    SSL_SIGN_RSA_PSS_RSAE_SHA384,
    SSL_SIGN_RSA_PSS_RSAE_SHA512,
};

enum { NUM_SIGNATURES = sizeof(SIGNATURES) / sizeof(SIGNATURES[0]) };

/* ------------------------------------------------------------------- what all have in common -- */

/* A peer that offers ALPN without h2 is refused here; one that offers none, after the handshake. */
static int on_alpn_select(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in,
                          unsigned in_len, void *unused)
{
    uint8_t *selected;
    if (SSL_select_next_proto(&selected, out_len, ALPN_H2, sizeof(ALPN_H2), in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = selected;
    return SSL_TLSEXT_ERR_OK;
}

static int configure_common(SSL_CTX *ctx, enum tls_role role, uint16_t min_version)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    if (role == TLS_SERVER)
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn_select, NULL);
    /* SSL_CTX_set_alpn_protos is the one that returns 0 for success. */
    else if (SSL_CTX_set_alpn_protos(ctx, ALPN_H2, sizeof(ALPN_H2)) != 0)
        return -1;
    if (!SSL_CTX_set_min_proto_version(ctx, min_version) ||
        !SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) || !SSL_CTX_set_num_tickets(ctx, 0) ||
        tls_library_groups_set(ctx) < 0)
        return -1;
    return 0;
}

/*
 * BoringSSL's first error in words, for what only a wrong key, a wrong certificate or a lack of
 * memory can break.
 */
static int ssl_err(struct err *err, const char *doing)
{
    uint32_t code = ERR_peek_error();
    const char *why = code == 0 ? NULL : ERR_reason_error_string(code);
    err_set(err, ERR_INVALID, "%s: %s", doing, why == NULL ? "out of memory" : why);
    ERR_clear_error();
    return -1;
}

static struct tls_context *context_new(enum tls_context_kind kind, struct err *err)
{
    struct tls_context *context = calloc(1, sizeof(*context));
    if (context == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    refcount_init(&context->refs);
    context->kind = kind;
    return context;
}

/* -------------------------------------------------------------------------------------- mesh -- */

static int push_der(STACK_OF(CRYPTO_BUFFER) *chain, const uint8_t *der, size_t len,
                    CRYPTO_BUFFER_POOL *pool)
{
    CRYPTO_BUFFER *buffer = CRYPTO_BUFFER_new(der, len, pool);
    if (buffer != NULL && sk_CRYPTO_BUFFER_push(chain, buffer) != 0)
        return 0;
    CRYPTO_BUFFER_free(buffer);
    return -1;
}

static int use_svid(SSL_CTX *ctx, const struct svid *svid, CRYPTO_BUFFER_POOL *pool)
{
    CRYPTO_BUFFER *certs[CERT_CHAIN_MAX];
    STACK_OF(CRYPTO_BUFFER) *chain = sk_CRYPTO_BUFFER_new_null();
    if (chain == NULL)
        return -1;
    size_t num = svid_num_certs(svid);
    int result = -1;
    for (size_t i = 0; i < num; i++) {
        size_t len;
        const uint8_t *der = svid_der(svid, i, &len);
        if (push_der(chain, der, len, pool) < 0)
            goto done;
        certs[i] = sk_CRYPTO_BUFFER_value(chain, i);
    }
    if (SSL_CTX_set_chain_and_key(ctx, certs, num, svid_key_get(svid), NULL))
        result = 0;

done:
    sk_CRYPTO_BUFFER_pop_free(chain, CRYPTO_BUFFER_free);
    return result;
}

static SSL_CTX *mesh_ssl_new(const struct tls_context *context, enum tls_role role, struct err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_with_buffers_method());
    if (ctx == NULL || configure_common(ctx, role, TLS1_3_VERSION) < 0 ||
        !SSL_CTX_set_signing_algorithm_prefs(ctx, SIGNATURES, NUM_SIGNATURES) ||
        !SSL_CTX_set_verify_algorithm_prefs(ctx, SIGNATURES, NUM_SIGNATURES)) {
        ssl_err(err, "TLS");
        goto fail;
    }
    SSL_CTX_set0_buffer_pool(ctx, context->pool);
    SSL_CTX_set_custom_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                              tls_verify_peer);
    SSL_CTX_set_msg_callback(ctx, tls_verify_on_message);
    /* What was learned from the chain is in the peer_cert; the bytes need not stay. */
    SSL_CTX_set_retain_only_sha256_of_client_certs(ctx, 1);
    if (use_svid(ctx, identity_svid(context->identity), context->pool) < 0) {
        ssl_err(err, "our certificate");
        goto fail;
    }
    return ctx;

fail:
    SSL_CTX_free(ctx);
    return NULL;
}

struct tls_context *tls_context_new_mesh(struct identity *identity, const struct cert_rules *rules,
                                         struct err *err)
{
    struct tls_context *context = context_new(TLS_CONTEXT_MESH, err);
    if (context == NULL)
        return NULL;
    context->identity = identity_ref(identity);
    if (rules != NULL)
        context->rules = *rules;
    context->pool = CRYPTO_BUFFER_POOL_new();
    if (context->pool == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        goto fail;
    }
    context->client = mesh_ssl_new(context, TLS_CLIENT, err);
    if (context->client == NULL)
        goto fail;
    context->server = mesh_ssl_new(context, TLS_SERVER, err);
    if (context->server == NULL)
        goto fail;
    return context;

fail:
    tls_context_unref(context);
    return NULL;
}

/* ------------------------------------------------------------------------------ named client -- */

static int add_roots(SSL_CTX *ctx, const char *pem, size_t pem_len, struct err *err)
{
    STACK_OF(X509) *roots = tls_pem_read_certs(pem, pem_len, err);
    if (roots == NULL)
        return err_prefix(err, "roots");
    int result = 0;
    for (size_t i = 0; i < sk_X509_num(roots) && result == 0; i++)
        if (!X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), sk_X509_value(roots, i)))
            result = ssl_err(err, "roots");
    sk_X509_pop_free(roots, X509_free);
    return result;
}

static int expect_name(SSL_CTX *ctx, const char *name, struct err *err)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    int ok = tls_verify_is_address(name) ? X509_VERIFY_PARAM_set1_ip_asc(param, name)
                                         : X509_VERIFY_PARAM_set1_host(param, name, strlen(name));
    return ok ? 0 : ssl_err(err, "server name");
}

static int configure_named_client(SSL_CTX *ctx, const char *roots_pem, size_t roots_pem_len,
                                  const char *server_name, struct err *err)
{
    if (configure_common(ctx, TLS_CLIENT, TLS1_2_VERSION) < 0 ||
        !SSL_CTX_set_strict_cipher_list(ctx, "ECDHE+AESGCM"))
        return ssl_err(err, "TLS");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    if (add_roots(ctx, roots_pem, roots_pem_len, err) < 0)
        return -1;
    return expect_name(ctx, server_name, err);
}

struct tls_context *tls_context_new_client(const char *roots_pem, size_t roots_pem_len,
                                           const char *server_name, struct err *err)
{
    if (server_name == NULL || server_name[0] == '\0') {
        err_set(err, ERR_INVALID, "server name: empty");
        return NULL;
    }
    struct tls_context *context = context_new(TLS_CONTEXT_NAMED_CLIENT, err);
    if (context == NULL)
        return NULL;
    context->server_name = strdup(server_name);
    context->client = SSL_CTX_new(TLS_method());
    if (context->server_name == NULL || context->client == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        ERR_clear_error();
        goto fail;
    }
    if (configure_named_client(context->client, roots_pem, roots_pem_len, server_name, err) < 0)
        goto fail;
    return context;

fail:
    tls_context_unref(context);
    return NULL;
}

/* ------------------------------------------------------------------------------ named server -- */

static int use_certs(SSL_CTX *ctx, const char *chain_pem, size_t chain_pem_len, struct err *err)
{
    STACK_OF(X509) *chain = tls_pem_read_certs(chain_pem, chain_pem_len, err);
    if (chain == NULL)
        return err_prefix(err, "certificate chain");
    int result = 0;
    for (size_t i = 0; i < sk_X509_num(chain) && result == 0; i++) {
        X509 *cert = sk_X509_value(chain, i);
        if (!(i == 0 ? SSL_CTX_use_certificate(ctx, cert) : SSL_CTX_add1_chain_cert(ctx, cert)))
            result = ssl_err(err, "certificate chain");
    }
    sk_X509_pop_free(chain, X509_free);
    return result;
}

static int use_key(SSL_CTX *ctx, const char *key_pem, size_t key_pem_len, struct err *err)
{
    EVP_PKEY *key = svid_key_read_pem(key_pem, key_pem_len, err);
    if (key == NULL)
        return err_prefix(err, "key");
    /* Refuses a key that is not the certificate's, which is why the certificate comes first. */
    int ok = SSL_CTX_use_PrivateKey(ctx, key);
    EVP_PKEY_free(key);
    return ok ? 0 : ssl_err(err, "key");
}

struct tls_context *tls_context_new_server(const char *key_pem, size_t key_pem_len,
                                           const char *chain_pem, size_t chain_pem_len,
                                           struct err *err)
{
    struct tls_context *context = context_new(TLS_CONTEXT_NAMED_SERVER, err);
    if (context == NULL)
        return NULL;
    context->server = SSL_CTX_new(TLS_method());
    if (context->server == NULL || configure_common(context->server, TLS_SERVER, TLS1_3_VERSION)) {
        ssl_err(err, "TLS");
        goto fail;
    }
    if (use_certs(context->server, chain_pem, chain_pem_len, err) < 0 ||
        use_key(context->server, key_pem, key_pem_len, err) < 0)
        goto fail;
    return context;

fail:
    tls_context_unref(context);
    return NULL;
}

/* ----------------------------------------------------------------------------------- sharing -- */

struct tls_context *tls_context_ref(struct tls_context *context)
{
    refcount_get(&context->refs);
    return context;
}

void tls_context_unref(struct tls_context *context)
{
    if (context == NULL || !refcount_put(&context->refs))
        return;
    SSL_CTX_free(context->client);
    SSL_CTX_free(context->server);
    CRYPTO_BUFFER_POOL_free(context->pool);
    identity_unref(context->identity);
    free(context->server_name);
    free(context);
}

struct identity *tls_context_identity(const struct tls_context *context)
{
    return context->identity;
}

enum tls_context_kind tls_context_kind(const struct tls_context *context)
{
    return context->kind;
}

SSL_CTX *tls_context_ssl(const struct tls_context *context, enum tls_role role)
{
    return role == TLS_CLIENT ? context->client : context->server;
}

const struct cert_rules *tls_context_rules(const struct tls_context *context)
{
    return &context->rules;
}

const char *tls_context_server_name(const struct tls_context *context)
{
    return context->server_name;
}
