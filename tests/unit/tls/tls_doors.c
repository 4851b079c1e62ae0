/*
 * Mutual TLS at an application's own door, and to servers outside of the mesh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "clock.h"
#include "doors.h"

static const enum principal_kind BY_NAME[] = {PRINCIPAL_URI, PRINCIPAL_DNS, PRINCIPAL_CN};

/* A private CA, as made with openssl, and a mesh. */
struct world {
    struct cert_built *root, *stranger, *between, *mesh_root;
    struct cert_built *client, *server; /* of the private CA */
    struct cert_built *svid;            /* of the mesh */
    struct identity *identity;
    int64_t now_ms;
};

static int make_world(void **state)
{
    static struct world world;
    world.root = cert_builder_root("private CA");
    world.stranger = cert_builder_root("private CA");
    world.mesh_root = cert_builder_root("mesh");
    world.between =
        cert_builder_make(world.root, &(struct cert_spec){.common_name = "between", .is_ca = true});
    world.client = cert_builder_make(world.root, &(struct cert_spec){.common_name = "client",
                                                                     .usage = CERT_USAGE_NONE,
                                                                     .eku = CERT_EKU_NONE});
    world.server = cert_builder_make(
        world.root, &(struct cert_spec){.common_name = "x", .dns = {"mtls.local"}});
    world.svid = cert_builder_leaf(world.mesh_root, PAIR_SERVER_ID);
    world.identity = door_identity(world.svid, world.mesh_root);
    world.now_ms = clock_wall_ms();
    *state = &world;
    return 0;
}

static int free_world(void **state)
{
    struct world *world = *state;
    identity_unref(world->identity);
    struct cert_built *certs[] = {world->client, world->server,   world->svid,     world->between,
                                  world->root,   world->stranger, world->mesh_root};
    for (size_t i = 0; i < sizeof(certs) / sizeof(certs[0]); i++)
        cert_builder_free(certs[i]);
    return 0;
}

/* `cert` must stay while the result is used. */
static struct tls_app_server server_of(const struct world *world,
                                       const struct tls_context_cert *cert)
{
    return (struct tls_app_server){
        .identity = world->identity,
        .certs = cert,
        .num_certs = 1,
        .client_roots = door_roots(world->root),
        .principals = BY_NAME,
        .num_principals = 3,
    };
}

static struct tls_origin origin_of(const struct world *world, const struct cert_built *client)
{
    return (struct tls_origin){
        .cert = door_cert(client),
        .server_name = "MTLS.local",
        .roots = door_roots(world->root),
    };
}

static void expect_open(const struct pair *pair)
{
    if (tls_conn_status(pair->client) != TLS_OPEN || tls_conn_status(pair->server) != TLS_OPEN)
        fail_msg("client '%s', server '%s'", tls_conn_err(pair->client)->message,
                 tls_conn_err(pair->server)->message);
}

static void expect_failed(const struct tls_conn *conn, enum reason reason, const char *words)
{
    if (tls_conn_status(conn) != TLS_FAILED || tls_conn_reason(conn) != reason ||
        strstr(tls_conn_err(conn)->message, words) == NULL)
        fail_msg("got %s '%s', wanted %s '%s'", reason_name(tls_conn_reason(conn)),
                 tls_conn_err(conn)->message, reason_name(reason), words);
}

/* -------------------------------------------------------------------------------- private CAs -- */

static void a_client_of_a_private_ca_has_the_name_that_its_certificate_says(void **state)
{
    const struct world *world = *state;
    const struct tls_context_cert cert = door_cert(world->server);
    const struct tls_app_server app = server_of(world, &cert);
    const struct tls_origin origin = origin_of(world, world->client);
    struct tls_context *server = door_server(&app), *client = door_origin(&origin);
    struct pair pair;
    door_connect(&pair, client, server, world->now_ms);
    expect_open(&pair);
    assert_string_equal(tls_conn_peer(pair.server)->principal, "cn:client");
    assert_string_equal(tls_conn_peer(pair.client)->principal, "dns:mtls.local");
    assert_string_equal(tls_conn_info(pair.server).version, "TLSv1.3");
    assert_string_equal(tls_conn_info(pair.server).alpn, "");
    assert_false(tls_conn_info(pair.server).is_resumed);
    tls_conn_send(pair.client, (const uint8_t *)"hello", 5);
    pair_pump(&pair, 1);
    assert_int_equal(buf_len(&pair.server_plain), 5);
    assert_int_equal(
        tls_context_recheck(server, tls_conn_peer(pair.server), world->now_ms, 0, NULL),
        REASON_DONE);
    pair_done(&pair);
    tls_context_unref(client);
    tls_context_unref(server);
}

