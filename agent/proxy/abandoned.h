/*
 * Clients that go while their connection is being established: while it waits for discovery, for a tunnel, for the application.
 * Nothing is read from them meanwhile, so the loop does not tell of a reset: they are looked at every now and then instead, and a
 * session whose client has reset its connection ends with CLIENT_GONE. A client that has ended its direction has not gone: it may
 * have sent its request, and waits for the answer. Private to proxy/.
 */
#ifndef REMORA_ABANDONED_H
#define REMORA_ABANDONED_H

#include <stdbool.h>
#include <sys/queue.h>

#include "err.h"
#include "net_loop.h"

struct proxy;
struct session;

/* The proxy's part. */
struct abandoned {
    TAILQ_HEAD(abandoned_list, session) sessions; /* that are being established */
    struct net_timer *timer; /* runs while there are any, and once after the last */
    bool is_looking;
};

int abandoned_init(struct proxy *proxy, struct err *err);

/* When no session is left. */
void abandoned_done(struct proxy *proxy);

/* The session, whose near_tcp is there, is being established from now on, until abandoned_unwatch. */
void abandoned_watch(struct session *session);

/* It is established, or ends. Nothing when it is not watched. */
void abandoned_unwatch(struct session *session);

#endif
