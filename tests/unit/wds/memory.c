/* Memory that runs out at any moment: an error, nothing lost, nothing half made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wds.h"

static long num_left = -1; /* allocations that succeed yet; negative: all do */

void *__real_malloc(size_t size);
void *__real_calloc(size_t num, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t num, size_t size);
void *__wrap_realloc(void *old, size_t size);

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

static const struct ip ip = {.family = IP_V4, .bytes = {10, 0, 0, 1}};
static const struct mesh_port ports[] = {{.service_port = 80, .target_port = 8080}};
static const struct mesh_membership membership = {
    .service = "ns/a", .ports = ports, .num_ports = 1};
static const struct mesh_workload workload = {.uid = "w",
                                              .ips = &ip,
                                              .num_ips = 1,
                                              .capacity = 2,
                                              .services = &membership,
                                              .num_services = 1};
static const struct mesh_pattern pattern = {.kind = MESH_PRESENCE};
static const struct cidr cidr = {.ip = {.family = IP_V4}};
static const struct mesh_match match = {.not_principals = {.values = &pattern, .num = 1},
                                        .source_ips = {.values = &cidr, .num = 1}};
static const struct mesh_clause clause = {.matches = &match, .num_matches = 1};
static const struct mesh_rule rule = {.clauses = &clause, .num_clauses = 1};
static const struct mesh_policy policy = {
    .name = "p", .namespace_ = "ns", .rules = &rule, .num_rules = 1};

static int encode(bool is_policy, struct buf *out, struct err *err)
{
    return is_policy ? wds_encode_policy(out, &policy, err)
                     : wds_encode_workload(out, &workload, err);
}

static void encoding_fails_whole(void **state)
{
    for (unsigned is_policy = 0; is_policy < 2; is_policy++) {
        int result = -1;
        for (long num = 0; result < 0; num++) {
            struct buf out = {0};
            struct err err = {0};
            num_left = num;
            result = encode(is_policy, &out, &err);
            num_left = -1;
            assert_true(result == 0 || (err.kind == ERR_NOMEM && buf_len(&out) == 0));
            assert_true(num < 100);
            buf_done(&out);
        }
    }
}

static void decoding_fails_whole(void **state)
{
    for (unsigned is_policy = 0; is_policy < 2; is_policy++) {
        struct buf bytes = {0};
        struct wds_object *object = NULL;
        assert_int_equal(encode(is_policy, &bytes, NULL), 0);
        for (long num = 0; object == NULL; num++) {
            struct err err = {0};
            num_left = num;
            object = is_policy ? wds_decode_authorization(buf_head(&bytes), buf_len(&bytes), &err)
                               : wds_decode_address(buf_head(&bytes), buf_len(&bytes), &err);
            num_left = -1;
            assert_true(object != NULL || err.kind == ERR_NOMEM);
            assert_true(num < 100);
        }
        wds_object_free(object);
        buf_done(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoding_fails_whole),
        cmocka_unit_test(decoding_fails_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
