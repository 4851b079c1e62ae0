/*
 * One request for a tunnel, from the asking to the answer.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "hbone_pool_impl.h"

/* ---------------------------------------------------------------------------- making, moving -- */

struct hbone_pool_wait *hbone_wait_new(struct hbone_group *group,
                                       const struct hbone_pool_request *request,
                                       hbone_pool_done *done, void *owner)
{
    const struct hbone_connect connect = hbone_connect_of(request);
    struct hbone_pool_wait *wait = malloc(sizeof(*wait) + hbone_connect_size(&connect));
    if (wait == NULL)
        return NULL;
    *wait = (struct hbone_pool_wait){.group = group, .done = done, .owner = owner};
    hbone_connect_copy(&wait->connect, &connect, wait->text);
    group->num_waits++;
    group->pool->stats.waiting++;
    return wait;
}

static void leave_list(struct hbone_pool_wait *wait)
{
    if (wait->list != NULL)
        TAILQ_REMOVE(wait->list, wait, entry);
    wait->list = NULL;
}

void hbone_wait_move(struct hbone_pool_wait *wait, struct hbone_wait_list *list)
{
    leave_list(wait);
    TAILQ_INSERT_TAIL(list, wait, entry);
    wait->list = list;
}

void hbone_wait_move_first(struct hbone_pool_wait *wait, struct hbone_wait_list *list)
{
    leave_list(wait);
    TAILQ_INSERT_HEAD(list, wait, entry);
    wait->list = list;
}

void hbone_wait_free(struct hbone_pool_wait *wait)
{
    struct hbone_group *group = wait->group;
    leave_list(wait);
    if (wait->stream != NULL)
        hbone_stream_drop(wait->stream, H2_CANCEL);
    group->num_waits--;
    group->pool->stats.waiting--;
    if (TAILQ_EMPTY(&group->clients))
        hbone_pool_mark(group); /* perhaps nobody needs it any more */
    free(wait);
}

/* ------------------------------------------------------------------------------------ ending -- */

/* Frees the wait, then tells its owner, who may do anything. */
static void finish(struct hbone_pool_wait *wait, struct stream *stream,
                   const struct hbone_pool_answer *answer)
{
    hbone_pool_done *done = wait->done;
    void *owner = wait->owner;
    hbone_wait_free(wait);
    done(owner, stream, answer);
}

void hbone_wait_fail(struct hbone_pool_wait *wait, enum reason reason, const struct err *err)
{
    /* Copies: the connection that they belong to may go while the owner looks at them. */
    struct err why = {0};
    struct peer_cert *peer = NULL;
    if (err != NULL)
        why = *err;
    if (wait->client != NULL && wait->client->peer != NULL)
        peer = peer_cert_ref(wait->client->peer);
    const struct hbone_pool_answer answer = {
        .reason = reason,
        .peer = peer,
        .err = err != NULL ? &why : NULL,
    };
    finish(wait, NULL, &answer);
    peer_cert_unref(peer);
}

void hbone_wait_fail_all(struct hbone_wait_list *list, enum reason reason, const struct err *err)
{
    while (!TAILQ_EMPTY(list)) /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is removed */
        hbone_wait_fail(TAILQ_FIRST(list), reason, err);
}

/* ------------------------------------------------------------------------------ answer, loss -- */

static void on_answer(void *owner, const struct h2_header *headers, size_t num_headers, bool end)
{
    struct hbone_pool_wait *wait = owner;
    struct peer_cert *peer = peer_cert_ref(wait->client->peer);
    struct stream *tunnel = NULL;
    struct err err;
    struct hbone_pool_answer answer = {.peer = peer};
    hbone_connect_read_answer(&answer, &err, headers, num_headers);
    if (answer.reason == REASON_DONE) {
        tunnel = hbone_stream_open(wait->stream);
        wait->stream = NULL;
    }
    finish(wait, tunnel, &answer);
    peer_cert_unref(peer);
}

/*
 * Nothing of the application's has been sent, so a request may be sent again where it was certainly
 * not served: the peer said so, or the connection was an old one that turned out to be dead.
 */
static bool may_retry(const struct hbone_pool_wait *wait, const struct hbone_loss *loss)
{
    if (wait->num_attempts >= HBONE_ATTEMPTS_MAX)
        return false;
    return loss->code == H2_REFUSED_STREAM || (loss->reason != REASON_DONE && wait->on_used_client);
}

static void on_lost(void *owner, const struct hbone_loss *loss)
{
    struct hbone_pool_wait *wait = owner;
    struct hbone_client *client = wait->client;
    wait->stream = NULL;
    if (loss->by_peer && loss->code == H2_REFUSED_STREAM)
        hbone_client_set_full(client);
    if (may_retry(wait, loss)) {
        wait->client = NULL;
        hbone_wait_move_first(wait, &wait->group->waiting);
        hbone_pool_mark(wait->group);
        return;
    }
    const struct err *why;
    struct err store;
    enum reason reason = hbone_connect_reason_of_loss(loss, &why, &store);
    hbone_wait_fail(wait, reason, why);
}

static const struct hbone_opener opener = {
    .on_answer = on_answer,
    .on_lost = on_lost,
};

/* ----------------------------------------------------------------------------------- sending -- */

void hbone_wait_send(struct hbone_pool_wait *wait, struct hbone_client *client)
{
    struct h2_header headers[HBONE_CONNECT_HEADERS];
    size_t num = hbone_connect_headers(&wait->connect, headers);
    wait->client = client;
    wait->on_used_client = hbone_client_was_heard(client);
    wait->num_attempts++;
    wait->stream = hbone_client_request(client, headers, num, &opener, wait);
    if (wait->stream == NULL) {
        hbone_wait_fail(wait, REASON_NO_MEMORY, NULL);
        return;
    }
    hbone_pool_await_answer(wait->group->pool, wait);
}
