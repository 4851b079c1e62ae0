/*
 * One request for a tunnel, from the asking to the answer.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "hbone_pool_impl.h"

/* ---------------------------------------------------------------------------- making, moving -- */

static size_t text_size(const char *text)
{
    return text == NULL ? 0 : strlen(text) + 1;
}

static const char *put_text(char **at, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return NULL;
    char *copy = *at;
    size_t size = text_size(text);
    memcpy(copy, text, size);
    *at += size;
    return copy;
}

struct hbone_pool_wait *hbone_wait_new(struct hbone_group *group,
                                       const struct hbone_pool_request *request,
                                       hbone_pool_done *done, void *owner)
{
    size_t size = text_size(request->authority) + text_size(request->baggage) +
                  text_size(request->forwarded) + text_size(request->traceparent);
    struct hbone_pool_wait *wait = malloc(sizeof(*wait) + size);
    if (wait == NULL)
        return NULL;
    *wait = (struct hbone_pool_wait){.group = group, .done = done, .owner = owner};
    char *at = wait->text;
    wait->authority = put_text(&at, request->authority);
    wait->baggage = put_text(&at, request->baggage);
    wait->forwarded = put_text(&at, request->forwarded);
    wait->traceparent = put_text(&at, request->traceparent);
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

static unsigned parse_status(const char *text)
{
    unsigned status = 0;
    for (; text != NULL && *text >= '0' && *text <= '9' && status < 1000; text++)
        status = status * 10 + (unsigned)(*text - '0');
    return status;
}

static enum reason reason_of_status(unsigned status)
{
    switch (status) {
    case 200:
        return REASON_DONE;
    case 401:
        return REASON_PEER_REFUSED;
    case 503:
        return REASON_PEER_UNREACHABLE;
    default:
        return REASON_PEER_STATUS;
    }
}

static void on_answer(void *owner, const struct h2_header *headers, size_t num_headers, bool end)
{
    struct hbone_pool_wait *wait = owner;
    struct peer_cert *peer = peer_cert_ref(wait->client->peer);
    struct stream *tunnel = NULL;
    struct err err;
    struct hbone_pool_answer answer = {
        .status = parse_status(h2_header_find(headers, num_headers, ":status")),
        .baggage = h2_header_find(headers, num_headers, "baggage"),
        .peer = peer,
    };
    answer.reason = reason_of_status(answer.status);
    if (answer.reason == REASON_DONE) {
        tunnel = hbone_stream_open(wait->stream);
        wait->stream = NULL;
    } else {
        err_set(&err, ERR_DENIED, "the peer answered CONNECT with status %u", answer.status);
        answer.err = &err;
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
    if (loss->reason != REASON_DONE) {
        hbone_wait_fail(wait, loss->reason, loss->err);
        return;
    }
    struct err err;
    err_set(&err, ERR_PROTOCOL, "the stream was reset before the answer (HTTP/2 error code %u)",
            loss->code);
    hbone_wait_fail(wait, loss->by_peer ? REASON_PEER_RESET : REASON_HTTP2_FAILED, &err);
}

static const struct hbone_opener opener = {
    .on_answer = on_answer,
    .on_lost = on_lost,
};

/* ----------------------------------------------------------------------------------- sending -- */

void hbone_wait_send(struct hbone_pool_wait *wait, struct hbone_client *client)
{
    struct h2_header headers[5] = {
        {.name = ":method", .value = "CONNECT"},
        {.name = ":authority", .value = wait->authority},
    };
    size_t num = 2;
    if (wait->baggage != NULL)
        headers[num++] = (struct h2_header){.name = "baggage", .value = wait->baggage};
    if (wait->forwarded != NULL)
        headers[num++] =
            (struct h2_header){.name = "forwarded", .value = wait->forwarded, .unique = true};
    if (wait->traceparent != NULL)
        headers[num++] =
            (struct h2_header){.name = "traceparent", .value = wait->traceparent, .unique = true};
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
