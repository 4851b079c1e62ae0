#include "rpc_link.h"

#include <string.h>

enum {
    LINGER_MS = 1000, /* a peer that does not take our GOAWAY within this does not get it */
};

/* ----------------------------------------------------------------------------------- ending -- */

static void gone(struct rpc_link *link)
{
    link->on_gone(link, link->err.kind == ERR_NONE ? NULL : &link->err);
}

static void set_err(struct rpc_link *link, const struct err *err)
{
    if (link->err.kind == ERR_NONE)
        link->err = *err;
}

/* The stream is of no use any more. */
static void break_off(struct rpc_link *link, const struct err *err)
{
    set_err(link, err);
    net_task_cancel(&link->flush);
    h2_session_end_streams(link->session, H2_INTERNAL_ERROR);
    gone(link);
}

void rpc_link_fail(struct rpc_link *link, const struct err *err)
{
    break_off(link, err);
}

/* The session is over; what it has said last still has to reach the peer. */
static void start_close(struct rpc_link *link)
{
    link->closing = true;
    net_task_cancel(&link->flush);
    h2_session_end_streams(link->session, H2_INTERNAL_ERROR);
    stream_read_stop(link->stream);
    stream_shutdown(link->stream);
    net_timer_start(link->linger, LINGER_MS);
}

/* The session has found its peer's or its own fault, which the GOAWAY in its output tells. */
static void fail_session(struct rpc_link *link, const struct err *err)
{
    struct err ignored;
    set_err(link, err);
    h2_session_set_blocked(link->session, false);
    h2_session_send(link->session, &ignored);
    start_close(link);
}

static void on_linger_timeout(void *owner)
{
    gone(owner);
}

/* ------------------------------------------------------------------------------------ output -- */

static void flush(void *owner)
{
    struct rpc_link *link = owner;
    struct err err;
    if (link->closing)
        return;
    if (h2_session_send(link->session, &err) < 0)
        fail_session(link, &err);
    else if (h2_session_is_finished(link->session))
        start_close(link);
}

void rpc_link_on_output(void *owner, const uint8_t *bytes, size_t len)
{
    struct rpc_link *link = owner;
    stream_write(link->stream, bytes, len);
    if (stream_queued(link->stream) >= STREAM_HIGH_WATER)
        h2_session_set_blocked(link->session, true);
}

void rpc_link_on_wants_send(void *owner)
{
    struct rpc_link *link = owner;
    net_task_schedule(link->loop, &link->flush);
}

static void link_on_writable(void *owner)
{
    struct rpc_link *link = owner;
    if (!link->closing)
        h2_session_set_blocked(link->session, false);
}

static void link_on_shutdown(void *owner)
{
    gone(owner);
}

/* ------------------------------------------------------------------------------------- input -- */

static void link_on_read(void *owner, const uint8_t *bytes, size_t len)
{
    struct rpc_link *link = owner;
    struct err err;
    link->num_received += len;
    if (h2_session_recv(link->session, bytes, len, &err) < 0)
        fail_session(link, &err);
    else if (h2_session_is_finished(link->session))
        net_task_schedule(link->loop, &link->flush);
}

/* HTTP/2 has no half-closed connections. */
static void link_on_eof(void *owner)
{
    struct rpc_link *link = owner;
    struct err err;
    err_set(&err, ERR_SYSTEM, "the other side closed the connection");
    break_off(link, &err);
}

static void link_on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    break_off(owner, err);
}

static const struct stream_handler stream_handler = {
    .on_read = link_on_read,
    .on_eof = link_on_eof,
    .on_writable = link_on_writable,
    .on_shutdown = link_on_shutdown,
    .on_failed = link_on_failed,
};

/* ------------------------------------------------------------------------------------- life -- */

int rpc_link_init(struct rpc_link *link, struct stream *stream,
                  const struct rpc_link_params *params, struct err *err)
{
    memset(link, 0, sizeof(*link));
    link->loop = params->loop;
    link->on_gone = params->on_gone;
    link->flush = (struct net_task){.run = flush, .owner = link};
    link->linger = net_timer_new(link->loop, on_linger_timeout, link);
    if (link->linger == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    link->session = h2_session_new(params->side, params->options, params->handler, link, err);
    if (link->session == NULL) {
        net_timer_free(link->linger);
        link->linger = NULL;
        return -1;
    }
    link->stream = stream;
    stream_set_handler(stream, &stream_handler, link);
    stream_read_start(stream);
    net_task_schedule(link->loop, &link->flush);
    return 0;
}

void rpc_link_done(struct rpc_link *link)
{
    if (link == NULL || link->session == NULL)
        return;
    net_task_cancel(&link->flush);
    net_timer_free(link->linger);
    h2_session_free(link->session);
    stream_close(link->stream);
    memset(link, 0, sizeof(*link));
}

const struct err *rpc_link_err(const struct rpc_link *link)
{
    return &link->err;
}
