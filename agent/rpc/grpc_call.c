#include "grpc_call.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "grpc_channel_impl.h"

/* ------------------------------------------------------------------------------------ ending -- */

static void leave_connection(struct grpc_call *call)
{
    TAILQ_REMOVE(&call->connection->calls, call, entry);
    call->connection = NULL;
}

/* Takes the call out of wherever it is. */
static void leave(struct grpc_call *call)
{
    if (call->state == GRPC_CALL_ENDED)
        return;
    net_timer_stop(call->deadline);
    if (call->state == GRPC_CALL_WAITING)
        TAILQ_REMOVE(&call->channel->waiting, call, entry);
    else
        leave_connection(call);
    if (call->stream != NULL)
        h2_stream_reset(call->stream, H2_CANCEL);
    call->stream = NULL;
    call->state = GRPC_CALL_ENDED;
    grpc_channel_call_left(call->channel);
}

static void release(struct grpc_call *call)
{
    net_task_cancel(&call->end);
    net_timer_free(call->deadline);
    for (size_t i = 0; i < call->num_fields; i++) {
        explicit_bzero(call->fields[i].value, strlen(call->fields[i].value));
        free(call->fields[i].name);
        free(call->fields[i].value);
    }
    buf_done(&call->request);
    grpc_frame_reader_done(&call->answer);
    free(call);
}

static void end(void *owner)
{
    struct grpc_call *call = owner;
    grpc_channel_call_done(call->channel);
    call->handler->on_end(call->owner, call->status,
                          call->status == GRPC_STATUS_OK ? NULL : &call->err);
    release(call);
}

static void succeed(struct grpc_call *call)
{
    leave(call);
    call->status = GRPC_STATUS_OK;
    net_task_schedule(call->channel->loop, &call->end);
}

void grpc_call_fail(struct grpc_call *call, enum grpc_status status, const struct err *err)
{
    if (call->state == GRPC_CALL_ENDED)
        return;
    leave(call);
    call->status = status;
    call->err = *err;
    err_prefix(&call->err, "%s %s", call->channel->peer, call->channel->address);
    net_task_schedule(call->channel->loop, &call->end);
}

void grpc_call_cancel(struct grpc_call *call)
{
    if (call == NULL)
        return;
    leave(call);
    grpc_channel_call_done(call->channel);
    net_task_cancel(&call->end);
    if (call->calling)
        call->cancelled = true;
    else
        release(call);
}

static void on_deadline(void *owner)
{
    struct grpc_call *call = owner;
    struct err err;
    err_set(&err, ERR_TIMEOUT,
            call->state == GRPC_CALL_WAITING ? "no connection within %" PRIu64 " ms"
                                             : "no answer within %" PRIu64 " ms",
            call->state == GRPC_CALL_WAITING && call->connect_timeout_ms != 0
                ? call->connect_timeout_ms
                : call->timeout_ms);
    grpc_call_fail(call, GRPC_STATUS_DEADLINE_EXCEEDED, &err);
}

/* ----------------------------------------------------------------------------- the owner's ear -- */

/* Ends what a handler may have left of the call. Returns false when it is no longer there. */
static bool return_from_handler(struct grpc_call *call)
{
    call->calling = false;
    if (!call->cancelled)
        return true;
    release(call);
    return false;
}

/* Calls a handler that may be NULL. */
static bool tell(struct grpc_call *call, void (*handler)(void *owner))
{
    if (handler == NULL)
        return true;
    call->calling = true;
    handler(call->owner);
    return return_from_handler(call);
}

/* ------------------------------------------------------------------------- the server's words --
 */

struct phrase {
    enum err_kind kind;
    const char *text;
};

