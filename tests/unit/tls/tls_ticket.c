/*
 * Session resumption: which ticket is worth something, and which is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "clock.h"
#include "doors.h"
#include "tls_context_ssl.h"

static const enum principal_kind BY_NAME[] = {PRINCIPAL_CN};
static const int64_t MINUTE_MS = 60 * 1000, HOUR_MS = 3600 * 1000;

struct world {
    struct cert_built *root, *client, *server;
    int64_t now_ms;
};

static int make_world(void **state)
{
    static struct world world;
    world.now_ms = clock_wall_ms();
    const int64_t end_ms = world.now_ms + 24 * HOUR_MS;
    world.root = cert_builder_make(
        NULL, &(struct cert_spec){.common_name = "root", .is_ca = true, .not_after_ms = end_ms});
    world.client = cert_builder_make(
        world.root, &(struct cert_spec){.common_name = "client", .not_after_ms = end_ms});
    world.server = cert_builder_make(
        world.root, &(struct cert_spec){.dns = {"mtls.local"}, .not_after_ms = end_ms});
    *state = &world;
    return 0;
}

static int free_world(void **state)
{
    struct world *world = *state;
    cert_builder_free(world->client);
    cert_builder_free(world->server);
    cert_builder_free(world->root);
    return 0;
}

/* A port that gives tickets, and a client that keeps them. */
struct ends {
    struct tls_context *server, *client;
};

static struct tls_context *port_of(const struct world *world, const struct cert_built *leaf,
                                   bool resumption)
{
    const struct tls_context_cert cert = door_cert(leaf);
    return door_server(&(struct tls_app_server){.certs = &cert,
                                                .num_certs = 1,
                                                .client_roots = door_roots(world->root),
                                                .principals = BY_NAME,
                                                .num_principals = 1,
                                                .allow_tls12 = true,
                                                .resumption = resumption});
}

static struct tls_context *caller_of(const struct world *world, const struct cert_built *leaf)
{
    return door_origin(&(struct tls_origin){.cert = door_cert(leaf),
                                            .server_name = "mtls.local",
                                            .roots = door_roots(world->root),
                                            .allow_tls12 = true,
                                            .resumption = true});
}

static struct ends ends_of(const struct world *world)
{
    return (struct ends){.server = port_of(world, world->server, true),
                         .client = caller_of(world, world->client)};
}

static void ends_done(struct ends *ends)
{
    tls_context_unref(ends->server);
    tls_context_unref(ends->client);
}

/* Connects once and says whether both ends have resumed. */
static bool visit(struct tls_context *client, struct tls_context *server, int64_t now_ms)
{
    struct pair pair;
    door_connect(&pair, client, server, now_ms);
    if (tls_conn_status(pair.client) != TLS_OPEN || tls_conn_status(pair.server) != TLS_OPEN)
        fail_msg("client '%s', server '%s'", tls_conn_err(pair.client)->message,
                 tls_conn_err(pair.server)->message);
    bool is_resumed = tls_conn_info(pair.server).is_resumed;
    assert_int_equal(tls_conn_info(pair.client).is_resumed, is_resumed);
    /* Whoever resumes is somebody all the same. */
    assert_string_equal(tls_conn_peer(pair.server)->principal, "cn:client");
    assert_string_equal(tls_conn_peer(pair.client)->principal, "dns:mtls.local");
    tls_conn_send(pair.client, (const uint8_t *)"hello", 5);
    tls_conn_send(pair.server, (const uint8_t *)"world", 5);
    pair_pump(&pair, 1 << 20);
    assert_int_equal(buf_len(&pair.server_plain), 5);
    assert_int_equal(buf_len(&pair.client_plain), 5);
    pair_done(&pair);
    return is_resumed;
}

static void a_second_connection_is_resumed_and_its_peer_is_known(void **state)
{
    const struct world *world = *state;
    struct ends ends = ends_of(world);
    assert_false(visit(ends.client, ends.server, world->now_ms));
    for (int i = 0; i < 40; i++)
        assert_true(visit(ends.client, ends.server, world->now_ms + MINUTE_MS));
    ends_done(&ends);
}

static void a_port_without_resumption_gives_no_ticket(void **state)
{
    const struct world *world = *state;
    struct ends ends = {.server = port_of(world, world->server, false),
                        .client = caller_of(world, world->client)};
    assert_false(visit(ends.client, ends.server, world->now_ms));
    assert_false(visit(ends.client, ends.server, world->now_ms));
    ends_done(&ends);
}

