/*
 * Sessions that wait for discovery: to be told of a destination, of this pod itself, or of a policy that it names. They are
 * decided again whenever a newer snapshot comes, until they know enough or their time is over. What the control plane has to be
 * asked for is told to the proxy's owner once for all sessions that wait for it, and again as long as nobody has taken it.
 * Nothing is read from a session that waits. Private to proxy/.
 */
#ifndef REMORA_WAITING_H
#define REMORA_WAITING_H

#include <stdint.h>
#include <sys/queue.h>

#include "err.h"
#include "net_loop.h"

struct proxy;
struct session;
struct waiting_ask;

/* What happens next; each may end the session, let it go on, or let it wait again. */
struct waiting_handler {
    void (*on_news)(struct session *session); /* session->snapshot is a newer one */
    void (*on_timeout)(struct session *session);
};

/* A session's part; zeroed: has never waited. */
struct waiting_session {
    TAILQ_ENTRY(session) entry;            /* in the proxy's list */
    const struct waiting_handler *handler; /* NULL: does not wait */
    struct waiting_ask *ask;               /* what was asked for, or NULL */
    uint64_t deadline_ms; /* of all its waits together, in the loop's time; 0: has never waited */
    unsigned num_names;   /* that it was led through */
};

/* The proxy's part. */
struct waiting {
    TAILQ_HEAD(waiting_list, session) sessions;
    size_t num;
    void *asks; /* by name; of tsearch(3) */
    const struct waiting_ask
        *former; /* for what the session that is being decided again has waited, or NULL */
    struct net_timer *timer;
};

int waiting_init(struct proxy *proxy, struct err *err);

/* When no session waits any more. */
void waiting_done(struct proxy *proxy);

/*
 * Lets the session wait, for `name` to be answered (copied; NULL: for what comes without being asked for). When it may not,
 * because its time is over or it was led from name to name too often, on_timeout is called at once; without memory the session
 * is ended.
 */
void waiting_start(struct session *session, const char *name,
                   const struct waiting_handler *handler);

/* Whatever ends a session ends its wait. Nothing when it does not wait. */
void waiting_cancel(struct session *session);

/* More than REASON_UNKNOWN_LOCAL_WORKLOAD says, of a session that has waited for this pod in vain; static, or NULL. */
const char *waiting_local_detail(const struct session *session);

/* A newer snapshot is in force: every session that waits is decided again. */
void waiting_on_news(struct proxy *proxy);

#endif