static void a_wrong_client_is_refused_at_the_door(void **state)
{
    const struct world *world = *state;
    const struct tls_context_cert cert = door_cert(world->server);
    const struct tls_app_server app = server_of(world, &cert);
    struct tls_context *server = door_server(&app);
    const struct {
        const struct cert_built *issuer;
        struct cert_spec spec;
        enum reason reason;
        const char *words;
    } cases[] = {
        {world->stranger, {.common_name = "client"}, REASON_CERT_UNTRUSTED, "signature"},
        {world->mesh_root, {.uris = {PAIR_CLIENT_ID}}, REASON_CERT_UNTRUSTED, "none of our"},
        {world->between, {.common_name = "client"}, REASON_CERT_TOO_DEEP, "verify-depth"},
        {world->root, {.emails = {"a@b"}}, REASON_CERT_NO_PRINCIPAL, "no name"},
        {world->root, {.dns = {"a.b", "c.d"}}, REASON_CERT_BAD_PRINCIPAL, "2 names"},
        {world->root, {.uris = {PAIR_CLIENT_ID}}, REASON_CERT_WRONG_TRUST_DOMAIN, "may not speak"},
        {world->root,
         {.common_name = "client", .eku = CERT_EKU_CODE_SIGNING},
         REASON_CERT_KEY_USAGE,
         "clientAuth"},
        {world->root,
         {.common_name = "client", .is_ca = true, .key = CERT_KEY_RSA_2048},
         REASON_CERT_IS_CA,
         "CA certificate"},
        {world->root,
         {.common_name = "client", .not_after_ms = world->now_ms - 60000},
         REASON_CERT_EXPIRED,
         "expired"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cert_built *leaf = cert_builder_make(cases[i].issuer, &cases[i].spec);
        const struct tls_origin origin = origin_of(world, leaf);
        struct tls_context *client = door_origin(&origin);
        struct pair pair;
        door_connect(&pair, client, server, world->now_ms);
        expect_failed(pair.server, cases[i].reason, cases[i].words);
        assert_int_equal(tls_conn_status(pair.client), TLS_FAILED);
        assert_null(tls_conn_peer(pair.server));
        pair_done(&pair);
        tls_context_unref(client);
        cert_builder_free(leaf);
    }
    tls_context_unref(server);
}

static void a_door_may_allow_a_deeper_path(void **state)
{
    const struct world *world = *state;
    const struct tls_context_cert cert = door_cert(world->server);
    struct tls_app_server app = server_of(world, &cert);
    app.verify_depth = 1;
    struct cert_built *leaf =
        cert_builder_make(world->between, &(struct cert_spec){.dns = {"Client.example"}});
    const struct tls_origin origin = origin_of(world, leaf);
    struct tls_context *server = door_server(&app), *client = door_origin(&origin);
    struct pair pair;
    door_connect(&pair, client, server, world->now_ms);
    expect_open(&pair);
    assert_string_equal(tls_conn_peer(pair.server)->principal, "dns:client.example");
    pair_done(&pair);
    tls_context_unref(client);
    tls_context_unref(server);
    cert_builder_free(leaf);
}

static void a_wrong_server_is_refused_by_its_client(void **state)
{
    const struct world *world = *state;
    const struct {
        const struct cert_built *issuer;
        struct cert_spec spec;
        enum reason reason;
        const char *words;
    } cases[] = {
        {world->root, {.dns = {"other.local"}}, REASON_IDENTITY_MISMATCH, "not for 'mtls.local'"},
        {world->root, {.common_name = "mtls.local"}, REASON_IDENTITY_MISMATCH, "not for"},
        {world->stranger, {.dns = {"mtls.local"}}, REASON_CERT_UNTRUSTED, "signature"},
        {world->root,
         {.dns = {"mtls.local"}, .eku = CERT_EKU_CLIENT},
         REASON_CERT_KEY_USAGE,
         "serverAuth"},
    };
    const struct tls_origin origin = origin_of(world, world->client);
    struct tls_context *client = door_origin(&origin);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cert_built *leaf = cert_builder_make(cases[i].issuer, &cases[i].spec);
        const struct tls_context_cert cert = door_cert(leaf);
        const struct tls_app_server app = server_of(world, &cert);
        struct tls_context *server = door_server(&app);
        struct pair pair;
        door_connect(&pair, client, server, world->now_ms);
        expect_failed(pair.client, cases[i].reason, cases[i].words);
        assert_int_equal(tls_conn_status(pair.server), TLS_FAILED);
        pair_done(&pair);
        tls_context_unref(server);
        cert_builder_free(leaf);
    }
    tls_context_unref(client);
}

