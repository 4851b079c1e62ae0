#include "net_loop_impl.h"

#include <stdbool.h>

/* Tasks that schedule each other: so many passes at once, the rest after a look at the descriptors,
 * so that a chain without end does not starve them. */
enum { PASSES_MAX = 8 };

void net_task_init_ring(struct net_task *ring)
{
    ring->next = ring->prev = ring;
}

static bool ring_is_empty(const struct net_task *ring)
{
    return ring->next == ring;
}

/* Moves everything from one ring to another, which is empty. */
static void ring_move(struct net_task *from, struct net_task *to)
{
    net_task_init_ring(to);
    if (ring_is_empty(from))
        return;
    to->next = from->next;
    to->prev = from->prev;
    to->next->prev = to->prev->next = to;
    net_task_init_ring(from);
}

static void on_idle(uv_idle_t *handle)
{
}

void net_task_schedule(struct net_loop *loop, struct net_task *task)
{
    if (task->prev != NULL)
        return;
    if (ring_is_empty(&loop->tasks))
        uv_idle_start(&loop->awake, on_idle);
    task->prev = loop->tasks.prev;
    task->next = &loop->tasks;
    task->prev->next = task->next->prev = task;
}

void net_task_cancel(struct net_task *task)
{
    if (task->prev == NULL)
        return;
    task->prev->next = task->next;
    task->next->prev = task->prev;
    task->next = task->prev = NULL;
}

void net_task_run_all(struct net_loop *loop)
{
    for (unsigned i = 0; i < PASSES_MAX && !ring_is_empty(&loop->tasks); i++) {
        struct net_task pass;
        ring_move(&loop->tasks, &pass);
        while (!ring_is_empty(&pass)) {
            struct net_task *task = pass.next;
            net_task_cancel(task);
            task->run(task->owner);
        }
    }
    if (ring_is_empty(&loop->tasks))
        uv_idle_stop(&loop->awake);
}