/* The key of another port, or of this one before its trust, identity or configuration changed. */
static void a_ticket_of_another_context_is_worth_nothing(void **state)
{
    const struct world *world = *state;
    struct ends ends = ends_of(world);
    struct tls_context *other = port_of(world, world->server, true);
    assert_false(visit(ends.client, ends.server, world->now_ms));
    assert_false(visit(ends.client, other, world->now_ms));
    assert_true(visit(ends.client, other, world->now_ms)); /* by one that this gave */
    tls_context_unref(other);
    ends_done(&ends);
}

static void a_ticket_of_a_trust_that_changed_does_not_let_anybody_in(void **state)
{
    const struct world *world = *state;
    struct ends ends = ends_of(world);
    assert_false(visit(ends.client, ends.server, world->now_ms));
    struct cert_built *stranger = cert_builder_root("another");
    const struct tls_context_cert cert = door_cert(world->server);
    struct tls_context *changed =
        door_server(&(struct tls_app_server){.certs = &cert,
                                             .num_certs = 1,
                                             .client_roots = door_roots(stranger),
                                             .principals = BY_NAME,
                                             .num_principals = 1,
                                             .resumption = true});
    struct pair pair;
    door_connect(&pair, ends.client, changed, world->now_ms);
    assert_int_equal(tls_conn_status(pair.server), TLS_FAILED);
    assert_int_equal(tls_conn_reason(pair.server), REASON_CERT_UNTRUSTED);
    pair_done(&pair);
    tls_context_unref(changed);
    cert_builder_free(stranger);
    ends_done(&ends);
}

static void a_ticket_ends_after_its_time_though_it_was_renewed(void **state)
{
    const struct world *world = *state;
    struct ends ends = ends_of(world);
    const int64_t life_ms = (int64_t)TLS_CONTEXT_TICKET_S * 1000;
    assert_false(visit(ends.client, ends.server, world->now_ms));
    assert_true(visit(ends.client, ends.server, world->now_ms + life_ms / 2));
    assert_true(visit(ends.client, ends.server, world->now_ms + life_ms - MINUTE_MS));
    assert_false(visit(ends.client, ends.server, world->now_ms + life_ms + MINUTE_MS));
    ends_done(&ends);
}

/* The client has a new certificate by then, and is let in by a full handshake. */
static void a_ticket_ends_with_the_certificates_of_both_sides(void **state)
{
    const struct world *world = *state;
    const struct cert_spec client_spec = {.common_name = "client",
                                          .not_after_ms = world->now_ms + 10 * MINUTE_MS};
    const struct cert_spec server_spec = {.dns = {"mtls.local"},
                                          .not_after_ms = world->now_ms + 10 * MINUTE_MS};
    struct cert_built *short_client = cert_builder_make(world->root, &client_spec);
    struct cert_built *short_server = cert_builder_make(world->root, &server_spec);
    struct ends ends = {.server = port_of(world, world->server, true),
                        .client = caller_of(world, short_client)};
    assert_false(visit(ends.client, ends.server, world->now_ms));
    assert_true(visit(ends.client, ends.server, world->now_ms + 9 * MINUTE_MS));
    struct pair pair;
    door_connect(&pair, ends.client, ends.server, world->now_ms + 11 * MINUTE_MS);
    assert_int_equal(tls_conn_status(pair.server), TLS_FAILED);
    assert_int_equal(tls_conn_reason(pair.server), REASON_CERT_EXPIRED);
    pair_done(&pair);
    ends_done(&ends);

    ends = (struct ends){.server = port_of(world, short_server, true),
                         .client = caller_of(world, world->client)};
    assert_int_equal(tls_context_not_after_ms(ends.server) / 1000, server_spec.not_after_ms / 1000);
    assert_false(visit(ends.client, ends.server, world->now_ms));
    assert_true(visit(ends.client, ends.server, world->now_ms + 9 * MINUTE_MS));
    door_connect(&pair, ends.client, ends.server, world->now_ms + 11 * MINUTE_MS);
    assert_int_equal(tls_conn_status(pair.client), TLS_FAILED);
    assert_int_equal(tls_conn_reason(pair.client), REASON_CERT_EXPIRED);
    pair_done(&pair);
    ends_done(&ends);
    cert_builder_free(short_client);
    cert_builder_free(short_server);
}

