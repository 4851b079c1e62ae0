#include "tls_conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "clock.h"
#include "pair.h"
#include "tls_library.h"

static const size_t CHUNKS[] = {1, 7, 1 << 20};

enum { NUM_CHUNKS = sizeof(CHUNKS) / sizeof(CHUNKS[0]) };

struct world {
    struct cert_built *root, *client_leaf, *server_leaf;
    struct tls_context *client, *server;
};

static int make_world(void **state)
{
    static struct world world;
    world.root = cert_builder_root("root");
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
    cert_builder_free(world->root);
    return 0;
}

static void open_pair(struct pair *pair, const struct world *world)
{
    pair_open(pair, world->client, world->server, PAIR_SERVER_ID);
    pair_pump(pair, 1 << 20);
    assert_int_equal(tls_conn_status(pair->client), TLS_OPEN);
    assert_int_equal(tls_conn_status(pair->server), TLS_OPEN);
}

static void both_ends_know_each_other_after_the_handshake(void **state)
{
    const struct world *world = *state;
    for (size_t i = 0; i < NUM_CHUNKS; i++) {
        struct pair pair;
        pair_open(&pair, world->client, world->server, PAIR_SERVER_ID);
        assert_true(buf_len(tls_conn_output(pair.client)) > 0);
        assert_null(tls_conn_peer(pair.client));
        assert_string_equal(tls_conn_info(pair.client).version, "");
        pair_pump(&pair, CHUNKS[i]);
        assert_int_equal(tls_conn_status(pair.client), TLS_OPEN);
        assert_int_equal(tls_conn_status(pair.server), TLS_OPEN);
        assert_string_equal(tls_conn_peer(pair.client)->id.uri, PAIR_SERVER_ID);
        assert_string_equal(tls_conn_peer(pair.server)->id.uri, PAIR_CLIENT_ID);
        assert_int_equal(tls_conn_reason(pair.client), REASON_DONE);
        assert_string_equal(tls_conn_err(pair.client)->message, "");
        pair_done(&pair);
    }
}

static void the_connection_is_tls_1_3_with_h2_and_the_first_group(void **state)
{
    const struct world *world = *state;
    struct pair pair;
    open_pair(&pair, world);
    struct tls_conn_info info = tls_conn_info(pair.server);
    assert_string_equal(info.version, "TLSv1.3");
    assert_string_equal(info.alpn, "h2");
    assert_non_null(strstr(info.cipher, "TLS_"));
    const char *groups = tls_library_groups();
    assert_int_equal(strncmp(groups, info.group, strlen(info.group)), 0);
    assert_int_equal(groups[strlen(info.group)], ',');
    assert_non_null(strstr(tls_library_describe(), "BoringSSL, API version "));
    assert_ptr_equal(tls_conn_context(pair.client), world->client);
    pair_done(&pair);
}

static void bytes_go_both_ways_in_pieces_of_any_size(void **state)
{
    const struct world *world = *state;
    for (size_t i = 0; i < NUM_CHUNKS; i++) {
        struct pair pair;
        open_pair(&pair, world);
        tls_conn_send(pair.client, (const uint8_t *)"hello ", 6);
        tls_conn_send(pair.client, (const uint8_t *)"server", 6);
        tls_conn_send(pair.server, (const uint8_t *)"hello client", 12);
        pair_pump(&pair, CHUNKS[i]);
        assert_int_equal(buf_len(&pair.server_plain), 12);
        assert_memory_equal(buf_head(&pair.server_plain), "hello server", 12);
        assert_int_equal(buf_len(&pair.client_plain), 12);
        assert_memory_equal(buf_head(&pair.client_plain), "hello client", 12);
        pair_done(&pair);
    }
}

static void a_large_transfer_arrives_whole(void **state)
{
    const struct world *world = *state;
    enum { TOTAL = 8 << 20, STEP = 100001 };
    static const size_t PIECES[] = {1000, 16384, 65527, 1 << 22};
    uint8_t *bytes = malloc(TOTAL);
    assert_non_null(bytes);
    uint32_t x = 1;
    for (size_t i = 0; i < TOTAL; i++) {
        x = x * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(x >> 24);
    }
    for (size_t i = 0; i < sizeof(PIECES) / sizeof(PIECES[0]); i++) {
        struct pair pair;
        open_pair(&pair, world);
        for (size_t at = 0; at < TOTAL; at += STEP) {
            size_t len = TOTAL - at < STEP ? TOTAL - at : STEP;
            assert_int_equal(tls_conn_send(pair.server, bytes + at, len), TLS_OPEN);
            pair_move(pair.server, pair.client, &pair.client_plain, PIECES[i]);
        }
        assert_int_equal(buf_len(&pair.client_plain), TOTAL);
        assert_memory_equal(buf_head(&pair.client_plain), bytes, TOTAL);
        pair_done(&pair);
    }
    free(bytes);
}

