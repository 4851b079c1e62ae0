/* Time and memory of this program. */
#ifndef REMORA_BENCH_MEASURE_H
#define REMORA_BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>

/* Nanoseconds of a clock that never goes back. */
uint64_t measure_now_ns(void);

/* Bytes that malloc has given out and not got back, its own bookkeeping included. */
size_t measure_allocated(void);

/* Bytes of memory that the program occupies. */
size_t measure_resident(void);

/* Sorts the samples. Their median. */
uint64_t measure_median(uint64_t *samples, size_t num);

#endif