/* ----------------------------------------------------------------------------------------- SNI -- */

static void the_certificate_is_chosen_by_the_name_that_is_asked_for(void **state)
{
    const struct world *world = *state;
    struct cert_built *leaves[] = {
        cert_builder_make(world->root, &(struct cert_spec){.dns = {"first.org"}}),
        cert_builder_make(world->root, &(struct cert_spec){.dns = {"*.second.org", "second.org"}}),
        cert_builder_make(world->root, &(struct cert_spec){.dns = {"Third.second.org"}}),
        cert_builder_make(world->root, &(struct cert_spec){.dns = {"hidden.org"}}),
    };
    static const char *const FOURTH[] = {"fourth.org"};
    struct tls_context_cert certs[4];
    for (size_t i = 0; i < 4; i++)
        certs[i] = door_cert(leaves[i]);
    certs[3].names = FOURTH;
    certs[3].num_names = 1;
    struct tls_app_server app = server_of(world, certs);
    app.num_certs = 4;
    struct tls_context *server = door_server(&app);
    static const struct {
        const char *sni;
        const char *found; /* a name of the certificate that is to come */
    } CASES[] = {
        {"first.org", "first.org"},
        {"a.second.org", "a.second.org"},
        {"second.org", "second.org"},
        {"third.second.org", "third.second.org"},
        {"THIRD.second.ORG", "third.second.org"},
        {"fourth.org", "hidden.org"},
        {"hidden.org", "first.org"},
        {"a.b.second.org", "first.org"},
        {"unknown.org", "first.org"},
        {"198.18.0.1", "first.org"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct tls_origin origin = origin_of(world, world->client);
        origin.sni = CASES[i].sni;
        origin.server_name = CASES[i].found;
        struct tls_context *client = door_origin(&origin);
        struct pair pair;
        door_connect(&pair, client, server, world->now_ms);
        if (tls_conn_status(pair.client) != TLS_OPEN)
            fail_msg("%s: %s", CASES[i].sni, tls_conn_err(pair.client)->message);
        pair_done(&pair);
        tls_context_unref(client);
    }
    tls_context_unref(server);
    for (size_t i = 0; i < 4; i++)
        cert_builder_free(leaves[i]);
}

/* ------------------------------------------------------------------------------------ the mesh -- */

static void a_door_without_a_ca_of_its_own_takes_workloads_of_the_mesh(void **state)
{
    const struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->mesh_root, PAIR_CLIENT_ID);
    struct identity *identity = door_identity(leaf, world->mesh_root);
    static const char *const IDS[] = {"spiffe://td/other", PAIR_SERVER_ID};
    const struct tls_origin origin = {.identity = identity, .spiffe_ids = IDS, .num_spiffe_ids = 2};
    const struct tls_origin stricter = {
        .identity = identity, .spiffe_ids = IDS, .num_spiffe_ids = 1};
    struct tls_context *server = door_server(&(struct tls_app_server){.identity = world->identity});
    struct tls_context *client = door_origin(&origin), *other = door_origin(&stricter);
    struct pair pair;
    door_connect(&pair, client, server, world->now_ms);
    expect_open(&pair);
    assert_string_equal(tls_conn_peer(pair.server)->id.uri, PAIR_CLIENT_ID);
    pair_done(&pair);
    door_connect(&pair, other, server, world->now_ms);
    expect_failed(pair.client, REASON_IDENTITY_MISMATCH, "expected 'spiffe://td/other'");
    pair_done(&pair);

    const struct tls_origin stranger = origin_of(world, world->client);
    struct tls_context *private = door_origin(&stranger);
    door_connect(&pair, private, server, world->now_ms);
    assert_int_equal(tls_conn_status(pair.server), TLS_FAILED); /* the client has left by then */
    pair_done(&pair);
    tls_context_unref(private);
    tls_context_unref(other);
    tls_context_unref(client);
    tls_context_unref(server);
    identity_unref(identity);
    cert_builder_free(leaf);
}

/* ---------------------------------------------------------------------------------------- ALPN -- */

struct alpn_case {
    const char *server[3], *client[3];
    const char *selected; /* NULL: refused */
};

static size_t count(const char *const *texts)
{
    size_t num = 0;
    while (num < 3 && texts[num] != NULL)
        num++;
    return num;
}

