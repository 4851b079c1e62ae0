/* Memory that runs out at any moment while a client is told of the mesh: an error, and nothing lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "discovery_client.h"
#include "discovery_fixture.h"

static long num_left = -1; /* allocations that succeed yet; negative: all do */

void *__real_malloc(size_t size);
void *__real_calloc(size_t num, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t num, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t num, size_t size);
char *__wrap_strdup(const char *text);

static bool fails(void)
{
    return num_left >= 0 && num_left-- == 0;
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

void *__wrap_reallocarray(void *old, size_t num, size_t size)
{
    return fails() ? NULL : __real_realloc(old, num * size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

#define END ((struct discovery_resource *)NULL)

static int take_all(struct discovery_client *client)
{
    struct discovery_told told;
    struct buf out = {0};
    int result;
    while ((result = discovery_client_next(client, &out, &told)) == 1) {
        struct err err;
        struct discovery_outcome outcome;
        char nonce[DISCOVERY_NONCE_MAX];
        /* Nonces count the responses; whichever fits acknowledges. */
        for (unsigned i = 1; i < 9; i++) {
            nonce[0] = (char)('0' + i);
            nonce[1] = '\0';
            const struct discovery_request ack = {
                .type_url = discovery_type_url(told.type), .nonce = nonce, .nack_reason = ""};
            if (discovery_client_request(client, &ack, &outcome, &err) < 0)
                result = -1;
        }
        buf_clear(&out, 0);
        if (result < 0)
            break;
    }
    buf_done(&out);
    return result;
}

static int talk(struct discovery_table *first, struct discovery_table *second)
{
    static const char *const star[] = {"*"};
    static const char *const names[] = {"/10.1.0.1", "nobody"};
    static const struct discovery_held held[] = {{"gone", "x"}, {"b", ""}};
    struct discovery_outcome outcome;
    struct err err;
    struct discovery_client *client = discovery_client_new(first);
    int result = -1;
    struct discovery_request request = {.type_url = discovery_type_url(DISCOVERY_ADDRESS),
                                        .subscribe = star,
                                        .num_subscribe = 1,
                                        .unsubscribe = star,
                                        .num_unsubscribe = 1,
                                        .held = held,
                                        .num_held = 2,
                                        .nonce = "",
                                        .nack_reason = ""};
    if (client == NULL || discovery_client_request(client, &request, &outcome, &err) < 0 ||
        take_all(client) < 0)
        goto end;
    request.subscribe = names;
    request.num_subscribe = 2;
    request.num_unsubscribe = 0;
    if (discovery_client_request(client, &request, &outcome, &err) < 0 || take_all(client) < 0)
        goto end;
    discovery_client_set_table(client, second);
    result = take_all(client);
end:
    discovery_client_free(client);
    return result;
}

static void a_client_ends_and_nothing_else_does(void **state)
{
    struct discovery_table *first = fixture_table(
        1, fixture_workload("a", "10.0.0.1", "ns/web", ""),
        fixture_workload("b", "10.0.0.2", NULL, ""), fixture_service("web", "10.1.0.1", NULL), END);
    struct discovery_table *second =
        fixture_table(2, fixture_workload("c", "10.0.0.3", "ns/web", ""),
                      fixture_service("web", "10.1.0.1", NULL), END);
    int result = -1;
    long num;
    for (num = 0; result < 0; num++) {
        num_left = num;
        result = talk(first, second);
        num_left = -1;
        assert_true(num < 1000);
    }
    assert_true(num > 20);
    discovery_table_unref(first);
    discovery_table_unref(second);
}

static void a_table_fails_whole(void **state)
{
    struct discovery_resource *resources[] = {fixture_workload("a", "10.0.0.1", "ns/web", ""),
                                              fixture_service("web", "10.1.0.1", "10.2.0.0/16"),
                                              fixture_policy("p", false)};
    int result = -1;
    for (long num = 0; result < 0; num++) {
        num_left = num;
        struct discovery_table *table = discovery_table_new(1);
        result = table == NULL ? -1 : 0;
        for (size_t i = 0; result == 0 && i < 3; i++)
            result = discovery_table_add(table, resources[i]);
        if (result == 0)
            result = discovery_table_seal(table, NULL, NULL);
        num_left = -1;
        discovery_table_unref(table);
        assert_true(num < 100);
    }
    for (size_t i = 0; i < 3; i++)
        discovery_resource_unref(resources[i]);
}

static void a_resource_fails_whole(void **state)
{
    struct ip ip = {.family = IP_V4, .bytes = {10, 0, 0, 1}};
    const struct mesh_membership membership = {.service = "ns/web"};
    const struct mesh_workload workload = {.uid = "w",
                                           .network = "",
                                           .ips = &ip,
                                           .num_ips = 1,
                                           .services = &membership,
                                           .num_services = 1};
    struct discovery_resource *resource = NULL;
    for (long num = 0; resource == NULL; num++) {
        struct err err = {0};
        num_left = num;
        resource = discovery_resource_of_workload(&workload, &err);
        num_left = -1;
        assert_true(resource != NULL || err.kind == ERR_NOMEM);
        assert_true(num < 100);
    }
    discovery_resource_unref(resource);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_ends_and_nothing_else_does),
        cmocka_unit_test(a_table_fails_whole),
        cmocka_unit_test(a_resource_fails_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
