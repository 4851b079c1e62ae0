#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "buf.h"
#include "metrics.h"
#include "metrics_table.h"

static const char *const labels[] = {"a", "b"};

static struct metrics_spec spec_with(size_t max_rows)
{
    return (struct metrics_spec){
        .type = METRICS_COUNTER,
        .columns = {{"things", "Things"}, {"others", "Others"}},
        .num_columns = 2,
        .labels = labels,
        .num_labels = 2,
        .max_rows = max_rows,
    };
}

static struct metrics_row *row(struct metrics_table *table, const char *a, const char *b)
{
    const char *values[] = {a, b};
    return metrics_row_get(table, values);
}

static void same_labels_give_the_same_row(void **state)
{
    struct metrics *metrics = metrics_new();
    struct metrics_spec spec = spec_with(10);
    struct metrics_table *table = metrics_table_new(metrics, &spec);
    struct metrics_row *first = row(table, "x", "y");
    assert_ptr_equal(row(table, "x", "y"), first);
    assert_ptr_not_equal(row(table, "xy", ""), first);
    assert_ptr_not_equal(row(table, "y", "x"), first);
    metrics_free(metrics);
}

static void label_values_are_copied(void **state)
{
    struct metrics *metrics = metrics_new();
    struct metrics_spec spec = spec_with(10);
    struct metrics_table *table = metrics_table_new(metrics, &spec);
    char a[] = "first";
    struct metrics_row *first = row(table, a, "");
    memcpy(a, "other", sizeof(a));
    assert_ptr_equal(row(table, "first", ""), first);
    assert_ptr_not_equal(row(table, a, ""), first);
    metrics_free(metrics);
}

static void columns_count_apart(void **state)
{
    struct metrics *metrics = metrics_new();
    struct metrics_spec spec = spec_with(10);
    struct metrics_row *both = row(metrics_table_new(metrics, &spec), "x", "y");
    metrics_row_add(both, 0, 3);
    metrics_row_add(both, 1, 4);
    metrics_row_add(both, 1, -1);
    assert_true(both->values[0] == 3 && both->values[1] == 3);
    metrics_row_set(both, 0, 100);
    assert_true(both->values[0] == 100 && both->values[1] == 3);
    metrics_free(metrics);
}

static void what_does_not_fit_is_counted_in_the_overflow_row(void **state)
{
    struct metrics *metrics = metrics_new();
    struct metrics_spec spec = spec_with(3);
    struct metrics_table *table = metrics_table_new(metrics, &spec);
    struct metrics_row *known[3] = {row(table, "1", ""), row(table, "2", ""), row(table, "3", "")};
    assert_int_equal(metrics_table_overflows(table), 0);

    struct metrics_row *overflow = row(table, "4", "");
    assert_string_equal(overflow->labels[0], "overflow");
    assert_string_equal(overflow->labels[1], "overflow");
    assert_ptr_equal(row(table, "5", ""), overflow);
    assert_int_equal(metrics_table_overflows(table), 2);
    assert_ptr_equal(row(table, "2", ""), known[1]); /* what is known stays known */
    assert_int_equal(atomic_load(&table->num_rows), 3);
    metrics_free(metrics);
}

static void durations_fall_into_the_bucket_that_includes_its_bound(void **state)
{
    static const struct {
        uint64_t ms;
        size_t slot;
    } cases[] = {{0, 0},
                 {1, 0},
                 {2, 1},
                 {3, 2},
                 {1000, 9},
                 {1001, 10},
                 {10000, 12},
                 {10001, METRICS_SLOT_INF},
                 {UINT32_MAX, METRICS_SLOT_INF}};
    struct metrics *metrics = metrics_new();
    struct metrics_spec spec = {
        .type = METRICS_DURATIONS,
        .columns = {{"times", "Times"}},
        .num_columns = 1,
        .max_rows = 1,
    };
    struct metrics_row *times = metrics_row_get(metrics_table_new(metrics, &spec), NULL);
    int64_t sum = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t before = times->values[cases[i].slot];
        metrics_row_observe(times, cases[i].ms);
        assert_true(times->values[cases[i].slot] == before + 1);
        sum += (int64_t)cases[i].ms;
    }
    assert_true(times->values[METRICS_SLOT_SUM] == sum);
    metrics_free(metrics);
}

/* ------------------------------------------------------------------------------------ threads -- */

enum { NUM_THREADS = 4, NUM_ROUNDS = 2000, NUM_NAMES = 97, MAX_ROWS = 64 };

static void *count(void *arg)
{
    struct metrics_table *table = arg;
    for (unsigned i = 0; i < NUM_ROUNDS * NUM_NAMES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%u", i % NUM_NAMES);
        metrics_row_add(row(table, name, "x"), 0, 1);
    }
    return NULL;
}

/* Every event is in exactly one row, however the threads met while rows were made. */
static void threads_lose_no_event(void **state)
{
    struct metrics *metrics = metrics_new();
    struct metrics_spec spec = spec_with(MAX_ROWS);
    struct metrics_table *table = metrics_table_new(metrics, &spec);
    pthread_t threads[NUM_THREADS];
    for (size_t i = 0; i < NUM_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, table), 0);
    for (size_t i = 0; i < NUM_THREADS; i++)
        pthread_join(threads[i], NULL);

    assert_int_equal(atomic_load(&table->num_rows), MAX_ROWS);
    for (size_t i = 0; i < MAX_ROWS; i++) {
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(table->rows[i]->labels[0], table->rows[j]->labels[0]);
        assert_true(table->rows[i]->values[0] == NUM_THREADS * NUM_ROUNDS);
    }
    int64_t overflowed = (int64_t)NUM_THREADS * NUM_ROUNDS * (NUM_NAMES - MAX_ROWS);
    assert_true(table->overflow->values[0] == overflowed);
    assert_true(metrics_table_overflows(table) == (uint64_t)overflowed);
    metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_labels_give_the_same_row),
        cmocka_unit_test(label_values_are_copied),
        cmocka_unit_test(columns_count_apart),
        cmocka_unit_test(what_does_not_fit_is_counted_in_the_overflow_row),
        cmocka_unit_test(durations_fall_into_the_bucket_that_includes_its_bound),
        cmocka_unit_test(threads_lose_no_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
