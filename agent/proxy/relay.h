/*
 * Carries bytes both ways between two established streams until both directions have ended, each by itself (half-close), or one
 * of them fails. Knows nothing of who the two sides are. Embedded in its owner; allocates nothing.
 *
 * Back-pressure: a side is read only while the other side's queue is below STREAM_HIGH_WATER.
 */
#ifndef REMORA_RELAY_H
#define REMORA_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "net_loop.h"
#include "stream.h"

enum relay_side { RELAY_NEAR, RELAY_FAR };

struct relay;

/* One direction: what is read from one side and written to the other. */
struct relay_pump {
    struct relay *relay;
    struct stream *from;
    struct stream *to;
    uint64_t num_bytes;
    bool stopped; /* reading waits for the other side's queue */
    bool eof;     /* the end was read */
    bool ended;   /* and handed on, and everything before it */
};

struct relay_handler {
    /* Both directions ended. The streams are the owner's to close. */
    void (*on_done)(void *owner);
    /* `side` failed; *err is lent. The other side should be aborted, so that a cut is not taken for an end. */
    void (*on_failed)(void *owner, enum relay_side side, enum stream_fault fault,
                      const struct err *err);
};

struct relay {
    struct relay_pump from_near;
    struct relay_pump from_far;
    const struct relay_handler *handler;
    void *owner;
    struct net_loop *loop;
    uint64_t active_at_ms; /* when the last byte or end came, in the loop's time */
};

/*
 * Takes over the handlers of both streams (not the streams) and starts reading. One of the handler's functions is called once,
 * later, unless the owner closes the streams before; inside it the owner may free the relay.
 */
void relay_start(struct relay *relay, struct net_loop *loop, struct stream *near,
                 struct stream *far, const struct relay_handler *handler, void *owner);

#endif
