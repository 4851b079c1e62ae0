#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "grpc_frame.h"

enum { MESSAGE_MAX = 1000, NUM_MESSAGES = 4 };

static const struct {
    const char *text;
    size_t len;
} messages[NUM_MESSAGES] = {{"", 0}, {"a", 1}, {"two words", 9}, {"\0\1\2\3", 4}};

static void write_all(struct buf *out)
{
    struct err err;
    for (size_t i = 0; i < NUM_MESSAGES; i++)
        assert_int_equal(
            grpc_frame_write(out, (const uint8_t *)messages[i].text, messages[i].len, &err), 0);
}

/* Feeds everything in pieces of `step` bytes and compares each message that comes out. */
static void read_all_in_steps(const struct buf *bytes, size_t step, bool is_secret)
{
    struct grpc_frame_reader reader;
    struct err err;
    enum grpc_status status;
    size_t num_read = 0;
    grpc_frame_reader_init(&reader, MESSAGE_MAX);
    reader.is_secret = is_secret;
    for (size_t at = 0; at < buf_len(bytes);) {
        size_t len = buf_len(bytes) - at < step ? buf_len(bytes) - at : step;
        ptrdiff_t taken = grpc_frame_reader_feed(&reader, buf_head(bytes) + at, len, &status, &err);
        assert_true(taken > 0 && (size_t)taken <= len);
        at += (size_t)taken;
        size_t message_len;
        const uint8_t *message = grpc_frame_reader_message(&reader, &message_len);
        if (message == NULL)
            continue;
        assert_true(num_read < NUM_MESSAGES);
        assert_int_equal(message_len, messages[num_read].len);
        assert_memory_equal(message, messages[num_read].text, message_len);
        num_read++;
    }
    assert_int_equal(num_read, NUM_MESSAGES);
    assert_true(grpc_frame_reader_at_boundary(&reader));
    grpc_frame_reader_done(&reader);
}

static void messages_come_out_whole_however_the_bytes_are_cut(void **state)
{
    struct buf bytes = {0};
    write_all(&bytes);
    for (size_t step = 1; step <= buf_len(&bytes); step++)
        for (int is_secret = 0; is_secret < 2; is_secret++)
            read_all_in_steps(&bytes, step, is_secret);
    buf_done(&bytes);
}

static void the_header_is_a_zero_flag_and_a_length_in_network_order(void **state)
{
    struct buf bytes = {0};
    struct err err;
    uint8_t message[0x0102] = {7};
    assert_int_equal(grpc_frame_write(&bytes, message, sizeof(message), &err), 0);
    static const uint8_t header[] = {0, 0, 0, 1, 2, 7};
    assert_int_equal(buf_len(&bytes), GRPC_FRAME_HEADER_LEN + sizeof(message));
    assert_memory_equal(buf_head(&bytes), header, sizeof(header));
    buf_done(&bytes);
}

static void broken_headers_are_refused_with_the_status_for_the_other_side(void **state)
{
    static const struct {
        uint8_t header[GRPC_FRAME_HEADER_LEN];
        enum grpc_status status;
    } rows[] = {
        {{1, 0, 0, 0, 1}, GRPC_STATUS_INTERNAL},
        {{2, 0, 0, 0, 1}, GRPC_STATUS_INTERNAL},
        {{0xff, 0xff, 0xff, 0xff, 0xff}, GRPC_STATUS_INTERNAL},
        {{0, 0xff, 0xff, 0xff, 0xff}, GRPC_STATUS_RESOURCE_EXHAUSTED},
        {{0, 0, 0, MESSAGE_MAX >> 8, (MESSAGE_MAX & 0xff) + 1}, GRPC_STATUS_RESOURCE_EXHAUSTED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct grpc_frame_reader reader;
        struct err err = {0};
        enum grpc_status status = GRPC_STATUS_OK;
        grpc_frame_reader_init(&reader, MESSAGE_MAX);
        assert_int_equal(
            grpc_frame_reader_feed(&reader, rows[i].header, GRPC_FRAME_HEADER_LEN, &status, &err),
            -1);
        assert_int_equal(status, rows[i].status);
        assert_string_not_equal(err.message, "");
        assert_null(reader.message.bytes);
        grpc_frame_reader_done(&reader);
    }
}

static void the_memory_of_a_secret_is_never_moved(void **state)
{
    struct grpc_frame_reader reader;
    struct err err;
    enum grpc_status status;
    uint8_t secret[MESSAGE_MAX] = {1};
    struct buf bytes = {0};
    assert_int_equal(grpc_frame_write(&bytes, secret, sizeof(secret), &err), 0);
    grpc_frame_reader_init(&reader, MESSAGE_MAX);
    reader.is_secret = true;
    const uint8_t *first = NULL;
    for (size_t at = 0; at < buf_len(&bytes); at++) {
        assert_int_equal(grpc_frame_reader_feed(&reader, buf_head(&bytes) + at, 1, &status, &err),
                         1);
        if (first == NULL)
            first = reader.message.bytes;
        assert_ptr_equal(reader.message.bytes, first);
    }
    grpc_frame_reader_drop(&reader);
    assert_null(reader.message.bytes); /* nothing is kept for the next one */
    grpc_frame_reader_done(&reader);
    buf_done(&bytes);
}

static void a_promised_length_takes_no_memory_before_its_bytes_come(void **state)
{
    struct grpc_frame_reader reader;
    struct err err;
    enum grpc_status status;
    grpc_frame_reader_init(&reader, UINT32_MAX);
    static const uint8_t bytes[] = {0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3};
    assert_int_equal(grpc_frame_reader_feed(&reader, bytes, sizeof(bytes), &status, &err),
                     sizeof(bytes));
    assert_true(reader.message.capacity < 4096);
    grpc_frame_reader_done(&reader);
}

static void a_stream_that_ends_inside_a_message_is_seen(void **state)
{
    static const uint8_t bytes[] = {0, 0, 0, 0, 2, 1, 2};
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        struct grpc_frame_reader reader;
        struct err err;
        enum grpc_status status;
        grpc_frame_reader_init(&reader, MESSAGE_MAX);
        assert_int_equal(grpc_frame_reader_feed(&reader, bytes, len, &status, &err), len);
        assert_int_equal(grpc_frame_reader_at_boundary(&reader), len == 0 || len == sizeof(bytes));
        grpc_frame_reader_done(&reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_out_whole_however_the_bytes_are_cut),
        cmocka_unit_test(the_header_is_a_zero_flag_and_a_length_in_network_order),
        cmocka_unit_test(broken_headers_are_refused_with_the_status_for_the_other_side),
        cmocka_unit_test(the_memory_of_a_secret_is_never_moved),
        cmocka_unit_test(a_promised_length_takes_no_memory_before_its_bytes_come),
        cmocka_unit_test(a_stream_that_ends_inside_a_message_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
