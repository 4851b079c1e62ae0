#include "h2_session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h2_internal.h"

enum {
    /*
     * Frames that may wait to be sent, beside those of the streams that are open. A peer that makes
     * us answer (refusals, resets) and reads none of the answers is at this soon; one that reads is
     * never, for they go out at the end of each round.
     */
    QUEUED_FRAMES_MAX = 4000,
    QUEUED_FRAMES_PER_STREAM = 8,
};

static int h2_session_open(struct h2_session *session, nghttp2_session_callbacks *callbacks)
{
    nghttp2_option *option;
    if (nghttp2_option_new(&option) != 0)
        return -1;
    h2_options_apply(&session->options, option);
    int rv = session->side == H2_CLIENT
                 ? nghttp2_session_client_new2(&session->ng, callbacks, session, option)
                 : nghttp2_session_server_new2(&session->ng, callbacks, session, option);
    nghttp2_option_del(option);
    return rv == 0 && h2_options_submit(session) == 0 ? 0 : -1;
}

struct h2_session *h2_session_new(enum h2_side side, const struct h2_options *options,
                                  const struct h2_handler *handler, void *owner, struct err *err)
{
    nghttp2_session_callbacks *callbacks = NULL;
    struct h2_session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        goto fail;
    session->side = side;
    session->options = *options;
    session->handler = handler;
    session->owner = owner;
    TAILQ_INIT(&session->streams);
    TAILQ_INIT(&session->events);
    callbacks = h2_callbacks_new();
    if (callbacks == NULL || h2_session_open(session, callbacks) < 0)
        goto fail;
    nghttp2_session_callbacks_del(callbacks);
    return session;
fail:
    err_set(err, ERR_NOMEM, "HTTP/2 session: out of memory");
    nghttp2_session_callbacks_del(callbacks);
    h2_session_free(session);
    return NULL;
}

void h2_session_free(struct h2_session *session)
{
    if (session == NULL)
        return;
    assert(!session->receiving && !session->sending);
    session->broken = true; /* no more credit is given while the streams go */
    while (!TAILQ_EMPTY(&session->streams))
        h2_stream_free(TAILQ_FIRST(&session->streams));
    nghttp2_session_del(session->ng);
    h2_block_done(&session->block);
    free(session);
}

/* ------------------------------------------------------------------------------------- state -- */

void h2_session_set_broken(struct h2_session *session, int ng_error)
{
    session->broken = true;
    if (session->why[0] == '\0')
        snprintf(session->why, sizeof(session->why), "%s", nghttp2_strerror(ng_error));
    h2_session_ask(session); /* whose answer tells the owner */
}

static int h2_session_broken_err(const struct h2_session *session, int ng_error, struct err *err)
{
    if (ng_error == NGHTTP2_ERR_NOMEM)
        return err_set(err, ERR_NOMEM, "HTTP/2: out of memory");
    return err_set(err, ERR_PROTOCOL, "HTTP/2: %s", session->why);
}

void h2_session_ask(struct h2_session *session)
{
    if (session->sending)
        session->again = true;
    else if (!session->asked && !session->blocked) {
        session->asked = true;
        session->handler->on_wants_send(session->owner);
    }
}

void h2_session_settle_credit(struct h2_session *session)
{
    uint64_t keep = session->parked > H2_PARKED_FREE ? session->parked - H2_PARKED_FREE : 0;
    if (session->broken || session->owed <= keep)
        return;
    int rv = nghttp2_session_consume_connection(session->ng, (size_t)(session->owed - keep));
    session->owed = keep;
    if (nghttp2_is_fatal(rv))
        h2_session_set_broken(session, rv);
}

/* ----------------------------------------------------------------------------- bytes in, out -- */

static void h2_session_tell(struct h2_session *session, struct h2_stream *stream)
{
    const struct h2_handler *handler = session->handler;
    unsigned event = stream->events & (~stream->events + 1u); /* the lowest: in order of the enum */
    stream->events &= (uint8_t)~event;
    if (stream->events == 0)
        TAILQ_REMOVE(&session->events, stream, event_entry);
    if (event == H2_EVENT_END_SENT && handler->on_end_sent != NULL)
        handler->on_end_sent(session->owner, stream);
    else if (event == H2_EVENT_WRITABLE && handler->on_writable != NULL)
        handler->on_writable(session->owner, stream);
    else if (event == H2_EVENT_CLOSED) {
        stream->orphan = true; /* the callback is its last: no function may be called with it */
        handler->on_closed(session->owner, stream, stream->close_code, stream->by_peer);
        h2_stream_free(stream);
    }
}

static void h2_session_dispatch(struct h2_session *session)
{
    while (!TAILQ_EMPTY(&session->events))
        h2_session_tell(session, TAILQ_FIRST(&session->events));
}

/* Whether more answers wait than a peer can have any use for. */
static bool h2_session_is_flooded(const struct h2_session *session)
{
    size_t limit = QUEUED_FRAMES_MAX + (size_t)QUEUED_FRAMES_PER_STREAM * session->num_streams;
    return nghttp2_session_get_outbound_queue_size(session->ng) > limit;
}

int h2_session_recv(struct h2_session *session, const uint8_t *bytes, size_t len, struct err *err)
{
    assert(!session->receiving && !session->sending);
    if (session->broken)
        return h2_session_broken_err(session, NGHTTP2_ERR_PROTO, err);
    session->receiving = true;
    ssize_t rv = nghttp2_session_mem_recv(session->ng, bytes, len);
    h2_session_dispatch(session);
    session->receiving = false;
    if (nghttp2_session_want_write(session->ng) != 0)
        h2_session_ask(session);
    if (rv >= 0 && h2_session_is_flooded(session))
        rv = NGHTTP2_ERR_FLOODED;
    if (rv >= 0 && !session->broken)
        return 0;
    h2_session_set_broken(session, rv < 0 ? (int)rv : NGHTTP2_ERR_NOMEM);
    return h2_session_broken_err(session, (int)rv, err);
}

