/*
 * The life of one: outer tunnel -> handshake in it -> HTTP/2 connection in that -> CONNECT -> told.
 * From then on the stream is its owner's, and this only holds the connection that carries it, until
 * that has ended.
 */
#include "hbone_nested.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "hbone_conn.h"
#include "hbone_pool_impl.h"
#include "identity.h"
#include "tls_handshake.h"
#include "tls_stream.h"

struct hbone_nested {
    TAILQ_ENTRY(hbone_nested) entry;
    struct hbone_pool *pool;
    struct hbone_pool_wait *outer;   /* one of these three is under way */
    struct tls_handshake *handshake; /* */
    struct hbone_stream *stream;     /* the CONNECT without its answer */
    struct hbone_conn *conn;         /* from the handshake's end on */
    struct net_timer *timer;         /* of the answer */
    struct tls_context *context;     /* of the handshake; counted */
    struct peer_cert *gateway;       /* whoever is at the outer tunnel's end */
    struct peer_cert *peer;          /* whoever is at the inner end */
    hbone_pool_done *done;           /* NULL once told or cancelled */
    void *owner;
    struct hbone_connect connect; /* texts behind the struct */
    const char **expected;        /* there, too */
    size_t num_expected;
    uint64_t judged; /* as hbone_client's */
};

/* ------------------------------------------------------------------------------------ ending -- */

/* When nothing is under way any more, and no connection is left. */
static void release(struct hbone_nested *nested)
{
    TAILQ_REMOVE(&nested->pool->nested, nested, entry);
    net_timer_free(nested->timer);
    tls_context_unref(nested->context);
    peer_cert_unref(nested->gateway);
    peer_cert_unref(nested->peer);
    free(nested);
}

/* Tells its owner, who may do anything; not to be used afterwards unless there is a connection. */
static void tell(struct hbone_nested *nested, struct stream *stream,
                 const struct hbone_pool_answer *answer)
{
    hbone_pool_done *done = nested->done;
    nested->done = NULL;
    net_timer_stop(nested->timer);
    done(nested->owner, stream, answer);
}

/* Tells of a failure, `where` in words. The connection, if there is one, ends by itself. */
static void fail(struct hbone_nested *nested, enum reason reason, const struct err *err,
                 const char *where)
{
    struct err why = {0};
    struct hbone_pool_answer answer = {.reason = reason, .peer = nested->peer};
    if (err != NULL) {
        why = *err;
        err_prefix(&why, "%s", where);
        answer.err = &why;
    }
    tell(nested, NULL, &answer);
}

static const char inner[] = "in the other network";
static const char outer[] = "network gateway";

/* ------------------------------------------------------------------------------- the request -- */

static void on_answer(void *owner, const struct h2_header *headers, size_t num_headers, bool end)
{
    struct hbone_nested *nested = owner;
    struct hbone_stream *stream = nested->stream;
    struct hbone_pool_answer answer = {.peer = nested->peer, .gateway = nested->gateway};
    struct err err;
    nested->stream = NULL;
    hbone_connect_read_answer(&answer, &err, headers, num_headers);
    if (answer.reason == REASON_DONE) {
        tell(nested, hbone_stream_open(stream), &answer);
        return;
    }
    hbone_stream_drop(stream, H2_CANCEL);
    err_prefix(&err, "%s", inner);
    tell(nested, NULL, &answer);
}

static void on_lost(void *owner, const struct hbone_loss *loss)
{
    struct hbone_nested *nested = owner;
    const struct err *why;
    struct err store;
    nested->stream = NULL;
    enum reason reason = hbone_connect_reason_of_loss(loss, &why, &store);
    fail(nested, reason, why, inner);
}

static const struct hbone_opener opener = {
    .on_answer = on_answer,
    .on_lost = on_lost,
};

static void on_answer_timeout(void *owner)
{
    struct hbone_nested *nested = owner;
    struct hbone_stream *stream = nested->stream;
    struct err err;
    nested->stream = NULL;
    hbone_stream_drop(stream, H2_CANCEL);
    err_set(&err, ERR_TIMEOUT, "no answer to CONNECT after %llu ms",
            (unsigned long long)nested->pool->options.answer_timeout_ms);
    fail(nested, REASON_PEER_SILENT, &err, inner);
}

