#include <stdlib.h>

#include "net_loop_impl.h"

struct net_timer {
    uv_timer_t uv;
    void (*on_timeout)(void *owner);
    void *owner;
};

static void on_fired(uv_timer_t *handle)
{
    struct net_timer *timer = handle->data;
    timer->on_timeout(timer->owner);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct net_timer *net_timer_new(struct net_loop *loop, void (*on_timeout)(void *owner), void *owner)
{
    struct net_timer *timer = calloc(1, sizeof(*timer));
    if (timer == NULL)
        return NULL;
    timer->on_timeout = on_timeout;
    timer->owner = owner;
    uv_timer_init(&loop->uv, &timer->uv);
    timer->uv.data = timer;
    return timer;
}

void net_timer_start(struct net_timer *timer, uint64_t ms)
{
    uv_timer_start(&timer->uv, on_fired, ms, 0);
}

void net_timer_stop(struct net_timer *timer)
{
    uv_timer_stop(&timer->uv);
}

void net_timer_free(struct net_timer *timer)
{
    if (timer != NULL)
        uv_close((uv_handle_t *)&timer->uv, on_closed);
}
