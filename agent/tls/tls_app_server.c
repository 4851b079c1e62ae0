#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "tls_conn_verify.h"
#include "tls_kinds.h"

/* ----------------------------------------------------------------------------------- the clients -- */

static int read_principals(struct pki *pki, const struct tls_app_server *server, struct err *err)
{
    if (server->num_principals > NUM_PRINCIPAL_KINDS)
        return err_set(err, ERR_INVALID, "principals: more kinds than there are");
    for (size_t i = 0; i < server->num_principals; i++)
        pki->principals[i] = server->principals[i];
    pki->num_principals = server->num_principals;
    if (pki->num_principals == 0)
        pki->principals[pki->num_principals++] = PRINCIPAL_URI;
    return 0;
}

/* Without roots, clients are of the mesh. */
static int read_clients(struct tls_context *context, const struct tls_app_server *server,
                        struct err *err)
{
    context->is_client_cert_optional = server->is_client_cert_optional;
    if (server->client_roots.bytes != NULL) {
        context->pki.peer = PKI_CLIENT;
        context->pki.max_intermediates = server->verify_depth;
        if (read_principals(&context->pki, server, err) < 0)
            return -1;
        context->pki.roots = trust_bundle_new(NULL, &server->client_roots, err);
        return context->pki.roots == NULL ? err_prefix(err, "client CA") : 0;
    }
    if (server->identity == NULL)
        return err_set(err, ERR_INVALID,
                       "clients: neither a CA of theirs nor a workload identity is given");
    for (size_t i = 0; i < server->num_principals; i++)
        if (server->principals[i] != PRINCIPAL_URI)
            return err_set(err, ERR_INVALID,
                           "clients of the mesh have no principal of the kind '%s'",
                           principal_kind_name(server->principals[i]));
    return 0;
}

/* By which a browser chooses the certificate that it offers (RFC 8446, 4.2.4). */
static int announce_roots(const struct trust_bundle *roots, SSL_CTX *ctx)
{
    STACK_OF(CRYPTO_BUFFER) *names = sk_CRYPTO_BUFFER_new_null();
    int result = names == NULL ? -1 : 0;
    for (size_t i = 0; result == 0 && i < trust_bundle_num_roots(roots); i++) {
        size_t len;
        const uint8_t *der = trust_bundle_der(roots, i, &len);
        X509 *root = d2i_X509(NULL, &der, (long)len);
        uint8_t *name = NULL;
        int name_len = root == NULL ? -1 : i2d_X509_NAME(X509_get_subject_name(root), &name);
        CRYPTO_BUFFER *buffer =
            name_len < 0 ? NULL : CRYPTO_BUFFER_new(name, (size_t)name_len, NULL);
        if (buffer == NULL || sk_CRYPTO_BUFFER_push(names, buffer) == 0) {
            CRYPTO_BUFFER_free(buffer);
            result = -1;
        }
        OPENSSL_free(name);
        X509_free(root);
    }
    if (result == 0)
        SSL_CTX_set0_client_CAs(ctx, names);
    else
        sk_CRYPTO_BUFFER_pop_free(names, CRYPTO_BUFFER_free);
    return result;
}

/* ------------------------------------------------------------------------------ our certificates -- */

static int add_choice(struct tls_context *context, const struct tls_context_cert *pem,
                      struct err *err)
{
    struct tls_own_cert *cert = &context->choices[context->num_choices].cert;
    if (pem != NULL && pem->chain.bytes != NULL) {
        if (tls_own_cert_from_pem(cert, pem, err) < 0)
            return -1;
    } else if (context->identity == NULL) {
        return err_set(err, ERR_INVALID, "neither a certificate nor a workload identity is given");
    } else if (tls_own_cert_from_svid(cert, identity_svid(context->identity), err) < 0) {
        return -1;
    }
    context->num_choices++;
    if (cert->not_after_ms < context->not_after_ms)
        context->not_after_ms = cert->not_after_ms;
    return 0;
}

