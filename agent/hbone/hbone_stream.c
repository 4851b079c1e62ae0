#include "hbone_stream.h"

#include <assert.h>
#include <stdlib.h>

#include "net_loop.h"

enum { SLICE = 64 * 1024 }; /* parked bytes that are delivered at once: as much as one read */

struct hbone_stream {
    struct stream stream;
    struct hbone_conn *conn; /* NULL when h2 is */
    struct h2_stream *h2;    /* NULL once HTTP/2 has closed it */
    struct net_loop *loop;
    struct net_task later;             /* tells what may not be told at once */
    struct buf parked;                 /* received and not delivered */
    const struct hbone_opener *opener; /* NULL once it is a tunnel */
    void *opener_owner;
    enum stream_fault fault;
    const char *why; /* of the fault; a phrase in static storage, or NULL */
    bool reading;
    bool ended; /* the peer's direction; on_eof may still have to be told */
    bool eof_told;
    bool shutdown_asked;
    bool end_sent; /* on_shutdown may still have to be told */
    bool shutdown_told;
    bool broken; /* on_failed may still have to be told */
    bool failed;
    bool calling; /* a handler runs: freeing waits */
    bool closed;
};

static struct hbone_stream *from_stream(struct stream *stream)
{
    return (struct hbone_stream *)stream;
}

static void release(struct hbone_stream *self)
{
    net_task_cancel(&self->later);
    buf_done(&self->parked);
    free(self);
}

/* HTTP/2 is done with it, or is not to call it any more. */
static void detach(struct hbone_stream *self)
{
    struct hbone_conn *conn = self->conn;
    self->h2 = NULL;
    self->conn = NULL;
    if (conn != NULL)
        hbone_conn_count_stream(conn, -1);
}

/* Brackets a call of the owner's handler, in which the stream may be closed. False: it was. */
#define CALL_OWNER(self, call)                                                                     \
    ((self)->calling = true, (call), (self)->calling = false,                                      \
     (self)->closed ? (release(self), false) : true)

/* ----------------------------------------------------------------------------------- telling -- */

/* False: the stream was closed in the handler. */
static bool tell_bytes(struct hbone_stream *self, const uint8_t *bytes, size_t len)
{
    if (!CALL_OWNER(self, self->stream.handler->on_read(self->stream.owner, bytes, len)))
        return false;
    if (self->h2 != NULL)
        h2_stream_consume(self->h2, len);
    return true;
}

/* Takes the buffer out while it is lent, so that closing the stream does not free it. */
static bool tell_parked(struct hbone_stream *self)
{
    struct buf parked = self->parked;
    self->parked = (struct buf){0};
    bool alive = true;
    while (alive && self->reading && buf_len(&parked) > 0) {
        size_t len = buf_len(&parked) < SLICE ? buf_len(&parked) : SLICE;
        alive = tell_bytes(self, buf_head(&parked), len);
        buf_consume(&parked, len);
    }
    if (alive && buf_len(&parked) > 0)
        self->parked = parked;
    else
        buf_done(&parked);
    return alive;
}

static bool tell_eof(struct hbone_stream *self)
{
    if (!self->ended || self->eof_told || !self->reading)
        return true;
    self->eof_told = true;
    return CALL_OWNER(self, self->stream.handler->on_eof(self->stream.owner));
}

static bool tell_shutdown(struct hbone_stream *self)
{
    if (!self->end_sent || self->shutdown_told)
        return true;
    self->shutdown_told = true;
    if (self->stream.handler->on_shutdown == NULL)
        return true;
    return CALL_OWNER(self, self->stream.handler->on_shutdown(self->stream.owner));
}

/* After the bytes that came before it. */
static void tell_fault(struct hbone_stream *self)
{
    if (!self->broken || self->failed)
        return;
    struct err err;
    self->failed = true;
    err_set(&err, ERR_PROTOCOL, "tunnel: %s", self->why);
    CALL_OWNER(self, self->stream.handler->on_failed(self->stream.owner, self->fault, &err));
}

static void tell_all(struct hbone_stream *self)
{
    if (self->opener != NULL || self->closed || self->failed)
        return;
    if (buf_len(&self->parked) > 0) {
        if (!tell_parked(self))
            return;
        if (buf_len(&self->parked) > 0)
            return; /* the rest comes after it */
    }
    if (tell_eof(self) && tell_shutdown(self))
        tell_fault(self);
}

static void on_later(void *owner)
{
    tell_all(owner);
}

static void schedule(struct hbone_stream *self)
{
    net_task_schedule(self->loop, &self->later);
}

/* --------------------------------------------------------------------------- HTTP/2's events -- */

void hbone_stream_on_answer(struct hbone_stream *self, const struct h2_header *headers,
                            size_t num_headers, bool end)
{
    self->ended = end;
    self->opener->on_answer(self->opener_owner, headers, num_headers, end);
}

static void set_broken(struct hbone_stream *self, enum stream_fault fault, const char *why)
{
    if (self->broken)
        return;
    self->broken = true;
    self->fault = fault;
    self->why = why;
}

void hbone_stream_on_data(struct hbone_stream *self, const uint8_t *bytes, size_t len)
{
    if (self->opener == NULL && self->reading && buf_len(&self->parked) == 0) {
        tell_bytes(self, bytes, len);
        return;
    }
    if (buf_append(&self->parked, bytes, len) == 0)
        return;
    struct h2_stream *h2 = self->h2;
    set_broken(self, STREAM_FAULT_IO, "out of memory");
    detach(self);
    h2_stream_reset(h2, H2_INTERNAL_ERROR);
    schedule(self);
}

