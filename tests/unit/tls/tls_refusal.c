#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "pair.h"

static const size_t CHUNKS[] = {1, 1 << 20};
static const int64_t HOUR_MS = 3600 * 1000;

struct world {
    struct cert_built *root, *stranger, *client_leaf, *server_leaf;
    struct tls_context *client, *server;
};

static int make_world(void **state)
{
    static struct world world;
    world.root = cert_builder_root("root");
    world.stranger = cert_builder_root("stranger");
    world.client_leaf = cert_builder_leaf(world.root, PAIR_CLIENT_ID);
    world.server_leaf = cert_builder_leaf(world.root, PAIR_SERVER_ID);
    world.client = pair_context(world.client_leaf, cert_builder_pem(world.root));
    world.server = pair_context(world.server_leaf, cert_builder_pem(world.root));
    *state = &world;
    return 0;
}

static int free_world(void **state)
{
    struct world *world = *state;
    tls_context_unref(world->client);
    tls_context_unref(world->server);
    cert_builder_free(world->client_leaf);
    cert_builder_free(world->server_leaf);
    cert_builder_free(world->stranger);
    cert_builder_free(world->root);
    return 0;
}

static void expect_failed(const struct tls_conn *conn, enum reason reason, const char *words)
{
    if (tls_conn_status(conn) != TLS_FAILED || tls_conn_reason(conn) != reason ||
        strstr(tls_conn_err(conn)->message, words) == NULL)
        fail_msg("got status %d, %s '%s', wanted %s '%s'", tls_conn_status(conn),
                 reason_name(tls_conn_reason(conn)), tls_conn_err(conn)->message,
                 reason_name(reason), words);
}

/* A certificate that an SVID of ours can hold; those that none can are presented by a foreign peer
 * (tls_foreign.c). */
struct wrong {
    struct cert_spec spec;
    bool is_of_stranger;
    enum reason reason;
    const char *words;
    const char *alert; /* what the refused side reads */
};

static void check_wrong_client(const struct world *world, const struct wrong *wrong, size_t chunk)
{
    struct cert_built *leaf =
        cert_builder_make(wrong->is_of_stranger ? world->stranger : world->root, &wrong->spec);
    struct tls_context *client = pair_context(leaf, cert_builder_pem(world->root));
    struct pair pair;
    pair_open(&pair, client, world->server, PAIR_SERVER_ID);
    pair_pump(&pair, chunk);
    expect_failed(pair.server, wrong->reason, wrong->words);
    assert_null(tls_conn_peer(pair.server));
    /* It was open for the client before the server had seen its certificate. */
    expect_failed(pair.client, REASON_TLS_PEER_REFUSED_US, wrong->alert);
    pair_done(&pair);
    tls_context_unref(client);
    cert_builder_free(leaf);
}

static void check_wrong_server(const struct world *world, const struct wrong *wrong, size_t chunk)
{
    struct cert_built *leaf =
        cert_builder_make(wrong->is_of_stranger ? world->stranger : world->root, &wrong->spec);
    struct tls_context *server = pair_context(leaf, cert_builder_pem(world->root));
    struct pair pair;
    pair_open(&pair, world->client, server, wrong->spec.uris[0]);
    pair_pump(&pair, chunk);
    expect_failed(pair.client, wrong->reason, wrong->words);
    assert_null(tls_conn_peer(pair.client));
    expect_failed(pair.server, REASON_TLS_PEER_REFUSED_US, wrong->alert);
    pair_done(&pair);
    tls_context_unref(server);
    cert_builder_free(leaf);
}

static void each_wrong_certificate_is_refused_by_both_roles_with_its_own_reason(void **state)
{
    const struct world *world = *state;
    const int64_t now_ms = clock_wall_ms();
    const struct wrong cases[] = {
        {.spec = {.uris = {PAIR_CLIENT_ID}},
         .is_of_stranger = true,
         .reason = REASON_CERT_UNTRUSTED,
         .words = "issued by '/CN=stranger'",
         .alert = "unknown CA"},
        {.spec = {.uris = {PAIR_CLIENT_ID},
                  .not_before_ms = now_ms - 9 * HOUR_MS,
                  .not_after_ms = now_ms - 3 * HOUR_MS},
         .reason = REASON_CERT_EXPIRED,
         .words = "expired 3 h ago",
         .alert = "certificate expired"},
        {.spec = {.uris = {PAIR_CLIENT_ID},
                  .not_before_ms = now_ms + 5 * HOUR_MS,
                  .not_after_ms = now_ms + 9 * HOUR_MS},
         .reason = REASON_CERT_NOT_YET_VALID,
         .words = "becomes valid in ",
         .alert = "certificate expired"},
        {.spec = {.uris = {"spiffe://other/ns/a/sa/client"}},
         .reason = REASON_CERT_WRONG_TRUST_DOMAIN,
         .words = "trust domain 'other'",
         .alert = "unknown CA"},
        {.spec = {.uris = {PAIR_CLIENT_ID}, .eku = CERT_EKU_SERVER},
         .reason = REASON_CERT_KEY_USAGE,
         .words = "lacks clientAuth",
         .alert = "unsupported certificate"},
        {.spec = {.uris = {PAIR_CLIENT_ID}, .usage = CERT_USAGE_NONE},
         .reason = REASON_CERT_KEY_USAGE,
         .words = "no keyUsage",
         .alert = "unsupported certificate"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t j = 0; j < sizeof(CHUNKS) / sizeof(CHUNKS[0]); j++) {
            check_wrong_client(world, &cases[i], CHUNKS[j]);
            check_wrong_server(world, &cases[i], CHUNKS[j]);
        }
    }
}

