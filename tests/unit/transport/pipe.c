#include "pipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void schedule(struct pipe_end *end)
{
    if (!end->closed)
        net_task_schedule(end->loop, &end->later);
}

static void deliver_end(struct pipe_end *end)
{
    struct pipe_end *other = end->other;
    if (!end->ended || end->end_delivered || buf_len(&end->queue) > 0)
        return;
    end->end_delivered = true;
    if (!other->closed)
        other->stream.handler->on_eof(other->stream.owner);
    if (!end->closed && end->stream.handler->on_shutdown != NULL)
        end->stream.handler->on_shutdown(end->stream.owner);
}

/* Carries what this end wrote to the other one. */
static void deliver(void *owner)
{
    struct pipe_end *end = owner;
    struct pipe_end *other = end->other;
    if (end->stuck || !other->reading)
        return;
    while (buf_len(&end->queue) > 0 && other->reading && !other->closed) {
        uint8_t piece[50000];
        size_t len = buf_len(&end->queue) < sizeof(piece) ? buf_len(&end->queue) : sizeof(piece);
        memcpy(piece, buf_head(&end->queue), len);
        buf_consume(&end->queue, len);
        other->stream.handler->on_read(other->stream.owner, piece, len);
    }
    deliver_end(end);
    if (end->was_high && !end->closed && buf_len(&end->queue) <= STREAM_LOW_WATER) {
        end->was_high = false;
        if (end->stream.handler->on_writable != NULL)
            end->stream.handler->on_writable(end->stream.owner);
    }
}

static void pipe_read_start(struct stream *stream)
{
    struct pipe_end *end = (struct pipe_end *)stream;
    end->reading = true;
    schedule(end->other);
}

static void pipe_read_stop(struct stream *stream)
{
    ((struct pipe_end *)stream)->reading = false;
}

static void pipe_write(struct stream *stream, const uint8_t *bytes, size_t len)
{
    struct pipe_end *end = (struct pipe_end *)stream;
    assert_false(end->closed || end->ended);
    end->num_writes++;
    end->num_bytes += len;
    assert_int_equal(buf_append(&end->queue, bytes, len), 0);
    if (buf_len(&end->queue) >= STREAM_HIGH_WATER)
        end->was_high = true;
    schedule(end);
}

static size_t pipe_queued(const struct stream *stream)
{
    const struct pipe_end *end = (const struct pipe_end *)stream;
    return buf_len(&end->queue);
}

static void pipe_shutdown(struct stream *stream)
{
    struct pipe_end *end = (struct pipe_end *)stream;
    assert_false(end->ended);
    end->ended = true;
    schedule(end);
}

static void pipe_close(struct stream *stream)
{
    struct pipe_end *end = (struct pipe_end *)stream;
    assert_false(end->closed);
    if (!end->stuck)
        deliver(end);
    end->closed = true;
    net_task_cancel(&end->later);
}

static void pipe_abort(struct stream *stream)
{
    ((struct pipe_end *)stream)->aborted = true;
    pipe_close(stream);
}

static const struct stream_ops ops = {
    .read_start = pipe_read_start,
    .read_stop = pipe_read_stop,
    .write = pipe_write,
    .queued = pipe_queued,
    .shutdown = pipe_shutdown,
    .close = pipe_close,
    .abort = pipe_abort,
};

void pipe_init(struct pipe_end ends[2], struct net_loop *loop)
{
    memset(ends, 0, 2 * sizeof(ends[0]));
    for (unsigned i = 0; i < 2; i++) {
        ends[i].stream.ops = &ops;
        ends[i].other = &ends[1 - i];
        ends[i].loop = loop;
        ends[i].later = (struct net_task){.run = deliver, .owner = &ends[i]};
    }
}

void pipe_done(struct pipe_end ends[2])
{
    for (unsigned i = 0; i < 2; i++) {
        assert_true(ends[i].closed);
        net_task_cancel(&ends[i].later);
        buf_done(&ends[i].queue);
    }
}

void pipe_set_stuck(struct pipe_end *end, bool stuck)
{
    end->stuck = stuck;
    schedule(end);
}

void pipe_fail(struct pipe_end *end, enum stream_fault fault)
{
    struct err err;
    err_set(&err, ERR_SYSTEM, "the pipe broke");
    end->reading = false;
    end->stream.handler->on_failed(end->stream.owner, fault, &err);
}
