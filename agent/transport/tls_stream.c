#include "tls_stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net_tcp.h"
#include "tls_stream_impl.h"

enum {
    RECORD = 16384,  /* plaintext of a full record (RFC 8446, 5.1) */
    ALERT_MS = 1000, /* for a peer that is denied to take the alert */
};

struct tls_stream {
    struct stream stream;
    struct tls_io *io;
    struct stream *lower;
    struct tls_conn *conn;
    struct net_task later; /* end of the round: flush, and tell what may not be told at once */
    struct buf gather; /* plaintext of a record that is not full yet; borrowed while not empty */
    struct buf held;   /* plaintext that came with the handshake */
    enum reason reason;
    bool reading;
    bool peer_closed; /* close_notify was received; on_eof may still have to be told */
    bool eof_told;
    bool broken; /* the TLS connection failed; on_failed may still have to be told */
    bool failed; /* on_failed was told, or must not be told any more */
    bool shutdown_asked;
    size_t farewell_len; /* bytes of our close_notify, sealed, once it is sent */
    bool was_high;
    bool calling; /* a handler runs: freeing waits */
    bool closed;
};

static struct tls_stream *from_stream(struct stream *stream)
{
    return (struct tls_stream *)stream;
}

static const struct tls_stream *from_const(const struct stream *stream)
{
    return (const struct tls_stream *)stream;
}

/* ----------------------------------------------------------------------------------- failing -- */

static void release(struct tls_stream *tls)
{
    assert(tls->closed && !tls->calling);
    tls_conn_free(tls->conn);
    buf_done(&tls->held);
    free(tls);
}

/* Brackets a call of the owner's handler, in which the stream may be closed. False: it was. */
#define CALL_OWNER(tls, call)                                                                      \
    ((tls)->calling = true, (call), (tls)->calling = false,                                        \
     (tls)->closed ? (release(tls), false) : true)

static enum stream_fault fault_of(enum reason reason)
{
    if (reason == REASON_TUNNEL_LOST)
        return STREAM_FAULT_LOST;
    return reason == REASON_NO_MEMORY ? STREAM_FAULT_IO : STREAM_FAULT_PROTOCOL;
}

/* The owner may be gone when this returns. */
static void fail(struct tls_stream *tls, enum stream_fault fault, const struct err *err)
{
    if (tls->failed)
        return;
    tls->failed = true;
    net_task_cancel(&tls->later);
    stream_read_stop(tls->lower);
    CALL_OWNER(tls, tls->stream.handler->on_failed(tls->stream.owner, fault, err));
}

static void fail_by_tls(struct tls_stream *tls)
{
    tls->reason = tls_conn_reason(tls->conn);
    struct err err = *tls_conn_err(tls->conn);
    fail(tls, fault_of(tls->reason), &err);
}

static void schedule(struct tls_stream *tls)
{
    net_task_schedule(tls_io_loop(tls->io), &tls->later);
}

/* ----------------------------------------------------------------------------------- sending -- */

static bool can_send(const struct tls_stream *tls)
{
    return !tls->broken && !tls->failed;
}

static void encrypt(struct tls_stream *tls, const uint8_t *bytes, size_t len)
{
    struct buf *output = tls_conn_output(tls->conn);
    if (output->capacity == 0)
        *output = tls_io_take(tls->io);
    if (tls_conn_send(tls->conn, bytes, len) == TLS_FAILED) {
        tls->broken = true;
        schedule(tls);
    }
}

static void encrypt_gathered(struct tls_stream *tls)
{
    if (buf_len(&tls->gather) > 0 && can_send(tls))
        encrypt(tls, buf_head(&tls->gather), buf_len(&tls->gather));
    tls_io_give(tls->io, &tls->gather);
}

/* Hands the ciphertext down, also when the TLS connection has failed: the alert is in it. */
static void push(struct tls_stream *tls)
{
    struct buf *output = tls_conn_output(tls->conn);
    if (buf_len(output) > 0 && !tls->failed)
        stream_write(tls->lower, buf_head(output), buf_len(output));
    tls_io_give(tls->io, output);
}

static void flush(struct tls_stream *tls)
{
    encrypt_gathered(tls);
    if (!tls->shutdown_asked)
        push(tls);
}

static size_t tls_queued(const struct stream *stream)
{
    const struct tls_stream *tls = from_const(stream);
    if (!can_send(tls))
        return 0;
    return buf_len(&tls->gather) + buf_len(tls_conn_output(tls->conn)) + stream_queued(tls->lower);
}

