#include "rate_limit.h"

enum { EVENT = 1000 }; /* one event in the bucket's unit: a millisecond earns per_second of them */

void rate_limit_init(struct rate_limit *limit, uint32_t per_second, uint32_t burst)
{
    *limit = (struct rate_limit){
        .per_second = per_second,
        .burst = burst,
        .credit = (uint64_t)burst * EVENT,
    };
}

static void refill(struct rate_limit *limit, uint64_t now_ms)
{
    uint64_t full = (uint64_t)limit->burst * EVENT;
    uint64_t elapsed_ms = now_ms > limit->last_ms ? now_ms - limit->last_ms : 0;
    /* Compared by division: the product of a long pause overflows. */
    if (limit->per_second > 0 && elapsed_ms > full / limit->per_second)
        limit->credit = full;
    else
        limit->credit += elapsed_ms * limit->per_second;
    if (limit->credit > full)
        limit->credit = full;
    limit->last_ms = now_ms;
}

bool rate_limit_take(struct rate_limit *limit, uint64_t now_ms, uint64_t *num_refused)
{
    refill(limit, now_ms);
    if (limit->credit < EVENT) {
        limit->num_refused++;
        return false;
    }
    limit->credit -= EVENT;
    *num_refused = limit->num_refused;
    limit->num_refused = 0;
    return true;
}
