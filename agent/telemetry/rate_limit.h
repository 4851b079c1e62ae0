/* A token bucket: so many events a second in the long run, so many at once. Takes the time as a
 * value. */
#ifndef REMORA_RATE_LIMIT_H
#define REMORA_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct rate_limit {
    uint32_t per_second;
    uint32_t burst;
    uint64_t credit; /* what is left, in thousandths of an event */
    uint64_t last_ms;
    uint64_t num_refused; /* since the last one that passed */
};

void rate_limit_init(struct rate_limit *limit, uint32_t per_second, uint32_t burst);

/* Whether one more event may pass at now_ms (monotonic). When it may, *num_refused is how many did
 * not since the last one that did. */
bool rate_limit_take(struct rate_limit *limit, uint64_t now_ms, uint64_t *num_refused);

#endif