static void a_server_that_is_somebody_else_is_refused_by_name(void **state)
{
    const struct world *world = *state;
    for (size_t i = 0; i < sizeof(CHUNKS) / sizeof(CHUNKS[0]); i++) {
        struct pair pair;
        pair_open(&pair, world->client, world->server, "spiffe://td/ns/a/sa/wanted");
        pair_pump(&pair, CHUNKS[i]);
        expect_failed(pair.client, REASON_IDENTITY_MISMATCH,
                      "expected 'spiffe://td/ns/a/sa/wanted', found '" PAIR_SERVER_ID "'");
        expect_failed(pair.server, REASON_TLS_PEER_REFUSED_US, "access denied");
        pair_done(&pair);
    }
}

static void of_several_expected_the_first_is_named(void **state)
{
    const struct world *world = *state;
    static const char *const EXPECTED[] = {"spiffe://td/x", "spiffe://td/y", "spiffe://td/z"};
    const struct tls_conn_params params = {
        .role = TLS_CLIENT, .now_ms = clock_wall_ms(), .expected = EXPECTED, .num_expected = 3};
    struct pair pair;
    pair_open(&pair, world->client, world->server, PAIR_SERVER_ID);
    tls_conn_free(pair.client);
    pair.client = tls_conn_new(world->client, &params, NULL);
    pair_pump(&pair, 1 << 20);
    expect_failed(pair.client, REASON_IDENTITY_MISMATCH,
                  "expected 'spiffe://td/x' or one of 2 others, found '" PAIR_SERVER_ID "'");
    pair_done(&pair);
}

static void a_refusal_after_open_comes_as_a_failure_of_the_client(void **state)
{
    const struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->stranger, PAIR_CLIENT_ID);
    struct tls_context *client = pair_context(leaf, cert_builder_pem(world->root));
    struct pair pair;
    pair_open(&pair, client, world->server, PAIR_SERVER_ID);
    pair_move(pair.client, pair.server, &pair.server_plain, 1 << 20);
    pair_move(pair.server, pair.client, &pair.client_plain, 1 << 20);
    assert_int_equal(tls_conn_status(pair.client), TLS_OPEN);
    assert_int_equal(tls_conn_send(pair.client, (const uint8_t *)"early", 5), TLS_OPEN);
    pair_move(pair.client, pair.server, &pair.server_plain, 1 << 20);
    assert_int_equal(tls_conn_status(pair.server), TLS_FAILED);
    assert_int_equal(buf_len(&pair.server_plain), 0);
    pair_move(pair.server, pair.client, &pair.client_plain, 1 << 20);
    expect_failed(pair.client, REASON_TLS_PEER_REFUSED_US, "unknown CA");
    pair_done(&pair);
    tls_context_unref(client);
    cert_builder_free(leaf);
}

static void the_time_of_the_connection_decides_not_the_clock(void **state)
{
    const struct world *world = *state;
    const char *expected = PAIR_SERVER_ID;
    const struct tls_conn_params params = {.role = TLS_CLIENT,
                                           .now_ms = clock_wall_ms() + 5 * HOUR_MS,
                                           .expected = &expected,
                                           .num_expected = 1};
    struct pair pair;
    pair_open(&pair, world->client, world->server, PAIR_SERVER_ID);
    tls_conn_free(pair.client);
    pair.client = tls_conn_new(world->client, &params, NULL);
    pair_pump(&pair, 1 << 20);
    expect_failed(pair.client, REASON_CERT_EXPIRED, "h ago");
    pair_done(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_wrong_certificate_is_refused_by_both_roles_with_its_own_reason),
        cmocka_unit_test(a_server_that_is_somebody_else_is_refused_by_name),
        cmocka_unit_test(of_several_expected_the_first_is_named),
        cmocka_unit_test(a_refusal_after_open_comes_as_a_failure_of_the_client),
        cmocka_unit_test(the_time_of_the_connection_decides_not_the_clock),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
