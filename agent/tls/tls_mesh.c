#include <openssl/pool.h>
#include <openssl/ssl.h>

#include "tls_kinds.h"

static SSL_CTX *ssl_new(const struct tls_context *context, enum tls_role role,
                        const struct tls_own_cert *own, struct err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_with_buffers_method());
    if (tls_context_configure(context, ctx, role, TLS1_3_VERSION) < 0 ||
        tls_context_configure_verify(
            context, ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, false) < 0) {
        tls_context_err(err, "TLS");
        goto fail;
    }
    if (tls_own_cert_use(own, ctx) < 0) {
        tls_context_err(err, "our certificate");
        goto fail;
    }
    /* What was learned from the chain is in the peer_cert; the bytes need not stay. */
    SSL_CTX_set_retain_only_sha256_of_client_certs(ctx, 1);
    return ctx;

fail:
    SSL_CTX_free(ctx);
    return NULL;
}

int tls_mesh_configure(struct tls_context *context, struct identity *identity,
                       const struct cert_rules *rules, const char *alpn, struct err *err)
{
    context->identity = identity_ref(identity);
    if (rules != NULL)
        context->rules = *rules;
    context->is_alpn_required = true;
    if (tls_alpn_init(&context->alpn, &alpn, 1, err) < 0)
        return -1;
    context->pool = CRYPTO_BUFFER_POOL_new();
    if (context->pool == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (tls_own_cert_from_svid(&context->own, identity_svid(identity), err) < 0)
        return -1;
    context->not_after_ms = context->own.not_after_ms;
    context->client = ssl_new(context, TLS_CLIENT, &context->own, err);
    if (context->client == NULL)
        return -1;
    context->server = ssl_new(context, TLS_SERVER, &context->own, err);
    return context->server == NULL ? -1 : 0;
}
