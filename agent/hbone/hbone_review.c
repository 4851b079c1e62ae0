/*
 * Judging the peers of connections that exist: trust changes, and certificates end, while tunnels
 * live.
 */
#include "hbone_pool_impl.h"

/* The connection goes on: until when it may carry new tunnels, too. */
static void note_judged(struct hbone_client *client, const struct hbone_pool_review *review)
{
    if (review->generation != 0)
        client->judged = review->generation;
    if (client->retire_at_ms <= review->now_ms)
        hbone_client_retire(client);
}

static void judge(struct hbone_client *client, const struct hbone_pool_review *review)
{
    struct err err;
    enum reason reason = review->judge(review->owner, client->peer, &err);
    if (reason == REASON_DONE)
        note_judged(client, review);
    else
        hbone_client_close(client, reason, &err);
}

static bool is_due(const struct hbone_client *client, const struct hbone_pool_review *review)
{
    return client->state == HBONE_CLIENT_OPEN && !hbone_conn_is_closing(client->conn) &&
           (review->generation == 0 || client->judged != review->generation);
}

static unsigned review_group(struct hbone_group *group, const struct hbone_pool_review *review,
                             unsigned max)
{
    unsigned num = 0;
    struct hbone_client *client;
    TAILQ_FOREACH (client, &group->clients, entry) {
        if (num == max)
            break;
        if (!is_due(client, review))
            continue;
        judge(client, review);
        num++;
    }
    return num;
}

unsigned hbone_pool_review(struct hbone_pool *pool, const struct hbone_pool_review *review)
{
    unsigned num = 0;
    for (size_t i = 0; i < HBONE_GROUP_BUCKETS; i++) {
        struct hbone_group *group = pool->buckets[i];
        for (; group != NULL && num < review->max; group = group->next_in_bucket)
            num += review_group(group, review, review->max - num);
    }
    num += hbone_nested_review(&pool->nested, review, review->max - num);
    return num;
}
