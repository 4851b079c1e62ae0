/*
 * Two streams in memory, joined: what is written on one is read on the other at the end of the
 * round. Counts the writes, and can hold the bytes back as a slow network would.
 */
#ifndef TEST_PIPE_H
#define TEST_PIPE_H

#include <stdbool.h>

#include "buf.h"
#include "net_loop.h"
#include "stream.h"

struct pipe_end {
    struct stream stream;
    struct pipe_end *other;
    struct net_task later;
    struct net_loop *loop;
    struct buf queue; /* written, not yet delivered */
    unsigned num_writes;
    size_t num_bytes;
    bool stuck; /* deliver nothing */
    bool reading;
    bool ended; /* shutdown was asked */
    bool end_delivered;
    bool was_high;
    bool closed;
    bool aborted;
};

/* The ends live as long as the caller keeps them; close them through their streams. */
void pipe_init(struct pipe_end ends[2], struct net_loop *loop);
void pipe_done(struct pipe_end ends[2]);
void pipe_set_stuck(struct pipe_end *end, bool stuck);
/* The stream below breaks. */
void pipe_fail(struct pipe_end *end, enum stream_fault fault);

#endif
