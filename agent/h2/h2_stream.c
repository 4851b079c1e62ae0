/*
 * A stream: what is queued in it, its flow control, its end.
 */
#include <assert.h>
#include <stdlib.h>

#include "h2_internal.h"

enum {
    QUEUE_KEPT = 64 * 1024, /* capacity that an emptied queue keeps until h2_session_trim */
    GROW_AFTER = 2,         /* windows consumed without lagging, after which the window doubles */
};

struct h2_stream *h2_stream_new(struct h2_session *session)
{
    struct h2_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return NULL;
    stream->session = session;
    stream->window = session->options.stream_window;
    TAILQ_INSERT_TAIL(&session->streams, stream, entry);
    session->num_streams++;
    return stream;
}

void h2_stream_free(struct h2_stream *stream)
{
    struct h2_session *session = stream->session;
    if (stream->events != 0)
        TAILQ_REMOVE(&session->events, stream, event_entry);
    TAILQ_REMOVE(&session->streams, stream, entry);
    session->parked -= stream->parked;
    free(stream->trailers);
    buf_done(&stream->queue);
    free(stream);
    h2_session_settle_credit(session);
}

void h2_stream_post(struct h2_stream *stream, enum h2_event event)
{
    struct h2_session *session = stream->session;
    if (stream->events == 0)
        TAILQ_INSERT_TAIL(&session->events, stream, event_entry);
    stream->events |= (uint8_t)event;
    h2_session_ask(session);
}

void *h2_stream_owner(const struct h2_stream *stream)
{
    return stream->owner;
}

void h2_stream_set_owner(struct h2_stream *stream, void *owner)
{
    stream->owner = owner;
}

struct h2_session *h2_stream_session(const struct h2_stream *stream)
{
    return stream->session;
}

/* --------------------------------------------------------------------------------- receiving -- */

void h2_stream_on_data(struct h2_stream *stream, const uint8_t *bytes, size_t len)
{
    struct h2_session *session = stream->session;
    stream->parked += (uint32_t)len;
    session->parked += len;
    session->owed += len;
    /* May consume, reset and so free the stream: nothing of it is touched afterwards. */
    session->handler->on_data(session->owner, stream, bytes, len);
    h2_session_settle_credit(session);
}

/*
 * An owner that takes bytes as they come is worth a larger window; one that lags keeps what it has.
 */
static void h2_stream_adapt_window(struct h2_stream *stream, size_t len)
{
    const struct h2_options *options = &stream->session->options;
    if (stream->parked > stream->window / 4) {
        stream->kept_up = 0;
        return;
    }
    if (stream->window >= options->stream_window_max)
        return;
    stream->kept_up += (uint32_t)len;
    if (stream->kept_up < GROW_AFTER * stream->window)
        return;
    stream->kept_up = 0;
    uint32_t window = stream->window > options->stream_window_max / 2 ? options->stream_window_max
                                                                      : 2 * stream->window;
    if (nghttp2_session_set_local_window_size(stream->session->ng, NGHTTP2_FLAG_NONE, stream->id,
                                              (int32_t)window) == 0)
        stream->window = window;
}

void h2_stream_consume(struct h2_stream *stream, size_t len)
{
    struct h2_session *session = stream->session;
    assert(!stream->orphan && len <= stream->parked);
    stream->parked -= (uint32_t)len;
    session->parked -= len;
    if (!stream->closed && !session->broken) {
        int rv = nghttp2_session_consume_stream(session->ng, stream->id, len);
        if (nghttp2_is_fatal(rv))
            h2_session_set_broken(session, rv);
        h2_stream_adapt_window(stream, len);
    }
    h2_session_settle_credit(session);
    h2_session_ask(session);
}

/* ----------------------------------------------------------------------------------- sending -- */

size_t h2_stream_peek(const struct h2_stream *stream)
{
    return buf_len(&stream->queue) + stream->lent_len;
}

static ssize_t h2_stream_read(nghttp2_session *ng, int32_t stream_id, uint8_t *out, size_t len,
                              uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2_stream *stream = source->ptr;
    if (stream->session->blocked)
        return NGHTTP2_ERR_PAUSE;
    size_t available = h2_stream_peek(stream);
    if ((stream->orphan && !stream->finishing) || (available == 0 && !stream->ending))
        return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (len < available)
        return (ssize_t)len;
    if (stream->ending)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->trailers != NULL) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (h2_trailers_submit(stream->trailers, ng, stream_id) != 0)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        free(stream->trailers);
        stream->trailers = NULL;
    }
    return (ssize_t)available;
}

nghttp2_data_provider h2_stream_provider(struct h2_stream *stream)
{
    return (nghttp2_data_provider){.source = {.ptr = stream}, .read_callback = h2_stream_read};
}

/*
 * One DATA frame: its header and `len` bytes of what waits, first the queue's, then the lent ones.
 */
