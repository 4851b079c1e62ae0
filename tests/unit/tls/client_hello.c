/*
 * What a connection's first bytes are taken for.
 */
#include "client_hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/mem.h>
#include <openssl/ssl.h>

/* --------------------------------------------------------------------------- making of hellos -- */

/* A text that may hold NUL. */
struct bytes {
    const char *at;
    size_t len;
};
#define BYTES(literal)                                                                             \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

enum { RECORD_WHOLE = 16384 };

static void add_u16(struct buf *to, size_t number)
{
    const uint8_t bytes[] = {(uint8_t)(number >> 8), (uint8_t)number};
    assert_int_equal(buf_append(to, bytes, sizeof(bytes)), 0);
}

/* The body of a ClientHello with these extensions, ready-made. */
static void add_hello(struct buf *to, const struct bytes *extensions)
{
    static const uint8_t ZEROS[32];
    size_t body_len = 2 + 32 + 1 + 2 + 2 + 2 + 2 + extensions->len;
    const uint8_t header[] = {
        1, (uint8_t)(body_len >> 16), (uint8_t)(body_len >> 8), (uint8_t)body_len, 3, 3};
    buf_append(to, header, sizeof(header));
    buf_append(to, ZEROS, 32);
    buf_append(to, "\x00\x00\x02\x13\x01\x01\x00", 7); /* session, suites, compression */
    add_u16(to, extensions->len);
    buf_append(to, extensions->at, extensions->len);
}

/* Splits a message into records of at most `max` bytes. */
static void add_records(struct buf *to, const struct buf *message, size_t max)
{
    for (size_t at = 0; at < buf_len(message);) {
        size_t left = buf_len(message) - at;
        size_t len = left < max ? left : max;
        buf_append(to, "\x16\x03\x01", 3);
        add_u16(to, len);
        buf_append(to, buf_head(message) + at, len);
        at += len;
    }
}

/* The records of a hello. */
static struct buf make(const struct bytes *extensions, size_t record_max)
{
    struct buf message = {0}, records = {0};
    add_hello(&message, extensions);
    add_records(&records, &message, record_max);
    buf_done(&message);
    return records;
}

static enum client_hello_status feed(struct client_hello *hello, const uint8_t *bytes, size_t len,
                                     size_t chunk)
{
    client_hello_init(hello);
    for (size_t at = 0; at < len; at += chunk)
        client_hello_feed(hello, bytes + at, len - at < chunk ? len - at : chunk);
    return hello->status;
}

static const size_t CHUNKS[] = {1, 2, 5, 7, 1000, 1 << 20};
enum { NUM_CHUNKS = sizeof(CHUNKS) / sizeof(CHUNKS[0]) };

/* ----------------------------------------------------------------------------- real clients -- */

static struct buf real_hello(const char *sni, const char *alpn, uint16_t min, uint16_t max)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    assert_non_null(ctx);
    SSL_CTX_set_grease_enabled(ctx, 1);
    assert_true(SSL_CTX_set_min_proto_version(ctx, min));
    assert_true(SSL_CTX_set_max_proto_version(ctx, max));
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    if (sni != NULL)
        assert_true(SSL_set_tlsext_host_name(ssl, sni));
    if (alpn != NULL)
        assert_int_equal(SSL_set_alpn_protos(ssl, (const uint8_t *)alpn, (unsigned)strlen(alpn)),
                         0);
    SSL_do_handshake(ssl);
    const uint8_t *bytes;
    size_t len;
    assert_true(BIO_mem_contents(out, &bytes, &len));
    struct buf hello = {0};
    buf_append(&hello, bytes, len);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return hello;
}

static void a_real_hello_is_read_however_it_is_cut(void **state)
{
    struct buf bytes = real_hello("MTLS.local", "\x05istio\x02h2", TLS1_2_VERSION, TLS1_3_VERSION);
    for (size_t i = 0; i < NUM_CHUNKS; i++) {
        struct client_hello hello;
        assert_int_equal(feed(&hello, buf_head(&bytes), buf_len(&bytes), CHUNKS[i]),
                         CLIENT_HELLO_DONE);
        assert_string_equal(client_hello_sni(&hello), "mtls.local");
        assert_true(client_hello_has_alpn(&hello));
        assert_true(client_hello_offers_alpn(&hello, "istio"));
        assert_true(client_hello_offers_alpn(&hello, "h2"));
        assert_false(client_hello_offers_alpn(&hello, "istio-peer-exchange"));
        assert_false(client_hello_offers_alpn(&hello, "h"));
        assert_true(client_hello_offers_version(&hello, TLS1_3_VERSION));
        assert_true(client_hello_offers_version(&hello, TLS1_2_VERSION));
        assert_false(client_hello_offers_version(&hello, TLS1_1_VERSION));
        client_hello_done(&hello);
    }
    buf_done(&bytes);
}