void h2_session_produce(struct h2_session *session)
{
    session->sending = true;
    int rv = nghttp2_session_send(session->ng);
    session->sending = false;
    if (rv != 0)
        h2_session_set_broken(session, rv);
    if (session->again) {
        session->again = false;
        h2_session_ask(session);
    }
}

int h2_session_send(struct h2_session *session, struct err *err)
{
    assert(!session->receiving && !session->sending);
    session->asked = false;
    if (session->blocked)
        return 0;
    int rv = 0;
    session->sending = true;
    do {
        session->again = false;
        rv = nghttp2_session_send(session->ng);
        h2_session_dispatch(session);
    } while (rv == 0 && session->again && !session->blocked);
    session->sending = false;
    if (rv != 0)
        h2_session_set_broken(session, rv);
    return session->broken ? h2_session_broken_err(session, rv, err) : 0;
}

void h2_session_set_blocked(struct h2_session *session, bool blocked)
{
    bool was = session->blocked;
    session->blocked = blocked;
    if (was && !blocked)
        h2_session_ask(session);
}

bool h2_session_is_finished(const struct h2_session *session)
{
    return TAILQ_EMPTY(&session->events) && nghttp2_session_want_read(session->ng) == 0 &&
           nghttp2_session_want_write(session->ng) == 0;
}

void h2_session_end_streams(struct h2_session *session, uint32_t code)
{
    assert(!session->receiving && !session->sending);
    session->broken = true;
    struct h2_stream *stream = TAILQ_FIRST(&session->streams);
    while (stream != NULL) {
        struct h2_stream *next = TAILQ_NEXT(stream, entry);
        if (!stream->orphan && stream->announced && !stream->closed) {
            stream->closed = true;
            stream->close_code = code;
            h2_stream_post(stream, H2_EVENT_CLOSED);
        }
        stream = next;
    }
    session->asked = true; /* nothing will be sent: nobody needs to be asked */
    h2_session_dispatch(session);
}

/* -------------------------------------------------------------------------------- connection -- */

unsigned h2_session_num_streams(const struct h2_session *session)
{
    return session->num_streams;
}

unsigned h2_session_max_streams(const struct h2_session *session)
{
    return nghttp2_session_get_remote_settings(session->ng,
                                               NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool h2_session_takes_requests(const struct h2_session *session)
{
    return !session->broken && !session->draining &&
           nghttp2_session_check_request_allowed(session->ng) != 0;
}

int h2_session_ping(struct h2_session *session, uint64_t payload)
{
    uint8_t bytes[8];
    memcpy(bytes, &payload, sizeof(bytes));
    if (nghttp2_submit_ping(session->ng, NGHTTP2_FLAG_NONE, bytes) != 0)
        return -1;
    h2_session_ask(session);
    return 0;
}

void h2_session_start_drain(struct h2_session *session)
{
    if (session->draining || session->broken)
        return;
    session->draining = true;
    static const uint8_t payload[8] = {0};
    int rv;
    if (session->side == H2_SERVER) {
        session->drain_ping = true;
        rv = nghttp2_submit_shutdown_notice(session->ng);
        if (rv == 0)
            rv = nghttp2_submit_ping(session->ng, NGHTTP2_FLAG_NONE, payload);
    } else {
        rv = nghttp2_submit_goaway(session->ng, NGHTTP2_FLAG_NONE, 0, H2_NO_ERROR, NULL, 0);
    }
    if (rv != 0)
        h2_session_set_broken(session, rv);
    h2_session_ask(session);
}

void h2_session_goaway(struct h2_session *session, uint32_t code)
{
    session->own_goaway = true;
    if (nghttp2_session_terminate_session(session->ng, code) != 0)
        h2_session_set_broken(session, NGHTTP2_ERR_NOMEM);
    h2_session_ask(session);
}

void h2_session_trim(struct h2_session *session)
{
    struct h2_stream *stream;
    TAILQ_FOREACH (stream, &session->streams, entry) {
        if (buf_len(&stream->queue) == 0)
            buf_clear(&stream->queue, 0);
    }
}

/* 0, or nghttp2's error. */
static int h2_session_submit(struct h2_stream *stream, const struct h2_header *headers,
                             size_t num_headers, bool end)
{
    nghttp2_nv nva[H2_FIELDS_SENT_MAX];
    h2_header_to_nv(headers, num_headers, nva);
    nghttp2_data_provider provider = h2_stream_provider(stream);
    stream->id = nghttp2_submit_request(stream->session->ng, NULL, nva, num_headers,
                                        end ? NULL : &provider, stream);
    return stream->id < 0 ? stream->id : 0;
}

struct h2_stream *h2_session_request(struct h2_session *session, const struct h2_header *headers,
                                     size_t num_headers, bool end, void *owner, struct err *err)
{
    assert(session->side == H2_CLIENT);
    if (!h2_session_takes_requests(session) ||
        session->num_streams >= h2_session_max_streams(session)) {
        err_set(err, ERR_LIMIT, "HTTP/2: the connection takes no more requests");
        return NULL;
    }
    struct h2_stream *stream = h2_stream_new(session);
    if (stream == NULL || h2_session_submit(stream, headers, num_headers, end) != 0) {
        if (stream != NULL) {
            session->num_streams--;
            h2_stream_free(stream);
        }
        err_set(err, ERR_NOMEM, "HTTP/2 request: out of memory");
        return NULL;
    }
    stream->owner = owner;
    stream->announced = true;
    stream->ending = end;
    h2_session_ask(session);
    return stream;
}
