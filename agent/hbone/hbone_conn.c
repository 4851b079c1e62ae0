#include "hbone_conn.h"

#include <assert.h>
#include <stdlib.h>

#include "hbone_stream.h"
#include "net_loop.h"
#include "tls_stream.h"

enum {
    /* For the last bytes of a connection that ends in good order: a lost segment is sent again
     * within the first, a slow line takes what is queued within the second. */
    LAST_BYTES_QUIET_MS = 3 * 1000,
    LAST_BYTES_MS = 30 * 1000,
    LAST_WORD_MS = 1000, /* for a peer that broke the protocol to read why it is left */
};

struct hbone_conn {
    struct tls_io *io;
    struct net_loop *loop;
    struct stream *tls;
    struct h2_session *h2;
    struct net_timer *timer; /* for whichever of the deadlines below is next */
    struct net_task later;   /* end of the round: send, or end */
    const struct hbone_conn_options *options;
    const struct hbone_conn_handler *handler;
    void *owner;
    uint64_t heard_at_ms;    /* when the peer last sent anything */
    uint64_t pinged_at_ms;   /* when we asked; 0: not asked since it was last heard */
    uint64_t idle_at_ms;     /* since when there is no stream; meaningful without streams */
    uint64_t first_until_ms; /* the first request must have come; 0: it has */
    uint64_t timer_at_ms;    /* what the timer is set to; 0: not set */
    unsigned num_streams;
    enum reason end_reason; /* REASON_DONE until it is closing */
    const struct err *end_err;
    struct err *close_err; /* why it is to be closed; on the heap, because it seldom is */
    bool closing;          /* hbone_conn_close was called, or it has come to its end */
    bool draining;
    enum reason drained_reason;
    bool is_single;
    bool heard;
    bool over; /* nothing goes in or out any more; streams are being told */
};

/* ------------------------------------------------------------------------------------ ending -- */

static void release(struct hbone_conn *conn)
{
    net_task_cancel(&conn->later);
    net_timer_free(conn->timer);
    h2_session_free(conn->h2);
    free(conn->close_err);
    free(conn);
}

/* HTTP/2 has said its last word; the peer should hear it, unless it is TLS that failed. */
static void close_tls(struct hbone_conn *conn, bool with_care)
{
    if (!with_care)
        stream_close(conn->tls);
    else if (conn->end_err == NULL)
        tls_io_linger(conn->io, conn->tls, LAST_BYTES_QUIET_MS, LAST_BYTES_MS);
    else
        tls_io_linger(conn->io, conn->tls, LAST_WORD_MS, LAST_WORD_MS);
    conn->tls = NULL;
}

static void end(struct hbone_conn *conn, enum reason reason, const struct err *err, bool with_care)
{
    conn->closing = true;
    conn->end_reason = reason;
    conn->end_err = err;
    net_timer_stop(conn->timer);
    if (with_care) {
        h2_session_goaway(conn->h2, H2_NO_ERROR);
        h2_session_send(conn->h2, NULL);
    }
    close_tls(conn, with_care);
    conn->over = true;
    h2_session_end_streams(conn->h2, H2_CANCEL);
    conn->handler->on_over(conn->owner, reason, err);
    release(conn);
}

/* The peer, or nghttp2 on its behalf, broke the protocol; its GOAWAY is queued. */
static void end_broken(struct hbone_conn *conn, const struct err *err)
{
    struct err why = *err;
    h2_session_send(conn->h2, NULL);
    end(conn, why.kind == ERR_NOMEM ? REASON_NO_MEMORY : REASON_HTTP2_FAILED, &why, true);
}

static void end_finished(struct hbone_conn *conn)
{
    end(conn, conn->draining ? conn->drained_reason : REASON_DONE, NULL, true);
}

void hbone_conn_close(struct hbone_conn *conn, enum reason reason, const struct err *err)
{
    if (conn->closing)
        return;
    conn->closing = true;
    if (err != NULL && (conn->close_err = malloc(sizeof(*err))) != NULL)
        *conn->close_err = *err;
    conn->end_reason = reason;
    net_task_schedule(conn->loop, &conn->later);
}

void hbone_conn_free(struct hbone_conn *conn)
{
    if (conn == NULL)
        return;
    conn->closing = true;
    h2_session_goaway(conn->h2, H2_NO_ERROR);
    h2_session_send(conn->h2, NULL);
    close_tls(conn, false);
    conn->over = true;
    h2_session_end_streams(conn->h2, H2_CANCEL);
    release(conn);
}

void hbone_conn_drain(struct hbone_conn *conn, enum reason reason)
{
    conn->draining = true;
    conn->drained_reason = reason;
    h2_session_start_drain(conn->h2);
}

/* ---------------------------------------------------------------------------- the TLS stream -- */

