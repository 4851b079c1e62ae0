/*
 * A stream: two byte directions that end separately. TCP connections (net_tcp), TLS connections
 * (tls_stream) and HBONE tunnels (hbone) are all streams; the relay and HTTP/2 do not know which
 * they hold. Not a socket: no addresses, no options.
 *
 * Rules, the same for every implementation:
 *  - The owner sets handler and owner before anything else and closes the stream exactly once, by
 * stream_close or stream_abort, also after on_failed. From that call on no handler is called and
 * the owner may free itself at once, also when the call was made inside one of the stream's own
 * handlers. The stream's memory is released by its implementation.
 *  - No handler is called from inside a stream_* call. Handlers run on the loop's thread.
 *  - Reading starts stopped. stream_write takes every byte (what the kernel does not take now is
 * queued) and never fails outwardly; trouble comes as on_failed. The owner watches stream_queued
 * and stops whatever feeds it at STREAM_HIGH_WATER, so that a queue is bounded by the mark and one
 * read.
 *  - on_eof is a half-close: the other direction goes on.
 */
#ifndef REMORA_STREAM_H
#define REMORA_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum {
    STREAM_HIGH_WATER = 256 * 1024, /* bytes queued at which the feeding side stops reading */
    STREAM_LOW_WATER = 64 * 1024,   /* on_writable comes when the queue has fallen to this after
                                       having been at the high mark */
};

/* How a stream failed. */
enum stream_fault {
    STREAM_FAULT_RESET,   /* RST from the other end, or HTTP/2 RST_STREAM */
    STREAM_FAULT_TIMEOUT, /* the kernel or a keepalive gave the other end up */
    STREAM_FAULT_LOST,    /* what carried the stream broke or ended without the stream's end:
                             truncation */
    STREAM_FAULT_IO,      /* any other system error */
    STREAM_FAULT_PROTOCOL /* the other end broke TLS or HTTP/2 */
};

struct stream;

/* Handlers; each gets the owner. on_read's bytes are lent for the duration of the call. */
struct stream_handler {
    void (*on_read)(void *owner, const uint8_t *bytes, size_t len); /* len > 0 */
    void (*on_eof)(void *owner);                                    /* once; no on_read after it */
    void (*on_writable)(void *owner);                               /* may be NULL */
    void (*on_shutdown)(void *owner); /* all bytes and the end, asked for by stream_shutdown, were
                                         handed down; may be NULL */
    void (*on_failed)(void *owner, enum stream_fault fault, const struct err *err); /* once, last */
};

/* What an implementation provides. Called through the functions below only. */
struct stream_ops {
    void (*read_start)(struct stream *stream);
    void (*read_stop)(struct stream *stream);
    void (*write)(struct stream *stream, const uint8_t *bytes, size_t len);
    size_t (*queued)(const struct stream *stream);
    void (*shutdown)(struct stream *stream);
    void (*close)(struct stream *stream);
    void (*abort)(struct stream *stream);
};

/* The first member of every implementation's struct. */
struct stream {
    const struct stream_ops *ops;
    const struct stream_handler *handler;
    void *owner;
};

static inline void stream_set_handler(struct stream *stream, const struct stream_handler *handler,
                                      void *owner)
{
    stream->handler = handler;
    stream->owner = owner;
}

/* Lets on_read and on_eof come. Idempotent. */
static inline void stream_read_start(struct stream *stream)
{
    stream->ops->read_start(stream);
}

/* Stops on_read and on_eof at once; what arrives meanwhile stays below and pushes back on the
 * sender. Idempotent. */
static inline void stream_read_stop(struct stream *stream)
{
    stream->ops->read_stop(stream);
}

/* Sends `len` bytes, copying what has to wait. Not after stream_shutdown. */
static inline void stream_write(struct stream *stream, const uint8_t *bytes, size_t len)
{
    stream->ops->write(stream, bytes, len);
}

/* Bytes taken by stream_write and not yet handed to the layer below. */
static inline size_t stream_queued(const struct stream *stream)
{
    return stream->ops->queued(stream);
}

/* Ends our direction after everything written (FIN, close_notify, END_STREAM). Once. on_shutdown
 * tells when it is done. */
static inline void stream_shutdown(struct stream *stream)
{
    stream->ops->shutdown(stream);
}

/* Lets go of the stream. What is still queued is dropped; call it after on_shutdown and on_eof for
 * a clean end. NULL ignored. */
static inline void stream_close(struct stream *stream)
{
    if (stream != NULL)
        stream->ops->close(stream);
}

/* As stream_close, but the other end sees a reset (RST, RST_STREAM). NULL is ignored. */
static inline void stream_abort(struct stream *stream)
{
    if (stream != NULL)
        stream->ops->abort(stream);
}

#endif
