#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "rng.h"

enum { NUM_DRAWN = 200 };

static void numbers_do_not_repeat_across_refills(void **state)
{
    uint64_t drawn[NUM_DRAWN];
    for (size_t i = 0; i < NUM_DRAWN; i++) {
        drawn[i] = rng_u64();
        for (size_t j = 0; j < i; j++)
            assert_true(drawn[i] != drawn[j]);
    }
}

static void *draw(void *arg)
{
    *(uint64_t *)arg = rng_u64();
    return NULL;
}

static void threads_do_not_share_numbers(void **state)
{
    uint64_t theirs[2];
    for (size_t i = 0; i < 2; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, draw, &theirs[i]), 0);
        pthread_join(thread, NULL);
    }
    assert_true(theirs[0] != theirs[1]);
}

static void bytes_fill_all_and_nothing_more(void **state)
{
    uint8_t bytes[66] = {0};
    rng_bytes(bytes + 1, 0);
    rng_bytes(bytes + 1, 64);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(bytes[65], 0);
    unsigned num_zero = 0;
    for (size_t i = 1; i < 65; i++)
        num_zero += bytes[i] == 0;
    assert_true(num_zero < 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_do_not_repeat_across_refills),
        cmocka_unit_test(threads_do_not_share_numbers),
        cmocka_unit_test(bytes_fill_all_and_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
