#include "net_names.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "net_resolve.h"

TAILQ_HEAD(wait_list, net_names_wait);
TAILQ_HEAD(name_list, name);

/* One name: being looked up, or known for a while. */
struct name {
    TAILQ_ENTRY(name) entry;
    struct net_names *names;
    struct net_resolve *resolve; /* NULL: not being looked up */
    struct net_task telling;     /* tells those who wait for what is known already */
    struct wait_list waits;
    bool is_telling;
    uint64_t known_until_ms;
    struct ip ips[NET_RESOLVE_MAX];
    size_t num_ips;
    struct err err; /* when there is none */
    char host[];
};

struct net_names_wait {
    TAILQ_ENTRY(net_names_wait) entry;
    struct name *name;
    struct net_timer *timer;
    net_names_done *done;
    void *owner;
};

struct net_names {
    struct net_loop *loop;
    struct name_list list; /* the one that was wanted last is the first */
    size_t num;
};

/* ------------------------------------------------------------------------------------ names -- */

static void forget(struct name *name)
{
    net_resolve_cancel(name->resolve);
    net_task_cancel(&name->telling);
    TAILQ_REMOVE(&name->names->list, name, entry);
    name->names->num--;
    free(name);
}

/* Makes room for one more. False: nobody can be forgotten. */
static bool make_room(struct net_names *names)
{
    struct name *name;
    if (names->num < NET_NAMES_MAX)
        return true;
    TAILQ_FOREACH_REVERSE(name, &names->list, name_list, entry)
    {
        if (TAILQ_EMPTY(&name->waits) && !name->is_telling) {
            forget(name);
            return true;
        }
    }
    return false;
}

static void tell(struct name *name);

static void on_telling(void *owner)
{
    tell(owner);
}

static struct name *add(struct net_names *names, const char *host, struct err *err)
{
    size_t size = strlen(host) + 1;
    if (!make_room(names)) {
        err_set(err, ERR_LIMIT, "too many host names are being looked up");
        return NULL;
    }
    struct name *name = calloc(1, sizeof(*name) + size);
    if (name == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    name->names = names;
    name->telling = (struct net_task){.run = on_telling, .owner = name};
    TAILQ_INIT(&name->waits);
    memcpy(name->host, host, size);
    TAILQ_INSERT_HEAD(&names->list, name, entry);
    names->num++;
    return name;
}

static struct name *get(struct net_names *names, const char *host, struct err *err)
{
    struct name *name;
    TAILQ_FOREACH (name, &names->list, entry) {
        if (strcmp(name->host, host) != 0)
            continue;
        TAILQ_REMOVE(&names->list, name, entry);
        TAILQ_INSERT_HEAD(&names->list, name, entry);
        return name;
    }
    return add(names, host, err);
}

/* ---------------------------------------------------------------------------------- answers -- */

static void wait_free(struct net_names_wait *wait)
{
    TAILQ_REMOVE(&wait->name->waits, wait, entry);
    net_timer_free(wait->timer);
    free(wait);
}

static void finish(struct net_names_wait *wait, const struct ip *ips, size_t num_ips,
                   const struct err *err)
{
    net_names_done *done = wait->done;
    void *owner = wait->owner;
    wait_free(wait);
    done(owner, ips, num_ips, num_ips > 0 ? NULL : err);
}

/*
 * Tells those who wait now. Who is told may ask again, which is for the next time, cancel others,
 * and ask for more names, for which this one is not given up meanwhile.
 */
static void tell(struct name *name)
{
    size_t left = 0;
    struct net_names_wait *wait;
    TAILQ_FOREACH (wait, &name->waits, entry)
        left++;
    name->is_telling = true;
    for (; left > 0 && (wait = TAILQ_FIRST(&name->waits)) != NULL; left--)
        finish(wait, name->ips, name->num_ips, &name->err);
    name->is_telling = false;
    if (!TAILQ_EMPTY(&name->waits) && name->resolve == NULL)
        net_task_schedule(name->names->loop, &name->telling);
}

static void on_resolved(void *owner, const struct addr *addrs, size_t num_addrs,
                        const struct err *err)
{
    struct name *name = owner;
    uint64_t keep_ms = num_addrs > 0 ? NET_NAMES_KEEP_MS : NET_NAMES_KEEP_FAILURE_MS;
    name->resolve = NULL;
    name->known_until_ms = net_loop_now_ms(name->names->loop) + keep_ms;
    name->num_ips = num_addrs;
    for (size_t i = 0; i < num_addrs; i++)
        name->ips[i] = addrs[i].ip;
    if (err != NULL)
        name->err = *err;
    tell(name);
}

static void on_timeout(void *owner)
{
    struct net_names_wait *wait = owner;
    struct err err;
    err_set(&err, ERR_TIMEOUT, "the name server does not answer in time");
    finish(wait, NULL, 0, &err);
}

/* Sees to it that those who wait for the name are told, at the end of the round or later. */
static int start(struct name *name, struct err *err)
{
    struct net_names *names = name->names;
    if (name->resolve != NULL)
        return 0;
    if (name->known_until_ms > net_loop_now_ms(names->loop)) {
        net_task_schedule(names->loop, &name->telling);
        return 0;
    }
    name->resolve = net_resolve_start(names->loop, name->host, 0, on_resolved, name, err);
    return name->resolve != NULL ? 0 : -1;
}

struct net_names_wait *net_names_find(struct net_names *names, const char *host,
                                      uint64_t timeout_ms, net_names_done *done, void *owner,
                                      struct err *err)
{
    struct name *name = get(names, host, err);
    if (name == NULL || start(name, err) < 0)
        return NULL;
    struct net_names_wait *wait = calloc(1, sizeof(*wait));
    struct net_timer *timer = net_timer_new(names->loop, on_timeout, wait);
    if (wait == NULL || timer == NULL) {
        net_timer_free(timer);
        free(wait);
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    *wait = (struct net_names_wait){.name = name, .timer = timer, .done = done, .owner = owner};
    TAILQ_INSERT_TAIL(&name->waits, wait, entry);
    net_timer_start(timer, timeout_ms);
    return wait;
}

void net_names_cancel(struct net_names_wait *wait)
{
    if (wait != NULL)
        wait_free(wait);
}

/* --------------------------------------------------------------------------- making, freeing -- */

struct net_names *net_names_new(struct net_loop *loop)
{
    struct net_names *names = calloc(1, sizeof(*names));
    if (names == NULL)
        return NULL;
    names->loop = loop;
    TAILQ_INIT(&names->list);
    return names;
}

void net_names_free(struct net_names *names)
{
    struct name *name;
    if (names == NULL)
        return;
    while ((name = TAILQ_FIRST(&names->list)) != NULL) {
        assert(TAILQ_EMPTY(&name->waits));
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): TAILQ_REMOVE took it out */
        forget(name);
    }
    free(names);
}
