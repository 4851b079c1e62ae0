/*
 * Peers that are not ours: plain BoringSSL with other versions, other ALPN, no certificate or one
 * that an SVID could not hold.
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
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "clock.h"
#include "pair.h"

struct world {
    struct cert_built *root, *leaf, *server_leaf;
    struct tls_context *context;
};

static int make_world(void **state)
{
    static struct world world;
    world.root = cert_builder_root("root");
    world.leaf = cert_builder_leaf(world.root, PAIR_CLIENT_ID);
    world.server_leaf = cert_builder_leaf(world.root, PAIR_SERVER_ID);
    world.context = pair_context(world.server_leaf, cert_builder_pem(world.root));
    *state = &world;
    return 0;
}

static int free_world(void **state)
{
    struct world *world = *state;
    tls_context_unref(world->context);
    cert_builder_free(world->leaf);
    cert_builder_free(world->server_leaf);
    cert_builder_free(world->root);
    return 0;
}

/* --------------------------------------------------------------------------- the foreign end -- */

struct foreign {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
};

struct foreign_options {
    bool is_server;
    const struct cert_built *leaf; /* NULL: none */
    const char *alpn;              /* wire form; NULL: none */
    uint16_t max_version;          /* 0: 1.3 */
};

static enum ssl_verify_result_t accept_anyone(SSL *ssl, uint8_t *out_alert)
{
    return ssl_verify_ok;
}

static int select_any(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in,
                      unsigned in_len, void *arg)
{
    *out_len = in[0];
    *out = in + 1;
    return SSL_TLSEXT_ERR_OK;
}

