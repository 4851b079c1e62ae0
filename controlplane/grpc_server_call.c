/* One call of the server: the rules of "gRPC over HTTP2" for requests, and for a unary answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grpc_server_impl.h"

/* ------------------------------------------------------------------------------------ answer -- */

/* Not gRPC at all: an answer in plain HTTP. */
static void answer_http(struct h2_stream *stream, const char *status)
{
    const struct h2_header headers[] = {{.name = ":status", .value = status}};
    if (h2_stream_respond(stream, headers, 1, true) < 0)
        h2_stream_reset(stream, H2_INTERNAL_ERROR);
}

/* "Trailers-Only": status and nothing else. */
static void answer_status(struct h2_stream *stream, enum grpc_status status, const char *message)
{
    char number[12];
    char encoded[GRPC_STATUS_ENCODED_MAX];
    const struct h2_header headers[] = {
        {.name = ":status", .value = "200"},
        {.name = "content-type", .value = "application/grpc"},
        {.name = "grpc-status", .value = number},
        {.name = "grpc-message",
         .value = grpc_status_encode_message(message, encoded, sizeof(encoded)),
         .unique = true},
    };
    snprintf(number, sizeof(number), "%d", (int)status);
    if (h2_stream_respond(stream, headers, sizeof(headers) / sizeof(headers[0]), true) < 0)
        h2_stream_reset(stream, H2_INTERNAL_ERROR);
}

/* Whatever fails here is memory. */
static int answer_message(struct h2_stream *stream, const struct buf *framed)
{
    static const struct h2_header headers[] = {
        {.name = ":status", .value = "200"},
        {.name = "content-type", .value = "application/grpc"},
    };
    static const struct h2_header trailers[] = {{.name = "grpc-status", .value = "0"}};
    if (h2_stream_respond(stream, headers, 2, false) < 0)
        return -1;
    h2_stream_write(stream, buf_head(framed), buf_len(framed));
    return h2_stream_trailers(stream, trailers, 1);
}

void grpc_server_call_refuse(struct grpc_server_call *call, enum grpc_status status,
                             const char *message)
{
    call->answered = true;
    answer_status(call->stream, status, message);
}

static void run(struct grpc_server_call *call)
{
    struct buf answer = {0};
    struct buf framed = {0};
    struct err err = {0};
    struct grpc_server_request request = {.peer = &call->connection->peer, .token = call->token};
    request.message = grpc_frame_reader_message(&call->request, &request.message_len);
    enum grpc_status status = call->method->run(call->method->owner, &request, &answer, &err);
    if (status == GRPC_STATUS_OK &&
        grpc_frame_write(&framed, buf_head(&answer), buf_len(&answer), &err) < 0)
        status = GRPC_STATUS_INTERNAL;
    call->answered = true;
    grpc_server_connection_served(call->connection);
    if (status != GRPC_STATUS_OK)
        answer_status(call->stream, status, err.message);
    else if (answer_message(call->stream, &framed) < 0)
        h2_stream_reset(call->stream, H2_INTERNAL_ERROR);
    buf_done(&answer);
    buf_done(&framed);
}

/* ----------------------------------------------------------------------------------- request -- */

static const struct grpc_server_method *find_method(const struct grpc_server *server,
                                                    const char *path)
{
    for (size_t i = 0; path != NULL && i < server->options.num_methods; i++) {
        if (strcmp(server->options.methods[i].path, path) == 0)
            return &server->options.methods[i];
    }
    return NULL;
}

static bool is_equal(const char *value, const char *expected)
{
    return value != NULL && strcmp(value, expected) == 0;
}

/* "application/grpc", with "+proto" or parameters behind it, but not "application/grpc-web". */
static bool is_grpc(const char *content_type)
{
    static const char grpc[] = "application/grpc";
    if (content_type == NULL || strncmp(content_type, grpc, strlen(grpc)) != 0)
        return false;
    const char *rest = content_type + strlen(grpc);
    return rest[0] == '\0' || rest[0] == '+' || rest[0] == ';';
}

