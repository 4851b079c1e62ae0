/*
 * The way to the control plane: the server is verified by name, the client has no certificate.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "pair.h"

static const int64_t HOUR_MS = 3600 * 1000;

struct world {
    struct cert_built *root, *stranger;
};

static int make_world(void **state)
{
    static struct world world;
    world.root = cert_builder_root("root");
    world.stranger = cert_builder_root("stranger");
    *state = &world;
    return 0;
}

static int free_world(void **state)
{
    struct world *world = *state;
    cert_builder_free(world->root);
    cert_builder_free(world->stranger);
    return 0;
}

static struct tls_context *server_context(const struct cert_built *leaf)
{
    struct err err = {0};
    const char *key = cert_builder_key_pem(leaf);
    const char *chain = cert_builder_chain_pem(leaf);
    struct tls_context *context =
        tls_context_new_server(key, strlen(key), chain, strlen(chain), &err);
    if (context == NULL)
        fail_msg("%s", err.message);
    return context;
}

static struct tls_context *client_context(const struct cert_built *root, const char *name)
{
    struct err err = {0};
    const char *pem = cert_builder_pem(root);
    struct tls_context *context = tls_context_new_client(pem, strlen(pem), name, &err);
    if (context == NULL)
        fail_msg("%s", err.message);
    return context;
}

static void the_server_is_verified_by_root_name_and_time(void **state)
{
    const struct world *world = *state;
    const int64_t past_ms = clock_wall_ms() - HOUR_MS / 2;
    const struct {
        const char *name;
        const struct cert_built *issuer;
        struct cert_spec spec;
        enum reason reason;
        const char *words;
    } cases[] = {
        {"istiod.istio-system.svc",
         world->root,
         {.dns = {"istiod", "istiod.istio-system.svc"}},
         REASON_DONE,
         ""},
        {"a.example.org", world->root, {.dns = {"*.example.org"}}, REASON_DONE, ""},
        {"127.0.0.1", world->root, {.ip = "127.0.0.1"}, REASON_DONE, ""},
        {"127.0.0.1", world->root, {.dns = {"127.0.0.1"}}, REASON_IDENTITY_MISMATCH, "'127.0.0.1'"},
        {"127.0.0.2", world->root, {.ip = "127.0.0.1"}, REASON_IDENTITY_MISMATCH, "'127.0.0.2'"},
        {"istiod", world->root, {.dns = {"other"}}, REASON_IDENTITY_MISMATCH, "not for 'istiod'"},
        {"istiod",
         world->root,
         {.common_name = "istiod"},
         REASON_IDENTITY_MISMATCH,
         "not for 'istiod'"},
        {"istiod",
         world->stranger,
         {.dns = {"istiod"}},
         REASON_CERT_UNTRUSTED,
         "does not lead to our roots"},
        {"istiod",
         world->root,
         {.dns = {"istiod"}, .not_after_ms = past_ms},
         REASON_CERT_EXPIRED,
         "has expired"},
        {"istiod",
         world->root,
         {.dns = {"istiod"}, .not_before_ms = past_ms + HOUR_MS},
         REASON_CERT_NOT_YET_VALID,
         "not valid yet"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cert_built *leaf = cert_builder_make(cases[i].issuer, &cases[i].spec);
        struct tls_context *server = server_context(leaf);
        struct tls_context *client = client_context(world->root, cases[i].name);
        for (size_t chunk = 1; chunk <= 1 << 20; chunk <<= 20) {
            struct pair pair;
            pair_open(&pair, client, server, NULL);
            pair_pump(&pair, chunk);
            if (tls_conn_reason(pair.client) != cases[i].reason ||
                strstr(tls_conn_err(pair.client)->message, cases[i].words) == NULL)
                fail_msg("case %zu: got %s '%s'", i, reason_name(tls_conn_reason(pair.client)),
                         tls_conn_err(pair.client)->message);
            enum tls_status status = cases[i].reason == REASON_DONE ? TLS_OPEN : TLS_FAILED;
            assert_int_equal(tls_conn_status(pair.client), status);
            assert_int_equal(tls_conn_status(pair.server), status);
            assert_null(tls_conn_peer(pair.client));
            pair_done(&pair);
        }
        tls_context_unref(client);
        tls_context_unref(server);
        cert_builder_free(leaf);
    }
}

static void bytes_go_both_ways_on_a_chain_with_an_intermediate(void **state)
{
    const struct world *world = *state;
    struct cert_built *intermediate =
        cert_builder_make(world->root, &(struct cert_spec){.common_name = "i", .is_ca = true});
    struct cert_built *leaf =
        cert_builder_make(intermediate, &(struct cert_spec){.dns = {"istiod"}});
    struct tls_context *server = server_context(leaf);
    struct tls_context *client = client_context(world->root, "istiod");
    struct pair pair;
    pair_open(&pair, client, server, NULL);
    pair_pump(&pair, 1 << 20);
    assert_string_equal(tls_conn_info(pair.client).alpn, "h2");
    assert_string_equal(tls_conn_info(pair.client).version, "TLSv1.3");
    tls_conn_send(pair.client, (const uint8_t *)"ping", 4);
    tls_conn_send(pair.server, (const uint8_t *)"pong", 4);
    pair_pump(&pair, 1);
    assert_memory_equal(buf_head(&pair.server_plain), "ping", 4);
    assert_memory_equal(buf_head(&pair.client_plain), "pong", 4);
    assert_null(tls_context_identity(client));
    pair_done(&pair);
    tls_context_unref(client);
    tls_context_unref(server);
    cert_builder_free(leaf);
    cert_builder_free(intermediate);
}

static void bad_material_is_named(void **state)
{
    const struct world *world = *state;
    struct cert_built *a = cert_builder_make(world->root, &(struct cert_spec){.dns = {"a"}});
    struct cert_built *b = cert_builder_make(world->root, &(struct cert_spec){.dns = {"b"}});
    const char *root = cert_builder_pem(world->root);
    struct err err = {0};
    assert_null(tls_context_new_client("", 0, "x", &err));
    assert_string_equal(err.message, "roots: no certificate in it");
    assert_null(tls_context_new_client(root, strlen(root) - 40, "x", &err));
    assert_string_equal(err.message, "roots: certificate 1 cannot be read");
    assert_null(tls_context_new_client(root, strlen(root), "", &err));
    assert_string_equal(err.message, "server name: empty");
    const char *a_key = cert_builder_key_pem(a);
    const char *b_pem = cert_builder_pem(b);
    assert_null(tls_context_new_server(a_key, strlen(a_key), b_pem, strlen(b_pem), &err));
    assert_non_null(strstr(err.message, "key: KEY_VALUES_MISMATCH"));
    assert_null(tls_context_new_server(a_key, strlen(a_key), "", 0, &err));
    assert_string_equal(err.message, "certificate chain: no certificate in it");
    assert_null(tls_context_new_server("", 0, b_pem, strlen(b_pem), &err));
    assert_string_equal(err.message, "key: no private key in it");
    cert_builder_free(a);
    cert_builder_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_server_is_verified_by_root_name_and_time),
        cmocka_unit_test(bytes_go_both_ways_on_a_chain_with_an_intermediate),
        cmocka_unit_test(bad_material_is_named),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