static int request(struct hbone_nested *nested)
{
    struct h2_header headers[HBONE_CONNECT_HEADERS];
    size_t num = hbone_connect_headers(&nested->connect, headers);
    struct h2_stream *h2 =
        h2_session_request(hbone_conn_h2(nested->conn), headers, num, false, NULL, NULL);
    if (h2 == NULL)
        return -1;
    nested->stream = hbone_stream_new(nested->conn, h2, false, &opener, nested);
    if (nested->stream == NULL) {
        h2_stream_reset(h2, H2_INTERNAL_ERROR);
        return -1;
    }
    net_timer_start(nested->timer, nested->pool->options.answer_timeout_ms);
    return 0;
}

/* ---------------------------------------------------------------------------- the connection -- */

static void on_over(void *owner, enum reason reason, const struct err *err)
{
    struct hbone_nested *nested = owner;
    /* Whoever waited was told by on_lost, whoever has the stream by the stream. */
    assert(nested->done == NULL);
    release(nested);
}

static const struct hbone_conn_handler conn_handler = {.on_over = on_over};

static void fail_and_release(struct hbone_nested *nested, enum reason reason, const struct err *err,
                             const char *where)
{
    fail(nested, reason, err, where);
    release(nested);
}

/* Trust may have changed since the handshake began, and a review passes over who was not connected
 * yet. Unlike a dial, it is not begun anew: the tunnel that it was in is used up. */
static enum reason judge_again(const struct hbone_nested *nested, const struct peer_cert *peer,
                               struct err *err)
{
    static const struct cert_rules STRICT = {0};
    const struct tls_context *now = nested->pool->context;
    if (now == nested->context)
        return REASON_DONE;
    if (now == NULL) {
        err_set(err, ERR_TLS, "our own certificate ended during the handshake");
        return REASON_NO_IDENTITY;
    }
    return peer_cert_recheck(peer, identity_trust(tls_context_identity(now)), &STRICT,
                             clock_wall_ms(), 0, err);
}

static void on_handshake(void *owner, struct stream *tls, enum reason reason, const struct err *err)
{
    struct hbone_nested *nested = owner;
    struct err why;
    nested->handshake = NULL;
    if (tls == NULL) {
        fail_and_release(nested, reason, err, inner);
        return;
    }
    reason = judge_again(nested, tls_stream_peer(tls), &why);
    if (reason != REASON_DONE) {
        stream_abort(tls);
        fail_and_release(nested, reason, &why, inner);
        return;
    }
    const struct hbone_conn_params params = {
        .side = H2_CLIENT, .options = &nested->pool->options.conn, .is_single = true};
    nested->conn = hbone_conn_new(nested->pool->io, tls, &params, &conn_handler, nested, &why);
    if (nested->conn == NULL) {
        stream_close(tls);
        fail_and_release(nested, REASON_NO_MEMORY, &why, inner);
        return;
    }
    nested->peer = peer_cert_ref(tls_stream_peer(tls));
    if (request(nested) == 0)
        return;
    hbone_conn_close(nested->conn, REASON_NO_MEMORY, NULL);
    fail(nested, REASON_NO_MEMORY, NULL, inner);
}

/* ---------------------------------------------------------------------------- the outer tunnel -- */

static void start_handshake(struct hbone_nested *nested, struct stream *tunnel)
{
    struct hbone_pool *pool = nested->pool;
    struct err err;
    const struct tls_conn_params params = {
        .role = TLS_CLIENT,
        .now_ms = clock_wall_ms(),
        .expected = nested->expected,
        .num_expected = nested->num_expected,
    };
    if (pool->context == NULL) {
        stream_close(tunnel);
        fail_and_release(nested, REASON_NO_IDENTITY, NULL, inner);
        return;
    }
    nested->context = tls_context_ref(pool->context);
    nested->handshake =
        tls_handshake_start(pool->io, tunnel, pool->context, &params,
                            pool->options.conn.tls_timeout_ms, on_handshake, nested, &err);
    if (nested->handshake != NULL)
        return;
    stream_close(tunnel);
    fail_and_release(nested, err.kind == ERR_NOMEM ? REASON_NO_MEMORY : REASON_TLS_FAILED, &err,
                     inner);
}

