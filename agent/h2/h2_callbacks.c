/*
 * nghttp2's callbacks. Those of the receiving side call the handler; what the sending side finds is
 * posted to the stream as an event and told once nghttp2 has returned.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h2_internal.h"

/* NULL for a stream that we do not track: malformed from its first byte, or reset long ago. */
static struct h2_stream *h2_find(nghttp2_session *ng, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(ng, stream_id);
}

/* --------------------------------------------------------------------------------- receiving -- */

static int h2_on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_session *session = user;
    h2_block_clear(&session->block);
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct h2_stream *stream = h2_stream_new(session);
    if (stream == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    stream->id = frame->hd.stream_id;
    nghttp2_session_set_stream_user_data(ng, stream->id, stream);
    return 0;
}

static void h2_report_malformed(struct h2_session *session, const char *why)
{
    if (session->side == H2_SERVER && session->handler->on_malformed != NULL)
        session->handler->on_malformed(session->owner, why);
}

static int h2_on_header(nghttp2_session *ng, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                        nghttp2_rcbuf *value, uint8_t flags, void *user)
{
    struct h2_session *session = user;
    int rv = h2_block_add(&session->block, name, value, session->options.max_header_list);
    if (rv == 0)
        return 0;
    if (rv > 0) {
        nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id, H2_ENHANCE_YOUR_CALM);
        h2_report_malformed(session, "the header list is too large");
    }
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void h2_deliver_headers(struct h2_session *session, struct h2_stream *stream, bool end)
{
    const struct h2_block *block = &session->block;
    if (session->side == H2_CLIENT) {
        const char *status = h2_header_find(block->fields, block->num_fields, ":status");
        if (status != NULL && status[0] == '1')
            return; /* informational (RFC 9110 15.2); the final response follows */
        stream->answered = true;
    }
    stream->announced = true;
    session->handler->on_headers(session->owner, stream, block->fields, block->num_fields, end);
}

static void h2_deliver_trailers(struct h2_session *session, struct h2_stream *stream)
{
    const struct h2_handler *handler = session->handler;
    if (handler->on_trailers != NULL)
        handler->on_trailers(session->owner, stream, session->block.fields,
                             session->block.num_fields);
    else
        handler->on_end(session->owner, stream);
}

static void h2_on_headers_complete(struct h2_session *session, struct h2_stream *stream,
                                   const nghttp2_frame *frame)
{
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    bool first = session->side == H2_SERVER ? !stream->announced : !stream->answered;
    if (first)
        h2_deliver_headers(session, stream, end);
    else if (end)
        h2_deliver_trailers(session, stream);
    h2_block_clear(&session->block);
}

static void h2_on_ping(struct h2_session *session, const nghttp2_frame *frame)
{
    if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0)
        return;
    uint64_t payload;
    memcpy(&payload, frame->ping.opaque_data, sizeof(payload));
    if (session->drain_ping && payload == 0) {
        /*
         * The round trip since the first GOAWAY is over: what the peer sent before it saw it is
         * here.
         */
        session->drain_ping = false;
        nghttp2_submit_goaway(session->ng, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(session->ng), H2_NO_ERROR,
                              NULL, 0);
    } else if (session->handler->on_ping_ack != NULL) {
        session->handler->on_ping_ack(session->owner, payload);
    }
}

static void h2_on_connection_frame(struct h2_session *session, const nghttp2_frame *frame)
{
    const struct h2_handler *handler = session->handler;
    if (frame->hd.type == NGHTTP2_PING)
        h2_on_ping(session, frame);
    else if (frame->hd.type == NGHTTP2_GOAWAY && handler->on_goaway != NULL)
        handler->on_goaway(session->owner, frame->goaway.error_code);
    else if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0 &&
             handler->on_settings != NULL)
        handler->on_settings(session->owner);
}

static int h2_on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_session *session = user;
    if (frame->hd.stream_id == 0) {
        h2_on_connection_frame(session, frame);
        return 0;
    }
    struct h2_stream *stream = h2_find(ng, frame->hd.stream_id);
    if (stream == NULL || stream->orphan)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        h2_on_headers_complete(session, stream, frame);
    else if (frame->hd.type == NGHTTP2_DATA && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        session->handler->on_end(session->owner, stream);
    else if (frame->hd.type == NGHTTP2_RST_STREAM)
        stream->by_peer = true;
    return 0;
}

static int h2_on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t stream_id,
                            const uint8_t *bytes, size_t len, void *user)
{
    struct h2_stream *stream = h2_find(ng, stream_id);
    if (stream == NULL || stream->orphan)
        nghttp2_session_consume(ng, stream_id, len);
    else
        h2_stream_on_data(stream, bytes, len);
    return 0;
}