static void a_hello_is_done_with_its_last_byte_and_not_before(void **state)
{
    struct buf bytes = real_hello("a.b", NULL, TLS1_3_VERSION, TLS1_3_VERSION);
    struct client_hello hello;
    assert_int_equal(feed(&hello, buf_head(&bytes), buf_len(&bytes) - 1, 1), CLIENT_HELLO_MORE);
    assert_int_equal(client_hello_feed(&hello, buf_head(&bytes) + buf_len(&bytes) - 1, 1),
                     CLIENT_HELLO_DONE);
    /* What follows is not its business. */
    assert_int_equal(client_hello_feed(&hello, (const uint8_t *)"\x17GET", 4), CLIENT_HELLO_DONE);
    assert_false(client_hello_has_alpn(&hello));
    assert_false(client_hello_offers_alpn(&hello, "h2"));
    assert_false(client_hello_offers_version(&hello, TLS1_2_VERSION));
    client_hello_done(&hello);
    buf_done(&bytes);
}

static void a_hello_without_supported_versions_offers_its_legacy_version_and_below(void **state)
{
    struct buf bytes = real_hello(NULL, NULL, TLS1_VERSION, TLS1_2_VERSION);
    struct client_hello hello;
    assert_int_equal(feed(&hello, buf_head(&bytes), buf_len(&bytes), 3), CLIENT_HELLO_DONE);
    assert_string_equal(client_hello_sni(&hello), "");
    assert_true(client_hello_offers_version(&hello, TLS1_2_VERSION));
    assert_false(client_hello_offers_version(&hello, TLS1_3_VERSION));
    client_hello_done(&hello);
    buf_done(&bytes);
}

/* --------------------------------------------------------------------------------- made ones -- */

struct sni_case {
    struct bytes extensions;
    const char *sni; /* NULL: the hello is bad */
};

static void server_names_are_checked(void **state)
{
    static const struct sni_case CASES[] = {
        {BYTES(""), ""},
        {BYTES("\0\0\0\x08\0\x06\0\0\x03"
               "A.b"),
         "a.b"},
        {BYTES("\0\0\0\x0a\0\x08\0\0\x05"
               "_x-.9"),
         "_x-.9"},
        {BYTES("\0\0\0\x08\0\x06\x07\0\x03"
               "\0\0\0"),
         ""}, /* a name of another type */
        {BYTES("\0\0\0\x08\0\x06\0\0\x03"
               "a\0b"),
         ""},
        {BYTES("\0\0\0\x08\0\x06\0\0\x03"
               "a*b"),
         ""},
        {BYTES("\0\0\0\x08\0\x06\0\0\x03"
               "ab."),
         ""},
        {BYTES("\0\0\0\x08\0\x06\0\0\x03"
               ".ab"),
         ""},
        {BYTES("\0\0\0\x09\0\x07\0\0\x04"
               "a..b"),
         ""},
        {BYTES("\0\0\0\x08\0\x06\0\0\x03"
               "a\xc3\xa4"),
         ""},
        {BYTES("\0\0\0\x05\0\x03\0\0\x00"), NULL}, /* an empty name */
        {BYTES("\0\0\0\x02\0\0"), NULL},           /* an empty list */
        {BYTES("\0\0\0\0"), NULL},
        {BYTES("\0\0\0\x0a\0\x08\0\0\x01"
               "a\0\0\x01"
               "b"),
         NULL}, /* two names */
        {BYTES("\0\0\0\x0a\0\x08\0\0\x01"
               ".\0\0\x01"
               "b"),
         NULL}, /* two names, the first of which is no host's */
        {BYTES("\0\0\0\x06\0\x04\0\0\x01"
               "a\0\0\0\x06\0\x04\0\0\x01"
               "a"),
         NULL}, /* the extension twice */
        {BYTES("\0\0\0\x08\0\x06\0\0\x04"
               "abc"),
         NULL}, /* longer than the list */
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct buf bytes = make(&CASES[i].extensions, RECORD_WHOLE);
        struct client_hello hello;
        enum client_hello_status status = feed(&hello, buf_head(&bytes), buf_len(&bytes), 1);
        if (status != (CASES[i].sni != NULL ? CLIENT_HELLO_DONE : CLIENT_HELLO_BAD))
            fail_msg("case %zu: status %d (%s)", i, status, hello.problem);
        if (CASES[i].sni != NULL)
            assert_string_equal(client_hello_sni(&hello), CASES[i].sni);
        else
            assert_non_null(hello.problem);
        client_hello_done(&hello);
        buf_done(&bytes);
    }
}