static void on_outer(void *owner, struct stream *tunnel, const struct hbone_pool_answer *answer)
{
    struct hbone_nested *nested = owner;
    nested->outer = NULL;
    if (tunnel != NULL) {
        nested->gateway = peer_cert_ref(answer->peer);
        start_handshake(nested, tunnel);
        return;
    }
    if (answer->peer != NULL)
        nested->peer = peer_cert_ref(answer->peer);
    fail_and_release(nested, answer->reason, answer->err, outer);
}

/* -------------------------------------------------------------------------- starting, ending -- */

static size_t size_of_expected(const struct hbone_nested_request *asked)
{
    size_t size = asked->num_expected * sizeof(const char *);
    for (size_t i = 0; i < asked->num_expected; i++)
        size += strlen(asked->expected[i]) + 1;
    return size;
}

/* Everything in one piece of memory: the struct, the list of identities, the texts. */
static struct hbone_nested *copy(const struct hbone_nested_request *asked)
{
    const struct hbone_connect connect = hbone_connect_of(&asked->outer);
    struct hbone_nested *nested =
        calloc(1, sizeof(*nested) + size_of_expected(asked) + hbone_connect_size(&connect));
    if (nested == NULL)
        return NULL;
    nested->expected = (const char **)(nested + 1);
    nested->num_expected = asked->num_expected;
    char *at = (char *)(nested->expected + asked->num_expected);
    at = hbone_connect_copy(&nested->connect, &connect, at);
    for (size_t i = 0; i < asked->num_expected; i++) {
        size_t size = strlen(asked->expected[i]) + 1;
        nested->expected[i] = memcpy(at, asked->expected[i], size);
        at += size;
    }
    return nested;
}

struct hbone_nested *hbone_nested_start(struct hbone_pool *pool,
                                        const struct hbone_nested_request *asked,
                                        hbone_pool_done *done, void *owner)
{
    assert(asked->num_expected > 0);
    struct hbone_nested *nested = copy(asked);
    if (nested == NULL)
        return NULL;
    struct hbone_pool_request to_gateway = asked->outer;
    to_gateway.network = NULL;
    nested->pool = pool;
    nested->done = done;
    nested->owner = owner;
    nested->timer = net_timer_new(pool->loop, on_answer_timeout, nested);
    if (nested->timer != NULL)
        nested->outer = hbone_pool_connect(pool, &to_gateway, on_outer, nested);
    if (nested->outer == NULL) {
        net_timer_free(nested->timer);
        free(nested);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&pool->nested, nested, entry);
    return nested;
}

void hbone_nested_cancel(struct hbone_nested *nested)
{
    if (nested == NULL)
        return;
    assert(nested->done != NULL);
    nested->done = NULL;
    net_timer_stop(nested->timer);
    if (nested->stream != NULL) { /* the connection ends with it */
        struct hbone_stream *stream = nested->stream;
        nested->stream = NULL;
        hbone_stream_drop(stream, H2_CANCEL);
        return;
    }
    hbone_pool_cancel(nested->outer);
    tls_handshake_cancel(nested->handshake);
    release(nested);
}

/* Nothing new ever goes onto its connection, so there is nothing to retire. */
static void judge(struct hbone_nested *nested, const struct hbone_pool_review *review)
{
    struct err err;
    enum reason reason = review->judge(review->owner, nested->peer, &err);
    if (reason != REASON_DONE)
        hbone_conn_close(nested->conn, reason, &err);
    else if (review->generation != 0)
        nested->judged = review->generation;
}

unsigned hbone_nested_review(struct hbone_nested_list *list, const struct hbone_pool_review *review,
                             unsigned max)
{
    unsigned num = 0;
    struct hbone_nested *nested;
    TAILQ_FOREACH (nested, list, entry) {
        if (num == max)
            break;
        if (nested->conn == NULL || hbone_conn_is_closing(nested->conn) ||
            (review->generation != 0 && nested->judged == review->generation))
            continue;
        judge(nested, review);
        num++;
    }
    return num;
}

void hbone_nested_free_all(struct hbone_nested_list *list)
{
    struct hbone_nested *nested;
    while ((nested = TAILQ_FIRST(list)) != NULL) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): TAILQ_REMOVE took it out */
        assert(nested->done == NULL && nested->conn != NULL);
        hbone_conn_free(nested->conn);
        release(nested);
    }
}