static void nothing_is_resumed_with_tls_1_2(void **state)
{
    const struct world *world = *state;
    struct ends ends = ends_of(world);
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    const uint8_t *bytes;
    size_t len;
    SSL_do_handshake(ssl);
    assert_true(BIO_mem_contents(out, &bytes, &len));
    struct tls_conn *conn = door_conn(ends.server, TLS_SERVER, world->now_ms);
    struct buf plain = {0};
    assert_int_equal(tls_conn_recv(conn, bytes, len, &plain), TLS_HANDSHAKING);
    struct buf *output = tls_conn_output(conn);
    /* In the ServerHello, the extension session_ticket is 00 23 00 00; it would be at its end. */
    static const uint8_t TICKET[] = {0, 0x23, 0, 0};
    size_t hello_len = 5 + ((size_t)buf_head(output)[3] << 8 | buf_head(output)[4]);
    assert_null(memmem(buf_head(output), hello_len < 120 ? hello_len : 120, TICKET, 4));
    tls_conn_free(conn);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    ERR_clear_error();
    ends_done(&ends);
}

/* A chain that does not fit into a ticket must not end the connection that the ticket comes by. */
static void a_client_with_a_long_chain_is_served_without_a_ticket(void **state)
{
    enum { NUM_MAX = 3 };
    static char uri[30 * 1000];
    struct buf chain = {0};
    const struct world *world = *state;
    struct ends ends = ends_of(world);
    memset(uri, 'a', sizeof(uri) - 1);
    const struct cert_spec spec = {.common_name = "long", .uris = {uri}, .is_ca = true};
    struct cert_built *extra = cert_builder_make(NULL, &spec);
    buf_append_str(&chain, cert_builder_pem(world->client));
    for (int i = 0; i < NUM_MAX; i++) { /* past what a client takes, and past what can be written */
        buf_append_str(&chain, cert_builder_pem(extra));
        struct tls_context_cert cert = door_cert(world->client);
        cert.chain = (struct cert_bytes){.bytes = buf_head(&chain), .len = buf_len(&chain)};
        struct tls_context *client =
            door_origin(&(struct tls_origin){.cert = cert,
                                             .server_name = "mtls.local",
                                             .roots = door_roots(world->root),
                                             .resumption = true});
        assert_false(visit(client, ends.server, world->now_ms));
        assert_false(visit(client, ends.server, world->now_ms));
        tls_context_unref(client);
    }
    buf_done(&chain);
    cert_builder_free(extra);
    ends_done(&ends);
}

/* ----------------------------------------------------------------- a client that sends early data */

struct eager {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
    SSL_SESSION *session;
    const char *server_name; /* NULL: none is asked for */
};

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct eager *eager = SSL_get_app_data(ssl);
    SSL_SESSION_free(eager->session);
    eager->session = session;
    return 1;
}

static enum ssl_verify_result_t accept_anyone(SSL *ssl, uint8_t *out_alert)
{
    return ssl_verify_ok;
}

