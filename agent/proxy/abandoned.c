#include "abandoned.h"

#include "proxy_state.h"

enum { LOOK_MS = 500 }; /* a system call for each client that has waited as long, twice a second */

void abandoned_watch(struct session *session)
{
    struct abandoned *abandoned = &session->proxy->abandoned;
    session->is_watched = true;
    TAILQ_INSERT_TAIL(&abandoned->sessions, session, watched);
    if (abandoned->is_looking)
        return;
    abandoned->is_looking = true;
    net_timer_start(abandoned->timer, LOOK_MS);
}

void abandoned_unwatch(struct session *session)
{
    if (!session->is_watched)
        return;
    session->is_watched = false;
    TAILQ_REMOVE(&session->proxy->abandoned.sessions, session, watched);
}

/* Where the client is being read, whoever reads it says how it went. */
static bool abandoned_is(const struct session *session)
{
    bool is_read = session->sniff != NULL || session->handshaking != NULL;
    return !is_read && net_tcp_is_broken(session->near_tcp);
}

static void abandoned_on_timer(void *owner)
{
    struct proxy *proxy = owner;
    struct abandoned *abandoned = &proxy->abandoned;
    struct session *next;
    for (struct session *session = TAILQ_FIRST(&abandoned->sessions); session != NULL;
         session = next) {
        next = TAILQ_NEXT(session, watched);
        if (abandoned_is(session))
            session_close(session, REASON_CLIENT_GONE, NULL);
    }
    abandoned->is_looking = !TAILQ_EMPTY(&abandoned->sessions);
    if (abandoned->is_looking)
        net_timer_start(abandoned->timer, LOOK_MS);
}

int abandoned_init(struct proxy *proxy, struct err *err)
{
    TAILQ_INIT(&proxy->abandoned.sessions);
    proxy->abandoned.timer = net_timer_new(proxy->loop, abandoned_on_timer, proxy);
    if (proxy->abandoned.timer == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    return 0;
}

void abandoned_done(struct proxy *proxy)
{
    net_timer_free(proxy->abandoned.timer);
}