static struct phrase phrase_for(enum grpc_status status)
{
    switch (status) {
    case GRPC_STATUS_UNAUTHENTICATED:
        return (struct phrase){ERR_DENIED, "it refused the token"};
    case GRPC_STATUS_PERMISSION_DENIED:
        return (struct phrase){ERR_DENIED, "it does not permit this"};
    case GRPC_STATUS_INVALID_ARGUMENT:
    case GRPC_STATUS_FAILED_PRECONDITION:
    case GRPC_STATUS_OUT_OF_RANGE:
        return (struct phrase){ERR_DENIED, "it refused the request"};
    case GRPC_STATUS_UNAVAILABLE:
        return (struct phrase){ERR_SYSTEM, "it is not available"};
    case GRPC_STATUS_DEADLINE_EXCEEDED:
        return (struct phrase){ERR_TIMEOUT, "it did not finish in time"};
    case GRPC_STATUS_RESOURCE_EXHAUSTED:
        return (struct phrase){ERR_LIMIT, "it has reached a limit"};
    case GRPC_STATUS_UNIMPLEMENTED:
        return (struct phrase){ERR_PROTOCOL, "it does not offer this service"};
    case GRPC_STATUS_OK:
    case GRPC_STATUS_CANCELLED:
    case GRPC_STATUS_UNKNOWN:
    case GRPC_STATUS_NOT_FOUND:
    case GRPC_STATUS_ALREADY_EXISTS:
    case GRPC_STATUS_ABORTED:
    case GRPC_STATUS_INTERNAL:
    case GRPC_STATUS_DATA_LOSS:
        break;
    }
    return (struct phrase){ERR_PROTOCOL, "it failed"};
}

static void fail_by_server(struct grpc_call *call, enum grpc_status status, const char *message)
{
    char decoded[GRPC_STATUS_MESSAGE_MAX / 2];
    struct phrase phrase = phrase_for(status);
    struct err err;
    grpc_status_decode_message(message, strlen(message), decoded, sizeof(decoded));
    err_set(&err, phrase.kind, "%s (%s)%s%s", phrase.text, grpc_status_name(status),
            decoded[0] == '\0' ? "" : ": ", decoded);
    grpc_call_fail(call, status, &err);
}

static void fail_protocol(struct grpc_call *call, enum grpc_status status, const char *what)
{
    struct err err;
    err_set(&err, ERR_PROTOCOL, "%s", what);
    grpc_call_fail(call, status, &err);
}

/* ------------------------------------------------------------------------------------ answer -- */

static void on_status(struct grpc_call *call, const struct h2_header *headers, size_t num_headers)
{
    enum grpc_status status;
    const char *text = h2_header_find(headers, num_headers, "grpc-status");
    const char *message = h2_header_find(headers, num_headers, "grpc-message");
    if (text == NULL || grpc_status_parse(text, strlen(text), &status) < 0)
        fail_protocol(call, GRPC_STATUS_UNKNOWN, "its answer ended without a gRPC status");
    else if (status != GRPC_STATUS_OK)
        fail_by_server(call, status, message == NULL ? "" : message);
    else if (!grpc_frame_reader_at_boundary(&call->answer))
        fail_protocol(call, GRPC_STATUS_INTERNAL, "its answer was cut off inside a message");
    else
        succeed(call);
}

/* What answers may be a proxy in between, which speaks HTTP and not gRPC. */
static void fail_http(struct grpc_call *call, const char *http_status)
{
    struct phrase phrase;
    struct err err;
    enum grpc_status status = grpc_status_from_http(atoi(http_status));
    phrase = phrase_for(status);
    err_set(&err, phrase.kind, "%s: HTTP status %s without gRPC", phrase.text, http_status);
    grpc_call_fail(call, status, &err);
}

static bool is_grpc(const char *content_type)
{
    static const char grpc[] = "application/grpc";
    return content_type != NULL && strncmp(content_type, grpc, strlen(grpc)) == 0;
}

