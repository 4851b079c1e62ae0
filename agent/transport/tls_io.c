#include "tls_io.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/queue.h>

enum {
    /*
     * Two to four are in use at any moment; more only when many connections have something to send
     * in one round, which is then little and quickly allocated. This bounds what a burst leaves
     * behind for ever to 2.5 MB.
     */
    SPARES_MAX = 8,
    SPARE_KEPT = 320 * 1024, /* capacity; one read of ciphertext decrypts into less */
    /* More than end in good order at once; peers who end and then dawdle push each other out. */
    LINGERS_MAX = 1024,
};

struct linger {
    TAILQ_ENTRY(linger) entry;
    struct tls_io *io;
    struct stream *stream;
    struct net_timer *timer;
    uint64_t quiet_ms;
    uint64_t until_ms;
    size_t queued; /* when it was last looked at */
    bool heard;    /* the peer, since then */
    bool sent;     /* all that was queued, and our end */
    bool eof;      /* the peer's end */
};

struct tls_io {
    struct net_loop *loop;
    struct buf spares[SPARES_MAX];
    unsigned num_spares;
    TAILQ_HEAD(linger_list, linger) lingers; /* the oldest first */
    unsigned num_lingers;
};

struct tls_io *tls_io_new(struct net_loop *loop)
{
    struct tls_io *io = calloc(1, sizeof(*io));
    if (io == NULL)
        return NULL;
    io->loop = loop;
    TAILQ_INIT(&io->lingers);
    return io;
}

struct net_loop *tls_io_loop(const struct tls_io *io)
{
    return io->loop;
}

/* ----------------------------------------------------------------------------------- buffers -- */

struct buf tls_io_take(struct tls_io *io)
{
    if (io->num_spares == 0)
        return (struct buf){0};
    return io->spares[--io->num_spares];
}

void tls_io_give(struct tls_io *io, struct buf *buf)
{
    buf_clear(buf, SPARE_KEPT);
    if (buf->capacity == 0 || io->num_spares == SPARES_MAX)
        buf_done(buf);
    else
        io->spares[io->num_spares++] = *buf;
    *buf = (struct buf){0};
}

/* --------------------------------------------------------------------------------- lingering -- */

static void linger_end(struct linger *linger)
{
    TAILQ_REMOVE(&linger->io->lingers, linger, entry);
    linger->io->num_lingers--;
    net_timer_free(linger->timer);
    stream_close(linger->stream);
    free(linger);
}

static void linger_end_if_both_ended(struct linger *linger)
{
    if (linger->sent && linger->eof)
        linger_end(linger);
}

static void linger_on_read(void *owner, const uint8_t *bytes, size_t len)
{
    struct linger *linger = owner;
    linger->heard = true;
}

static void linger_on_eof(void *owner)
{
    struct linger *linger = owner;
    linger->eof = true;
    linger_end_if_both_ended(linger);
}

static void linger_on_shutdown(void *owner)
{
    struct linger *linger = owner;
    linger->sent = true;
    linger_end_if_both_ended(linger);
}

static void linger_on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    linger_end(owner);
}

static const struct stream_handler linger_handler = {
    .on_read = linger_on_read,
    .on_eof = linger_on_eof,
    .on_shutdown = linger_on_shutdown,
    .on_failed = linger_on_failed,
};

static void linger_wait(struct linger *linger, uint64_t now_ms)
{
    uint64_t left_ms = linger->until_ms - now_ms;
    linger->queued = stream_queued(linger->stream);
    linger->heard = false;
    net_timer_start(linger->timer, left_ms < linger->quiet_ms ? left_ms : linger->quiet_ms);
}

static void linger_on_time(void *owner)
{
    struct linger *linger = owner;
    uint64_t now_ms = net_loop_now_ms(linger->io->loop);
    bool moves = linger->heard || stream_queued(linger->stream) < linger->queued;
    if (moves && now_ms < linger->until_ms)
        linger_wait(linger, now_ms);
    else
        linger_end(linger);
}

void tls_io_linger(struct tls_io *io, struct stream *stream, uint64_t quiet_ms, uint64_t limit_ms)
{
    struct linger *linger = calloc(1, sizeof(*linger));
    struct net_timer *timer = net_timer_new(io->loop, linger_on_time, linger);
    if (linger == NULL || timer == NULL) {
        net_timer_free(timer);
        free(linger);
        stream_close(stream);
        return;
    }
    uint64_t now_ms = net_loop_now_ms(io->loop);
    linger->io = io;
    linger->stream = stream;
    linger->timer = timer;
    linger->quiet_ms = quiet_ms;
    linger->until_ms = now_ms + limit_ms;
    if (io->num_lingers == LINGERS_MAX)
        linger_end(TAILQ_FIRST(&io->lingers));
    TAILQ_INSERT_TAIL(&io->lingers, linger, entry);
    io->num_lingers++;
    stream_set_handler(stream, &linger_handler, linger);
    stream_shutdown(stream);
    stream_read_start(stream);
    linger_wait(linger, now_ms);
}

bool tls_io_is_lingering(const struct tls_io *io)
{
    return io->num_lingers > 0;
}

void tls_io_free(struct tls_io *io)
{
    if (io == NULL)
        return;
    while (
        !TAILQ_EMPTY(&io->lingers)) /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is removed */
        linger_end(TAILQ_FIRST(&io->lingers));
    while (io->num_spares > 0)
        buf_done(&io->spares[--io->num_spares]);
    free(io);
}