static void one_direction_may_end_before_the_other(void **state)
{
    const struct world *world = *state;
    struct pair pair;
    open_pair(&pair, world);
    tls_conn_send(pair.client, (const uint8_t *)"last", 4);
    tls_conn_close_notify(pair.client);
    tls_conn_close_notify(pair.client);
    pair_pump(&pair, 1 << 20);
    assert_int_equal(tls_conn_status(pair.server), TLS_PEER_CLOSED);
    assert_int_equal(buf_len(&pair.server_plain), 4);
    assert_int_equal(tls_conn_status(pair.client), TLS_OPEN);
    assert_int_equal(tls_conn_eof(pair.server), TLS_PEER_CLOSED);

    assert_int_equal(tls_conn_send(pair.server, (const uint8_t *)"answer", 6), TLS_PEER_CLOSED);
    tls_conn_close_notify(pair.server);
    pair_pump(&pair, 1);
    assert_int_equal(buf_len(&pair.client_plain), 6);
    assert_int_equal(tls_conn_status(pair.client), TLS_PEER_CLOSED);
    assert_int_equal(tls_conn_eof(pair.client), TLS_PEER_CLOSED);
    pair_done(&pair);
}

static void bytes_after_the_end_are_dropped(void **state)
{
    const struct world *world = *state;
    struct pair pair;
    open_pair(&pair, world);
    tls_conn_close_notify(pair.client);
    buf_append_str(tls_conn_output(pair.client), "trailing garbage");
    pair_pump(&pair, 1 << 20);
    assert_int_equal(tls_conn_status(pair.server), TLS_PEER_CLOSED);
    assert_int_equal(buf_len(&pair.server_plain), 0);
    pair_done(&pair);
}

static void an_end_without_close_notify_is_a_truncation(void **state)
{
    const struct world *world = *state;
    struct pair pair;
    open_pair(&pair, world);
    tls_conn_send(pair.client, (const uint8_t *)"half", 4);
    pair_pump(&pair, 1 << 20);
    assert_int_equal(tls_conn_eof(pair.server), TLS_FAILED);
    assert_int_equal(tls_conn_reason(pair.server), REASON_TUNNEL_LOST);
    assert_non_null(strstr(tls_conn_err(pair.server)->message, "close_notify"));
    assert_int_equal(buf_len(&pair.server_plain), 4);
    pair_done(&pair);

    pair_open(&pair, world->client, world->server, PAIR_SERVER_ID);
    assert_int_equal(tls_conn_eof(pair.server), TLS_FAILED);
    assert_int_equal(tls_conn_reason(pair.server), REASON_CLIENT_GONE);
    assert_non_null(strstr(tls_conn_err(pair.server)->message, "during the TLS handshake"));
    assert_int_equal(tls_conn_eof(pair.client), TLS_FAILED);
    assert_int_equal(tls_conn_reason(pair.client), REASON_TLS_FAILED);
    pair_done(&pair);
}

static void a_changed_byte_is_noticed_and_told(void **state)
{
    const struct world *world = *state;
    struct pair pair;
    open_pair(&pair, world);
    tls_conn_send(pair.client, (const uint8_t *)"good", 4);
    pair_pump(&pair, 1 << 20);
    tls_conn_send(pair.client, (const uint8_t *)"evil", 4);
    struct buf *output = tls_conn_output(pair.client);
    output->bytes[output->tail - 1] ^= 1;
    pair_move(pair.client, pair.server, &pair.server_plain, 1 << 20);
    assert_int_equal(tls_conn_status(pair.server), TLS_FAILED);
    assert_int_equal(tls_conn_reason(pair.server), REASON_TLS_FAILED);
    assert_int_equal(buf_len(&pair.server_plain), 4);
    pair_pump(&pair, 1 << 20);
    assert_int_equal(tls_conn_status(pair.client), TLS_FAILED);
    assert_string_equal(tls_conn_err(pair.client)->message,
                        "the peer sent the alert 'bad record mac'");
    pair_done(&pair);
}

