#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

static void a_zeroed_buffer_is_empty(void **state)
{
    struct buf buf = {0};
    assert_int_equal(buf_len(&buf), 0);
    assert_null(buf_head(&buf));
    assert_int_equal(buf_append(&buf, NULL, 0), 0);
    buf_consume(&buf, 0);
    buf_clear(&buf, 0);
    buf_done(&buf);
    assert_null(buf.bytes);
}

static void bytes_come_out_in_the_order_they_went_in(void **state)
{
    /* Odd sizes, so that growing, moving down and draining meet each other. */
    struct buf buf = {0};
    uint8_t next_in = 0, next_out = 0;
    size_t queued = 0;
    for (unsigned round = 0; round < 2000; round++) {
        uint8_t piece[97];
        size_t put = round % sizeof(piece);
        for (size_t i = 0; i < put; i++)
            piece[i] = next_in++;
        assert_int_equal(buf_append(&buf, piece, put), 0);
        queued += put;
        size_t take = round % 61 < queued ? round % 61 : queued;
        if (round % 500 == 499)
            take = queued;
        assert_int_equal(buf_len(&buf), queued);
        for (size_t i = 0; i < take; i++)
            assert_int_equal(buf_head(&buf)[i], next_out++);
        buf_consume(&buf, take);
        queued -= take;
    }
    buf_done(&buf);
}

static void a_queue_that_is_drained_does_not_grow(void **state)
{
    struct buf buf = {0};
    uint8_t piece[100] = {0};
    for (unsigned i = 0; i < 100000; i++) {
        assert_int_equal(buf_append(&buf, piece, sizeof(piece)), 0);
        if (i > 0)
            buf_consume(&buf, sizeof(piece));
    }
    assert_true(buf.capacity <= 1024);
    buf_done(&buf);
}

static void reserve_gives_room_and_commit_counts_it(void **state)
{
    struct buf buf = {0};
    uint8_t *to = buf_reserve(&buf, 1000);
    assert_non_null(to);
    assert_int_equal(buf_len(&buf), 0);
    memset(to, 'x', 1000);
    buf_commit(&buf, 10);
    assert_int_equal(buf_len(&buf), 10);
    assert_memory_equal(buf_head(&buf), "xxxxxxxxxx", 10);
    buf_done(&buf);
}

static void an_absurd_size_fails_and_loses_nothing(void **state)
{
    struct buf buf = {0};
    assert_int_equal(buf_append_str(&buf, "kept"), 0);
    assert_null(buf_reserve(&buf, SIZE_MAX));
    assert_null(buf_reserve(&buf, SIZE_MAX / 2));
    assert_int_equal(buf_len(&buf), 4);
    assert_memory_equal(buf_head(&buf), "kept", 4);
    buf_done(&buf);
}

static void printf_appends_without_the_nul(void **state)
{
    struct buf buf = {0};
    char text[300];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(buf_printf(&buf, "%d:", 42), 0);
    assert_int_equal(buf_printf(&buf, "%s", text), 0);
    assert_int_equal(buf_printf(&buf, "%s", ""), 0);
    assert_int_equal(buf_len(&buf), 3 + 299);
    assert_memory_equal(buf_head(&buf), "42:aaa", 6);
    buf_done(&buf);
}

static void clear_gives_a_bursts_memory_back(void **state)
{
    struct buf buf = {0};
    assert_non_null(buf_reserve(&buf, 100000));
    buf_commit(&buf, 100000);
    buf_clear(&buf, 4096);
    assert_int_equal(buf_len(&buf), 0);
    assert_int_equal(buf.capacity, 0);
    assert_int_equal(buf_append_str(&buf, "small"), 0);
    buf_clear(&buf, 4096);
    assert_int_equal(buf_len(&buf), 0);
    assert_true(buf.capacity > 0);
    buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zeroed_buffer_is_empty),
        cmocka_unit_test(bytes_come_out_in_the_order_they_went_in),
        cmocka_unit_test(a_queue_that_is_drained_does_not_grow),
        cmocka_unit_test(reserve_gives_room_and_commit_counts_it),
        cmocka_unit_test(an_absurd_size_fails_and_loses_nothing),
        cmocka_unit_test(printf_appends_without_the_nul),
        cmocka_unit_test(clear_gives_a_bursts_memory_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
