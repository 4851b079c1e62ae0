#include <stdlib.h>

#include "net_err.h"
#include "net_loop_impl.h"

struct net_signal {
    uv_signal_t uv;
    void (*on_signal)(void *owner, int signum);
    void *owner;
};

static void on_caught(uv_signal_t *handle, int signum)
{
    struct net_signal *sig = handle->data;
    sig->on_signal(sig->owner, signum);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct net_signal *net_signal_new(struct net_loop *loop, int signum,
                                  void (*on_signal)(void *owner, int signum), void *owner,
                                  struct err *err)
{
    struct net_signal *sig = calloc(1, sizeof(*sig));
    if (sig == NULL) {
        err_set(err, ERR_NOMEM, "signal: out of memory");
        return NULL;
    }
    sig->on_signal = on_signal;
    sig->owner = owner;
    int rc = uv_signal_init(&loop->uv, &sig->uv);
    if (rc < 0) {
        net_err_set(err, rc, "signal");
        free(sig);
        return NULL;
    }
    sig->uv.data = sig;
    rc = uv_signal_start(&sig->uv, on_caught, signum);
    if (rc < 0) {
        net_err_set(err, rc, "signal");
        net_signal_free(sig);
        return NULL;
    }
    return sig;
}

void net_signal_free(struct net_signal *sig)
{
    if (sig != NULL)
        uv_close((uv_handle_t *)&sig->uv, on_closed);
}