static int read_certs(struct tls_context *context, const struct tls_app_server *server,
                      struct err *err)
{
    if (server->num_certs > TLS_CONTEXT_CERTS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d certificates", TLS_CONTEXT_CERTS_MAX);
    context->choices = calloc(server->num_certs + 1, sizeof(*context->choices));
    if (context->choices == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (server->num_certs == 0)
        return add_choice(context, NULL, err);
    for (size_t i = 0; i < server->num_certs; i++)
        if (add_choice(context, &server->certs[i], err) < 0)
            return err_prefix(err, "certificate %zu of %zu", i + 1, server->num_certs);
    return 0;
}

/* A name of its own goes before one that a star stands for. */
static SSL_CTX *choose(const struct tls_context *context, const char *server_name)
{
    for (int by_wildcard = 0; by_wildcard < 2 && server_name != NULL; by_wildcard++)
        for (size_t i = 0; i < context->num_choices; i++)
            if (tls_own_cert_is_for(&context->choices[i].cert, server_name, by_wildcard != 0))
                return context->choices[i].ctx;
    return context->choices[0].ctx;
}

/* After the ClientHello is read and the version agreed on, before a ticket is looked at. */
static int on_choose(SSL *ssl, void *owner)
{
    const struct tls_context *context = owner;
    const struct tls_conn *conn = SSL_get_app_data(ssl);
    /* Tickets are of TLS 1.3, and end with our certificate. */
    if (SSL_version(ssl) < TLS1_3_VERSION || tls_conn_now_ms(conn) > context->not_after_ms)
        SSL_set_options(ssl, SSL_OP_NO_TICKET);
    SSL_CTX *ctx = choose(context, SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    return SSL_set_SSL_CTX(ssl, ctx) == NULL ? 0 : 1; /* less than 0 would mean to wait */
}

/* -------------------------------------------------------------------------------------- the port -- */

static SSL_CTX *ssl_new(struct tls_context *context, const struct tls_own_cert *cert,
                        const struct tls_app_server *server, struct err *err)
{
    uint16_t min_version = server->allow_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    int verify_mode = SSL_VERIFY_PEER;
    if (!server->is_client_cert_optional)
        verify_mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX *ctx = SSL_CTX_new(TLS_with_buffers_method());
    if (tls_context_configure(context, ctx, TLS_SERVER, min_version) < 0 ||
        tls_context_configure_verify(context, ctx, verify_mode, server->allow_tls12) < 0 ||
        (context->pki.roots != NULL && announce_roots(context->pki.roots, ctx) < 0)) {
        tls_context_err(err, "TLS");
        goto fail;
    }
    if (tls_own_cert_use(cert, ctx) < 0) {
        tls_context_err(err, "our certificate");
        goto fail;
    }
    SSL_CTX_set_cert_cb(ctx, on_choose, context);
    if (context->ticket_key != NULL)
        tls_ticket_use_key(ctx);
    else
        SSL_CTX_set_retain_only_sha256_of_client_certs(ctx, 1);
    return ctx;

fail:
    SSL_CTX_free(ctx);
    return NULL;
}

static int make_ssls(struct tls_context *context, const struct tls_app_server *server,
                     struct err *err)
{
    for (size_t i = 0; i < context->num_choices; i++) {
        struct tls_context_choice *choice = &context->choices[i];
        choice->ctx = ssl_new(context, &choice->cert, server, err);
        if (choice->ctx == NULL)
            return -1;
    }
    context->server = context->choices[0].ctx;
    SSL_CTX_up_ref(context->server);
    return 0;
}

int tls_app_server_configure(struct tls_context *context, const struct tls_app_server *server,
                             struct err *err)
{
    if (server->identity != NULL)
        context->identity = identity_ref(server->identity);
    if (server->rules != NULL)
        context->rules = *server->rules;
    context->pool = CRYPTO_BUFFER_POOL_new();
    if (server->resumption)
        context->ticket_key = tls_ticket_key_new();
    if (context->pool == NULL || (server->resumption && context->ticket_key == NULL))
        return err_set(err, ERR_NOMEM, "out of memory");
    if (tls_alpn_init(&context->alpn, server->alpn, server->num_alpn, err) < 0 ||
        read_clients(context, server, err) < 0 || read_certs(context, server, err) < 0)
        return -1;
    return make_ssls(context, server, err);
}
