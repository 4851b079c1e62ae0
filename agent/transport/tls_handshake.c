#include "tls_handshake.h"

#include <assert.h>
#include <stdlib.h>

#include "tls_stream_impl.h"

enum { ALERT_MS = 1000 }; /* for a peer that was refused to take the alert */

struct tls_handshake {
    struct tls_io *io;
    struct stream *lower;
    struct tls_conn *conn;
    struct net_timer *timer;
    struct buf plain; /* what the peer sent right after its handshake */
    uint64_t timeout_ms;
    enum tls_role role;
    tls_handshake_done *done;
    void *owner;
};

/* Everything but the stream below. */
static void release(struct tls_handshake *handshake)
{
    net_timer_free(handshake->timer);
    tls_conn_free(handshake->conn);
    buf_done(&handshake->plain);
    free(handshake);
}

static void push(struct tls_handshake *handshake)
{
    struct buf *output = tls_conn_output(handshake->conn);
    if (buf_len(output) > 0)
        stream_write(handshake->lower, buf_head(output), buf_len(output));
    tls_io_give(handshake->io, output);
}

static void fail(struct tls_handshake *handshake, enum reason reason, const struct err *err)
{
    struct err why = *err; /* lent by what is freed here */
    tls_handshake_done *done = handshake->done;
    void *owner = handshake->owner;
    release(handshake);
    done(owner, NULL, reason, &why);
}

static void fail_by_tls(struct tls_handshake *handshake)
{
    push(handshake); /* the alert */
    tls_io_linger(handshake->io, handshake->lower, ALERT_MS, ALERT_MS);
    fail(handshake, tls_conn_reason(handshake->conn), tls_conn_err(handshake->conn));
}

static void finish(struct tls_handshake *handshake)
{
    push(handshake);
    stream_read_stop(handshake->lower);
    struct stream *stream =
        tls_stream_new(handshake->io, handshake->lower, handshake->conn, &handshake->plain);
    if (stream == NULL) {
        struct err err;
        err_set(&err, ERR_NOMEM, "TLS handshake: out of memory");
        stream_close(handshake->lower);
        fail(handshake, REASON_NO_MEMORY, &err);
        return;
    }
    handshake->conn = NULL;
    tls_handshake_done *done = handshake->done;
    void *owner = handshake->owner;
    release(handshake);
    done(owner, stream, REASON_DONE, NULL);
}

/* ------------------------------------------------------------------------------------ events -- */

static void proceed(struct tls_handshake *handshake, enum tls_status status)
{
    switch (status) {
    case TLS_HANDSHAKING:
        push(handshake);
        return;
    case TLS_OPEN:
    case TLS_PEER_CLOSED:
        finish(handshake);
        return;
    case TLS_FAILED:
        fail_by_tls(handshake);
        return;
    }
}

static void on_read(void *owner, const uint8_t *bytes, size_t len)
{
    struct tls_handshake *handshake = owner;
    proceed(handshake, tls_conn_recv(handshake->conn, bytes, len, &handshake->plain));
}

static void on_eof(void *owner)
{
    struct tls_handshake *handshake = owner;
    proceed(handshake, tls_conn_eof(handshake->conn));
}

static void on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    struct tls_handshake *handshake = owner;
    struct err why = *err;
    err_prefix(&why, "TLS handshake");
    stream_close(handshake->lower);
    /* A client that leaves with bytes unread resets; it has left all the same (tls_conn_eof). */
    bool is_gone = fault == STREAM_FAULT_RESET && handshake->role == TLS_SERVER;
    fail(handshake, is_gone ? REASON_CLIENT_GONE : REASON_TLS_FAILED, &why);
}

static void on_timeout(void *owner)
{
    struct tls_handshake *handshake = owner;
    struct err err;
    err_set(&err, ERR_TIMEOUT, "TLS handshake: not finished after %llu ms",
            (unsigned long long)handshake->timeout_ms);
    stream_close(handshake->lower);
    fail(handshake, REASON_TLS_TIMEOUT, &err);
}

static const struct stream_handler lower_handler = {
    .on_read = on_read,
    .on_eof = on_eof,
    .on_failed = on_failed,
};

/* -------------------------------------------------------------------------- starting, ending -- */

struct tls_handshake *tls_handshake_start(struct tls_io *io, struct stream *lower,
                                          struct tls_context *context,
                                          const struct tls_conn_params *params, uint64_t timeout_ms,
                                          tls_handshake_done *done, void *owner, struct err *err)
{
    struct tls_handshake *handshake = calloc(1, sizeof(*handshake));
    if (handshake == NULL) {
        err_set(err, ERR_NOMEM, "TLS handshake: out of memory");
        return NULL;
    }
    handshake->io = io;
    handshake->lower = lower;
    handshake->timeout_ms = timeout_ms;
    handshake->role = params->role;
    handshake->done = done;
    handshake->owner = owner;
    handshake->timer = net_timer_new(tls_io_loop(io), on_timeout, handshake);
    if (handshake->timer == NULL) {
        err_set(err, ERR_NOMEM, "TLS handshake: out of memory");
        goto fail;
    }
    handshake->conn = tls_conn_new(context, params, err);
    if (handshake->conn == NULL) {
        err_prefix(err, "TLS handshake");
        goto fail;
    }
    stream_set_handler(lower, &lower_handler, handshake);
    push(handshake);
    stream_read_start(lower);
    net_timer_start(handshake->timer, timeout_ms);
    return handshake;
fail:
    release(handshake);
    return NULL;
}

void tls_handshake_cancel(struct tls_handshake *handshake)
{
    if (handshake == NULL)
        return;
    stream_close(handshake->lower);
    release(handshake);
}