static void what_came_before_the_failure_in_the_same_bytes_is_kept(void **state)
{
    const struct world *world = *state;
    struct pair pair;
    open_pair(&pair, world);
    tls_conn_send(pair.client, (const uint8_t *)"good", 4);
    buf_append_str(tls_conn_output(pair.client), "\x17\x03\x03\xff\xff no record");
    pair_move(pair.client, pair.server, &pair.server_plain, 1 << 20);
    assert_int_equal(tls_conn_status(pair.server), TLS_FAILED);
    assert_int_equal(buf_len(&pair.server_plain), 4);
    pair_done(&pair);
}

static void nothing_is_left_in_boringssls_error_queue(void **state)
{
    const struct world *world = *state;
    struct pair pair;
    pair_open(&pair, world->client, world->server, PAIR_SERVER_ID);
    struct buf plain = {0};
    tls_conn_recv(pair.server, (const uint8_t *)"GET / HTTP/1.1\r\n\r\n", 18, &plain);
    assert_int_equal(tls_conn_status(pair.server), TLS_FAILED);
    assert_int_equal(ERR_peek_error(), 0);
    buf_done(&plain);
    pair_done(&pair);
}

static void a_mesh_client_must_expect_somebody(void **state)
{
    const struct world *world = *state;
    struct tls_conn_params params = {.role = TLS_CLIENT, .now_ms = clock_wall_ms()};
    struct err err = {0};
    assert_null(tls_conn_new(world->client, &params, &err));
    assert_int_equal(err.kind, ERR_INVALID);

    const char **many = calloc(TLS_CONN_EXPECTED_MAX + 1, sizeof(*many));
    assert_non_null(many);
    for (size_t i = 0; i <= TLS_CONN_EXPECTED_MAX; i++)
        many[i] = PAIR_SERVER_ID;
    params.expected = many;
    params.num_expected = TLS_CONN_EXPECTED_MAX + 1;
    assert_null(tls_conn_new(world->client, &params, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    params.num_expected = TLS_CONN_EXPECTED_MAX;
    struct tls_conn *conn = tls_conn_new(world->client, &params, &err);
    assert_non_null(conn);
    tls_conn_free(conn);
    free(many);
}

static void any_of_the_expected_identities_will_do(void **state)
{
    const struct world *world = *state;
    static const char *const EXPECTED[] = {"spiffe://td/x", "spiffe://td/y", PAIR_SERVER_ID};
    const struct tls_conn_params params = {
        .role = TLS_CLIENT, .now_ms = clock_wall_ms(), .expected = EXPECTED, .num_expected = 3};
    struct pair pair;
    pair_open(&pair, world->client, world->server, PAIR_SERVER_ID);
    tls_conn_free(pair.client);
    pair.client = tls_conn_new(world->client, &params, NULL);
    assert_non_null(pair.client);
    pair_pump(&pair, 1 << 20);
    assert_int_equal(tls_conn_status(pair.client), TLS_OPEN);
    pair_done(&pair);
}

static void the_peer_outlives_its_connection_and_the_context_its_owner(void **state)
{
    const struct world *world = *state;
    struct tls_context *client = pair_context(world->client_leaf, cert_builder_pem(world->root));
    struct pair pair;
    pair_open(&pair, client, world->server, PAIR_SERVER_ID);
    tls_context_unref(client);
    pair_pump(&pair, 1 << 20);
    assert_int_equal(tls_conn_status(pair.client), TLS_OPEN);
    struct peer_cert *peer = peer_cert_ref(tls_conn_peer(pair.client));
    pair_done(&pair);
    assert_string_equal(peer->id.uri, PAIR_SERVER_ID);
    peer_cert_unref(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_know_each_other_after_the_handshake),
        cmocka_unit_test(the_connection_is_tls_1_3_with_h2_and_the_first_group),
        cmocka_unit_test(bytes_go_both_ways_in_pieces_of_any_size),
        cmocka_unit_test(a_large_transfer_arrives_whole),
        cmocka_unit_test(one_direction_may_end_before_the_other),
        cmocka_unit_test(bytes_after_the_end_are_dropped),
        cmocka_unit_test(an_end_without_close_notify_is_a_truncation),
        cmocka_unit_test(a_changed_byte_is_noticed_and_told),
        cmocka_unit_test(what_came_before_the_failure_in_the_same_bytes_is_kept),
        cmocka_unit_test(nothing_is_left_in_boringssls_error_queue),
        cmocka_unit_test(a_mesh_client_must_expect_somebody),
        cmocka_unit_test(any_of_the_expected_identities_will_do),
        cmocka_unit_test(the_peer_outlives_its_connection_and_the_context_its_owner),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
