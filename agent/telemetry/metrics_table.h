/* What is inside the registry: for metrics.c, which fills it, and metrics_text.c, which prints it. */
#ifndef REMORA_METRICS_TABLE_H
#define REMORA_METRICS_TABLE_H

#include <pthread.h>
#include <stdatomic.h>

#include "metrics.h"

/*
 * Upper bounds of a histogram's buckets: a handshake on one machine takes a millisecond, a timeout
 * ten thousand. OpenMetrics wants its floats with a dot; the older format gets the same text, so
 * that a series keeps its labels whichever is asked for.
 */
enum { METRICS_NUM_BOUNDS = 13 };

struct metrics_bound {
    uint16_t ms;
    const char *seconds; /* as exposed */
};

extern const struct metrics_bound metrics_bounds[METRICS_NUM_BOUNDS];

/* The values of a DURATIONS row: how many fell into each bucket (not cumulated), then past the last
 * bound, then the sum in milliseconds. */
enum {
    METRICS_SLOT_INF = METRICS_NUM_BOUNDS,
    METRICS_SLOT_SUM,
    METRICS_NUM_SLOTS,
};

struct metrics_row {
    uint64_t hash;
    const char **labels;      /* num_labels, in the row's own memory */
    _Atomic int64_t values[]; /* a column each, or METRICS_NUM_SLOTS */
};

struct metrics_table {
    struct metrics_table *next;
    struct metrics_spec spec;
    size_t num_values; /* of a row */
    uint64_t seed[2];
    struct metrics_row *overflow;
    _Atomic uint64_t num_overflows;
    pthread_mutex_t lock; /* of those who add rows */

    /* Rows are only ever added: first their content, then their slot in the index, then the count.
     * Readers follow with acquire and need no lock. */
    atomic_size_t num_rows;
    struct metrics_row **rows; /* max_rows, in the order in which they were made */
    size_t index_mask;
    _Atomic(struct metrics_row *) *index; /* open addressing; at most half full */
};

struct metrics {
    struct metrics_table *first;
    struct metrics_table **last_next;
};

#endif
