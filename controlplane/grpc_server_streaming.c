/* A call that streams both ways. */
#include <stdio.h>
#include <string.h>

#include "grpc_server_impl.h"

/* ------------------------------------------------------------------------------------- end -- */

/* The method hears of it before the connection counts: it may send nothing any more. */
void grpc_server_streaming_close(struct grpc_server_call *call)
{
    if (!call->is_open)
        return;
    call->is_open = false;
    call->method->streaming->on_closed(call->owner);
    grpc_server_connection_streams(call->connection, false);
}

/* What the client still sends is thrown away. */
static void unpark(struct grpc_server_call *call)
{
    call->is_full = false;
    h2_stream_consume(call->stream, call->parked);
    call->parked = 0;
}

void grpc_server_call_finish(struct grpc_server_call *call, enum grpc_status status,
                             const char *message)
{
    char number[12];
    char encoded[GRPC_STATUS_ENCODED_MAX];
    const struct h2_header trailers[] = {
        {.name = "grpc-status", .value = number},
        {.name = "grpc-message",
         .value = grpc_status_encode_message(message, encoded, sizeof(encoded)),
         .unique = true},
    };
    snprintf(number, sizeof(number), "%d", (int)status);
    call->answered = true;
    unpark(call);
    grpc_server_streaming_close(call);
    if (h2_stream_trailers(call->stream, trailers, status == GRPC_STATUS_OK ? 1 : 2) < 0) {
        struct h2_stream *stream = call->stream;
        grpc_server_call_free(call);
        h2_stream_reset(stream, H2_INTERNAL_ERROR);
    }
}

/* ----------------------------------------------------------------------------------- begin -- */

void grpc_server_streaming_open(struct grpc_server_call *call)
{
    static const struct h2_header headers[] = {
        {.name = ":status", .value = "200"},
        {.name = "content-type", .value = "application/grpc"},
    };
    struct err err = {0};
    const struct grpc_server_request request = {.peer = &call->connection->peer,
                                                .token = call->token};
    enum grpc_status status =
        call->method->streaming->on_open(call->method->owner, call, &request, &call->owner, &err);
    if (status != GRPC_STATUS_OK) {
        grpc_server_call_refuse(call, status, err.message);
        return;
    }
    call->is_open = true;
    grpc_server_connection_streams(call->connection, true);
    if (h2_stream_respond(call->stream, headers, 2, false) < 0) {
        struct h2_stream *stream = call->stream;
        grpc_server_call_free(call);
        h2_stream_reset(stream, H2_INTERNAL_ERROR);
    }
}

/* ------------------------------------------------------------------------------------ data -- */

static enum grpc_status read_some(struct grpc_server_call *call, const uint8_t **bytes, size_t *len,
                                  struct err *err)
{
    enum grpc_status status;
    size_t message_len;
    ptrdiff_t taken = grpc_frame_reader_feed(&call->request, *bytes, *len, &status, err);
    if (taken < 0)
        return status;
    *bytes += taken;
    *len -= (size_t)taken;
    const uint8_t *message = grpc_frame_reader_message(&call->request, &message_len);
    if (message == NULL)
        return GRPC_STATUS_OK;
    status = call->method->streaming->on_message(call->owner, message, message_len, err);
    grpc_frame_reader_drop(&call->request);
    return status;
}

void grpc_server_streaming_on_data(struct grpc_server_call *call, const uint8_t *bytes, size_t len)
{
    while (len > 0 && call->is_open) {
        struct err err = {0};
        enum grpc_status status = read_some(call, &bytes, &len, &err);
        if (status != GRPC_STATUS_OK) {
            grpc_server_call_finish(call, status, err.message);
            return;
        }
    }
}

void grpc_server_streaming_on_end(struct grpc_server_call *call)
{
    if (!call->is_open)
        return;
    if (grpc_frame_reader_at_boundary(&call->request))
        grpc_server_call_finish(call, GRPC_STATUS_OK, "");
    else
        grpc_server_call_finish(call, GRPC_STATUS_INTERNAL, "the last message is cut off");
}

void grpc_server_streaming_on_writable(struct grpc_server_call *call)
{
    struct err err = {0};
    if (!call->is_open)
        return;
    unpark(call);
    enum grpc_status status = call->method->streaming->on_writable(call->owner, &err);
    if (status != GRPC_STATUS_OK)
        grpc_server_call_finish(call, status, err.message);
}

int grpc_server_call_send(struct grpc_server_call *call, const uint8_t *message, size_t len,
                          struct err *err)
{
    struct buf framed = {0};
    int result = grpc_frame_write(&framed, message, len, err);
    if (result == 0)
        h2_stream_write(call->stream, buf_head(&framed), buf_len(&framed));
    buf_done(&framed);
    call->is_full = h2_stream_queued(call->stream) >= H2_QUEUE_HIGH;
    return result;
}

bool grpc_server_call_is_full(const struct grpc_server_call *call)
{
    return call->is_full;
}
