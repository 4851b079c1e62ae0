/*
 * Each allocation fails once in turn, ours and BoringSSL's: nothing is lost, and nobody is taken for
 * somebody whose certificate was not verified to its end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/base.h>
#include <openssl/err.h>

#include "clock.h"
#include "doors.h"

enum { STEPS_MAX = 20 * 1000 }; /* more allocations than there are */

/* Allocations until the one that fails; below 0: none fails any more. */
static long countdown = -1;

void *__real_malloc(size_t size);
void *__real_calloc(size_t num, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t num, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);

static bool fails(void)
{
    return countdown >= 0 && countdown-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t num, size_t size)
{
    return fails() ? NULL : __real_calloc(num, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

/* API version 44 does not survive that: parsing a name, it writes to NULL (x509_name_get_cache). */
static bool library_fails(void)
{
    return BORINGSSL_API_VERSION < 44 && fails();
}

/* BoringSSL asks these, where a program has them (openssl/mem.h). The size is kept in front. */
enum { SIZE_ROOM = 16 };

__attribute__((visibility("default"))) void *OPENSSL_memory_alloc(size_t size);
__attribute__((visibility("default"))) void OPENSSL_memory_free(void *at);
__attribute__((visibility("default"))) size_t OPENSSL_memory_get_size(void *at);

void *OPENSSL_memory_alloc(size_t size)
{
    uint8_t *room = library_fails() ? NULL : __real_malloc(SIZE_ROOM + size);
    if (room == NULL)
        return NULL;
    memcpy(room, &size, sizeof(size));
    return room + SIZE_ROOM;
}

size_t OPENSSL_memory_get_size(void *at)
{
    size_t size;
    memcpy(&size, (uint8_t *)at - SIZE_ROOM, sizeof(size));
    return size;
}

void OPENSSL_memory_free(void *at)
{
    if (at != NULL)
        free((uint8_t *)at - SIZE_ROOM);
}

/* ------------------------------------------------------------------------------------- the world -- */

static const enum principal_kind BY_NAME[] = {PRINCIPAL_DNS, PRINCIPAL_CN};
static const char *const ALPN[] = {"h2", "http/1.1"};

struct world {
    struct cert_built *root, *between, *client, *server, *other;
    struct tls_context_cert certs[2];
    struct tls_app_server door;
    struct tls_origin origin;
    int64_t now_ms;
};

static int make_world(void **state)
{
    static struct world world;
    world.now_ms = clock_wall_ms();
    world.root = cert_builder_root("root");
    world.between =
        cert_builder_make(world.root, &(struct cert_spec){.common_name = "between", .is_ca = true});
    world.client = cert_builder_make(world.between, &(struct cert_spec){.common_name = "client"});
    world.server = cert_builder_make(world.root, &(struct cert_spec){.dns = {"mtls.local"}});
    world.other = cert_builder_make(world.root, &(struct cert_spec){.dns = {"*.other.local"}});
    world.certs[0] = door_cert(world.other);
    world.certs[1] = door_cert(world.server);
    world.door = (struct tls_app_server){.certs = world.certs,
                                         .num_certs = 2,
                                         .client_roots = door_roots(world.root),
                                         .verify_depth = 1,
                                         .principals = BY_NAME,
                                         .num_principals = 2,
                                         .alpn = ALPN,
                                         .num_alpn = 2,
                                         .resumption = true};
    world.origin = (struct tls_origin){.cert = door_cert(world.client),
                                       .server_name = "mtls.local",
                                       .roots = door_roots(world.root),
                                       .alpn = ALPN,
                                       .num_alpn = 1,
                                       .resumption = true};
    *state = &world;
    return 0;
}

static int free_world(void **state)
{
    struct world *world = *state;
    cert_builder_free(world->client);
    cert_builder_free(world->between);
    cert_builder_free(world->server);
    cert_builder_free(world->other);
    cert_builder_free(world->root);
    return 0;
}

/* Whether the allocation failed that was to; there are no more when it did not. */
static bool has_failed(void)
{
    bool result = countdown < 0;
    countdown = -1;
    return result;
}

static void a_context_is_whole_or_is_none(void **state)
{
    const struct world *world = *state;
    for (int is_origin = 0; is_origin < 2; is_origin++) {
        bool more = true;
        for (long at = 0; more; at++) {
            struct err err = {0};
            assert_true(at < STEPS_MAX);
            countdown = at;
            struct tls_context *context = is_origin
                                              ? tls_context_new_origin(&world->origin, &err)
                                              : tls_context_new_app_server(&world->door, &err);
            more = has_failed();
            assert_int_equal(ERR_peek_error(), 0);
            if (context == NULL)
                assert_true(more && err.message[0] != '\0');
            tls_context_unref(context);
        }
    }
}

/* ---------------------------------------------------------------------------------- connections -- */

static void check_end(const struct tls_conn *conn, const char *principal)
{
    if (tls_conn_status(conn) == TLS_FAILED) {
        assert_true(tls_conn_reason(conn) != REASON_DONE);
        assert_true(tls_conn_err(conn)->message[0] != '\0');
        assert_null(strstr(tls_conn_err(conn)->message, "MALLOC"));
        assert_null(strstr(tls_conn_err(conn)->message, "malloc"));
    } else if (tls_conn_status(conn) == TLS_OPEN) {
        assert_non_null(tls_conn_peer(conn));
        assert_string_equal(tls_conn_peer(conn)->principal, principal);
    }
}

/* A whole visit in which the allocation `at` fails. Says whether there was one. */
static bool visit(const struct world *world, struct tls_context *client, struct tls_context *server,
                  long at)
{
    struct tls_conn_params params = {.role = TLS_CLIENT, .now_ms = world->now_ms};
    struct pair pair = {0};
    struct err err;
    countdown = at;
    pair.client = tls_conn_new(client, &params, &err);
    params.role = TLS_SERVER;
    pair.server = tls_conn_new(server, &params, &err);
    if (pair.client != NULL && pair.server != NULL) {
        pair_pump(&pair, 1 << 20);
        if (tls_conn_status(pair.server) == TLS_OPEN)
            tls_conn_send(pair.server, (const uint8_t *)"hello", 5);
        pair_pump(&pair, 1 << 20);
    }
    bool more = has_failed();
    assert_int_equal(ERR_peek_error(), 0);
    if (pair.client != NULL && pair.server != NULL) {
        check_end(pair.client, "dns:mtls.local");
        check_end(pair.server, "cn:client");
    }
    if (!more)
        assert_int_equal(tls_conn_status(pair.server), TLS_OPEN);
    pair_done(&pair);
    return more;
}

static void a_connection_is_verified_or_is_none(void **state)
{
    const struct world *world = *state;
    for (int is_resumed = 0; is_resumed < 2; is_resumed++) {
        bool more = true;
        for (long at = 0; more; at++) {
            struct tls_context *client = door_origin(&world->origin);
            struct tls_context *server = door_server(&world->door);
            assert_true(at < STEPS_MAX);
            if (is_resumed)
                assert_false(visit(world, client, server, STEPS_MAX));
            more = visit(world, client, server, at);
            tls_context_unref(client);
            tls_context_unref(server);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_context_is_whole_or_is_none),
        cmocka_unit_test(a_connection_is_verified_or_is_none),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