static void a_server_name_is_as_long_as_one_can_be_and_no_longer(void **state)
{
    for (size_t len = CLIENT_HELLO_SNI_MAX - 1; len <= CLIENT_HELLO_SNI_MAX + 1; len++) {
        struct buf extension = {0};
        add_u16(&extension, 0);
        add_u16(&extension, len + 5);
        add_u16(&extension, len + 3);
        buf_append(&extension, "", 1);
        add_u16(&extension, len);
        for (size_t i = 0; i < len; i++)
            buf_append(&extension, i % 64 == 63 ? "." : "a", 1);
        const struct bytes extensions = {(const char *)buf_head(&extension), buf_len(&extension)};
        struct buf bytes = make(&extensions, RECORD_WHOLE);
        struct client_hello hello;
        feed(&hello, buf_head(&bytes), buf_len(&bytes), 100);
        assert_int_equal(hello.status, CLIENT_HELLO_DONE);
        assert_int_equal(strlen(client_hello_sni(&hello)), len > CLIENT_HELLO_SNI_MAX ? 0 : len);
        client_hello_done(&hello);
        buf_done(&bytes);
        buf_done(&extension);
    }
}

static void broken_extensions_are_refused(void **state)
{
    static const struct bytes CASES[] = {
        BYTES("\0\x10\0\x02\0\0"),                                 /* ALPN: an empty list */
        BYTES("\0\x10\0\x03\0\x01\0"),                             /* an empty protocol */
        BYTES("\0\x10\0\x05\0\x03\x05h2"),                         /* longer than the list */
        BYTES("\0\x10\0\x05\0\x03\x02h2\0\x10\0\x05\0\x03\x02h2"), /* twice */
        BYTES("\0\x10\0\x06\0\x03\x02h2!"),                        /* something after the list */
        BYTES("\0\x2b\0\x01\0"),                                   /* versions: an empty list */
        BYTES("\0\x2b\0\x04\x03\x03\x04\x03"),                     /* one and a half */
        BYTES("\0\x2b\0\x03\x02\x03\x04\0\x2b\0\x03\x02\x03\x04"),
        BYTES("\0\x2b\0\x09\x02\x03\x04"), /* ends early */
        BYTES("\0"),
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct buf bytes = make(&CASES[i], RECORD_WHOLE);
        struct client_hello hello;
        if (feed(&hello, buf_head(&bytes), buf_len(&bytes), 1) != CLIENT_HELLO_BAD)
            fail_msg("case %zu: status %d", i, hello.status);
        client_hello_done(&hello);
        buf_done(&bytes);
    }
}

/* As big as those with ML-KEM shares and a ticket are, and bigger. */
static void a_big_hello_is_read_over_records_of_any_size(void **state)
{
    static const size_t SIZES[] = {1200, 1500, 4000, 20000, 40000};
    static const size_t RECORDS[] = {64, 100, 517, 4096, RECORD_WHOLE};
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        struct buf extension = {0};
        add_u16(&extension, 51); /* key_share */
        add_u16(&extension, SIZES[i]);
        for (size_t j = 0; j < SIZES[i]; j++)
            buf_append(&extension, "\x16", 1);
        buf_append(&extension, "\0\0\0\x08\0\x06\0\0\x03pqc", 12);
        const struct bytes extensions = {(const char *)buf_head(&extension), buf_len(&extension)};
        for (size_t j = 0; j < sizeof(RECORDS) / sizeof(RECORDS[0]); j++) {
            struct buf bytes = make(&extensions, RECORDS[j]);
            for (size_t k = 0; k < NUM_CHUNKS; k++) {
                struct client_hello hello;
                assert_int_equal(feed(&hello, buf_head(&bytes), buf_len(&bytes), CHUNKS[k]),
                                 CLIENT_HELLO_DONE);
                assert_string_equal(client_hello_sni(&hello), "pqc");
                client_hello_done(&hello);
            }
            buf_done(&bytes);
        }
        buf_done(&extension);
    }
}

