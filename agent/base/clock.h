/*
 * The two clocks. Only event loops, rotation and logging read them; everything that decides takes
 * the time as a value.
 */
#ifndef REMORA_CLOCK_H
#define REMORA_CLOCK_H

#include <stdint.h>

/* Milliseconds that never go back; for timers and durations. Does not count time suspended. */
uint64_t clock_mono_ms(void);

/* Milliseconds since 1970-01-01 UTC; for certificate times and logs. May step. */
int64_t clock_wall_ms(void);

enum { CLOCK_TEXT_MAX = 32 };

/* RFC 3339 in UTC with milliseconds, "2026-11-23T10:00:00.000Z"; `out` has CLOCK_TEXT_MAX bytes.
 * Returns `out`. */
const char *clock_format(int64_t wall_ms, char *out);

#endif