void grpc_call_on_headers(struct grpc_call *call, const struct h2_header *headers,
                          size_t num_headers, bool end_of_answer)
{
    const char *http_status = h2_header_find(headers, num_headers, ":status");
    const char *encoding = h2_header_find(headers, num_headers, "grpc-encoding");
    call->answered = true;
    if (end_of_answer && h2_header_find(headers, num_headers, "grpc-status") != NULL)
        on_status(call, headers, num_headers);
    else if (http_status == NULL || strcmp(http_status, "200") != 0 ||
             !is_grpc(h2_header_find(headers, num_headers, "content-type")))
        fail_http(call, http_status == NULL ? "?" : http_status);
    else if (encoding != NULL && strcmp(encoding, "identity") != 0)
        fail_protocol(call, GRPC_STATUS_INTERNAL,
                      "its answer is compressed, which was not offered");
    else if (end_of_answer)
        on_status(call, headers, num_headers);
    else
        tell(call, call->handler->on_answer);
}

static bool deliver(struct grpc_call *call, const uint8_t *message, size_t len)
{
    call->calling = true;
    call->handler->on_message(call->owner, message, len);
    grpc_frame_reader_drop(&call->answer);
    return return_from_handler(call);
}

void grpc_call_on_data(struct grpc_call *call, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        struct err err;
        enum grpc_status status;
        ptrdiff_t taken = grpc_frame_reader_feed(&call->answer, bytes, len, &status, &err);
        if (taken < 0) {
            grpc_call_fail(call, status, &err);
            return;
        }
        bytes += taken;
        len -= (size_t)taken;
        size_t message_len;
        const uint8_t *message = grpc_frame_reader_message(&call->answer, &message_len);
        if (message != NULL && !deliver(call, message, message_len))
            return;
    }
}

void grpc_call_on_trailers(struct grpc_call *call, const struct h2_header *headers,
                           size_t num_headers)
{
    on_status(call, headers, num_headers);
}

/* ----------------------------------------------------------------------------- without answer --
 */

/* "gRPC over HTTP2", errors: what RST_STREAM means. */
static enum grpc_status status_of_reset(uint32_t code)
{
    switch (code) {
    case H2_REFUSED_STREAM:
        return GRPC_STATUS_UNAVAILABLE;
    case H2_CANCEL:
        return GRPC_STATUS_CANCELLED;
    case H2_ENHANCE_YOUR_CALM:
        return GRPC_STATUS_RESOURCE_EXHAUSTED;
    case H2_INADEQUATE_SECURITY:
        return GRPC_STATUS_PERMISSION_DENIED;
    default:
        return GRPC_STATUS_INTERNAL;
    }
}

static void wait_again(struct grpc_call *call)
{
    leave_connection(call);
    call->resent = true;
    call->told_goaway = false;
    call->state = GRPC_CALL_WAITING;
    TAILQ_INSERT_TAIL(&call->channel->waiting, call, entry);
    grpc_channel_pump(call->channel);
}

void grpc_call_on_closed(struct grpc_call *call, uint32_t code, bool by_peer,
                         const struct err *link_err)
{
    struct err err;
    call->stream = NULL;
    if (code == H2_REFUSED_STREAM && !call->answered && !call->resent && !call->keeps_sending) {
        wait_again(call);
        return;
    }
    if (link_err->kind != ERR_NONE) {
        grpc_call_fail(call, GRPC_STATUS_UNAVAILABLE, link_err);
        return;
    }
    err_set(&err, ERR_PROTOCOL,
            by_peer ? "it reset the call (HTTP/2 code %u)" : "its answer breaks HTTP/2 (code %u)",
            code);
    grpc_call_fail(call, status_of_reset(code), &err);
}

/* ----------------------------------------------------------------------------------- sending -- */

static size_t num_waiting(const struct grpc_call *call)
{
    return call->stream != NULL ? h2_stream_queued(call->stream) : buf_len(&call->request);
}

/* The time to connect is over, the call's own goes on. */
static void restart_deadline(struct grpc_call *call)
{
    uint64_t spent_ms = net_loop_now_ms(call->channel->loop) - call->started_at_ms;
    net_timer_stop(call->deadline);
    if (call->timeout_ms != 0)
        net_timer_start(call->deadline,
                        call->timeout_ms > spent_ms ? call->timeout_ms - spent_ms : 0);
}

