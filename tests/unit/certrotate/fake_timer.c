#include "fake_timer.h"

#include <stdlib.h>

#include "net_loop.h"

struct net_timer {
    void (*on_timeout)(void *owner);
    void *owner;
    bool runs;
    uint64_t left_ms;
    struct net_timer *next;
};

int64_t fake_timer_wall_ms;
static struct net_timer *timers;

struct net_timer *net_timer_new(struct net_loop *loop, void (*on_timeout)(void *owner), void *owner)
{
    struct net_timer *timer = calloc(1, sizeof(*timer));
    if (timer == NULL)
        return NULL;
    timer->on_timeout = on_timeout;
    timer->owner = owner;
    timer->next = timers;
    timers = timer;
    return timer;
}

void net_timer_start(struct net_timer *timer, uint64_t ms)
{
    timer->runs = true;
    timer->left_ms = ms;
}

void net_timer_stop(struct net_timer *timer)
{
    timer->runs = false;
}

void net_timer_free(struct net_timer *timer)
{
    if (timer == NULL)
        return;
    struct net_timer **at = &timers;
    while (*at != timer)
        at = &(*at)->next;
    *at = timer->next;
    free(timer);
}

int64_t fake_timer_wall(void)
{
    return fake_timer_wall_ms;
}

static struct net_timer *next_timer(void)
{
    struct net_timer *next = NULL;
    for (struct net_timer *timer = timers; timer != NULL; timer = timer->next)
        if (timer->runs && (next == NULL || timer->left_ms < next->left_ms))
            next = timer;
    return next;
}

uint64_t fake_timer_next_ms(void)
{
    const struct net_timer *next = next_timer();
    return next == NULL ? UINT64_MAX : next->left_ms;
}

static void advance(uint64_t ms)
{
    fake_timer_wall_ms += (int64_t)ms;
    for (struct net_timer *timer = timers; timer != NULL; timer = timer->next)
        if (timer->runs)
            timer->left_ms -= ms;
}

bool fake_timer_fire_next(void)
{
    struct net_timer *next = next_timer();
    if (next == NULL)
        return false;
    advance(next->left_ms);
    next->runs = false;
    next->on_timeout(next->owner);
    return true;
}

void fake_timer_pass(uint64_t ms)
{
    const int64_t until_ms = fake_timer_wall_ms + (int64_t)ms;
    while (fake_timer_next_ms() <= (uint64_t)(until_ms - fake_timer_wall_ms))
        fake_timer_fire_next();
    advance((uint64_t)(until_ms - fake_timer_wall_ms));
}

void fake_timer_step(int64_t ms)
{
    fake_timer_wall_ms += ms;
}

size_t fake_timer_num(void)
{
    size_t num = 0;
    for (const struct net_timer *timer = timers; timer != NULL; timer = timer->next)
        num++;
    return num;
}