struct first_bytes {
    struct bytes bytes;
    enum client_hello_status status;
    size_t decided; /* by how many bytes */
};

static void what_is_not_tls_is_known_by_its_first_wrong_byte(void **state)
{
    static const struct first_bytes CASES[] = {
        {BYTES("GET / HTTP/1.1\r\n"), CLIENT_HELLO_NOT_TLS, 1},
        {BYTES("SSH-2.0-x\r\n"), CLIENT_HELLO_NOT_TLS, 1},
        {BYTES("\x80\x2e\x01\x03\x01\0\x15"), CLIENT_HELLO_NOT_TLS, 1}, /* SSLv2's hello */
        {BYTES("\0\0\0\x08\x04\xd2\x16\x2f"), CLIENT_HELLO_NOT_TLS,
         1}, /* PostgreSQL's SSLRequest */
        {BYTES("\x15\x03\x01\0\x02\x02\x28"), CLIENT_HELLO_NOT_TLS, 1}, /* an alert */
        {BYTES("\x17\x03\x03\0\x02\0\0"), CLIENT_HELLO_NOT_TLS, 1},
        {BYTES("\x16GET"), CLIENT_HELLO_NOT_TLS, 2},
        {BYTES("\x16\x02\x01\0\x05"), CLIENT_HELLO_NOT_TLS, 2},
        {BYTES("\x16\x03\x05\0\x05"), CLIENT_HELLO_NOT_TLS, 3},
        {BYTES("\x16\x03\x01\x41\0"), CLIENT_HELLO_NOT_TLS, 4},
        {BYTES("\x16\x03\x01\x40\x01"), CLIENT_HELLO_NOT_TLS,
         5}, /* a byte more than a record has */
        {BYTES("\x16\x03\x01\0\0"), CLIENT_HELLO_NOT_TLS, 5},
        {BYTES("\x16\x03\x01\0\x05\x02"), CLIENT_HELLO_NOT_TLS, 6},     /* ServerHello */
        {BYTES("\x16\x03\x01\0\x04\x01\x01\0\0"), CLIENT_HELLO_BAD, 9}, /* 64 KiB */
        {BYTES("\x16\x03\x01\0\x04\x01\0\0\0"), CLIENT_HELLO_BAD, 9},
        {BYTES("\x16\x03\x01\0\x02\x01\0GET"), CLIENT_HELLO_BAD, 8},
        {BYTES("\x16\x03\x01\0\x01\x01\x16\x03\x01\0\0"), CLIENT_HELLO_BAD, 11},
        {BYTES("\x16\x03\x01\0\x01\x01\x15"), CLIENT_HELLO_BAD, 7},
        {BYTES("\x16"), CLIENT_HELLO_MORE, 1},
        {BYTES(""), CLIENT_HELLO_MORE, 0},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        const struct first_bytes *is = &CASES[i];
        struct client_hello hello;
        client_hello_init(&hello);
        for (size_t at = 0; at < is->bytes.len; at++) {
            client_hello_feed(&hello, (const uint8_t *)is->bytes.at + at, 1);
            if ((hello.status == CLIENT_HELLO_MORE) != (at + 1 < is->decided) &&
                is->status != CLIENT_HELLO_MORE)
                fail_msg("case %zu: status %d after %zu bytes", i, hello.status, at + 1);
        }
        if (hello.status != is->status)
            fail_msg("case %zu: status %d", i, hello.status);
        client_hello_done(&hello);
        assert_int_equal(feed(&hello, (const uint8_t *)is->bytes.at, is->bytes.len, 1000),
                         is->status);
        client_hello_done(&hello);
    }
}

