/*
 * The connections to one destination and the requests that wait for them.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "hbone_pool_impl.h"

/* --------------------------------------------------------------------------- finding, making -- */

static uint32_t hash_bytes(uint32_t hash, const void *bytes, size_t len)
{
    /* FNV-1a; the keys come from discovery, not from peers. */
    const uint8_t *at = bytes;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * 16777619u;
    return hash;
}

static uint32_t hash_request(const struct hbone_pool_request *request)
{
    uint32_t hash = hash_bytes(2166136261u, request->peer.ip.bytes, sizeof(request->peer.ip.bytes));
    hash = hash_bytes(hash, &request->peer.port, sizeof(request->peer.port));
    for (size_t i = 0; i < request->num_expected; i++)
        hash = hash_bytes(hash, request->expected[i], strlen(request->expected[i]) + 1);
    return hash;
}

static bool matches(const struct hbone_group *group, const struct hbone_pool_request *request)
{
    if (!addr_equal(&group->peer, &request->peer) || group->num_expected != request->num_expected)
        return false;
    for (size_t i = 0; i < group->num_expected; i++)
        if (strcmp(group->expected[i], request->expected[i]) != 0)
            return false;
    return true;
}

static void group_free(struct hbone_group *group)
{
    for (size_t i = 0; i < group->num_expected; i++)
        free(group->expected[i]);
    free(group->expected);
    free(group);
}

static struct hbone_group *group_new(struct hbone_pool *pool,
                                     const struct hbone_pool_request *request)
{
    struct hbone_group *group = calloc(1, sizeof(*group));
    if (group == NULL)
        return NULL;
    group->pool = pool;
    group->peer = request->peer;
    group->assumed_streams = pool->options.max_streams;
    TAILQ_INIT(&group->waiting);
    TAILQ_INIT(&group->clients);
    group->expected = calloc(request->num_expected, sizeof(*group->expected));
    if (group->expected == NULL)
        goto fail;
    for (; group->num_expected < request->num_expected; group->num_expected++) {
        char *copy = strdup(request->expected[group->num_expected]);
        if (copy == NULL)
            goto fail;
        group->expected[group->num_expected] = copy;
    }
    return group;
fail:
    group_free(group);
    return NULL;
}

struct hbone_group *hbone_group_get(struct hbone_pool *pool,
                                    const struct hbone_pool_request *request)
{
    uint32_t hash = hash_request(request);
    struct hbone_group **bucket = &pool->buckets[hash % HBONE_GROUP_BUCKETS];
    for (struct hbone_group *group = *bucket; group != NULL; group = group->next_in_bucket)
        if (group->hash == hash && matches(group, request))
            return group;
    struct hbone_group *group = group_new(pool, request);
    if (group == NULL)
        return NULL;
    group->hash = hash;
    group->next_in_bucket = *bucket;
    *bucket = group;
    return group;
}

void hbone_group_release_unused(struct hbone_group *group)
{
    if (group->num_waits > 0 || group->is_dirty || !TAILQ_EMPTY(&group->clients))
        return;
    struct hbone_group **link = &group->pool->buckets[group->hash % HBONE_GROUP_BUCKETS];
    while (*link != group)
        link = &(*link)->next_in_bucket;
    *link = group->next_in_bucket;
    group_free(group);
}

/* --------------------------------------------------------------------------------- observing -- */

static uint64_t elapsed_ms(const struct hbone_group *group, const struct hbone_client *client)
{
    return net_loop_now_ms(group->pool->loop) - client->since_ms;
}

static void observe_connected(struct hbone_group *group, struct hbone_client *client,
                              enum reason reason)
{
    const struct hbone_pool_options *options = &group->pool->options;
    if (options->observer != NULL && options->observer->on_connected != NULL)
        options->observer->on_connected(options->observer_owner, reason, elapsed_ms(group, client));
    client->since_ms = net_loop_now_ms(group->pool->loop);
}

static void observe_handshaken(struct hbone_group *group, struct hbone_client *client,
                               enum reason reason, const struct err *err)
{
    const struct hbone_pool_options *options = &group->pool->options;
    if (options->observer != NULL && options->observer->on_handshaken != NULL)
        options->observer->on_handshaken(options->observer_owner, &group->peer, reason, err,
                                         elapsed_ms(group, client));
}