/* Copies into the record that is being gathered, and encrypts it when it is full. */
static size_t gather(struct tls_stream *tls, const uint8_t *bytes, size_t len)
{
    struct buf *record = &tls->gather;
    if (record->capacity == 0)
        *record = tls_io_take(tls->io);
    size_t space = RECORD - buf_len(record);
    size_t part = len < space ? len : space;
    if (buf_append(record, bytes, part) < 0) {
        encrypt_gathered(tls); /* without gathering: shorter records */
        if (can_send(tls))
            encrypt(tls, bytes, part);
    } else if (buf_len(record) == RECORD) {
        encrypt(tls, buf_head(record), RECORD);
        buf_clear(record, record->capacity);
    }
    return part;
}

static void tls_write(struct stream *stream, const uint8_t *bytes, size_t len)
{
    struct tls_stream *tls = from_stream(stream);
    assert(!tls->closed && !tls->shutdown_asked);
    schedule(tls);
    while (len > 0 && can_send(tls)) {
        size_t part;
        if (buf_len(&tls->gather) == 0 && len >= RECORD) {
            part = len - len % RECORD; /* whole records need no gathering */
            encrypt(tls, bytes, part);
        } else {
            part = gather(tls, bytes, len);
        }
        bytes += part;
        len -= part;
    }
    if (buf_len(tls_conn_output(tls->conn)) >= TLS_STREAM_FLUSH)
        push(tls);
    if (tls_queued(stream) >= STREAM_HIGH_WATER)
        flush(tls); /* only what is below can tell when there is room again */
}

static void tls_shutdown(struct stream *stream)
{
    struct tls_stream *tls = from_stream(stream);
    assert(!tls->closed && !tls->shutdown_asked);
    if (!can_send(tls))
        return;
    encrypt_gathered(tls);
    size_t len = buf_len(tls_conn_output(tls->conn));
    tls_conn_close_notify(tls->conn);
    tls->farewell_len = buf_len(tls_conn_output(tls->conn)) - len;
    push(tls);
    tls->shutdown_asked = true;
    stream_shutdown(tls->lower);
}

void tls_stream_flush(struct stream *stream)
{
    struct tls_stream *tls = from_stream(stream);
    if (can_send(tls))
        flush(tls);
}

bool tls_stream_is_delivered(const struct stream *stream)
{
    const struct tls_stream *tls = from_const(stream);
    const struct net_tcp *tcp = net_tcp_of(tls->lower);
    /* TCP counts its end, too. */
    return tls->shutdown_asked && tcp != NULL && net_tcp_undelivered(tcp) <= tls->farewell_len + 1;
}

/* --------------------------------------------------------------------------------- receiving -- */

/* What came is told in order: bytes, end or failure. False: the stream was closed meanwhile. */
static bool tell_end(struct tls_stream *tls)
{
    if (tls->peer_closed && !tls->eof_told && tls->reading) {
        tls->eof_told = true;
        if (!CALL_OWNER(tls, tls->stream.handler->on_eof(tls->stream.owner)))
            return false;
    }
    if (!tls->broken || tls->failed)
        return true;
    push(tls);
    fail_by_tls(tls);
    return false;
}

static void take_status(struct tls_stream *tls, enum tls_status status)
{
    tls->peer_closed = status == TLS_PEER_CLOSED;
    tls->broken = status == TLS_FAILED;
    if (buf_len(tls_conn_output(tls->conn)) > 0)
        schedule(tls); /* a key update is answered */
}

static void on_read(void *owner, const uint8_t *bytes, size_t len)
{
    struct tls_stream *tls = owner;
    struct tls_io *io = tls->io; /* the stream may be gone when the buffer goes back */
    struct buf plain = tls_io_take(io);
    take_status(tls, tls_conn_recv(tls->conn, bytes, len, &plain));
    bool alive = true;
    if (buf_len(&plain) > 0)
        alive = CALL_OWNER(tls, tls->stream.handler->on_read(tls->stream.owner, buf_head(&plain),
                                                             buf_len(&plain)));
    tls_io_give(io, &plain);
    if (alive)
        tell_end(tls);
}

static void on_eof(void *owner)
{
    struct tls_stream *tls = owner;
    take_status(tls, tls_conn_eof(tls->conn));
    tell_end(tls);
}

static void on_writable(void *owner)
{
    struct tls_stream *tls = owner;
    if (tls->stream.handler->on_writable != NULL)
        CALL_OWNER(tls, tls->stream.handler->on_writable(tls->stream.owner));
}

static void on_shutdown(void *owner)
{
    struct tls_stream *tls = owner;
    if (tls->stream.handler->on_shutdown != NULL)
        CALL_OWNER(tls, tls->stream.handler->on_shutdown(tls->stream.owner));
}