static void the_servers_preference_decides_and_no_common_protocol_is_a_refusal(void **state)
{
    const struct world *world = *state;
    static const struct alpn_case CASES[] = {
        {{"h2", "http/1.1"}, {"http/1.1", "h2"}, "h2"},
        {{"http/1.1"}, {"h2", "http/1.1"}, "http/1.1"},
        {{"http/1.1"}, {"h2"}, NULL},
        {{"http/1.1"}, {NULL}, ""},
        {{NULL}, {"h2"}, ""},
    };
    const struct tls_context_cert cert = door_cert(world->server);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct tls_app_server app = server_of(world, &cert);
        struct tls_origin origin = origin_of(world, world->client);
        app.alpn = CASES[i].server;
        app.num_alpn = count(CASES[i].server);
        origin.alpn = CASES[i].client;
        origin.num_alpn = count(CASES[i].client);
        struct tls_context *server = door_server(&app), *client = door_origin(&origin);
        struct pair pair;
        door_connect(&pair, client, server, world->now_ms);
        if (CASES[i].selected == NULL) {
            expect_failed(pair.server, REASON_TLS_ALPN, "no protocol that is spoken here");
        } else {
            expect_open(&pair);
            assert_string_equal(tls_conn_info(pair.server).alpn, CASES[i].selected);
            assert_string_equal(tls_conn_info(pair.client).alpn, CASES[i].selected);
        }
        pair_done(&pair);
        tls_context_unref(client);
        tls_context_unref(server);
    }
}

static void istios_mtls_is_of_both_roles_and_of_its_own_protocol(void **state)
{
    const struct world *world = *state;
    struct err err = {0};
    struct tls_context *istio = tls_context_new_istio(world->identity, NULL, &err);
    struct tls_context *mesh = tls_context_new_mesh(world->identity, NULL, &err);
    struct pair pair;
    pair_open(&pair, istio, istio, PAIR_SERVER_ID);
    pair_pump(&pair, 1);
    expect_open(&pair);
    assert_string_equal(tls_conn_info(pair.server).alpn, "istio");
    assert_string_equal(tls_conn_peer(pair.server)->id.uri, PAIR_SERVER_ID);
    pair_done(&pair);

    pair_open(&pair, mesh, istio, PAIR_SERVER_ID);
    pair_pump(&pair, 1 << 20);
    expect_failed(pair.server, REASON_TLS_ALPN, "no protocol");
    pair_done(&pair);

    static const char *const ENVOYS[] = {"istio-peer-exchange", "istio"};
    static const char *const IDS[] = {PAIR_SERVER_ID};
    struct tls_origin origin = {.identity = world->identity,
                                .spiffe_ids = IDS,
                                .num_spiffe_ids = 1,
                                .alpn = ENVOYS,
                                .num_alpn = 2};
    struct tls_context *envoy = door_origin(&origin);
    door_connect(&pair, envoy, istio, world->now_ms);
    expect_open(&pair);
    assert_string_equal(tls_conn_info(pair.client).alpn, "istio");
    pair_done(&pair);
    tls_context_unref(envoy);
    for (size_t num = 0; num < 2; num++) {
        origin.num_alpn = num; /* none, and the one with a preamble alone */
        envoy = door_origin(&origin);
        door_connect(&pair, envoy, istio, world->now_ms);
        expect_failed(pair.server, REASON_TLS_ALPN, num == 0 ? "did not agree" : "no protocol");
        pair_done(&pair);
        tls_context_unref(envoy);
    }
    tls_context_unref(istio);
    tls_context_unref(mesh);
}

/* ------------------------------------------------------------------------------------ mistakes -- */

/* As a browser does that has to ask its user which certificate to show (RFC 8446, 6.1). */
static void a_client_that_leaves_while_it_is_asked_for_a_certificate_is_gone(void **state)
{
    static const uint8_t CLOSE_NOTIFY[] = {21, 3, 3, 0, 2, 1, 0}; /* in clear: of TLS 1.2 */
    const struct world *world = *state;
    const struct tls_context_cert cert = door_cert(world->server);
    struct tls_app_server app = server_of(world, &cert);
    app.allow_tls12 = true;
    struct tls_context *server = door_server(&app);
    for (int is_told = 0; is_told < 2; is_told++) {
        SSL_CTX *ctx = SSL_CTX_new(TLS_method());
        SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
        SSL *ssl = SSL_new(ctx);
        BIO *out = BIO_new(BIO_s_mem());
        SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
        SSL_set_connect_state(ssl);
        SSL_do_handshake(ssl);
        const uint8_t *hello;
        size_t hello_len;
        assert_true(BIO_mem_contents(out, &hello, &hello_len));
        struct tls_conn *conn = door_conn(server, TLS_SERVER, world->now_ms);
        struct buf plain = {0};
        assert_int_equal(tls_conn_recv(conn, hello, hello_len, &plain), TLS_HANDSHAKING);
        if (is_told)
            tls_conn_recv(conn, CLOSE_NOTIFY, sizeof(CLOSE_NOTIFY), &plain);
        else
            tls_conn_eof(conn);
        expect_failed(conn, REASON_CLIENT_GONE, "closed the connection during the TLS handshake");
        tls_conn_free(conn);
        SSL_free(ssl);
        SSL_CTX_free(ctx);
        ERR_clear_error();
    }
    tls_context_unref(server);
}

