#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "principal.h"
#include "spiffe_id.h"
#include "tls_kinds.h"
#include "tls_verify.h"

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "out of memory");
}

/* --------------------------------------------------------------------------------- the server -- */

static int add_expected(struct tls_context *context, const char *uri, struct err *err)
{
    struct spiffe_id id;
    if (spiffe_id_parse(&id, uri, strlen(uri), err) < 0)
        return err_prefix(err, "SPIFFE ID '%.160s'", uri);
    spiffe_id_done(&id);
    char *copy = strdup(uri);
    if (copy == NULL)
        return out_of_memory(err);
    context->expected[context->num_expected++] = copy;
    return 0;
}

static int read_ids(struct tls_context *context, const struct tls_origin *origin, struct err *err)
{
    if (origin->identity == NULL)
        return err_set(err, ERR_INVALID, "SPIFFE IDs are verified by a workload identity's trust");
    if (origin->num_spiffe_ids == 0)
        return err_set(err, ERR_INVALID, "neither a server name nor a SPIFFE ID is expected");
    if (origin->num_spiffe_ids > TLS_CONN_EXPECTED_MAX)
        return err_set(err, ERR_LIMIT, "more than %d SPIFFE IDs", TLS_CONN_EXPECTED_MAX);
    context->expected = calloc(origin->num_spiffe_ids, sizeof(*context->expected));
    if (context->expected == NULL)
        return out_of_memory(err);
    for (size_t i = 0; i < origin->num_spiffe_ids; i++)
        if (add_expected(context, origin->spiffe_ids[i], err) < 0)
            return -1;
    return 0;
}

/* A DNS name in its one spelling, or an address as it is. NULL: *err. */
static char *copy_name(const char *name, struct err *err)
{
    char checked[PRINCIPAL_MAX + 1];
    const char *from = name;
    if (!tls_verify_is_address(name)) {
        if (principal_format(PRINCIPAL_DNS, name, strlen(name), checked, err) < 0) {
            err_prefix(err, "server name '%.160s'", name);
            return NULL;
        }
        from = strchr(checked, ':') + 1;
    }
    char *copy = strdup(from);
    if (copy == NULL)
        out_of_memory(err);
    return copy;
}

static int read_name(struct tls_context *context, const struct tls_origin *origin, struct err *err)
{
    if (origin->num_spiffe_ids > 0)
        return err_set(err, ERR_INVALID,
                       "the server is verified by name or by SPIFFE ID, not by both");
    if (origin->roots.bytes == NULL)
        return err_set(err, ERR_INVALID, "a server that is verified by name needs a CA");
    context->server_name = copy_name(origin->server_name, err);
    if (context->server_name == NULL)
        return -1;
    context->pki = (struct pki){
        .peer = PKI_SERVER,
        .max_intermediates = origin->verify_depth,
        .server_name = context->server_name,
        .roots = trust_bundle_new(NULL, &origin->roots, err),
    };
    return context->pki.roots == NULL ? err_prefix(err, "CA") : 0;
}

static int read_sni(struct tls_context *context, const struct tls_origin *origin, struct err *err)
{
    const char *sni = origin->sni != NULL ? origin->sni : context->server_name;
    if (sni == NULL || tls_verify_is_address(sni))
        return 0;
    context->sni = copy_name(sni, err);
    return context->sni == NULL ? -1 : 0;
}

static int read_server(struct tls_context *context, const struct tls_origin *origin,
                       struct err *err)
{
    int result = origin->server_name != NULL ? read_name(context, origin, err)
                                             : read_ids(context, origin, err);
    return result < 0 ? -1 : read_sni(context, origin, err);
}

/* -------------------------------------------------------------------------------- what we are -- */

static int read_own(struct tls_context *context, const struct tls_origin *origin, struct err *err)
{
    int result;
    if (origin->cert.chain.bytes != NULL)
        result = tls_own_cert_from_pem(&context->own, &origin->cert, err);
    else if (origin->identity != NULL)
        result = tls_own_cert_from_svid(&context->own, identity_svid(origin->identity), err);
    else
        result =
            err_set(err, ERR_INVALID, "neither a certificate nor a workload identity is given");
    if (result == 0)
        context->not_after_ms = context->own.not_after_ms;
    return result;
}

static int make_ssl(struct tls_context *context, const struct tls_origin *origin, struct err *err)
{
    uint16_t min_version = origin->allow_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    context->client = SSL_CTX_new(TLS_with_buffers_method());
    if (tls_context_configure(context, context->client, TLS_CLIENT, min_version) < 0 ||
        tls_context_configure_verify(context, context->client, SSL_VERIFY_PEER,
                                     origin->allow_tls12) < 0)
        return tls_context_err(err, "TLS");
    if (tls_own_cert_use(&context->own, context->client) < 0)
        return tls_context_err(err, "our certificate");
    if (context->ticket_store != NULL)
        tls_ticket_use_store(context->client);
    return 0;
}

int tls_origin_configure(struct tls_context *context, const struct tls_origin *origin,
                         struct err *err)
{
    if (origin->identity != NULL)
        context->identity = identity_ref(origin->identity);
    if (origin->rules != NULL)
        context->rules = *origin->rules;
    context->pool = CRYPTO_BUFFER_POOL_new();
    if (origin->resumption)
        context->ticket_store = tls_ticket_store_new();
    if (context->pool == NULL || (origin->resumption && context->ticket_store == NULL))
        return out_of_memory(err);
    if (tls_alpn_init(&context->alpn, origin->alpn, origin->num_alpn, err) < 0 ||
        read_server(context, origin, err) < 0 || read_own(context, origin, err) < 0)
        return -1;
    return make_ssl(context, origin, err);
}