static void use_leaf(SSL_CTX *ctx, const struct cert_built *leaf)
{
    size_t len;
    const uint8_t *der = cert_builder_der(leaf, &len);
    assert_true(SSL_CTX_use_certificate_ASN1(ctx, len, der));
    BIO *bio = BIO_new_mem_buf(cert_builder_key_pem(leaf), -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    assert_true(SSL_CTX_use_PrivateKey(ctx, key));
    EVP_PKEY_free(key);
    BIO_free(bio);
}

static void foreign_init(struct foreign *foreign, const struct foreign_options *options)
{
    foreign->ctx = SSL_CTX_new(TLS_method());
    assert_non_null(foreign->ctx);
    SSL_CTX_set_custom_verify(foreign->ctx, SSL_VERIFY_PEER, accept_anyone);
    if (options->max_version != 0)
        assert_true(SSL_CTX_set_max_proto_version(foreign->ctx, options->max_version));
    if (options->leaf != NULL)
        use_leaf(foreign->ctx, options->leaf);
    if (options->alpn != NULL && options->is_server)
        SSL_CTX_set_alpn_select_cb(foreign->ctx, select_any, NULL);
    else if (options->alpn != NULL)
        assert_int_equal(SSL_CTX_set_alpn_protos(foreign->ctx, (const uint8_t *)options->alpn,
                                                 (unsigned)strlen(options->alpn)),
                         0);
    foreign->ssl = SSL_new(foreign->ctx);
    foreign->in = BIO_new(BIO_s_mem());
    foreign->out = BIO_new(BIO_s_mem());
    SSL_set_bio(foreign->ssl, foreign->in, foreign->out);
    if (options->is_server)
        SSL_set_accept_state(foreign->ssl);
    else
        SSL_set_connect_state(foreign->ssl);
}

static void foreign_done(struct foreign *foreign)
{
    SSL_free(foreign->ssl);
    SSL_CTX_free(foreign->ctx);
    ERR_clear_error();
}

/*
 * Drives both ends until neither has anything to say. Returns the alert that the foreign end read,
 * or 0.
 */
static int talk(struct foreign *foreign, struct tls_conn *conn, struct buf *plain, size_t chunk)
{
    int alert = 0;
    for (int quiet = 0; quiet < 2;) {
        uint8_t scratch[1024];
        ERR_clear_error();
        if (SSL_read(foreign->ssl, scratch, sizeof(scratch)) <= 0 &&
            ERR_GET_REASON(ERR_peek_error()) > SSL_AD_REASON_OFFSET && alert == 0)
            alert = ERR_GET_REASON(ERR_peek_error()) - SSL_AD_REASON_OFFSET;
        const uint8_t *bytes;
        size_t len;
        assert_true(BIO_mem_contents(foreign->out, &bytes, &len));
        struct buf *output = tls_conn_output(conn);
        quiet = len + buf_len(output) == 0 ? quiet + 1 : 0;
        for (size_t at = 0; at < len; at += chunk)
            tls_conn_recv(conn, bytes + at, len - at < chunk ? len - at : chunk, plain);
        BIO_reset(foreign->out);
        if (buf_len(output) > 0)
            BIO_write(foreign->in, buf_head(output), (int)buf_len(output));
        buf_consume(output, buf_len(output));
    }
    return alert;
}

/* --------------------------------------------------------------------------------- the tests -- */

struct foreign_case {
    struct foreign_options options;
    enum reason reason; /* DONE: open */
    const char *words;
    int alert;
};

static void check(const struct world *world, const struct foreign_case *wanted, size_t chunk)
{
    struct foreign foreign;
    foreign_init(&foreign, &wanted->options);
    const char *expected = PAIR_CLIENT_ID;
    const struct tls_conn_params params = {.role =
                                               wanted->options.is_server ? TLS_CLIENT : TLS_SERVER,
                                           .now_ms = clock_wall_ms(),
                                           .expected = &expected,
                                           .num_expected = wanted->options.is_server};
    struct tls_conn *conn = tls_conn_new(world->context, &params, NULL);
    assert_non_null(conn);
    struct buf plain = {0};
    int alert = talk(&foreign, conn, &plain, chunk);
    enum tls_status status = wanted->reason == REASON_DONE ? TLS_OPEN : TLS_FAILED;
    if (tls_conn_status(conn) != status || tls_conn_reason(conn) != wanted->reason ||
        strstr(tls_conn_err(conn)->message, wanted->words) == NULL || alert != wanted->alert)
        fail_msg("got status %d, %s '%s', alert %d; wanted %s '%s', alert %d",
                 tls_conn_status(conn), reason_name(tls_conn_reason(conn)),
                 tls_conn_err(conn)->message, alert, reason_name(wanted->reason), wanted->words,
                 wanted->alert);
    tls_conn_free(conn);
    buf_done(&plain);
    foreign_done(&foreign);
}

static void check_both_ways(const struct world *world, const struct foreign_case *wanted)
{
    check(world, wanted, 1);
    check(world, wanted, 1 << 20);
}

static void a_right_foreign_peer_is_accepted(void **state)
{
    const struct world *world = *state;
    check_both_ways(world,
                    &(struct foreign_case){{false, world->leaf, "\x02h2", 0}, REASON_DONE, "", 0});
    check_both_ways(world, &(struct foreign_case){
                               {false, world->leaf, "\x08http/1.1\x02h2", 0}, REASON_DONE, "", 0});
    check_both_ways(world, &(struct foreign_case){{true, world->leaf, "", 0}, REASON_DONE, "", 0});
}

static void other_versions_alpns_and_no_certificate_are_each_their_own_reason(void **state)
{
    const struct world *world = *state;
    const struct foreign_case cases[] = {
        {{false, world->leaf, "\x02h2", TLS1_2_VERSION},
         REASON_TLS_VERSION,
         "no version of TLS that we accept",
         SSL_AD_PROTOCOL_VERSION},
        {{true, world->leaf, "", TLS1_2_VERSION},
         REASON_TLS_VERSION,
         "alert 'protocol version'",
         0},
        {{false, world->leaf, "\x08http/1.1", 0},
         REASON_TLS_ALPN,
         "no protocol that is spoken here",
         SSL_AD_NO_APPLICATION_PROTOCOL},
        {{false, world->leaf, NULL, 0},
         REASON_TLS_ALPN,
         "did not agree on a protocol",
         SSL_AD_NO_APPLICATION_PROTOCOL},
        {{true, world->leaf, NULL, 0},
         REASON_TLS_ALPN,
         "did not agree on a protocol",
         SSL_AD_NO_APPLICATION_PROTOCOL},
        {{false, NULL, "\x02h2", 0}, REASON_TLS_NO_CLIENT_CERT, "asked for one and sent none", 116},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_both_ways(world, &cases[i]);
}

static void certificates_that_no_svid_could_be_are_refused(void **state)
{
    const struct world *world = *state;
    const struct {
        struct cert_spec spec;
        enum reason reason;
        const char *words;
        int alert;
    } cases[] = {
        {{.uris = {PAIR_CLIENT_ID, "spiffe://td/x"}},
         REASON_CERT_TWO_URI_SANS,
         "2 URI SANs",
         SSL_AD_BAD_CERTIFICATE},
        {{.common_name = PAIR_CLIENT_ID},
         REASON_CERT_NO_SPIFFE_ID,
         "no subject alternative",
         SSL_AD_BAD_CERTIFICATE},
        {{.dns = {"client.a"}}, REASON_CERT_NO_SPIFFE_ID, "no URI SAN", SSL_AD_BAD_CERTIFICATE},
        {{.uris = {"spiffe://td/a//b"}},
         REASON_CERT_BAD_SPIFFE_ID,
         "empty segment",
         SSL_AD_BAD_CERTIFICATE},
        /*
         * These two BoringSSL refuses itself, because they may not sign; the reason is ours. RSA,
         * because it does not even load such an EC certificate.
         */
        {{.uris = {PAIR_CLIENT_ID}, .is_ca = true, .key = CERT_KEY_RSA_2048},
         REASON_CERT_IS_CA,
         "is a CA certificate",
         SSL_AD_ILLEGAL_PARAMETER},
        {{.uris = {PAIR_CLIENT_ID}, .usage = CERT_USAGE_ENCIPHER_ONLY, .key = CERT_KEY_RSA_2048},
         REASON_CERT_KEY_USAGE,
         "lacks digitalSignature",
         SSL_AD_ILLEGAL_PARAMETER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cert_built *leaf = cert_builder_make(world->root, &cases[i].spec);
        check_both_ways(world, &(struct foreign_case){{false, leaf, "\x02h2", 0},
                                                      cases[i].reason,
                                                      cases[i].words,
                                                      cases[i].alert});
        check_both_ways(world,
                        &(struct foreign_case){
                            {true, leaf, "", 0}, cases[i].reason, cases[i].words, cases[i].alert});
        cert_builder_free(leaf);
    }
}

static void what_is_not_tls_is_said_to_be_so(void **state)
{
    const struct world *world = *state;
    static const struct {
        const char *bytes, *words;
    } CASES[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP without TLS"},
        {"CONNECT a:1 HTTP/1.1\r\n\r\n", "proxy request without TLS"},
        {"SSH-2.0-OpenSSH_9.2\r\n", "not TLS"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not TLS"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        const struct tls_conn_params params = {.role = TLS_SERVER, .now_ms = clock_wall_ms()};
        struct tls_conn *conn = tls_conn_new(world->context, &params, NULL);
        struct buf plain = {0};
        for (const char *at = CASES[i].bytes; *at != '\0'; at++)
            tls_conn_recv(conn, (const uint8_t *)at, 1, &plain);
        assert_int_equal(tls_conn_status(conn), TLS_FAILED);
        assert_int_equal(tls_conn_reason(conn), REASON_TLS_FAILED);
        if (strstr(tls_conn_err(conn)->message, CASES[i].words) == NULL)
            fail_msg("got '%s', wanted '%s'", tls_conn_err(conn)->message, CASES[i].words);
        tls_conn_free(conn);
    }
}

static void session_tickets_of_a_server_are_tolerated(void **state)
{
    const struct world *world = *state;
    struct foreign foreign;
    foreign_init(&foreign, &(struct foreign_options){true, world->leaf, "", 0});
    assert_true(SSL_CTX_set_num_tickets(foreign.ctx, 2));
    const char *expected = PAIR_CLIENT_ID;
    const struct tls_conn_params params = {
        .role = TLS_CLIENT, .now_ms = clock_wall_ms(), .expected = &expected, .num_expected = 1};
    struct tls_conn *conn = tls_conn_new(world->context, &params, NULL);
    struct buf plain = {0};
    talk(&foreign, conn, &plain, 1 << 20);
    assert_int_equal(SSL_write(foreign.ssl, "after tickets", 13), 13);
    talk(&foreign, conn, &plain, 1 << 20);
    assert_int_equal(tls_conn_status(conn), TLS_OPEN);
    assert_int_equal(buf_len(&plain), 13);
    tls_conn_free(conn);
    buf_done(&plain);
    foreign_done(&foreign);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_foreign_peer_is_accepted),
        cmocka_unit_test(other_versions_alpns_and_no_certificate_are_each_their_own_reason),
        cmocka_unit_test(certificates_that_no_svid_could_be_are_refused),
        cmocka_unit_test(what_is_not_tls_is_said_to_be_so),
        cmocka_unit_test(session_tickets_of_a_server_are_tolerated),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
