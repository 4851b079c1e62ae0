/*
 * Connections from outside whose TLS handshake is still under way. Anybody can begin as many as he likes, so they are bounded apart
 * from what has shown who it is: where there are too many, or where they take the place of others, the oldest is turned away for each
 * that comes. Knows nothing of what the connections are. Embedded in its owner; allocates nothing. Private to proxy/.
 */
#ifndef REMORA_DOORSTEP_H
#define REMORA_DOORSTEP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "addr.h"

struct doorstep;

/* One connection's part; zeroed: it is not there. */
struct doorstep_guest {
    TAILQ_ENTRY(doorstep_guest) entry;
    struct doorstep *doorstep; /* NULL: it has not come, or has left */
    struct ip source;
    void *owner;
};

struct doorstep {
    TAILQ_HEAD(doorstep_guests, doorstep_guest) guests; /* the oldest first */
    size_t num;
    size_t max;
    void (*turn_away)(void *owner);
};

/* At most `max` guests (1 at least). `turn_away` is called for one that has to go and has left already: it ends the connection. */
void doorstep_init(struct doorstep *doorstep, size_t max, void (*turn_away)(void *owner));

/* A guest that is there already stays where it is. Another one that comes turns one away, if there are as many as there may be. */
void doorstep_enter(struct doorstep *doorstep, struct doorstep_guest *guest,
                    const struct ip *source, void *owner);

/* Nothing when it is not there. */
void doorstep_leave(struct doorstep_guest *guest);

/*
 * Turns one away to make room for who comes from `source`: the oldest of the same source, so that a flood ends its own connections and
 * not those of slow callers; where the oldest ones are all of others, the oldest. False: nobody is there.
 */
bool doorstep_make_room(struct doorstep *doorstep, const struct ip *source);

#endif
