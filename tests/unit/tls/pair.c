#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"

struct tls_context *pair_context(const struct cert_built *leaf, const char *roots_pem)
{
    struct err err = {0};
    const char *key = cert_builder_key_pem(leaf);
    const char *chain = cert_builder_chain_pem(leaf);
    struct svid *svid = svid_new_pem(key, strlen(key), chain, strlen(chain), &err);
    if (svid == NULL)
        fail_msg("%s", err.message);
    struct trust_bundle *bundles[] = {
        trust_bundle_new_pem(svid_id(svid)->trust_domain, roots_pem, strlen(roots_pem), &err),
        trust_bundle_new_pem("td", roots_pem, strlen(roots_pem), &err),
    };
    assert_non_null(bundles[0]);
    assert_non_null(bundles[1]);
    bool is_foreign = strcmp(svid_id(svid)->trust_domain, "td") != 0;
    const struct trust trust = {.bundles = bundles, .num_bundles = is_foreign ? 2 : 1};
    struct identity *identity = identity_new(svid, &trust, 1, &err);
    assert_non_null(identity);
    struct tls_context *context = tls_context_new_mesh(identity, NULL, &err);
    if (context == NULL)
        fail_msg("%s", err.message);
    identity_unref(identity);
    trust_bundle_unref(bundles[0]);
    trust_bundle_unref(bundles[1]);
    svid_unref(svid);
    return context;
}

void pair_open(struct pair *pair, struct tls_context *client, struct tls_context *server,
               const char *expected)
{
    struct err err = {0};
    *pair = (struct pair){0};
    const struct tls_conn_params client_params = {.role = TLS_CLIENT,
                                                  .now_ms = clock_wall_ms(),
                                                  .expected = &expected,
                                                  .num_expected = expected != NULL};
    const struct tls_conn_params server_params = {.role = TLS_SERVER, .now_ms = clock_wall_ms()};
    pair->client = tls_conn_new(client, &client_params, &err);
    pair->server = tls_conn_new(server, &server_params, &err);
    if (pair->client == NULL || pair->server == NULL)
        fail_msg("%s", err.message);
}

void pair_done(struct pair *pair)
{
    tls_conn_free(pair->client);
    tls_conn_free(pair->server);
    buf_done(&pair->client_plain);
    buf_done(&pair->server_plain);
}

void pair_move(struct tls_conn *from, struct tls_conn *to, struct buf *plain, size_t chunk)
{
    struct buf *output = tls_conn_output(from);
    while (buf_len(output) > 0) {
        size_t len = buf_len(output) < chunk ? buf_len(output) : chunk;
        tls_conn_recv(to, buf_head(output), len, plain);
        buf_consume(output, len);
    }
}

void pair_pump(struct pair *pair, size_t chunk)
{
    while (buf_len(tls_conn_output(pair->client)) + buf_len(tls_conn_output(pair->server)) > 0) {
        pair_move(pair->client, pair->server, &pair->server_plain, chunk);
        pair_move(pair->server, pair->client, &pair->client_plain, chunk);
    }
}
