/*
 * Latency histogram with a fixed relative error.
 *
 * Buckets are linear inside each power of two (HISTOGRAM_SUB of them), so a quantile is off by at most 1 / HISTOGRAM_SUB of
 * its value, adding costs a few instructions and the whole table is one array that needs no allocation.
 * Not for values above about 18 minutes, which land in the last bucket.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_SUB      (1 << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_BITS     40
#define HISTOGRAM_BUCKETS  ((HISTOGRAM_BITS - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB)

/* All zero is an empty histogram. */
struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t num_values;
    uint64_t max_ns;
};

/* Forgets everything that was added. */
void histogram_clear(struct histogram *histogram);

/* Adds one value in nanoseconds. */
void histogram_add(struct histogram *histogram, uint64_t ns);

/*
 * The smallest value, in nanoseconds, that at least the share `quantile` (0..1) of all values does not exceed, rounded up to
 * its bucket's upper edge but never above the largest value added. 0 when the histogram is empty.
 */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

#endif
