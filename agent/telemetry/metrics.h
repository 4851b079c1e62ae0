/*
 * The process's metrics: tables of rows, where a table is what Prometheus calls one or more metric
 * families with the same labels, and a row one set of label values. Reading a known row and counting
 * in it takes no lock, from any thread; making a row takes one. Rows are never removed, so that a
 * counter never goes back; their number is bounded instead.
 *
 * Not for: what the metrics mean (telemetry_hub.c has the tables), the exposition format
 * (metrics_text.h).
 */
#ifndef REMORA_METRICS_H
#define REMORA_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum {
    METRICS_LABELS_MAX = 32,  /* of one table; Istio's traffic labels are 23 */
    METRICS_COLUMNS_MAX = 8,  /* families that share a table */
    METRICS_ROWS_MAX = 65536, /* of one table; what a table really needs is far below */
};

enum metrics_type {
    METRICS_COUNTER,   /* exposed as <name>_total */
    METRICS_GAUGE,     /* signed */
    METRICS_DURATIONS, /* a histogram of milliseconds, exposed in seconds as <name> */
};

struct metrics_column {
    const char *name; /* without "_total" */
    const char *help; /* one sentence, without a full stop */
};

/* Static storage, all of it. */
struct metrics_spec {
    enum metrics_type type;
    struct metrics_column columns[METRICS_COLUMNS_MAX]; /* of DURATIONS: one */
    size_t num_columns;
    const char *const *labels; /* names, in the order in which they are exposed */
    size_t num_labels;
    size_t max_rows; /* what does not fit is counted in one row whose labels all are "overflow" */
};

struct metrics;
struct metrics_table;
struct metrics_row;

/* No tables. NULL when out of memory. */
struct metrics *metrics_new(void);

/* When no thread uses it any more. NULL is ignored. */
void metrics_free(struct metrics *metrics);

/* Adds a table, lent until metrics_free; before other threads know `metrics`. NULL when out of
 * memory. */
struct metrics_table *metrics_table_new(struct metrics *metrics, const struct metrics_spec *spec);

/*
 * The row with these label values (as many as the spec has labels, none of them NULL), lent until
 * metrics_free; made when it is new. Never NULL: when the table is full or memory is out it is the
 * overflow row. Values are copied; bytes in them that are not UTF-8 become "?", since one such byte
 * would make a scraper refuse everything.
 */
struct metrics_row *metrics_row_get(struct metrics_table *table, const char *const *values);

/* Of counters and gauges. */
void metrics_row_add(struct metrics_row *row, size_t column, int64_t by);
/* Of gauges, and of counters that are kept elsewhere. */
void metrics_row_set(struct metrics_row *row, size_t column, int64_t value);
/* Of durations. */
void metrics_row_observe(struct metrics_row *row, uint64_t duration_ms);

/* How often the table was full when a new row was asked for. */
uint64_t metrics_table_overflows(const struct metrics_table *table);

#endif