void h2_stream_emit(struct h2_stream *stream, const uint8_t *head, size_t len)
{
    enum { FRAME_HEAD = 9 };
    struct h2_session *session = stream->session;
    session->handler->on_output(session->owner, head, FRAME_HEAD);
    size_t queued = buf_len(&stream->queue);
    size_t from_queue = len < queued ? len : queued;
    if (from_queue > 0) {
        session->handler->on_output(session->owner, buf_head(&stream->queue), from_queue);
        buf_consume(&stream->queue, from_queue);
        if (from_queue == queued)
            buf_clear(&stream->queue, QUEUE_KEPT);
    }
    if (len > from_queue) {
        session->handler->on_output(session->owner, stream->lent, len - from_queue);
        stream->lent += len - from_queue;
        stream->lent_len -= len - from_queue;
    }
    if (stream->was_high && !stream->orphan && buf_len(&stream->queue) <= H2_QUEUE_LOW) {
        stream->was_high = false;
        h2_stream_post(stream, H2_EVENT_WRITABLE);
    }
}

static void h2_stream_wake(struct h2_stream *stream)
{
    int rv = nghttp2_session_resume_data(stream->session->ng, stream->id);
    if (nghttp2_is_fatal(
            rv)) /* any other error: it is not asleep, or waits for the peer's credit */
        h2_session_set_broken(stream->session, rv);
}

/*
 * The owner has handed us what we cannot keep: the stream ends, by an event, as if it had failed.
 */
static void h2_stream_fail(struct h2_stream *stream)
{
    if (nghttp2_submit_rst_stream(stream->session->ng, NGHTTP2_FLAG_NONE, stream->id,
                                  H2_INTERNAL_ERROR) != 0)
        h2_session_set_broken(stream->session, NGHTTP2_ERR_NOMEM);
    h2_session_ask(stream->session);
}

static void h2_stream_keep(struct h2_stream *stream, const uint8_t *bytes, size_t len)
{
    if (buf_append(&stream->queue, bytes, len) < 0) {
        h2_stream_fail(stream);
        return;
    }
    if (buf_len(&stream->queue) >= H2_QUEUE_HIGH)
        stream->was_high = true;
}

void h2_stream_write(struct h2_stream *stream, const uint8_t *bytes, size_t len)
{
    struct h2_session *session = stream->session;
    assert(!stream->orphan && !stream->ending);
    if (stream->closed || session->broken)
        return;
    if (session->receiving || session->sending || session->blocked) {
        h2_stream_keep(stream, bytes, len);
        h2_stream_wake(stream);
        h2_session_ask(session);
        return;
    }
    stream->lent = bytes;
    stream->lent_len = len;
    h2_stream_wake(stream);
    h2_session_produce(session);
    /* Whatever closed the stream meanwhile only posted an event. */
    len = stream->lent_len;
    bytes = stream->lent;
    stream->lent = NULL;
    stream->lent_len = 0;
    if (len > 0 && !stream->closed)
        h2_stream_keep(stream, bytes, len);
}

size_t h2_stream_queued(const struct h2_stream *stream)
{
    return buf_len(&stream->queue);
}

int h2_stream_respond(struct h2_stream *stream, const struct h2_header *headers, size_t num_headers,
                      bool end)
{
    struct h2_session *session = stream->session;
    assert(session->side == H2_SERVER && !stream->orphan && !stream->answered);
    stream->answered = true;
    stream->ending = end;
    if (stream->closed || session->broken)
        return 0;
    nghttp2_nv nva[H2_FIELDS_SENT_MAX];
    h2_header_to_nv(headers, num_headers, nva);
    nghttp2_data_provider provider = h2_stream_provider(stream);
    int rv =
        nghttp2_submit_response(session->ng, stream->id, nva, num_headers, end ? NULL : &provider);
    h2_session_ask(session);
    return rv == 0 ? 0 : -1;
}

void h2_stream_end(struct h2_stream *stream)
{
    assert(!stream->orphan && !stream->ending);
    stream->ending = true;
    if (stream->closed || stream->session->broken)
        return;
    h2_stream_wake(stream);
    h2_session_ask(stream->session);
}

int h2_stream_trailers(struct h2_stream *stream, const struct h2_header *headers,
                       size_t num_headers)
{
    assert(!stream->orphan && !stream->ending);
    stream->trailers = h2_trailers_new(headers, num_headers);
    if (stream->trailers == NULL)
        return -1;
    h2_stream_end(stream);
    return 0;
}

void h2_stream_reset(struct h2_stream *stream, uint32_t code)
{
    struct h2_session *session = stream->session;
    assert(!stream->orphan);
    if (stream->closed) {
        h2_stream_free(stream);
        return;
    }
    stream->orphan = true;
    stream->owner = NULL;
    if (stream->events != 0)
        TAILQ_REMOVE(&session->events, stream, event_entry);
    stream->events = 0;
    session->parked -= stream->parked;
    stream->parked = 0;
    h2_session_settle_credit(session);
    if (session->broken)
        return;
    stream->finishing = code == H2_NO_ERROR && stream->ending && !stream->end_went;
    if (stream->finishing)
        return;
    buf_done(&stream->queue);
    if (nghttp2_submit_rst_stream(session->ng, NGHTTP2_FLAG_NONE, stream->id, code) != 0)
        h2_session_set_broken(session, NGHTTP2_ERR_NOMEM);
    h2_session_ask(session);
}
