#include <stdlib.h>

#include "net_err.h"
#include "net_loop_impl.h"

struct net_poll {
    uv_poll_t uv;
    void (*on_ready)(void *owner);
    void *owner;
};

/* An error on the descriptor counts as ready too: the owner meets it when it reads. */
static void on_polled(uv_poll_t *handle, int status, int events)
{
    struct net_poll *poll = handle->data;
    poll->on_ready(poll->owner);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct net_poll *net_poll_new(struct net_loop *loop, int fd, void (*on_ready)(void *owner),
                              void *owner, struct err *err)
{
    struct net_poll *poll = calloc(1, sizeof(*poll));
    if (poll == NULL) {
        err_set(err, ERR_NOMEM, "poll: out of memory");
        return NULL;
    }
    poll->on_ready = on_ready;
    poll->owner = owner;
    int rc = uv_poll_init(&loop->uv, &poll->uv, fd);
    if (rc < 0) {
        net_err_set(err, rc, "poll");
        free(poll);
        return NULL;
    }
    poll->uv.data = poll;
    rc = uv_poll_start(&poll->uv, UV_READABLE, on_polled);
    if (rc < 0) {
        net_err_set(err, rc, "poll");
        net_poll_free(poll);
        return NULL;
    }
    return poll;
}

void net_poll_free(struct net_poll *poll)
{
    if (poll != NULL)
        uv_close((uv_handle_t *)&poll->uv, on_closed);
}