void grpc_call_on_open(struct grpc_call *call)
{
    restart_deadline(call);
    if (buf_len(&call->request) > 0)
        h2_stream_write(call->stream, buf_head(&call->request), buf_len(&call->request));
    if (!call->keeps_sending || call->ended_sending)
        h2_stream_end(call->stream);
    if (call->keeps_sending)
        buf_done(&call->request);
    if (tell(call, call->handler->on_open) && call->state == GRPC_CALL_OPEN &&
        num_waiting(call) < GRPC_CALL_QUEUE_HIGH)
        grpc_call_on_writable(call);
}

void grpc_call_on_writable(struct grpc_call *call)
{
    if (!call->refused_to_send)
        return;
    call->refused_to_send = false;
    tell(call, call->handler->on_writable);
}

void grpc_call_on_goaway(struct grpc_call *call)
{
    call->told_goaway = true;
    tell(call, call->handler->on_goaway);
}

int grpc_call_send(struct grpc_call *call, const uint8_t *message, size_t len, struct err *err)
{
    struct buf frame = {0};
    assert(call->keeps_sending && !call->ended_sending);
    if (call->state == GRPC_CALL_ENDED)
        return 0;
    if (num_waiting(call) >= GRPC_CALL_QUEUE_HIGH) {
        call->refused_to_send = true;
        return err_set(err, ERR_LIMIT, "%d bytes wait to be sent already", GRPC_CALL_QUEUE_HIGH);
    }
    if (call->state == GRPC_CALL_WAITING)
        return grpc_frame_write(&call->request, message, len, err);
    if (grpc_frame_write(&frame, message, len, err) < 0)
        return -1;
    h2_stream_write(call->stream, buf_head(&frame), buf_len(&frame));
    buf_done(&frame);
    return 0;
}

void grpc_call_end_sending(struct grpc_call *call)
{
    assert(call->keeps_sending && !call->ended_sending);
    call->ended_sending = true;
    if (call->state == GRPC_CALL_OPEN && call->stream != NULL)
        h2_stream_end(call->stream);
}

/* ----------------------------------------------------------------------------------- starting --
 */

static int copy_metadata(struct grpc_call *call, const struct grpc_call_params *params)
{
    assert(params->num_metadata <= GRPC_CALL_METADATA_MAX);
    for (size_t i = 0; i < params->num_metadata; i++) {
        char *name = strdup(params->metadata[i].name);
        char *value = strdup(params->metadata[i].value);
        if (name == NULL || value == NULL) {
            free(name);
            free(value);
            return -1;
        }
        call->fields[call->num_fields++] = (struct grpc_call_field){name, value};
    }
    return 0;
}

struct grpc_call *grpc_call_start(struct grpc_channel *channel,
                                  const struct grpc_call_params *params,
                                  const struct grpc_call_handler *handler, void *owner,
                                  struct err *err)
{
    struct grpc_call *call = calloc(1, sizeof(*call));
    assert(params->timeout_ms > 0 || params->connect_timeout_ms > 0);
    if (call == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    call->channel = channel;
    call->handler = handler;
    call->owner = owner;
    call->path = params->path;
    call->keeps_sending = params->keeps_sending;
    call->timeout_ms = params->timeout_ms;
    call->connect_timeout_ms = params->connect_timeout_ms;
    call->started_at_ms = net_loop_now_ms(channel->loop);
    call->end = (struct net_task){.run = end, .owner = call};
    grpc_frame_reader_init(&call->answer, params->answer_max);
    call->answer.is_secret = params->answer_is_secret;
    call->deadline = net_timer_new(channel->loop, on_deadline, call);
    if (call->deadline == NULL || copy_metadata(call, params) < 0) {
        err_set(err, ERR_NOMEM, "out of memory");
        goto fail;
    }
    if ((params->message != NULL || !params->keeps_sending) &&
        grpc_frame_write(&call->request, params->message, params->message_len, err) < 0)
        goto fail;
    net_timer_start(call->deadline,
                    call->connect_timeout_ms != 0 ? call->connect_timeout_ms : call->timeout_ms);
    grpc_channel_call_begun(channel, call);
    return call;

fail:
    release(call);
    return NULL;
}