static void what_cannot_be_served_is_named(void **state)
{
    const struct world *world = *state;
    static const char *const EMPTY[] = {""};
    const struct tls_context_cert cert = door_cert(world->server);
    struct tls_context_cert foreign = cert, broken = cert;
    foreign.key = door_cert(world->client).key;
    broken.chain = (struct cert_bytes){.bytes = "x", .len = 1};
    const struct cert_bytes leaf = door_cert(world->client).chain;
    const struct tls_app_server right = server_of(world, &cert);
    struct tls_app_server cases[8];
    const char *words[8] = {"does not belong",       "no certificate in it",
                            "is not a CA",           "ALPN",
                            "neither a CA",          "no principal of the kind 'dns'",
                            "neither a certificate", "more than 32"};
    for (size_t i = 0; i < 8; i++)
        cases[i] = right;
    cases[0].certs = &foreign;
    cases[1].certs = &broken;
    cases[2].client_roots = leaf;
    cases[3].alpn = EMPTY;
    cases[3].num_alpn = 1;
    cases[4].identity = NULL;
    cases[4].client_roots = (struct cert_bytes){0};
    cases[5].client_roots = (struct cert_bytes){0};
    cases[6].identity = NULL;
    cases[6].num_certs = 0;
    cases[7].num_certs = TLS_CONTEXT_CERTS_MAX + 1;
    for (size_t i = 0; i < 8; i++) {
        struct err err = {0};
        assert_null(tls_context_new_app_server(&cases[i], &err));
        if (strstr(err.message, words[i]) == NULL)
            fail_msg("case %zu: %s", i, err.message);
    }
}

static void what_cannot_be_connected_to_is_named(void **state)
{
    const struct world *world = *state;
    static const char *const BAD[] = {"spiffe://TD/a"};
    const struct tls_origin right = origin_of(world, world->client);
    struct tls_origin cases[7];
    const char *words[7] = {
        "needs a CA",           "neither a server name",           "no DNS name",
        "not by both",          "verified by a workload identity", "SPIFFE ID",
        "neither a certificate"};
    for (size_t i = 0; i < 7; i++)
        cases[i] = right;
    cases[0].roots = (struct cert_bytes){0};
    cases[1].server_name = NULL;
    cases[1].identity = world->identity;
    cases[2].server_name = "*.local";
    cases[3].spiffe_ids = BAD;
    cases[3].num_spiffe_ids = 1;
    cases[4].server_name = NULL;
    cases[5] =
        (struct tls_origin){.identity = world->identity, .spiffe_ids = BAD, .num_spiffe_ids = 1};
    cases[6].cert = (struct tls_context_cert){0};
    for (size_t i = 0; i < 7; i++) {
        struct err err = {0};
        assert_null(tls_context_new_origin(&cases[i], &err));
        if (strstr(err.message, words[i]) == NULL)
            fail_msg("case %zu: %s", i, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_of_a_private_ca_has_the_name_that_its_certificate_says),
        cmocka_unit_test(a_wrong_client_is_refused_at_the_door),
        cmocka_unit_test(a_door_may_allow_a_deeper_path),
        cmocka_unit_test(a_wrong_server_is_refused_by_its_client),
        cmocka_unit_test(the_certificate_is_chosen_by_the_name_that_is_asked_for),
        cmocka_unit_test(a_door_without_a_ca_of_its_own_takes_workloads_of_the_mesh),
        cmocka_unit_test(the_servers_preference_decides_and_no_common_protocol_is_a_refusal),
        cmocka_unit_test(istios_mtls_is_of_both_roles_and_of_its_own_protocol),
        cmocka_unit_test(a_client_that_leaves_while_it_is_asked_for_a_certificate_is_gone),
        cmocka_unit_test(what_cannot_be_served_is_named),
        cmocka_unit_test(what_cannot_be_connected_to_is_named),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
