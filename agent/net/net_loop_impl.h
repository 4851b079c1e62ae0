/* The inside of struct net_loop, for the files of net alone. */
#ifndef REMORA_NET_LOOP_IMPL_H
#define REMORA_NET_LOOP_IMPL_H

#include <stdbool.h>

#include <uv.h>

#include "net_loop.h"

struct net_chunk;

struct net_loop {
    uv_loop_t uv;

    /* Tasks run after each poll for I/O, and before it for those that timers and the like have
     * left. While one waits, the idle handle runs: it keeps the loop alive and poll from
     * sleeping. */
    uv_prepare_t before_io;
    uv_check_t after_io;
    uv_idle_t awake;
    struct net_task tasks; /* sentinel of a ring */

    /* Where every connection reads to; lent to on_read. NET_READ_LIMIT bytes; pages that no read
     * reaches cost nothing. */
    uint8_t *scratch;
    struct net_chunk *spare_chunks;
    unsigned num_spare_chunks;

    int descriptors_end; /* the first one that connections leave to others; 0: there is none */
};

/*
 * Whether a descriptor that was just made is one that connections leave to others. The kernel gives
 * the lowest number that is free, so the number says how many are taken.
 */
bool net_loop_leaves(const struct net_loop *loop, int fd);

/* Makes the ring empty. */
void net_task_init_ring(struct net_task *ring);

/* Runs what is scheduled, and what that schedules. */
void net_task_run_all(struct net_loop *loop);

#endif
