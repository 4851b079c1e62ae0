#include "hbone_pool.h"

#include <assert.h>
#include <stdlib.h>

#include "hbone_pool_impl.h"

enum {
    CONNECT_TIMEOUT_MS = 10 * 1000,
    ANSWER_TIMEOUT_MS = 15 * 1000, /* the peer's own connecting takes up to 10 s of it */
    MAX_STREAMS = 100,             /* what HBONE's peers put on one connection */
};

void hbone_pool_options_default(struct hbone_pool_options *options)
{
    *options = (struct hbone_pool_options){
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .answer_timeout_ms = ANSWER_TIMEOUT_MS,
        .max_streams = MAX_STREAMS,
        .tcp = {.keepalive_idle_s = 180, .keepalive_interval_s = 180, .keepalive_count = 9},
    };
    hbone_conn_options_default(&options->conn, H2_CLIENT);
}

/* ----------------------------------------------------------------------------------- serving -- */

void hbone_pool_mark(struct hbone_group *group)
{
    struct hbone_pool *pool = group->pool;
    if (!group->is_dirty)
        TAILQ_INSERT_TAIL(&pool->dirty, group, dirty_entry);
    group->is_dirty = true;
    net_task_schedule(pool->loop, &pool->later);
}

static void on_later(void *owner)
{
    struct hbone_pool *pool = owner;
    while (!TAILQ_EMPTY(&pool->dirty)) {
        struct hbone_group *group = TAILQ_FIRST(&pool->dirty);
        TAILQ_REMOVE(&pool->dirty, group, dirty_entry);
        group->is_dirty = false;
        hbone_group_serve(group);
        hbone_group_release_unused(group);
    }
}

/* ----------------------------------------------------------------------------------- answers -- */

static void set_answer_timer(struct hbone_pool *pool)
{
    const struct hbone_pool_wait *first = TAILQ_FIRST(&pool->answers);
    if (first == NULL)
        return; /* it fires once more and finds nothing */
    uint64_t now = net_loop_now_ms(pool->loop);
    net_timer_start(pool->answer_timer,
                    first->answer_until_ms > now ? first->answer_until_ms - now : 0);
}

void hbone_pool_await_answer(struct hbone_pool *pool, struct hbone_pool_wait *wait)
{
    wait->answer_until_ms = net_loop_now_ms(pool->loop) + pool->options.answer_timeout_ms;
    bool first = TAILQ_EMPTY(&pool->answers);
    hbone_wait_move(wait, &pool->answers);
    if (first)
        set_answer_timer(pool);
}

static void on_answer_timeout(void *owner)
{
    struct hbone_pool *pool = owner;
    uint64_t now = net_loop_now_ms(pool->loop);
    struct hbone_pool_wait *wait;
    while ((wait = TAILQ_FIRST(&pool->answers)) != NULL && wait->answer_until_ms <= now) {
        struct err err;
        err_set(&err, ERR_TIMEOUT, "no answer to CONNECT after %llu ms",
                (unsigned long long)pool->options.answer_timeout_ms);
        hbone_wait_fail(wait, REASON_PEER_SILENT, &err);
    }
    set_answer_timer(pool);
}

/* --------------------------------------------------------------------------- making, freeing -- */

struct hbone_pool *hbone_pool_new(struct tls_io *io, const struct hbone_pool_options *options,
                                  struct err *err)
{
    struct hbone_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        goto fail;
    pool->io = io;
    pool->loop = tls_io_loop(io);
    pool->options = *options;
    pool->later = (struct net_task){.run = on_later, .owner = pool};
    TAILQ_INIT(&pool->dirty);
    TAILQ_INIT(&pool->answers);
    TAILQ_INIT(&pool->nested);
    pool->answer_timer = net_timer_new(pool->loop, on_answer_timeout, pool);
    if (pool->answer_timer == NULL)
        goto fail;
    return pool;
fail:
    err_set(err, ERR_NOMEM, "HBONE pool: out of memory");
    free(pool);
    return NULL;
}

static void for_each_group(struct hbone_pool *pool, void (*visit)(struct hbone_group *group))
{
    for (size_t i = 0; i < HBONE_GROUP_BUCKETS; i++) {
        struct hbone_group *group = pool->buckets[i];
        while (group != NULL) {
            struct hbone_group *next = group->next_in_bucket;
            visit(group);
            group = next;
        }
    }
}

static void drop_group(struct hbone_group *group)
{
    hbone_group_drop(group);
    if (group->is_dirty)
        TAILQ_REMOVE(&group->pool->dirty, group, dirty_entry);
    group->is_dirty = false;
    hbone_group_release_unused(group);
}

void hbone_pool_free(struct hbone_pool *pool)
{
    if (pool == NULL)
        return;
    hbone_nested_free_all(&pool->nested);
    assert(pool->stats.waiting == 0);
    for_each_group(pool, drop_group);
    net_task_cancel(&pool->later);
    net_timer_free(pool->answer_timer);
    tls_context_unref(pool->context);
    free(pool);
}

void hbone_pool_set_context(struct hbone_pool *pool, struct tls_context *context)
{
    if (context != NULL)
        tls_context_ref(context);
    tls_context_unref(pool->context);
    pool->context = context;
    for_each_group(pool, hbone_group_renew);
}

void hbone_pool_drain(struct hbone_pool *pool)
{
    pool->draining = true;
    for_each_group(pool, hbone_group_drain);
}

void hbone_pool_close(struct hbone_pool *pool)
{
    for_each_group(pool, hbone_group_close);
}

void hbone_pool_get_stats(const struct hbone_pool *pool, struct hbone_pool_stats *stats)
{
    *stats = pool->stats;
    for (size_t i = 0; i < HBONE_GROUP_BUCKETS; i++)
        for (const struct hbone_group *group = pool->buckets[i]; group != NULL;
             group = group->next_in_bucket)
            stats->tunnels += hbone_group_num_streams(group);
    const struct hbone_pool_wait *wait;
    TAILQ_FOREACH (wait, &pool->answers, entry) {
        if (stats->tunnels > 0)
            stats->tunnels--; /* asked for, no tunnel yet */
    }
}

/* -------------------------------------------------------------------------------- one tunnel -- */

struct hbone_pool_wait *hbone_pool_connect(struct hbone_pool *pool,
                                           const struct hbone_pool_request *request,
                                           hbone_pool_done *done, void *owner)
{
    assert(request->num_expected > 0);
    struct hbone_group *group = hbone_group_get(pool, request);
    if (group == NULL)
        return NULL;
    hbone_pool_mark(group);
    struct hbone_pool_wait *wait = hbone_wait_new(group, request, done, owner);
    if (wait != NULL)
        hbone_wait_move(wait, &group->waiting);
    return wait;
}

void hbone_pool_cancel(struct hbone_pool_wait *wait)
{
    if (wait != NULL)
        hbone_wait_free(wait);
}