/* The scheme's name has no case (RFC 9110, 11.1). */
static const char *find_token(const struct h2_header *headers, size_t num_headers)
{
    static const char scheme[] = "bearer ";
    const char *value = h2_header_find(headers, num_headers, "authorization");
    return value != NULL && strncasecmp(value, scheme, strlen(scheme)) == 0 ? value + strlen(scheme)
                                                                            : NULL;
}

static struct grpc_server_call *new_call(struct grpc_server_connection *connection,
                                         struct h2_stream *stream,
                                         const struct grpc_server_method *method, const char *token)
{
    struct grpc_server_call *call = calloc(1, sizeof(*call));
    if (call == NULL)
        return NULL;
    call->connection = connection;
    call->stream = stream;
    call->method = method;
    grpc_frame_reader_init(&call->request, method->request_max);
    if (token != NULL && (call->token = strdup(token)) == NULL) {
        free(call);
        return NULL;
    }
    LIST_INSERT_HEAD(&connection->calls, call, entry);
    h2_stream_set_owner(stream, call);
    return call;
}

static void start_call(struct grpc_server_connection *connection, struct h2_stream *stream,
                       const struct grpc_server_method *method, const char *token)
{
    struct grpc_server_call *call = new_call(connection, stream, method, token);
    if (call == NULL)
        answer_status(stream, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    else if (method->streaming != NULL)
        grpc_server_streaming_open(call);
}

void grpc_server_call_on_headers(struct grpc_server_connection *connection,
                                 struct h2_stream *stream, const struct h2_header *headers,
                                 size_t num_headers, bool end)
{
    const char *encoding = h2_header_find(headers, num_headers, "grpc-encoding");
    if (!is_equal(h2_header_find(headers, num_headers, ":method"), "POST")) {
        answer_http(stream, "405");
        return;
    }
    if (!is_grpc(h2_header_find(headers, num_headers, "content-type"))) {
        answer_http(stream, "415");
        return;
    }
    const struct grpc_server_method *method =
        find_method(connection->server, h2_header_find(headers, num_headers, ":path"));
    if (method == NULL)
        answer_status(stream, GRPC_STATUS_UNIMPLEMENTED, "there is no such method");
    else if (encoding != NULL && strcmp(encoding, "identity") != 0)
        answer_status(stream, GRPC_STATUS_UNIMPLEMENTED, "compressed messages are not taken");
    else if (end)
        answer_status(stream, GRPC_STATUS_INTERNAL, "the request has no message");
    else
        start_call(connection, stream, method, find_token(headers, num_headers));
}

static void read_unary(struct grpc_server_call *call, const uint8_t *bytes, size_t len)
{
    while (len > 0 && !call->answered) {
        enum grpc_status status;
        struct err err;
        size_t message_len;
        if (call->has_message) {
            grpc_server_call_refuse(call, GRPC_STATUS_UNIMPLEMENTED,
                                    "the method takes one message, not a stream");
            return;
        }
        ptrdiff_t taken = grpc_frame_reader_feed(&call->request, bytes, len, &status, &err);
        if (taken < 0) {
            grpc_server_call_refuse(call, status, err.message);
            return;
        }
        bytes += taken;
        len -= (size_t)taken;
        call->has_message = grpc_frame_reader_message(&call->request, &message_len) != NULL;
    }
}

void grpc_server_call_on_data(struct grpc_server_call *call, const uint8_t *bytes, size_t len)
{
    if (call->method->streaming != NULL)
        grpc_server_streaming_on_data(call, bytes, len);
    else
        read_unary(call, bytes, len);
}

void grpc_server_call_on_end(struct grpc_server_call *call)
{
    if (call->answered)
        return;
    if (call->method->streaming != NULL)
        grpc_server_streaming_on_end(call);
    else if (call->has_message)
        run(call);
    else
        grpc_server_call_refuse(call, GRPC_STATUS_INTERNAL, "the request ends before its message");
}

void grpc_server_call_free(struct grpc_server_call *call)
{
    grpc_server_streaming_close(call);
    LIST_REMOVE(call, entry);
    if (call->token != NULL)
        explicit_bzero(call->token, strlen(call->token));
    free(call->token);
    grpc_frame_reader_done(&call->request);
    free(call);
}
