#include "waiting.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "proxy_state.h"

enum {
    LOOK_MS = 100, /* how often deadlines are looked at while somebody waits */
    ASK_AGAIN_MS =
        1000, /* after which a name is told once more, in case that it was lost on the way */
    /* Names that one session may be led through: a service, its waypoint, the waypoint's pod, a gateway, and room. */
    NAMES_MAX = 8,
};

/* ------------------------------------------------------------------------------------------------- what is asked for -- */

/* A name that somebody waits for. */
struct waiting_ask {
    const char *name; /* `text`, or in a key somebody else's */
    size_t num;       /* sessions that wait for it */
    uint64_t told_at_ms;
    bool taken; /* when it was last told */
    char text[];
};

static int waiting_compare(const void *left, const void *right)
{
    const struct waiting_ask *a = left;
    const struct waiting_ask *b = right;
    return strcmp(a->name, b->name);
}

static void waiting_tell(struct proxy *proxy, struct waiting_ask *ask)
{
    const struct proxy_options *options = &proxy->options;
    ask->told_at_ms = net_loop_now_ms(proxy->loop);
    ask->taken = options->on_ask != NULL && options->on_ask(options->ask_owner, ask->name);
}

/* NULL when out of memory. */
static struct waiting_ask *waiting_new_ask(struct proxy *proxy, const char *name)
{
    size_t size = strlen(name) + 1;
    struct waiting_ask *ask = malloc(sizeof(*ask) + size);
    if (ask == NULL)
        return NULL;
    memcpy(ask->text, name, size);
    ask->name = ask->text;
    ask->num = 0;
    if (tsearch(ask, &proxy->waiting.asks, waiting_compare) == NULL) {
        free(ask);
        return NULL;
    }
    waiting_tell(proxy, ask);
    return ask;
}

static struct waiting_ask *waiting_find_ask(struct proxy *proxy, const char *name)
{
    const struct waiting_ask key = {.name = name};
    struct waiting_ask *const *found = tfind(&key, &proxy->waiting.asks, waiting_compare);
    return found != NULL ? *found : waiting_new_ask(proxy, name);
}

static void waiting_leave_ask(struct proxy *proxy, struct waiting_ask *ask)
{
    if (ask == NULL || --ask->num > 0)
        return;
    tdelete(ask, &proxy->waiting.asks, waiting_compare);
    free(ask);
}

/* One whose name nobody could take is told at the next look, any other after a while. */
static void waiting_tell_again(struct session *session)
{
    struct proxy *proxy = session->proxy;
    struct waiting_ask *ask = session->waiting.ask;
    if (ask == NULL)
        return;
    uint64_t since_ms = net_loop_now_ms(proxy->loop) - ask->told_at_ms;
    if (since_ms >= (ask->taken ? ASK_AGAIN_MS : LOOK_MS))
        waiting_tell(proxy, ask);
}

/* ------------------------------------------------------------------------------------------------------------- waiting -- */

/* News of other things lead nowhere: who still waits for the same is not led on. */
static bool waiting_is_led_on(const struct proxy *proxy, const char *name)
{
    const struct waiting_ask *former = proxy->waiting.former;
    return name != NULL && (former == NULL || strcmp(former->name, name) != 0);
}

/* The first wait starts the clock for all that follow. */
static bool waiting_is_over(const struct session *session)
{
    const struct waiting_session *waiting = &session->waiting;
    return waiting->num_names > NAMES_MAX ||
           net_loop_now_ms(session->proxy->loop) >= waiting->deadline_ms;
}

static void waiting_enter(struct session *session, struct waiting_ask *ask,
                          const struct waiting_handler *handler)
{
    struct proxy *proxy = session->proxy;
    session->waiting.handler = handler;
    session->waiting.ask = ask;
    if (ask != NULL)
        ask->num++;
    if (proxy->waiting.num++ == 0)
        net_timer_start(proxy->waiting.timer, LOOK_MS);
    TAILQ_INSERT_TAIL(&proxy->waiting.sessions, session, waiting.entry);
    telemetry_wait_started(proxy->telemetry, session->direction);
}

void waiting_start(struct session *session, const char *name, const struct waiting_handler *handler)
{
    struct proxy *proxy = session->proxy;
    struct waiting_ask *ask = NULL;
    if (session->waiting.deadline_ms == 0)
        session->waiting.deadline_ms =
            net_loop_now_ms(proxy->loop) + proxy->options.discovery_timeout_ms;
    if (waiting_is_led_on(proxy, name))
        session->waiting.num_names++;
    if (waiting_is_over(session)) {
        handler->on_timeout(session);
        return;
    }
    if (name != NULL) {
        ask = waiting_find_ask(proxy, name);
        if (ask == NULL) {
            session_close(session, REASON_NO_MEMORY, NULL);
            return;
        }
    }
    waiting_enter(session, ask, handler);
}

void waiting_cancel(struct session *session)
{
    struct proxy *proxy = session->proxy;
    if (session->waiting.handler == NULL)
        return;
    session->waiting.handler = NULL;
    waiting_leave_ask(proxy, session->waiting.ask);
    session->waiting.ask = NULL;
    TAILQ_REMOVE(&proxy->waiting.sessions, session, waiting.entry);
    if (--proxy->waiting.num == 0)
        net_timer_stop(proxy->waiting.timer);
    telemetry_wait_ended(proxy->telemetry, session->direction);
}

/* ------------------------------------------------------------------------------------------------------- what ends it -- */

/* What it has waited for is kept meanwhile: should it go on waiting for that, nobody is told again. */
static void waiting_decide_again(struct session *session)
{
    struct proxy *proxy = session->proxy;
    const struct waiting_handler *handler = session->waiting.handler;
    struct waiting_ask *ask = session->waiting.ask;
    if (ask != NULL)
        ask->num++;
    waiting_cancel(session);
    session_set_snapshot(session, proxy->mesh);
    proxy->waiting.former = ask;
    handler->on_news(session);
    proxy->waiting.former = NULL;
    waiting_leave_ask(proxy, ask);
}

void waiting_on_news(struct proxy *proxy)
{
    /* Those that wait again go to the end of the list. */
    for (size_t num = proxy->waiting.num; num > 0; num--)
        waiting_decide_again(TAILQ_FIRST(&proxy->waiting.sessions));
}

const char *waiting_local_detail(const struct session *session)
{
    return session->snapshot == NULL ? "discovery has not answered yet" : NULL;
}

static void waiting_look(struct session *session)
{
    const struct waiting_handler *handler = session->waiting.handler;
    if (net_loop_now_ms(session->proxy->loop) < session->waiting.deadline_ms) {
        waiting_tell_again(session);
        return;
    }
    waiting_cancel(session);
    handler->on_timeout(session);
}

static void waiting_on_timer(void *owner)
{
    struct proxy *proxy = owner;
    struct session *next;
    for (struct session *session = TAILQ_FIRST(&proxy->waiting.sessions); session != NULL;
         session = next) {
        next = TAILQ_NEXT(session, waiting.entry);
        waiting_look(session);
    }
    if (proxy->waiting.num > 0)
        net_timer_start(proxy->waiting.timer, LOOK_MS);
}

int waiting_init(struct proxy *proxy, struct err *err)
{
    TAILQ_INIT(&proxy->waiting.sessions);
    proxy->waiting.timer = net_timer_new(proxy->loop, waiting_on_timer, proxy);
    if (proxy->waiting.timer == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    return 0;
}

void waiting_done(struct proxy *proxy)
{
    net_timer_free(proxy->waiting.timer);
}