static void on_later(void *owner)
{
    struct hbone_conn *conn = owner;
    struct err err;
    if (conn->closing)
        end(conn, conn->end_reason, conn->close_err, true);
    else if (h2_session_send(conn->h2, &err) < 0)
        end_broken(conn, &err);
    else if (h2_session_is_finished(conn->h2))
        end_finished(conn);
}

static void on_read(void *owner, const uint8_t *bytes, size_t len)
{
    struct hbone_conn *conn = owner;
    struct err err;
    conn->heard_at_ms = net_loop_now_ms(conn->loop);
    conn->pinged_at_ms = 0;
    if (h2_session_recv(conn->h2, bytes, len, &err) < 0)
        end_broken(conn, &err);
    else if (h2_session_is_finished(conn->h2))
        net_task_schedule(conn->loop, &conn->later);
}

static void on_eof(void *owner)
{
    struct hbone_conn *conn = owner;
    struct err err;
    err_set(&err, ERR_PROTOCOL, "the peer closed the connection");
    if (conn->num_streams == 0)
        end(conn, REASON_DONE, NULL, false);
    else
        end(conn, REASON_TUNNEL_LOST, &err, false);
}

static void on_writable(void *owner)
{
    struct hbone_conn *conn = owner;
    h2_session_set_blocked(conn->h2, false);
}

static void on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    struct hbone_conn *conn = owner;
    end(conn, tls_stream_reason(conn->tls), err, false);
}

static const struct stream_handler tls_handler = {
    .on_read = on_read,
    .on_eof = on_eof,
    .on_writable = on_writable,
    .on_failed = on_failed,
};

/* ------------------------------------------------------------------------ the HTTP/2 session -- */

static void on_output(void *owner, const uint8_t *bytes, size_t len)
{
    struct hbone_conn *conn = owner;
    if (conn->tls == NULL)
        return;
    stream_write(conn->tls, bytes, len);
    if (stream_queued(conn->tls) >= STREAM_HIGH_WATER)
        h2_session_set_blocked(conn->h2, true);
}

static void on_wants_send(void *owner)
{
    struct hbone_conn *conn = owner;
    net_task_schedule(conn->loop, &conn->later);
}

static void on_headers(void *owner, struct h2_stream *h2, const struct h2_header *headers,
                       size_t num_headers, bool is_end)
{
    struct hbone_conn *conn = owner;
    if (conn->handler->on_request != NULL) {
        conn->first_until_ms = 0;
        conn->handler->on_request(conn->owner, h2, headers, num_headers, is_end);
    } else {
        hbone_stream_on_answer(h2_stream_owner(h2), headers, num_headers, is_end);
    }
}

static void on_data(void *owner, struct h2_stream *h2, const uint8_t *bytes, size_t len)
{
    hbone_stream_on_data(h2_stream_owner(h2), bytes, len);
}

static void on_end(void *owner, struct h2_stream *h2)
{
    hbone_stream_on_end(h2_stream_owner(h2));
}

static void on_stream_writable(void *owner, struct h2_stream *h2)
{
    hbone_stream_on_writable(h2_stream_owner(h2));
}

static void on_end_sent(void *owner, struct h2_stream *h2)
{
    hbone_stream_on_end_sent(h2_stream_owner(h2));
}

static void on_closed(void *owner, struct h2_stream *h2, uint32_t code, bool by_peer)
{
    hbone_stream_on_closed(h2_stream_owner(h2), code, by_peer);
}

static void on_malformed(void *owner, const char *why)
{
    struct hbone_conn *conn = owner;
    if (conn->handler->on_malformed != NULL)
        conn->handler->on_malformed(conn->owner, why);
}

static void tell_room(struct hbone_conn *conn)
{
    if (conn->handler->on_room != NULL)
        conn->handler->on_room(conn->owner);
}

static void on_settings(void *owner)
{
    struct hbone_conn *conn = owner;
    conn->heard = true;
    tell_room(conn);
}

static void on_goaway(void *owner, uint32_t code)
{
    tell_room(owner);
}

static const struct h2_handler h2_handler = {
    .on_output = on_output,
    .on_wants_send = on_wants_send,
    .on_headers = on_headers,
    .on_data = on_data,
    .on_end = on_end,
    .on_writable = on_stream_writable,
    .on_end_sent = on_end_sent,
    .on_closed = on_closed,
    .on_malformed = on_malformed,
    .on_settings = on_settings,
    .on_goaway = on_goaway,
};

/* ---------------------------------------------------------------------------------- the time -- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* When the peer must have been heard, or is to be asked. 0: never. */
static uint64_t ping_deadline(const struct hbone_conn *conn)
{
    if (conn->pinged_at_ms != 0)
        return conn->pinged_at_ms + conn->options->ping_timeout_ms;
    if (conn->options->ping_after_ms == 0)
        return 0;
    return conn->heard_at_ms + conn->options->ping_after_ms;
}

