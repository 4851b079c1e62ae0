#include <stdlib.h>

#include "net_err.h"
#include "net_loop_impl.h"

struct net_wake {
    uv_async_t uv;
    void (*on_wake)(void *owner);
    void *owner;
};

static void on_sent(uv_async_t *handle)
{
    struct net_wake *wake = handle->data;
    wake->on_wake(wake->owner);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct net_wake *net_wake_new(struct net_loop *loop, void (*on_wake)(void *owner), void *owner,
                              struct err *err)
{
    struct net_wake *wake = calloc(1, sizeof(*wake));
    if (wake == NULL) {
        err_set(err, ERR_NOMEM, "wake-up: out of memory");
        return NULL;
    }
    wake->on_wake = on_wake;
    wake->owner = owner;
    wake->uv.data = wake;
    int rc = uv_async_init(&loop->uv, &wake->uv, on_sent);
    if (rc < 0) {
        net_err_set(err, rc, "wake-up");
        free(wake);
        return NULL;
    }
    return wake;
}

void net_wake_send(struct net_wake *wake)
{
    uv_async_send(&wake->uv);
}

void net_wake_free(struct net_wake *wake)
{
    if (wake != NULL)
        uv_close((uv_handle_t *)&wake->uv, on_closed);
}
