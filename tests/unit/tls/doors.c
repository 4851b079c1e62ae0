#include "doors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct cert_bytes door_roots(const struct cert_built *root)
{
    const char *pem = cert_builder_pem(root);
    return (struct cert_bytes){.bytes = pem, .len = strlen(pem)};
}

struct tls_context_cert door_cert(const struct cert_built *leaf)
{
    const char *key = cert_builder_key_pem(leaf), *chain = cert_builder_chain_pem(leaf);
    return (struct tls_context_cert){
        .key = {.bytes = key, .len = strlen(key)},
        .chain = {.bytes = chain, .len = strlen(chain)},
    };
}

struct identity *door_identity(const struct cert_built *leaf, const struct cert_built *root)
{
    struct err err = {0};
    const struct tls_context_cert pem = door_cert(leaf);
    const struct cert_bytes roots = door_roots(root);
    struct svid *svid = svid_new(&pem.key, &pem.chain, &err);
    if (svid == NULL)
        fail_msg("%s", err.message);
    struct trust_bundle *bundle = trust_bundle_new(svid_id(svid)->trust_domain, &roots, &err);
    assert_non_null(bundle);
    const struct trust trust = {.bundles = &bundle, .num_bundles = 1};
    struct identity *identity = identity_new(svid, &trust, 1, &err);
    assert_non_null(identity);
    trust_bundle_unref(bundle);
    svid_unref(svid);
    return identity;
}

struct tls_context *door_server(const struct tls_app_server *server)
{
    struct err err = {0};
    struct tls_context *context = tls_context_new_app_server(server, &err);
    if (context == NULL)
        fail_msg("%s", err.message);
    return context;
}

struct tls_context *door_origin(const struct tls_origin *origin)
{
    struct err err = {0};
    struct tls_context *context = tls_context_new_origin(origin, &err);
    if (context == NULL)
        fail_msg("%s", err.message);
    return context;
}

struct tls_conn *door_conn(struct tls_context *context, enum tls_role role, int64_t now_ms)
{
    struct err err = {0};
    const struct tls_conn_params params = {.role = role, .now_ms = now_ms};
    struct tls_conn *conn = tls_conn_new(context, &params, &err);
    if (conn == NULL)
        fail_msg("%s", err.message);
    return conn;
}

void door_connect(struct pair *pair, struct tls_context *client, struct tls_context *server,
                  int64_t now_ms)
{
    *pair = (struct pair){
        .client = door_conn(client, TLS_CLIENT, now_ms),
        .server = door_conn(server, TLS_SERVER, now_ms),
    };
    pair_pump(pair, 1 << 20);
}
