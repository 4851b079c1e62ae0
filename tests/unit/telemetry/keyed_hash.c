#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "keyed_hash.h"

static const uint64_t seed[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

/* Computed by another implementation, which was checked against the published vector of SipHash-2-4. */
static void hash_is_siphash_1_3(void **state)
{
    static const struct {
        const char *texts[3];
        size_t num;
        uint64_t hash;
    } cases[] = {
        {{0}, 0, 0xabac0158050fc4dc},
        {{""}, 1, 0xc9f49bf37d57ca93},
        {{"seven77"}, 1, 0x311711e041fba464},
        {{"source", "frontend", "spiffe://td/ns/a/sa/b"}, 3, 0x8c46bcd2b86e1a8d},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_true(keyed_hash_texts(seed, cases[i].texts, cases[i].num) == cases[i].hash);
}

static void boundaries_between_texts_count(void **state)
{
    const char *left[] = {"ab", "c"};
    const char *right[] = {"a", "bc"};
    assert_true(keyed_hash_texts(seed, left, 2) != keyed_hash_texts(seed, right, 2));
}

static void another_seed_gives_another_hash(void **state)
{
    const uint64_t other[2] = {1, 2};
    const char *text = "same";
    assert_true(keyed_hash_texts(seed, &text, 1) != keyed_hash_texts(other, &text, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_is_siphash_1_3),
        cmocka_unit_test(boundaries_between_texts_count),
        cmocka_unit_test(another_seed_gives_another_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