static void observe_closed(struct hbone_group *group, enum reason reason)
{
    const struct hbone_pool_options *options = &group->pool->options;
    if (options->observer != NULL && options->observer->on_closed != NULL)
        options->observer->on_closed(options->observer_owner, reason);
}

/* ------------------------------------------------------------------------------- its clients -- */

static void count_off(struct hbone_group *group, const struct hbone_client *client)
{
    struct hbone_pool_stats *stats = &group->pool->stats;
    if (client->state == HBONE_CLIENT_OPEN) {
        stats->connections--;
    } else {
        stats->connecting--;
        group->num_connecting--;
    }
}

static void on_connected(void *owner, struct hbone_client *client)
{
    observe_connected(owner, client, REASON_DONE);
}

static void on_open(void *owner, struct hbone_client *client)
{
    struct hbone_group *group = owner;
    group->num_connecting--;
    group->pool->stats.connecting--;
    group->pool->stats.connections++;
    observe_handshaken(group, client, REASON_DONE, NULL);
    hbone_pool_mark(group);
}

static void on_room(void *owner, struct hbone_client *client)
{
    struct hbone_group *group = owner;
    if (hbone_client_was_heard(client))
        group->assumed_streams = hbone_client_max_streams(client);
    if (!TAILQ_EMPTY(&group->waiting) || hbone_client_is_useless(client))
        hbone_pool_mark(group);
}

/* What the connections that are still being made will carry goes on waiting; the rest failed. */
static void share_failure(struct hbone_group *group, enum reason reason, const struct err *err)
{
    struct hbone_wait_list victims;
    TAILQ_INIT(&victims);
    size_t carried = (size_t)group->num_connecting * group->assumed_streams;
    struct hbone_pool_wait *wait = TAILQ_FIRST(&group->waiting);
    for (; wait != NULL && carried > 0; carried--)
        wait = TAILQ_NEXT(wait, entry);
    while (wait != NULL) {
        struct hbone_pool_wait *next = TAILQ_NEXT(wait, entry);
        hbone_wait_move(wait, &victims);
        wait = next;
    }
    hbone_wait_fail_all(&victims, reason, err);
}

/* What connecting failed with, said of an agent's port. */
static enum reason reason_of_dial(enum reason reason)
{
    if (reason == REASON_CONNECT_REFUSED)
        return REASON_TUNNEL_CONNECT_REFUSED;
    return reason == REASON_CONNECT_TIMEOUT ? REASON_TUNNEL_TIMEOUT : reason;
}

static void on_over(void *owner, struct hbone_client *client, enum reason reason,
                    const struct err *err)
{
    struct hbone_group *group = owner;
    TAILQ_REMOVE(&group->clients, client, entry);
    count_off(group, client);
    hbone_pool_mark(group);
    if (client->state == HBONE_CLIENT_OPEN) {
        observe_closed(group, reason);
        return; /* its requests have been told one by one */
    }
    if (client->state == HBONE_CLIENT_CONNECTING)
        observe_connected(group, client, reason_of_dial(reason));
    else
        observe_handshaken(group, client, reason, err);
    share_failure(group, reason_of_dial(reason), err);
}

static const struct hbone_client_handler client_handler = {
    .on_connected = on_connected,
    .on_open = on_open,
    .on_room = on_room,
    .on_over = on_over,
};

static int start_client(struct hbone_group *group, struct err *err)
{
    struct hbone_pool *pool = group->pool;
    const struct hbone_client_params params = {
        .dial =
            {
                .to = group->peer,
                .context = pool->context,
                .expected = (const char *const *)group->expected,
                .num_expected = group->num_expected,
                .tcp = pool->options.tcp,
                .connect_timeout_ms = pool->options.connect_timeout_ms,
                .tls_timeout_ms = pool->options.conn.tls_timeout_ms,
            },
        .options = &pool->options.conn,
        .max_streams = pool->options.max_streams,
        .assumed_streams = group->assumed_streams,
    };
    struct hbone_client *client =
        hbone_client_start(pool->io, &params, &client_handler, group, err);
    if (client == NULL)
        return -1;
    client->since_ms = net_loop_now_ms(pool->loop);
    TAILQ_INSERT_TAIL(&group->clients, client, entry);
    group->num_connecting++;
    pool->stats.connecting++;
    pool->stats.dials++;
    return 0;
}

