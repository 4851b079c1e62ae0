/* Memory for what others sent, and what is refused before protobuf-c sees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "protobuf_read.h"

typedef Envoy__Service__Discovery__V3__DeltaDiscoveryResponse response;
#define RESPONSE (&envoy__service__discovery__v3__delta_discovery_response__descriptor)

enum { MEMORY_MAX = 1 << 20 };

static void memory_is_zeroed_aligned_and_bounded(void **state)
{
    (void)state;
    struct err err = {0};
    struct protobuf_memory *memory = protobuf_memory_new(10000, PROTOBUF_SECRET);
    assert_non_null(memory);
    assert_null(protobuf_memory_array(memory, 0, 8));
    assert_false(protobuf_memory_failed(memory));
    for (size_t i = 1; i < 100; i++) {
        uint8_t *bytes = protobuf_memory_array(memory, i, 1);
        assert_non_null(bytes);
        assert_int_equal((uintptr_t)bytes % _Alignof(max_align_t), 0);
        for (size_t k = 0; k < i; k++)
            assert_int_equal(bytes[k], 0);
        memset(bytes, 0xff, i);
    }
    assert_non_null(protobuf_memory_array(memory, 1000, 1));
    assert_null(protobuf_memory_array(memory, 9000, 1));
    assert_true(protobuf_memory_failed(memory));
    assert_null(protobuf_memory_array(memory, 1, 1));
    assert_int_equal(protobuf_memory_err(memory, &err), -1);
    assert_int_equal(err.kind, ERR_LIMIT);
    protobuf_memory_free(memory);
}

static void a_size_that_overflows_is_refused(void **state)
{
    (void)state;
    struct protobuf_memory *memory = protobuf_memory_new(SIZE_MAX, PROTOBUF_PLAIN);
    assert_non_null(memory);
    assert_null(protobuf_memory_array(memory, SIZE_MAX / 4, 8));
    assert_true(protobuf_memory_failed(memory));
    protobuf_memory_free(memory);
}

static const response *read_response(struct protobuf_memory *memory, const char *bytes, size_t len,
                                     struct err *err)
{
    /* Where it is exactly as long as it is, sanitizers see every byte read past the end. */
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    const response *message = protobuf_read(memory, RESPONSE, copy, len, err);
    free(copy);
    return message;
}

static void a_message_is_read_and_outlives_its_bytes(void **state)
{
    (void)state;
    static const char bytes[] = "\x22\x01t\x2a\x01n\x32\x01"
                                "a\x32\x02\xc3\xa4\x12\x03\x1a\x01r";
    struct err err = {0};
    struct protobuf_memory *memory = protobuf_memory_new(MEMORY_MAX, PROTOBUF_PLAIN);
    const response *message = read_response(memory, bytes, sizeof(bytes) - 1, &err);
    assert_non_null(message);
    assert_string_equal(message->type_url, "t");
    assert_string_equal(message->nonce, "n");
    assert_string_equal(message->system_version_info, "");
    assert_int_equal(message->n_removed_resources, 2);
    assert_string_equal(message->removed_resources[1], "\xc3\xa4");
    assert_int_equal(message->n_resources, 1);
    assert_string_equal(message->resources[0]->name, "r");
    protobuf_memory_free(memory);
}

static void an_empty_message_is_a_message(void **state)
{
    (void)state;
    struct err err = {0};
    struct protobuf_memory *memory = protobuf_memory_new(MEMORY_MAX, PROTOBUF_PLAIN);
    assert_non_null(protobuf_read(memory, RESPONSE, NULL, 0, &err));
    protobuf_memory_free(memory);
}

static void malformed_messages_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *expected;
    } cases[] = {
        {"\x22", 1, "is not a protobuf message"},      /* no length */
        {"\x22\x02t", 3, "is not a protobuf message"}, /* too few bytes */
        {"\x02\x01", 2, "is not a protobuf message"},  /* field 0 */
        {"\x23\x24", 2, "is not a protobuf message"},  /* a group */
        {"\x22\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "is not a protobuf message"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "is not a protobuf message"},
        {"\x20\x01", 2, "is not a protobuf message"}, /* text as a number */
        {"\x22\x01\x80", 3, "type_url: is not UTF-8 text"},
        {"\x22\x02t\x00", 4, "type_url: is not UTF-8 text"},
        {"\x22\x03\xed\xa0\x80", 5, "type_url: is not UTF-8 text"},     /* a surrogate */
        {"\x22\x01\xc3\x2a\x01\xa4", 6, "type_url: is not UTF-8 text"}, /* cut by the field's end */
        {"\x12\x03\x1a\x01\xff", 5, "resources: name: is not UTF-8 text"},
        {"\x12\x02\x1a\x01", 4, "resources: is not a protobuf message"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        struct protobuf_memory *memory = protobuf_memory_new(MEMORY_MAX, PROTOBUF_PLAIN);
        assert_null(read_response(memory, cases[i].bytes, cases[i].len, &err));
        assert_int_equal(err.kind, ERR_INVALID);
        assert_string_equal(err.message, cases[i].expected);
        protobuf_memory_free(memory);
    }
}

static void a_message_that_would_take_too_much_memory_is_refused(void **state)
{
    (void)state;
    enum { NUM = 20000 };
    struct err err = {0};
    char *bytes = malloc(2 * NUM);
    assert_non_null(bytes);
    for (size_t i = 0; i < NUM; i++)
        memcpy(bytes + 2 * i, "\x12", 2); /* an empty resource */
    struct protobuf_memory *memory = protobuf_memory_new(MEMORY_MAX, PROTOBUF_PLAIN);
    assert_null(read_response(memory, bytes, 2 * NUM, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    protobuf_memory_free(memory);
    free(bytes);
}

/* A Struct inside a Struct is skipped, however deep. */
static void nested_metadata_is_not_descended_into(void **state)
{
    (void)state;
    enum { DEPTH = 100000, STEP = 8 };
    struct err err = {0};
    size_t size = DEPTH * STEP, at = size;
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    /* From the inside out: Value{struct_value = 5} of Struct{fields = 1} of ... ; one tag a level. */
    for (size_t len = 0; at >= STEP && size - at < (1u << 20);) {
        static const uint8_t tags[] = {0x0a, 0x12, 0x2a};
        static const size_t num_tags = sizeof(tags);
        uint8_t tag = tags[(size - at) % num_tags];
        uint8_t head[5] = {tag, (uint8_t)(len | 0x80), (uint8_t)(len >> 7 | 0x80),
                           (uint8_t)(len >> 14 | 0x80), (uint8_t)(len >> 21)};
        at -= sizeof(head);
        memcpy(bytes + at, head, sizeof(head));
        len += sizeof(head);
    }
    struct protobuf_memory *memory = protobuf_memory_new(MEMORY_MAX, PROTOBUF_PLAIN);
    /* Good or bad does not matter; that it returns does. */
    protobuf_read(memory, &envoy__service__discovery__v3__struct__descriptor, bytes + at, size - at,
                  &err);
    protobuf_memory_free(memory);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_bounded),
        cmocka_unit_test(a_size_that_overflows_is_refused),
        cmocka_unit_test(a_message_is_read_and_outlives_its_bytes),
        cmocka_unit_test(an_empty_message_is_a_message),
        cmocka_unit_test(malformed_messages_are_named),
        cmocka_unit_test(a_message_that_would_take_too_much_memory_is_refused),
        cmocka_unit_test(nested_metadata_is_not_descended_into),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
