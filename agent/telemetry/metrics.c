#include "metrics.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "keyed_hash.h"
#include "metrics_table.h"
#include "rng.h"

const struct metrics_bound metrics_bounds[METRICS_NUM_BOUNDS] = {
    {1, "0.001"},  {2, "0.002"},  {5, "0.005"},    {10, "0.01"}, {25, "0.025"},
    {50, "0.05"},  {100, "0.1"},  {250, "0.25"},   {500, "0.5"}, {1000, "1.0"},
    {2500, "2.5"}, {5000, "5.0"}, {10000, "10.0"},
};

struct metrics *metrics_new(void)
{
    struct metrics *metrics = calloc(1, sizeof(*metrics));
    if (metrics != NULL)
        metrics->last_next = &metrics->first;
    return metrics;
}

static void table_free(struct metrics_table *table)
{
    for (size_t i = 0; i < atomic_load(&table->num_rows); i++)
        free(table->rows[i]);
    free(table->overflow);
    free(table->rows);
    free(table->index);
    pthread_mutex_destroy(&table->lock);
    free(table);
}

void metrics_free(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    for (struct metrics_table *table = metrics->first, *next; table != NULL; table = next) {
        next = table->next;
        table_free(table);
    }
    free(metrics);
}

/* ------------------------------------------------------------------------------------- rows -- */

/* One allocation: the row, its values, its label pointers, its label texts. */
static struct metrics_row *row_new(const struct metrics_table *table, const char *const *values,
                                   uint64_t hash)
{
    size_t num_labels = table->spec.num_labels;
    size_t values_len = table->num_values * sizeof(_Atomic int64_t);
    size_t size = sizeof(struct metrics_row) + values_len + num_labels * sizeof(char *);
    for (size_t i = 0; i < num_labels; i++)
        size += strlen(values[i]) + 1;
    struct metrics_row *row = calloc(1, size);
    if (row == NULL)
        return NULL;
    row->hash = hash;
    row->labels = (const char **)((char *)(row + 1) + values_len);
    char *text = (char *)(row->labels + num_labels);
    for (size_t i = 0; i < num_labels; i++) {
        row->labels[i] = text;
        text = stpcpy(text, values[i]) + 1;
    }
    return row;
}

static bool row_matches(const struct metrics_table *table, const struct metrics_row *row,
                        uint64_t hash, const char *const *values)
{
    if (row->hash != hash)
        return false;
    for (size_t i = 0; i < table->spec.num_labels; i++) {
        if (strcmp(row->labels[i], values[i]) != 0)
            return false;
    }
    return true;
}

/* The row, or NULL and the slot where it would be. */
static struct metrics_row *find(const struct metrics_table *table, uint64_t hash,
                                const char *const *values, size_t *slot)
{
    for (*slot = hash & table->index_mask;; *slot = (*slot + 1) & table->index_mask) {
        struct metrics_row *row = atomic_load_explicit(&table->index[*slot], memory_order_acquire);
        if (row == NULL || row_matches(table, row, hash, values))
            return row;
    }
}

/* Under the lock, from the slot where the row is not. */
static struct metrics_row *insert(struct metrics_table *table, uint64_t hash,
                                  const char *const *values, size_t slot)
{
    size_t num_rows = atomic_load_explicit(&table->num_rows, memory_order_relaxed);
    struct metrics_row *row = NULL;
    if (num_rows < table->spec.max_rows)
        row = row_new(table, values, hash);
    if (row == NULL) {
        atomic_fetch_add_explicit(&table->num_overflows, 1, memory_order_relaxed);
        return table->overflow;
    }
    table->rows[num_rows] = row;
    atomic_store_explicit(&table->index[slot], row, memory_order_release);
    atomic_store_explicit(&table->num_rows, num_rows + 1, memory_order_release);
    return row;
}

struct metrics_row *metrics_row_get(struct metrics_table *table, const char *const *values)
{
    uint64_t hash = keyed_hash_texts(table->seed, values, table->spec.num_labels);
    size_t slot;
    struct metrics_row *row = find(table, hash, values, &slot);
    if (row != NULL)
        return row;
    pthread_mutex_lock(&table->lock);
    row = find(table, hash, values, &slot); /* another thread may have been first */
    if (row == NULL)
        row = insert(table, hash, values, slot);
    pthread_mutex_unlock(&table->lock);
    return row;
}

/* ------------------------------------------------------------------------------------ tables -- */

static size_t index_size(size_t max_rows)
{
    size_t size = 4;
    while (size < max_rows * 2)
        size *= 2;
    return size;
}

struct metrics_table *metrics_table_new(struct metrics *metrics, const struct metrics_spec *spec)
{
    assert(spec->num_columns >= 1 && spec->num_columns <= METRICS_COLUMNS_MAX);
    assert(spec->type != METRICS_DURATIONS || spec->num_columns == 1);
    assert(spec->num_labels <= METRICS_LABELS_MAX);
    assert(spec->max_rows >= 1 && spec->max_rows <= METRICS_ROWS_MAX);

    struct metrics_table *table = calloc(1, sizeof(*table));
    if (table == NULL)
        return NULL;
    pthread_mutex_init(&table->lock, NULL);
    table->spec = *spec;
    table->num_values = spec->type == METRICS_DURATIONS ? METRICS_NUM_SLOTS : spec->num_columns;
    rng_bytes(table->seed, sizeof(table->seed));

    size_t size = index_size(spec->max_rows);
    table->index_mask = size - 1;
    table->index = calloc(size, sizeof(*table->index));
    table->rows = calloc(spec->max_rows, sizeof(struct metrics_row *));
    const char *overflow[METRICS_LABELS_MAX];
    for (size_t i = 0; i < METRICS_LABELS_MAX; i++)
        overflow[i] = "overflow";
    table->overflow = row_new(table, overflow, 0);
    if (table->index == NULL || table->rows == NULL || table->overflow == NULL) {
        table_free(table);
        return NULL;
    }
    *metrics->last_next = table;
    metrics->last_next = &table->next;
    return table;
}

uint64_t metrics_table_overflows(const struct metrics_table *table)
{
    return atomic_load_explicit(&table->num_overflows, memory_order_relaxed);
}

/* ---------------------------------------------------------------------------------- counting -- */

void metrics_row_add(struct metrics_row *row, size_t column, int64_t by)
{
    atomic_fetch_add_explicit(&row->values[column], by, memory_order_relaxed);
}

void metrics_row_set(struct metrics_row *row, size_t column, int64_t value)
{
    atomic_store_explicit(&row->values[column], value, memory_order_relaxed);
}

void metrics_row_observe(struct metrics_row *row, uint64_t duration_ms)
{
    size_t slot = 0;
    while (slot < METRICS_NUM_BOUNDS && duration_ms > metrics_bounds[slot].ms)
        slot++;
    metrics_row_add(row, slot, 1);
    metrics_row_add(row, METRICS_SLOT_SUM, (int64_t)duration_ms);
}