void hbone_stream_on_end(struct hbone_stream *self)
{
    self->ended = true;
    tell_all(self);
}

void hbone_stream_on_writable(struct hbone_stream *self)
{
    if (self->opener == NULL && !self->failed && self->stream.handler->on_writable != NULL)
        CALL_OWNER(self, self->stream.handler->on_writable(self->stream.owner));
}

void hbone_stream_on_end_sent(struct hbone_stream *self)
{
    self->end_sent = true;
    tell_all(self);
}

static void break_by_conn(struct hbone_stream *self, enum reason reason)
{
    if (reason == REASON_PEER_TIMEOUT)
        set_broken(self, STREAM_FAULT_TIMEOUT, "the peer stopped answering");
    else if (reason == REASON_HTTP2_FAILED)
        set_broken(self, STREAM_FAULT_PROTOCOL, "the peer broke HTTP/2");
    else
        set_broken(self, STREAM_FAULT_LOST, "the connection that carried it is gone");
}

static void break_by_code(struct hbone_stream *self, uint32_t code, bool by_peer)
{
    if (by_peer && code == H2_NO_ERROR) {
        self->ended = true;
        self->end_sent = self->shutdown_asked;
        return;
    }
    if (by_peer)
        set_broken(self, STREAM_FAULT_RESET, "the peer reset it");
    else if (code != H2_NO_ERROR)
        set_broken(self, STREAM_FAULT_PROTOCOL,
                   "it was reset here, because HTTP/2 was broken in it");
}

void hbone_stream_on_closed(struct hbone_stream *self, uint32_t code, bool by_peer)
{
    struct hbone_loss loss = {.code = code, .by_peer = by_peer, .reason = REASON_DONE};
    bool by_conn = hbone_conn_is_over(self->conn);
    if (by_conn)
        loss.reason = hbone_conn_end_reason(self->conn, &loss.err);
    detach(self);
    if (self->opener != NULL) {
        const struct hbone_opener *opener = self->opener;
        void *opener_owner = self->opener_owner;
        release(self);
        opener->on_lost(opener_owner, &loss);
        return;
    }
    if (by_conn)
        break_by_conn(self, loss.reason);
    else
        break_by_code(self, code, by_peer);
    tell_all(self);
}

/* -------------------------------------------------------------------------- as struct stream -- */

static void tunnel_read_start(struct stream *stream)
{
    struct hbone_stream *self = from_stream(stream);
    assert(!self->closed);
    if (self->reading)
        return;
    self->reading = true;
    if (buf_len(&self->parked) > 0 || self->ended || self->broken)
        schedule(self);
}

static void tunnel_read_stop(struct stream *stream)
{
    from_stream(stream)->reading = false;
}

static void tunnel_write(struct stream *stream, const uint8_t *bytes, size_t len)
{
    struct hbone_stream *self = from_stream(stream);
    assert(!self->closed && !self->shutdown_asked);
    if (self->h2 != NULL)
        h2_stream_write(self->h2, bytes, len);
}

static size_t tunnel_queued(const struct stream *stream)
{
    const struct hbone_stream *self = (const struct hbone_stream *)stream;
    return self->h2 != NULL ? h2_stream_queued(self->h2) : 0;
}

static void tunnel_shutdown(struct stream *stream)
{
    struct hbone_stream *self = from_stream(stream);
    assert(!self->closed && !self->shutdown_asked);
    self->shutdown_asked = true;
    if (self->h2 != NULL) {
        h2_stream_end(self->h2);
    } else {
        self->end_sent = true; /* nobody wants it any more */
        schedule(self);
    }
}

static void let_go(struct hbone_stream *self, uint32_t code)
{
    assert(!self->closed);
    struct h2_stream *h2 = self->h2;
    detach(self);
    if (h2 != NULL)
        h2_stream_reset(h2, code);
    net_task_cancel(&self->later);
    self->closed = true;
    if (!self->calling)
        release(self);
}

static void tunnel_close(struct stream *stream)
{
    let_go(from_stream(stream), H2_CANCEL);
}

static void tunnel_abort(struct stream *stream)
{
    let_go(from_stream(stream), H2_CONNECT_ERROR);
}

static const struct stream_ops ops = {
    .read_start = tunnel_read_start,
    .read_stop = tunnel_read_stop,
    .write = tunnel_write,
    .queued = tunnel_queued,
    .shutdown = tunnel_shutdown,
    .close = tunnel_close,
    .abort = tunnel_abort,
};

/* ------------------------------------------------------------------------------------ making -- */

struct hbone_stream *hbone_stream_new(struct hbone_conn *conn, struct h2_stream *h2, bool ended,
                                      const struct hbone_opener *opener, void *opener_owner)
{
    struct hbone_stream *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return NULL;
    self->stream.ops = &ops;
    self->conn = conn;
    self->h2 = h2;
    self->loop = hbone_conn_loop(conn);
    self->later = (struct net_task){.run = on_later, .owner = self};
    self->ended = ended;
    self->opener = opener;
    self->opener_owner = opener_owner;
    h2_stream_set_owner(h2, self);
    hbone_conn_count_stream(conn, 1);
    return self;
}

struct stream *hbone_stream_open(struct hbone_stream *self)
{
    assert(self->opener != NULL);
    self->opener = NULL;
    return &self->stream;
}

void hbone_stream_drop(struct hbone_stream *self, uint32_t code)
{
    assert(self->opener != NULL);
    let_go(self, code);
}

struct h2_stream *hbone_stream_h2(const struct hbone_stream *self)
{
    return self->h2;
}