static int h2_on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int ng_error,
                               void *user)
{
    struct h2_session *session = user;
    /* One too many is not malformed: the peer sent it before it could know our limit, and is told
     * that it was not begun. */
    if (frame->hd.type == NGHTTP2_HEADERS && ng_error != NGHTTP2_ERR_REFUSED_STREAM)
        h2_report_malformed(session,
                            session->why[0] != '\0' ? session->why : nghttp2_strerror(ng_error));
    return 0;
}

static int h2_on_error(nghttp2_session *ng, int ng_error, const char *text, size_t len, void *user)
{
    struct h2_session *session = user;
    snprintf(session->why, sizeof(session->why), "%.*s", (int)len, text);
    return 0;
}

/* ------------------------------------------------------------------------------------ either -- */

static int h2_on_stream_close(nghttp2_session *ng, int32_t stream_id, uint32_t code, void *user)
{
    struct h2_session *session = user;
    struct h2_stream *stream = h2_find(ng, stream_id);
    if (stream == NULL)
        return 0;
    assert(session->num_streams > 0);
    session->num_streams--;
    nghttp2_session_set_stream_user_data(ng, stream_id, NULL);
    stream->closed = true;
    stream->close_code = stream->unsent ? H2_REFUSED_STREAM : code;
    if (stream->orphan || !stream->announced)
        h2_stream_free(stream);
    else
        h2_stream_post(stream, H2_EVENT_CLOSED);
    return 0;
}

/* ----------------------------------------------------------------------------------- sending -- */

static ssize_t h2_on_send(nghttp2_session *ng, const uint8_t *bytes, size_t len, int flags,
                          void *user)
{
    struct h2_session *session = user;
    session->handler->on_output(session->owner, bytes, len);
    return (ssize_t)len;
}

/*
 * How much one DATA frame may hold: no more than there is, so that nghttp2's own buffer stays
 * small.
 */
static ssize_t h2_on_read_length(nghttp2_session *ng, uint8_t frame_type, int32_t stream_id,
                                 int32_t session_window, int32_t stream_window,
                                 uint32_t max_frame_size, void *user)
{
    const struct h2_stream *stream = h2_find(ng, stream_id);
    size_t len = stream != NULL ? h2_stream_peek(stream) : 0;
    if (len > H2_DATA_MAX)
        len = H2_DATA_MAX;
    if (len > max_frame_size)
        len = max_frame_size;
    if (len > (size_t)session_window)
        len = (size_t)session_window;
    if (len > (size_t)stream_window)
        len = (size_t)stream_window;
    return len == 0 ? 1 : (ssize_t)len;
}

static int h2_on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head,
                           size_t len, nghttp2_data_source *source, void *user)
{
    struct h2_session *session = user;
    h2_stream_emit(source->ptr, head, len);
    return session->blocked ? NGHTTP2_ERR_PAUSE : 0;
}

/* Unless the owner wished it, a GOAWAY with an error is nghttp2's verdict on the peer. */
static void h2_on_goaway_sent(struct h2_session *session, const nghttp2_goaway *goaway)
{
    if (goaway->error_code == H2_NO_ERROR || session->own_goaway)
        return;
    if (goaway->opaque_data_len > 0)
        snprintf(session->why, sizeof(session->why), "%.*s", (int)goaway->opaque_data_len,
                 (const char *)goaway->opaque_data);
    h2_session_set_broken(session, NGHTTP2_ERR_PROTO);
}

static int h2_on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_session *session = user;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        h2_on_goaway_sent(session, &frame->goaway);
        return 0;
    }
    bool ends = (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
                (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    struct h2_stream *stream = ends ? h2_find(ng, frame->hd.stream_id) : NULL;
    if (stream == NULL)
        return 0;
    stream->end_went = true;
    if (stream->finishing)
        nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, stream->id, H2_NO_ERROR);
    else if (!stream->orphan)
        h2_stream_post(stream, H2_EVENT_END_SENT);
    return 0;
}

static int h2_on_frame_not_send(nghttp2_session *ng, const nghttp2_frame *frame, int ng_error,
                                void *user)
{
    struct h2_stream *stream = NULL;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        stream = h2_find(ng, frame->hd.stream_id);
    if (stream != NULL)
        stream->unsent = true;
    return 0;
}

nghttp2_session_callbacks *h2_callbacks_new(void)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, h2_on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, h2_on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, h2_on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_on_data_chunk);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, h2_on_invalid_frame);
    nghttp2_session_callbacks_set_error_callback2(callbacks, h2_on_error);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, h2_on_stream_close);
    nghttp2_session_callbacks_set_send_callback(callbacks, h2_on_send);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, h2_on_read_length);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, h2_on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, h2_on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, h2_on_frame_not_send);
    return callbacks;
}