static void on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    struct tls_stream *tls = owner;
    tls->reason = fault == STREAM_FAULT_TIMEOUT ? REASON_PEER_TIMEOUT : REASON_TUNNEL_LOST;
    fail(tls, fault, err);
}

static const struct stream_handler lower_handler = {
    .on_read = on_read,
    .on_eof = on_eof,
    .on_writable = on_writable,
    .on_shutdown = on_shutdown,
    .on_failed = on_failed,
};

/* Tells what came with the handshake. False: the stream was closed meanwhile. */
static bool tell_held(struct tls_stream *tls)
{
    if (!tls->reading || buf_len(&tls->held) == 0)
        return true;
    struct buf held = tls->held;
    tls->held = (struct buf){0};
    bool alive = CALL_OWNER(
        tls, tls->stream.handler->on_read(tls->stream.owner, buf_head(&held), buf_len(&held)));
    buf_done(&held);
    return alive;
}

static void on_later(void *owner)
{
    struct tls_stream *tls = owner;
    if (can_send(tls))
        flush(tls);
    if (tell_held(tls))
        tell_end(tls);
}

static void tls_read_start(struct stream *stream)
{
    struct tls_stream *tls = from_stream(stream);
    assert(!tls->closed);
    if (tls->reading || tls->failed)
        return;
    tls->reading = true;
    stream_read_start(tls->lower);
    if (buf_len(&tls->held) > 0 || tls->peer_closed)
        schedule(tls);
}

static void tls_read_stop(struct stream *stream)
{
    struct tls_stream *tls = from_stream(stream);
    tls->reading = false;
    if (!tls->failed)
        stream_read_stop(tls->lower);
}

/* ----------------------------------------------------------------------------------- closing -- */

static void let_go(struct tls_stream *tls)
{
    assert(!tls->closed);
    net_task_cancel(&tls->later);
    tls_io_give(tls->io, &tls->gather);
    tls_io_give(tls->io, tls_conn_output(tls->conn));
    tls->closed = true;
    if (!tls->calling)
        release(tls);
}

/* The peer is told that this is an end and no accident, as far as it takes the bytes at once. */
static void tls_close(struct stream *stream)
{
    struct tls_stream *tls = from_stream(stream);
    if (can_send(tls) && !tls->shutdown_asked) {
        encrypt_gathered(tls);
        tls_conn_close_notify(tls->conn);
    }
    if (!tls->shutdown_asked)
        push(tls);
    stream_close(tls->lower);
    let_go(tls);
}

static void tls_abort(struct stream *stream)
{
    struct tls_stream *tls = from_stream(stream);
    stream_abort(tls->lower);
    let_go(tls);
}

void tls_stream_deny(struct stream *stream)
{
    struct tls_stream *tls = from_stream(stream);
    if (!can_send(tls) || tls->shutdown_asked) {
        tls_abort(stream);
        return;
    }
    encrypt_gathered(tls);
    tls_conn_deny(tls->conn);
    push(tls);
    tls_io_linger(tls->io, tls->lower, ALERT_MS, ALERT_MS);
    let_go(tls);
}

static const struct stream_ops ops = {
    .read_start = tls_read_start,
    .read_stop = tls_read_stop,
    .write = tls_write,
    .queued = tls_queued,
    .shutdown = tls_shutdown,
    .close = tls_close,
    .abort = tls_abort,
};

/* ------------------------------------------------------------------------- making and asking -- */

struct stream *tls_stream_new(struct tls_io *io, struct stream *lower, struct tls_conn *conn,
                              struct buf *plain)
{
    struct tls_stream *tls = calloc(1, sizeof(*tls));
    if (tls == NULL)
        return NULL;
    tls->stream.ops = &ops;
    tls->io = io;
    tls->lower = lower;
    tls->conn = conn;
    tls->later = (struct net_task){.run = on_later, .owner = tls};
    tls->reason = REASON_DONE;
    tls->peer_closed = tls_conn_status(conn) == TLS_PEER_CLOSED;
    tls->held = *plain;
    *plain = (struct buf){0};
    stream_set_handler(lower, &lower_handler, tls);
    return &tls->stream;
}

struct peer_cert *tls_stream_peer(const struct stream *stream)
{
    return tls_conn_peer(from_const(stream)->conn);
}

struct tls_conn_info tls_stream_info(const struct stream *stream)
{
    return tls_conn_info(from_const(stream)->conn);
}

struct tls_context *tls_stream_context(const struct stream *stream)
{
    return tls_conn_context(from_const(stream)->conn);
}

enum reason tls_stream_reason(const struct stream *stream)
{
    return from_const(stream)->reason;
}