static void eager_use(struct eager *eager, const struct cert_built *leaf)
{
    size_t len;
    const uint8_t *der = cert_builder_der(leaf, &len);
    assert_true(SSL_CTX_use_certificate_ASN1(eager->ctx, len, der));
    BIO *bio = BIO_new_mem_buf(cert_builder_key_pem(leaf), -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    assert_true(SSL_CTX_use_PrivateKey(eager->ctx, key));
    EVP_PKEY_free(key);
    BIO_free(bio);
}

/* `leaf` NULL: without a certificate. */
static void eager_init(struct eager *eager, const struct cert_built *leaf)
{
    *eager = (struct eager){.ctx = SSL_CTX_new(TLS_method())};
    if (leaf != NULL)
        eager_use(eager, leaf);
    SSL_CTX_set_custom_verify(eager->ctx, SSL_VERIFY_PEER, accept_anyone);
    SSL_CTX_set_session_cache_mode(eager->ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(eager->ctx, on_session);
    SSL_CTX_set_early_data_enabled(eager->ctx, 1);
}

static void eager_open(struct eager *eager)
{
    SSL_free(eager->ssl);
    eager->ssl = SSL_new(eager->ctx);
    SSL_set_app_data(eager->ssl, eager);
    eager->in = BIO_new(BIO_s_mem());
    eager->out = BIO_new(BIO_s_mem());
    SSL_set_bio(eager->ssl, eager->in, eager->out);
    SSL_set_connect_state(eager->ssl);
    if (eager->server_name != NULL)
        assert_true(SSL_set_tlsext_host_name(eager->ssl, eager->server_name));
    if (eager->session != NULL)
        assert_true(SSL_set_session(eager->ssl, eager->session));
}

static void eager_done(struct eager *eager)
{
    SSL_SESSION_free(eager->session);
    SSL_free(eager->ssl);
    SSL_CTX_free(eager->ctx);
    ERR_clear_error();
}

/* To the end of the handshake, and what the server says after it. */
static void eager_talk(struct eager *eager, struct tls_conn *conn, struct buf *plain)
{
    for (int i = 0; i < 6; i++) {
        uint8_t scratch[256];
        SSL_do_handshake(eager->ssl);
        SSL_read(eager->ssl, scratch, sizeof(scratch));
        ERR_clear_error();
        const uint8_t *bytes;
        size_t len;
        assert_true(BIO_mem_contents(eager->out, &bytes, &len));
        tls_conn_recv(conn, bytes, len, plain);
        BIO_reset(eager->out);
        struct buf *output = tls_conn_output(conn);
        if (buf_len(output) > 0)
            BIO_write(eager->in, buf_head(output), (int)buf_len(output));
        buf_consume(output, buf_len(output));
    }
}

static struct tls_conn *eager_connect(struct eager *eager, struct tls_context *server,
                                      int64_t now_ms)
{
    struct buf plain = {0};
    struct tls_conn *conn = door_conn(server, TLS_SERVER, now_ms);
    eager_open(eager);
    eager_talk(eager, conn, &plain);
    assert_int_equal(buf_len(&plain), 0);
    /* Tickets travel with the server's first bytes. */
    if (tls_conn_status(conn) == TLS_OPEN)
        tls_conn_send(conn, (const uint8_t *)"hello", 5);
    eager_talk(eager, conn, &plain);
    buf_done(&plain);
    return conn;
}

static void no_ticket_allows_early_data(void **state)
{
    const struct world *world = *state;
    struct ends ends = ends_of(world);
    struct eager eager;
    eager_init(&eager, world->client);
    tls_conn_free(eager_connect(&eager, ends.server, world->now_ms));
    assert_non_null(eager.session);
    assert_false(SSL_SESSION_early_data_capable(eager.session));
    struct tls_conn *conn = eager_connect(&eager, ends.server, world->now_ms);
    assert_int_equal(tls_conn_status(conn), TLS_OPEN);
    assert_true(tls_conn_info(conn).is_resumed);
    assert_false(SSL_early_data_accepted(eager.ssl));
    tls_conn_free(conn);
    eager_done(&eager);
    ends_done(&ends);
}

/* Documented: a ticket is not spent by being used. */
static void a_ticket_can_be_used_again(void **state)
{
    const struct world *world = *state;
    struct ends ends = ends_of(world);
    struct eager eager;
    eager_init(&eager, world->client);
    tls_conn_free(eager_connect(&eager, ends.server, world->now_ms));
    SSL_SESSION *first = eager.session;
    for (int i = 0; i < 3; i++) {
        SSL_SESSION_up_ref(first);
        eager.session = first;
        struct tls_conn *conn = eager_connect(&eager, ends.server, world->now_ms);
        assert_true(tls_conn_info(conn).is_resumed);
        tls_conn_free(conn);
        SSL_SESSION_free(eager.session == first ? NULL : eager.session);
        eager.session = NULL;
    }
    SSL_SESSION_free(first);
    eager_done(&eager);
    ends_done(&ends);
}

static void nobody_resumes_as_nobody_and_only_where_nobody_may_come(void **state)
{
    const struct world *world = *state;
    const struct tls_context_cert cert = door_cert(world->server);
    struct tls_context *server =
        door_server(&(struct tls_app_server){.certs = &cert,
                                             .num_certs = 1,
                                             .client_roots = door_roots(world->root),
                                             .principals = BY_NAME,
                                             .num_principals = 1,
                                             .is_client_cert_optional = true,
                                             .resumption = true});
    struct eager eager;
    eager_init(&eager, NULL);
    tls_conn_free(eager_connect(&eager, server, world->now_ms));
    assert_non_null(eager.session);
    eager_use(&eager, world->client); /* which it would show, if it were asked */
    struct tls_conn *conn = eager_connect(&eager, server, world->now_ms);
    assert_int_equal(tls_conn_status(conn), TLS_OPEN);
    assert_true(tls_conn_info(conn).is_resumed);
    assert_null(tls_conn_peer(conn));
    tls_conn_free(conn);

    server->is_client_cert_optional = false; /* behind the context's back */
    conn = eager_connect(&eager, server, world->now_ms);
    assert_int_equal(tls_conn_status(conn), TLS_FAILED);
    assert_int_equal(tls_conn_reason(conn), REASON_CERT_MALFORMED);
    tls_conn_free(conn);
    eager_done(&eager);
    tls_context_unref(server);
}

/* The names of one port differ in the certificate that is shown, not in who may enter. */
static void a_ticket_is_of_the_port_and_not_of_one_of_its_names(void **state)
{
    const struct world *world = *state;
    struct ends ends = ends_of(world);
    struct eager eager;
    eager_init(&eager, world->client);
    tls_conn_free(eager_connect(&eager, ends.server, world->now_ms));
    eager.server_name = "other.local";
    struct tls_conn *conn = eager_connect(&eager, ends.server, world->now_ms);
    assert_int_equal(tls_conn_status(conn), TLS_OPEN);
    assert_true(tls_conn_info(conn).is_resumed);
    assert_string_equal(tls_conn_peer(conn)->principal, "cn:client");
    tls_conn_free(conn);
    eager_done(&eager);
    ends_done(&ends);
}

/*
 * A context never changes and its tickets never leave it, so nothing that a peer can do shows that
 * its chain is verified again. Here the roots are exchanged behind the context's back: the ticket is
 * good, and its owner is not.
 */
static void the_clients_chain_is_verified_again_when_it_resumes(void **state)
{
    const struct world *world = *state;
    struct ends ends = ends_of(world);
    assert_false(visit(ends.client, ends.server, world->now_ms));
    struct cert_built *stranger = cert_builder_root("another");
    const struct cert_bytes pem = door_roots(stranger);
    trust_bundle_unref(ends.server->pki.roots);
    ends.server->pki.roots = trust_bundle_new(NULL, &pem, NULL);
    struct pair pair;
    door_connect(&pair, ends.client, ends.server, world->now_ms);
    assert_int_equal(tls_conn_status(pair.server), TLS_FAILED);
    assert_int_equal(tls_conn_reason(pair.server), REASON_CERT_UNTRUSTED);
    assert_true(tls_conn_info(pair.server).is_resumed);
    assert_null(tls_conn_peer(pair.server));
    assert_int_equal(tls_conn_status(pair.client), TLS_FAILED);
    pair_done(&pair);
    cert_builder_free(stranger);
    ends_done(&ends);
}

/* The client's own memory of a server is verified again, too. */
static void the_servers_chain_is_verified_again_when_a_client_resumes(void **state)
{
    const struct world *world = *state;
    struct ends ends = ends_of(world);
    assert_false(visit(ends.client, ends.server, world->now_ms));
    ends.client->pki.server_name = "other.local";
    struct pair pair;
    door_connect(&pair, ends.client, ends.server, world->now_ms);
    assert_int_equal(tls_conn_status(pair.client), TLS_FAILED);
    assert_int_equal(tls_conn_reason(pair.client), REASON_IDENTITY_MISMATCH);
    pair_done(&pair);
    ends_done(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_connection_is_resumed_and_its_peer_is_known),
        cmocka_unit_test(a_port_without_resumption_gives_no_ticket),
        cmocka_unit_test(a_ticket_of_another_context_is_worth_nothing),
        cmocka_unit_test(a_ticket_of_a_trust_that_changed_does_not_let_anybody_in),
        cmocka_unit_test(a_ticket_ends_after_its_time_though_it_was_renewed),
        cmocka_unit_test(a_ticket_ends_with_the_certificates_of_both_sides),
        cmocka_unit_test(nothing_is_resumed_with_tls_1_2),
        cmocka_unit_test(a_client_with_a_long_chain_is_served_without_a_ticket),
        cmocka_unit_test(no_ticket_allows_early_data),
        cmocka_unit_test(a_ticket_can_be_used_again),
        cmocka_unit_test(nobody_resumes_as_nobody_and_only_where_nobody_may_come),
        cmocka_unit_test(a_ticket_is_of_the_port_and_not_of_one_of_its_names),
        cmocka_unit_test(the_clients_chain_is_verified_again_when_it_resumes),
        cmocka_unit_test(the_servers_chain_is_verified_again_when_a_client_resumes),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