/* A body that is right up to some byte and then ends. */
static void a_message_that_ends_early_is_refused(void **state)
{
    const struct bytes extensions = BYTES("\0\x2b\0\x03\x02\x03\x04");
    struct buf message = {0};
    add_hello(&message, &extensions);
    size_t whole = buf_len(&message);
    for (size_t len = 4; len < whole; len++) {
        struct buf shorter = {0}, bytes = {0};
        const uint8_t header[] = {1, 0, (uint8_t)((len - 4) >> 8), (uint8_t)(len - 4)};
        buf_append(&shorter, header, sizeof(header));
        buf_append(&shorter, buf_head(&message) + 4, len - 4);
        add_records(&bytes, &shorter, RECORD_WHOLE);
        struct client_hello hello;
        feed(&hello, buf_head(&bytes), buf_len(&bytes), 1000);
        /* Before the extensions a hello may end: those of TLS 1.2 may have none. */
        bool may_end = len == whole - extensions.len - 2;
        assert_int_equal(hello.status, may_end ? CLIENT_HELLO_DONE : CLIENT_HELLO_BAD);
        client_hello_done(&hello);
        buf_done(&shorter);
        buf_done(&bytes);
    }
    buf_done(&message);
}

/* One byte a record: six times as long as the message. */
static void the_headers_of_records_count_towards_the_limit(void **state)
{
    struct client_hello hello;
    client_hello_init(&hello);
    client_hello_feed(&hello, (const uint8_t *)"\x16\x03\x01\0\x04\x01\0\xff\xf0", 9);
    size_t fed = 9;
    while (hello.status == CLIENT_HELLO_MORE) {
        client_hello_feed(&hello, (const uint8_t *)"\x16\x03\x01\0\x01\0", 6);
        fed += 6;
        assert_true(fed <= CLIENT_HELLO_MAX + 6);
    }
    assert_int_equal(hello.status, CLIENT_HELLO_BAD);
    client_hello_done(&hello);
}

/* The last byte that is allowed, and the first that is not, however they come. */
static void the_limit_is_where_it_is_however_the_bytes_are_cut(void **state)
{
    static uint8_t zeros[CLIENT_HELLO_MAX];
    const size_t header_len = 2 + 32 + 1 + 4 + 2 + 2 + 4 + 4; /* up to the extension's content */
    const size_t num_records = 4;
    for (int over = 0; over < 2; over++) {
        struct buf extension = {0};
        size_t len = CLIENT_HELLO_MAX - num_records * 5 - header_len + (size_t)over;
        add_u16(&extension, 21); /* padding */
        add_u16(&extension, len);
        buf_append(&extension, zeros, len);
        const struct bytes extensions = {(const char *)buf_head(&extension), buf_len(&extension)};
        struct buf bytes = make(&extensions, RECORD_WHOLE);
        assert_int_equal(buf_len(&bytes), CLIENT_HELLO_MAX + over);
        for (size_t i = 0; i < NUM_CHUNKS; i++) {
            struct client_hello hello;
            assert_int_equal(feed(&hello, buf_head(&bytes), buf_len(&bytes), CHUNKS[i]),
                             over ? CLIENT_HELLO_BAD : CLIENT_HELLO_DONE);
            client_hello_done(&hello);
        }
        buf_done(&bytes);
        buf_done(&extension);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_real_hello_is_read_however_it_is_cut),
        cmocka_unit_test(a_hello_is_done_with_its_last_byte_and_not_before),
        cmocka_unit_test(a_hello_without_supported_versions_offers_its_legacy_version_and_below),
        cmocka_unit_test(server_names_are_checked),
        cmocka_unit_test(a_server_name_is_as_long_as_one_can_be_and_no_longer),
        cmocka_unit_test(broken_extensions_are_refused),
        cmocka_unit_test(a_big_hello_is_read_over_records_of_any_size),
        cmocka_unit_test(what_is_not_tls_is_known_by_its_first_wrong_byte),
        cmocka_unit_test(a_message_that_ends_early_is_refused),
        cmocka_unit_test(the_limit_is_where_it_is_however_the_bytes_are_cut),
        cmocka_unit_test(the_headers_of_records_count_towards_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
