#include "histogram.h"

#include <string.h>

/* Values below HISTOGRAM_SUB have a bucket each; above, the leading bits after the first one choose the bucket. */
static unsigned bucket_of(uint64_t ns)
{
    if (ns < HISTOGRAM_SUB)
        return (unsigned)ns;
    unsigned top = 63u - (unsigned)__builtin_clzll(ns);
    unsigned shift = top - HISTOGRAM_SUB_BITS;
    unsigned index = (shift + 1) * HISTOGRAM_SUB + (unsigned)((ns >> shift) - HISTOGRAM_SUB);
    return index < HISTOGRAM_BUCKETS ? index : HISTOGRAM_BUCKETS - 1;
}

static uint64_t upper_edge(unsigned index)
{
    if (index < HISTOGRAM_SUB)
        return index;
    unsigned shift = index / HISTOGRAM_SUB - 1;
    return ((uint64_t)(index % HISTOGRAM_SUB + HISTOGRAM_SUB + 1) << shift) - 1;
}

void histogram_clear(struct histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->buckets[bucket_of(ns)]++;
    histogram->num_values++;
    if (ns > histogram->max_ns)
        histogram->max_ns = ns;
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile)
{
    uint64_t seen = 0;

    if (histogram->num_values == 0)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > 0 && (double)seen >= quantile * (double)histogram->num_values) {
            uint64_t edge = upper_edge(i);
            return edge < histogram->max_ns ? edge : histogram->max_ns;
        }
    }
    return histogram->max_ns;
}
