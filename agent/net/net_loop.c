#include "net_loop_impl.h"

#include <assert.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "net_chunk.h"
#include "net_err.h"
#include "net_tcp.h"

static void on_before_io(uv_prepare_t *handle)
{
    net_task_run_all(handle->data);
}

static void on_after_io(uv_check_t *handle)
{
    net_task_run_all(handle->data);
}

static void init_phases(struct net_loop *loop)
{
    uv_prepare_init(&loop->uv, &loop->before_io);
    uv_check_init(&loop->uv, &loop->after_io);
    uv_idle_init(&loop->uv, &loop->awake);
    loop->before_io.data = loop->after_io.data = loop;
    uv_prepare_start(&loop->before_io, on_before_io);
    uv_check_start(&loop->after_io, on_after_io);
    /* The loop ends when nobody else has anything left. */
    uv_unref((uv_handle_t *)&loop->before_io);
    uv_unref((uv_handle_t *)&loop->after_io);
}

struct net_loop *net_loop_new(struct err *err)
{
    struct net_loop *loop = calloc(1, sizeof(*loop));
    uint8_t *scratch = malloc(NET_READ_LIMIT);
    int rc;
    if (loop == NULL || scratch == NULL) {
        err_set(err, ERR_NOMEM, "event loop: out of memory");
        goto fail;
    }
    rc = uv_loop_init(&loop->uv);
    if (rc < 0) {
        net_err_set(err, rc, "event loop");
        goto fail;
    }
    /* libuv writes without MSG_NOSIGNAL; that a peer went away is an error to handle, not an end. */
    signal(SIGPIPE, SIG_IGN);
    loop->scratch = scratch;
    net_task_init_ring(&loop->tasks);
    init_phases(loop);
    return loop;

fail:
    free(scratch);
    free(loop);
    return NULL;
}

void net_loop_run(struct net_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void net_loop_stop(struct net_loop *loop)
{
    uv_stop(&loop->uv);
}

uint64_t net_loop_now_ms(const struct net_loop *loop)
{
    return uv_now(&loop->uv);
}

void net_loop_leave_descriptors(struct net_loop *loop, unsigned num)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX)
        return; /* numbers that large are not reached */
    rlim_t left = num < limit.rlim_cur / 4 ? num : limit.rlim_cur / 4;
    loop->descriptors_end = (int)(limit.rlim_cur - left);
}

bool net_loop_leaves(const struct net_loop *loop, int fd)
{
    return loop->descriptors_end > 0 && fd >= loop->descriptors_end;
}

struct census {
    const struct net_loop *loop;
    int num_open;
};

static bool is_phase(const struct net_loop *loop, const uv_handle_t *handle)
{
    return handle == (const uv_handle_t *)&loop->before_io ||
           handle == (const uv_handle_t *)&loop->after_io ||
           handle == (const uv_handle_t *)&loop->awake;
}

static void count_open(uv_handle_t *handle, void *arg)
{
    struct census *census = arg;
    census->num_open += !uv_is_closing(handle) && !is_phase(census->loop, handle);
}

static void close_phases(struct net_loop *loop)
{
    uv_close((uv_handle_t *)&loop->before_io, NULL);
    uv_close((uv_handle_t *)&loop->after_io, NULL);
    uv_close((uv_handle_t *)&loop->awake, NULL);
}

int net_loop_free(struct net_loop *loop)
{
    if (loop == NULL)
        return 0;
    struct census census = {.loop = loop};
    uv_walk(&loop->uv, count_open, &census);
    /* Running on would call back to owners who may be gone. */
    if (census.num_open > 0)
        return census.num_open;

    close_phases(loop);
    /* A net_loop_stop that came after the last run ends the first of these at once. */
    while (uv_loop_alive(&loop->uv))
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&loop->uv);
    assert(rc == 0);
    (void)rc;
    net_chunk_free_spares(loop);
    free(loop->scratch);
    free(loop);
    return 0;
}