static uint64_t idle_deadline(const struct hbone_conn *conn)
{
    if (conn->num_streams > 0 || conn->options->idle_timeout_ms == 0)
        return 0;
    return conn->idle_at_ms + conn->options->idle_timeout_ms;
}

/* What was heard since only moves deadlines back: a timer that fires early looks again. */
static void set_timer(struct hbone_conn *conn)
{
    uint64_t at = sooner(sooner(ping_deadline(conn), idle_deadline(conn)), conn->first_until_ms);
    if (at == 0 || (conn->timer_at_ms != 0 && conn->timer_at_ms <= at))
        return;
    uint64_t now = net_loop_now_ms(conn->loop);
    conn->timer_at_ms = at;
    net_timer_start(conn->timer, at > now ? at - now : 0);
}

static bool is_past(uint64_t deadline_ms, uint64_t now_ms)
{
    return deadline_ms != 0 && deadline_ms <= now_ms;
}

static void time_out(struct hbone_conn *conn, const char *what)
{
    struct err err;
    err_set(&err, ERR_TIMEOUT, "%s", what);
    end(conn, REASON_PEER_TIMEOUT, &err, true);
}

static void on_timeout(void *owner)
{
    struct hbone_conn *conn = owner;
    uint64_t now = net_loop_now_ms(conn->loop);
    conn->timer_at_ms = 0;
    h2_session_trim(conn->h2);
    if (is_past(conn->first_until_ms, now)) {
        time_out(conn, "no request came in time");
        return;
    }
    if (is_past(idle_deadline(conn), now)) {
        end(conn, REASON_IDLE, NULL, true);
        return;
    }
    if (is_past(ping_deadline(conn), now)) {
        if (conn->pinged_at_ms != 0) {
            time_out(conn, "the peer did not answer a PING in time");
            return;
        }
        h2_session_ping(conn->h2, now);
        conn->pinged_at_ms = now;
    }
    set_timer(conn);
}

void hbone_conn_count_stream(struct hbone_conn *conn, int change)
{
    conn->num_streams += (unsigned)change;
    if (conn->closing || change > 0)
        return;
    if (conn->num_streams == 0) {
        conn->idle_at_ms = net_loop_now_ms(conn->loop);
        set_timer(conn);
        if (conn->is_single)
            hbone_conn_drain(conn, REASON_DONE);
    }
    tell_room(conn);
}

/* ------------------------------------------------------------------------- making and asking -- */

struct hbone_conn *hbone_conn_new(struct tls_io *io, struct stream *tls,
                                  const struct hbone_conn_params *params,
                                  const struct hbone_conn_handler *handler, void *owner,
                                  struct err *err)
{
    struct hbone_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        err_set(err, ERR_NOMEM, "HBONE connection: out of memory");
        return NULL;
    }
    conn->io = io;
    conn->loop = tls_io_loop(io);
    conn->options = params->options;
    conn->is_single = params->is_single;
    conn->handler = handler;
    conn->owner = owner;
    conn->later = (struct net_task){.run = on_later, .owner = conn};
    conn->timer = net_timer_new(conn->loop, on_timeout, conn);
    conn->h2 = h2_session_new(params->side, &params->options->h2, &h2_handler, conn, err);
    if (conn->timer == NULL || conn->h2 == NULL) {
        err_set(err, ERR_NOMEM, "HBONE connection: out of memory");
        release(conn);
        return NULL;
    }
    conn->tls = tls;
    conn->heard_at_ms = conn->idle_at_ms = net_loop_now_ms(conn->loop);
    if (params->first_request_timeout_ms != 0)
        conn->first_until_ms = conn->heard_at_ms + params->first_request_timeout_ms;
    stream_set_handler(tls, &tls_handler, conn);
    stream_read_start(tls);
    net_task_schedule(conn->loop, &conn->later);
    set_timer(conn);
    return conn;
}

struct h2_session *hbone_conn_h2(const struct hbone_conn *conn)
{
    return conn->h2;
}

struct stream *hbone_conn_tls(const struct hbone_conn *conn)
{
    return conn->tls;
}

struct net_loop *hbone_conn_loop(const struct hbone_conn *conn)
{
    return conn->loop;
}

bool hbone_conn_is_open(const struct hbone_conn *conn)
{
    return !conn->closing && !conn->draining;
}

bool hbone_conn_is_closing(const struct hbone_conn *conn)
{
    return conn->closing;
}

bool hbone_conn_was_heard(const struct hbone_conn *conn)
{
    return conn->heard;
}

bool hbone_conn_is_over(const struct hbone_conn *conn)
{
    return conn->over;
}

enum reason hbone_conn_end_reason(const struct hbone_conn *conn, const struct err **err)
{
    *err = conn->end_err;
    return conn->end_reason == REASON_DONE ? REASON_TUNNEL_LOST : conn->end_reason;
}
