/*
 * When to fetch the next certificate: pure arithmetic on wall-clock values. The machine
 * (rotation.h) asks again at each wake-up, so that a suspended host and a stepped clock are noticed
 * at the next one; nothing here remembers a timer.
 */
#ifndef REMORA_ROTATION_PLAN_H
#define REMORA_ROTATION_PLAN_H

#include <stdbool.h>
#include <stdint.h>

enum {
    ROTATION_WAKE_MAX_MS = 30 * 1000,   /* a clock step or a resume is noticed within this */
    ROTATION_RETRY_FIRST_MS = 1000,     /* as ztunnel: 1 s, doubling ... */
    ROTATION_RETRY_MAX_MS = 150 * 1000, /* ... to 150 s */
    /* Either way: agents that failed together must not retry together. */
    ROTATION_RETRY_JITTER_PERCENT = 20,
    /* Of half the lifetime; more would eat the time left for retries. */
    ROTATION_RENEW_JITTER_MAX_PERCENT = 25,
};

/*
 * The moment at which a certificate is to be renewed: the middle of what is left of its life at
 * now_ms, when it was received, moved earlier or later by at most jitter_percent (0 to
 * ROTATION_RENEW_JITTER_MAX_PERCENT) of that half, by where `random` falls. Not the middle between
 * not_before and not_after: CAs backdate, and a short life would be past its middle when it begins.
 * At least ROTATION_RETRY_FIRST_MS after now_ms, so that no CA is asked in a tight loop. Drawn once
 * for each certificate.
 */
int64_t rotation_plan_renew_at_ms(int64_t now_ms, int64_t not_before_ms, int64_t not_after_ms,
                                  unsigned jitter_percent, uint64_t random);

/*
 * How long to wait after failure number `num_failures` in a row (1 for the first): doubling from
 * ROTATION_RETRY_FIRST_MS to ROTATION_RETRY_MAX_MS, and while a certificate is held (not_after_ms;
 * 0: none is) never more than half of what is left of it, so that its last minutes see several
 * attempts; with jitter, and at least half of ROTATION_RETRY_FIRST_MS.
 */
uint64_t rotation_plan_retry_ms(unsigned num_failures, int64_t not_after_ms, int64_t now_ms,
                                uint64_t random);

enum rotation_action {
    ROTATION_WAIT,  /* sleep for wait_ms, then ask again */
    ROTATION_RENEW, /* fetch now, and go on */
    ROTATION_DROP,  /* the certificate held has ended: use it no more, then ask again */
};

/* What the machine knows when it asks. Instants are wall clock; 0 means "none". */
struct rotation_view {
    int64_t now_ms;
    int64_t last_wake_ms;  /* now_ms of the previous question: a clock that went back shows here */
    int64_t not_before_ms; /* of the certificate held */
    int64_t not_after_ms;  /* 0: no certificate is held */
    int64_t renew_at_ms;   /* 0: not by time; a source that pushes says when */
    int64_t retry_at_ms;   /* after a failure; 0: no failure since the last success */
    bool is_fetching;      /* then the answer is not ROTATION_RENEW */
};

struct rotation_step {
    enum rotation_action action;
    uint64_t wait_ms; /* with ROTATION_WAIT: at most ROTATION_WAKE_MAX_MS, at least 1 */
};

/*
 * A fetch is due when no certificate is held, when renew_at_ms has come, when the clock stands
 * before not_before_ms (it was set back; the certificate held stays in use, since peers' clocks may
 * be right), or after a failure; with retry_at_ms it waits for that moment, unless the clock went
 * back meanwhile, which would make it arbitrarily long.
 */
struct rotation_step rotation_plan_next(const struct rotation_view *view);

#endif