/* ----------------------------------------------------------------------------------- serving -- */

static struct hbone_client *find_room(const struct hbone_group *group)
{
    struct hbone_client *client;
    TAILQ_FOREACH (client, &group->clients, entry) {
        if (hbone_client_room(client) > 0)
            return client;
    }
    return NULL;
}

static size_t count_waiting(const struct hbone_group *group, size_t enough)
{
    size_t num = 0;
    const struct hbone_pool_wait *wait;
    TAILQ_FOREACH (wait, &group->waiting, entry) {
        if (++num == enough)
            break;
    }
    return num;
}

/*
 * As many connections at once as the queue needs: no burst waits for one handshake after another.
 */
static void dial_for_waiting(struct hbone_group *group)
{
    size_t per_client = group->assumed_streams;
    struct err err;
    while (count_waiting(group, group->num_connecting * per_client + 1) >
           group->num_connecting * per_client) {
        if (start_client(group, &err) == 0)
            continue;
        share_failure(group, reason_of_dial(dial_connect_reason(&err)), &err);
        return;
    }
}

static void fail_for_want_of_identity(struct hbone_group *group)
{
    struct hbone_wait_list victims;
    TAILQ_INIT(&victims);
    while (!TAILQ_EMPTY(&group->waiting))
        hbone_wait_move(TAILQ_FIRST(&group->waiting), &victims);
    hbone_wait_fail_all(&victims, REASON_NO_IDENTITY, NULL);
}

/* Else each request would leave one more behind. */
static void retire_useless(struct hbone_group *group)
{
    struct hbone_client *client;
    TAILQ_FOREACH (client, &group->clients, entry) {
        if (hbone_client_is_useless(client))
            hbone_client_retire(client);
    }
}

void hbone_group_serve(struct hbone_group *group)
{
    retire_useless(group);
    struct hbone_client *client;
    while (!TAILQ_EMPTY(&group->waiting) && (client = find_room(group)) != NULL) {
        struct hbone_pool_wait *wait = TAILQ_FIRST(&group->waiting);
        if (hbone_client_was_heard(client))
            group->pool->stats.reuses++;
        hbone_wait_send(wait, client);
    }
    if (group->pool->draining)
        hbone_group_drain(group);
    if (TAILQ_EMPTY(&group->waiting))
        return;
    if (group->pool->context == NULL)
        fail_for_want_of_identity(group);
    else
        dial_for_waiting(group);
}

void hbone_group_drain(struct hbone_group *group)
{
    struct hbone_client *client;
    TAILQ_FOREACH (client, &group->clients, entry) {
        if (client->state == HBONE_CLIENT_OPEN)
            hbone_client_retire(client);
    }
}

unsigned hbone_group_num_streams(const struct hbone_group *group)
{
    unsigned num = 0;
    const struct hbone_client *client;
    TAILQ_FOREACH (client, &group->clients, entry) {
        if (client->conn != NULL)
            num += h2_session_num_streams(hbone_conn_h2(client->conn));
    }
    return num;
}

static void drop_client(struct hbone_group *group, struct hbone_client *client)
{
    TAILQ_REMOVE(&group->clients, client, entry);
    count_off(group, client);
    if (client->state == HBONE_CLIENT_OPEN)
        observe_closed(group, REASON_DONE);
    hbone_client_free(client);
}

void hbone_group_renew(struct hbone_group *group)
{
    struct hbone_client *client = TAILQ_FIRST(&group->clients);
    while (client != NULL) {
        struct hbone_client *next = TAILQ_NEXT(client, entry);
        if (client->state == HBONE_CLIENT_OPEN)
            hbone_client_retire(client);
        else
            drop_client(group, client);
        client = next;
    }
    hbone_pool_mark(group);
}

void hbone_group_close(struct hbone_group *group)
{
    struct hbone_client *client;
    TAILQ_FOREACH (client, &group->clients, entry) {
        if (client->state == HBONE_CLIENT_OPEN)
            hbone_client_close(client, REASON_DRAINED, NULL);
    }
}

void hbone_group_drop(struct hbone_group *group)
{
    while (!TAILQ_EMPTY(&group->clients))
        drop_client(group, TAILQ_FIRST(&group->clients));
}
