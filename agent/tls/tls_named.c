#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "svid_key.h"
#include "tls_kinds.h"
#include "tls_pem.h"
#include "tls_verify.h"

/* What gRPC needs (RFC 7540, 3.3). */
static const char *const H2 = "h2";

/* ------------------------------------------------------------------------------------ client -- */

static int add_roots(SSL_CTX *ctx, const char *pem, size_t pem_len, struct err *err)
{
    STACK_OF(X509) *roots = tls_pem_read_certs(pem, pem_len, err);
    if (roots == NULL)
        return err_prefix(err, "roots");
    int result = 0;
    for (size_t i = 0; i < sk_X509_num(roots) && result == 0; i++)
        if (!X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), sk_X509_value(roots, i)))
            result = tls_context_err(err, "roots");
    sk_X509_pop_free(roots, X509_free);
    return result;
}

static int expect_name(SSL_CTX *ctx, const char *name, struct err *err)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    int ok = tls_verify_is_address(name) ? X509_VERIFY_PARAM_set1_ip_asc(param, name)
                                         : X509_VERIFY_PARAM_set1_host(param, name, strlen(name));
    return ok ? 0 : tls_context_err(err, "server name");
}

static int configure_client(const struct tls_context *context, SSL_CTX *ctx, const char *roots_pem,
                            size_t roots_pem_len, const char *server_name, struct err *err)
{
    if (tls_context_configure(context, ctx, TLS_CLIENT, TLS1_2_VERSION) < 0 ||
        !SSL_CTX_set_strict_cipher_list(ctx, "ECDHE+AESGCM"))
        return tls_context_err(err, "TLS");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    if (add_roots(ctx, roots_pem, roots_pem_len, err) < 0)
        return -1;
    return expect_name(ctx, server_name, err);
}

int tls_named_configure_client(struct tls_context *context, const char *roots_pem,
                               size_t roots_pem_len, const char *server_name, struct err *err)
{
    if (server_name == NULL || server_name[0] == '\0')
        return err_set(err, ERR_INVALID, "server name: empty");
    context->is_alpn_required = true;
    if (tls_alpn_init(&context->alpn, &H2, 1, err) < 0)
        return -1;
    context->server_name = strdup(server_name);
    context->client = SSL_CTX_new(TLS_method());
    if (context->server_name == NULL || context->client == NULL) {
        ERR_clear_error();
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    return configure_client(context, context->client, roots_pem, roots_pem_len, server_name, err);
}

/* ------------------------------------------------------------------------------------ server -- */

static int use_certs(SSL_CTX *ctx, const char *chain_pem, size_t chain_pem_len, struct err *err)
{
    STACK_OF(X509) *chain = tls_pem_read_certs(chain_pem, chain_pem_len, err);
    if (chain == NULL)
        return err_prefix(err, "certificate chain");
    int result = 0;
    for (size_t i = 0; i < sk_X509_num(chain) && result == 0; i++) {
        X509 *cert = sk_X509_value(chain, i);
        if (!(i == 0 ? SSL_CTX_use_certificate(ctx, cert) : SSL_CTX_add1_chain_cert(ctx, cert)))
            result = tls_context_err(err, "certificate chain");
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
    return ok ? 0 : tls_context_err(err, "key");
}

int tls_named_configure_server(struct tls_context *context, const char *key_pem, size_t key_pem_len,
                               const char *chain_pem, size_t chain_pem_len, struct err *err)
{
    context->is_alpn_required = true;
    if (tls_alpn_init(&context->alpn, &H2, 1, err) < 0)
        return -1;
    context->server = SSL_CTX_new(TLS_method());
    if (tls_context_configure(context, context->server, TLS_SERVER, TLS1_3_VERSION) < 0)
        return tls_context_err(err, "TLS");
    if (use_certs(context->server, chain_pem, chain_pem_len, err) < 0)
        return -1;
    return use_key(context->server, key_pem, key_pem_len, err);
}
