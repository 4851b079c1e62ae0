#include "fake_grpc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_timer.h"

struct grpc_channel {
    char *address;
};

struct grpc_call {
    const struct grpc_call_handler *handler;
    void *owner;
};

unsigned fake_grpc_num_calls, fake_grpc_num_channels;
char fake_grpc_path[128], fake_grpc_metadata[256];
bool fake_grpc_refuses_to_start;

static struct grpc_call *open_call;
static struct net_task *tasks;

/* --------------------------------------------------------------------------------- rpc's place -- */

struct grpc_channel *grpc_channel_new(struct tls_io *io, const struct grpc_channel_options *options,
                                      struct err *err)
{
    struct grpc_channel *channel = calloc(1, sizeof(*channel));
    assert(channel != NULL);
    channel->address = strdup(options->address);
    fake_grpc_num_channels++;
    return channel;
}

void grpc_channel_free(struct grpc_channel *channel)
{
    if (channel == NULL)
        return;
    assert(open_call == NULL);
    free(channel->address);
    free(channel);
    fake_grpc_num_channels--;
}

const char *grpc_channel_address(const struct grpc_channel *channel)
{
    return channel->address;
}

struct grpc_call *grpc_call_start(struct grpc_channel *channel,
                                  const struct grpc_call_params *params,
                                  const struct grpc_call_handler *handler, void *owner,
                                  struct err *err)
{
    assert(open_call == NULL);
    assert(params->message != NULL && params->timeout_ms == 0 && params->connect_timeout_ms > 0);
    fake_grpc_num_calls++;
    if (fake_grpc_refuses_to_start) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    snprintf(fake_grpc_path, sizeof(fake_grpc_path), "%s", params->path);
    fake_grpc_metadata[0] = '\0';
    for (size_t i = 0; i < params->num_metadata; i++)
        snprintf(fake_grpc_metadata + strlen(fake_grpc_metadata),
                 sizeof(fake_grpc_metadata) - strlen(fake_grpc_metadata), "%s: %s\n",
                 params->metadata[i].name, params->metadata[i].value);
    open_call = calloc(1, sizeof(*open_call));
    assert(open_call != NULL);
    *open_call = (struct grpc_call){.handler = handler, .owner = owner};
    return open_call;
}

void grpc_call_cancel(struct grpc_call *call)
{
    assert(call == NULL || call == open_call);
    if (call != NULL)
        open_call = NULL;
    free(call);
}

/* --------------------------------------------------------------------------------- net's place -- */

struct net_loop *tls_io_loop(const struct tls_io *io)
{
    return NULL;
}

uint64_t net_loop_now_ms(const struct net_loop *loop)
{
    return (uint64_t)fake_timer_wall_ms;
}

void net_task_schedule(struct net_loop *loop, struct net_task *task)
{
    if (task->prev != NULL)
        return;
    task->prev = task; /* scheduled */
    task->next = tasks;
    tasks = task;
}

void net_task_cancel(struct net_task *task)
{
    if (task->prev == NULL)
        return;
    struct net_task **at = &tasks;
    while (*at != task)
        at = &(*at)->next;
    *at = task->next;
    task->prev = task->next = NULL;
}

void fake_grpc_run_tasks(void)
{
    while (tasks != NULL) {
        struct net_task *task = tasks;
        net_task_cancel(task);
        task->run(task->owner);
    }
}

/* ---------------------------------------------------------------------------------- the server -- */

bool fake_grpc_is_open(void)
{
    return open_call != NULL;
}

void fake_grpc_answer(const void *message, size_t len)
{
    assert(open_call != NULL);
    open_call->handler->on_message(open_call->owner, message, len);
}

void fake_grpc_end(enum grpc_status status, enum err_kind kind, const char *words)
{
    struct grpc_call *call = open_call;
    struct err err;
    assert(call != NULL);
    open_call = NULL;
    err_set(&err, kind, "Workload API unix:///agent.sock: %s", words);
    call->handler->on_end(call->owner, status, status == GRPC_STATUS_OK ? NULL : &err);
    free(call);
}
