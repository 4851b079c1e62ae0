#include "rotation_plan.h"

static int64_t max_ms(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t min_ms(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Evenly in -spread..spread. */
static int64_t jitter(int64_t spread, uint64_t random)
{
    if (spread <= 0)
        return 0;
    return (int64_t)(random % (2 * (uint64_t)spread + 1)) - spread;
}

int64_t rotation_plan_renew_at_ms(int64_t now_ms, int64_t not_before_ms, int64_t not_after_ms,
                                  unsigned jitter_percent, uint64_t random)
{
    int64_t start_ms = max_ms(now_ms, not_before_ms);
    int64_t half_ms = (not_after_ms - start_ms) / 2;
    int64_t percent = min_ms(jitter_percent, ROTATION_RENEW_JITTER_MAX_PERCENT);
    int64_t at_ms = start_ms + half_ms + jitter(half_ms / 100 * percent, random);
    return max_ms(at_ms, now_ms + ROTATION_RETRY_FIRST_MS);
}

/* notAfter has whole seconds and is itself still inside (RFC 5280, 4.1.2.5). */
static int64_t end_ms(int64_t not_after_ms)
{
    return not_after_ms + 1000;
}

uint64_t rotation_plan_retry_ms(unsigned num_failures, int64_t not_after_ms, int64_t now_ms,
                                uint64_t random)
{
    int64_t wait_ms = ROTATION_RETRY_FIRST_MS;
    for (unsigned i = 1; i < num_failures && wait_ms < ROTATION_RETRY_MAX_MS; i++)
        wait_ms *= 2;
    wait_ms = min_ms(wait_ms, ROTATION_RETRY_MAX_MS);
    if (end_ms(not_after_ms) > now_ms)
        wait_ms = min_ms(wait_ms, (end_ms(not_after_ms) - now_ms) / 2);
    /* The jitter comes last: a shared expiry would otherwise bring agents back in step. */
    wait_ms += jitter(wait_ms / 100 * ROTATION_RETRY_JITTER_PERCENT, random);
    return (uint64_t)max_ms(wait_ms, ROTATION_RETRY_FIRST_MS / 2);
}

static bool is_clock_back(const struct rotation_view *view)
{
    return view->now_ms < view->last_wake_ms;
}

static bool is_renewal_wanted(const struct rotation_view *view)
{
    if (view->not_after_ms == 0 || view->retry_at_ms != 0)
        return true;
    if (view->now_ms < view->not_before_ms)
        return true;
    return view->renew_at_ms != 0 && view->now_ms >= view->renew_at_ms;
}

static bool may_fetch_now(const struct rotation_view *view)
{
    return view->retry_at_ms == 0 || view->now_ms >= view->retry_at_ms || is_clock_back(view);
}

/* Until the next of the moments that matter. */
static uint64_t time_to_wait(const struct rotation_view *view)
{
    int64_t next_ms = view->now_ms + ROTATION_WAKE_MAX_MS;
    if (!view->is_fetching && view->retry_at_ms != 0)
        next_ms = min_ms(next_ms, view->retry_at_ms);
    else if (!view->is_fetching && view->renew_at_ms != 0)
        next_ms = min_ms(next_ms, view->renew_at_ms);
    if (view->not_after_ms != 0)
        next_ms = min_ms(next_ms, end_ms(view->not_after_ms));
    return (uint64_t)max_ms(next_ms - view->now_ms, 1);
}

struct rotation_step rotation_plan_next(const struct rotation_view *view)
{
    if (view->not_after_ms != 0 && view->now_ms >= end_ms(view->not_after_ms))
        return (struct rotation_step){.action = ROTATION_DROP};
    if (!view->is_fetching && is_renewal_wanted(view) && may_fetch_now(view))
        return (struct rotation_step){.action = ROTATION_RENEW};
    return (struct rotation_step){.action = ROTATION_WAIT, .wait_ms = time_to_wait(view)};
}
