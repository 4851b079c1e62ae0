/* One connection of a channel: hands what happens to the calls whose streams it carries. */
#include <stdlib.h>

#include "grpc_channel_impl.h"
#include "grpc_timeout.h"

enum {
    /* Control planes answer with kilobytes, discovery with megabytes: more windows would only take
     * memory. */
    STREAM_WINDOW = 64 * 1024,
    STREAM_WINDOW_MAX = 1024 * 1024,
    CONNECTION_WINDOW = 1024 * 1024,
    FRAME_MAX = 16384,
    HEADER_LIST_MAX = 16 * 1024,
    FIXED_HEADERS = 8,
};

static void connection_on_headers(void *owner, struct h2_stream *stream,
                                  const struct h2_header *headers, size_t num_headers, bool end)
{
    grpc_call_on_headers(h2_stream_owner(stream), headers, num_headers, end);
}

static void connection_on_data(void *owner, struct h2_stream *stream, const uint8_t *bytes,
                               size_t len)
{
    h2_stream_consume(stream, len);
    grpc_call_on_data(h2_stream_owner(stream), bytes, len);
}

static void connection_on_end(void *owner, struct h2_stream *stream)
{
    grpc_call_on_trailers(h2_stream_owner(stream), NULL, 0);
}

static void connection_on_trailers(void *owner, struct h2_stream *stream,
                                   const struct h2_header *headers, size_t num_headers)
{
    grpc_call_on_trailers(h2_stream_owner(stream), headers, num_headers);
}

static void connection_on_closed(void *owner, struct h2_stream *stream, uint32_t code, bool by_peer)
{
    const struct grpc_connection *connection = owner;
    grpc_call_on_closed(h2_stream_owner(stream), code, by_peer, rpc_link_err(&connection->link));
}

static void connection_on_settings(void *owner)
{
    struct grpc_connection *connection = owner;
    grpc_channel_pump(connection->channel);
}

static void connection_on_goaway(void *owner, uint32_t code)
{
    struct grpc_connection *connection = owner;
    grpc_channel_pump(connection->channel);
}

static const struct h2_handler session_handler = {
    .on_output = rpc_link_on_output,
    .on_wants_send = rpc_link_on_wants_send,
    .on_headers = connection_on_headers,
    .on_data = connection_on_data,
    .on_end = connection_on_end,
    .on_trailers = connection_on_trailers,
    .on_closed = connection_on_closed,
    .on_settings = connection_on_settings,
    .on_goaway = connection_on_goaway,
};

static void on_gone(struct rpc_link *link, const struct err *err)
{
    struct grpc_connection *connection = (struct grpc_connection *)link;
    struct grpc_channel *channel = connection->channel;
    grpc_connection_free(connection);
    grpc_channel_pump(channel);
}

struct grpc_connection *grpc_connection_new(struct grpc_channel *channel, struct stream *stream,
                                            struct err *err)
{
    struct h2_options options;
    h2_options_default(&options, H2_CLIENT);
    options.stream_window = STREAM_WINDOW;
    options.stream_window_max = STREAM_WINDOW_MAX;
    options.connection_window = CONNECTION_WINDOW;
    options.max_frame_size = FRAME_MAX;
    options.max_header_list = HEADER_LIST_MAX;
    const struct rpc_link_params params = {.loop = channel->loop,
                                           .side = H2_CLIENT,
                                           .options = &options,
                                           .handler = &session_handler,
                                           .on_gone = on_gone};
    struct grpc_connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
    } else if (rpc_link_init(&connection->link, stream, &params, err) == 0) {
        connection->channel = channel;
        LIST_INSERT_HEAD(&channel->connections, connection, entry);
        return connection;
    }
    free(connection);
    stream_close(stream);
    return NULL;
}

void grpc_connection_free(struct grpc_connection *connection)
{
    LIST_REMOVE(connection, entry);
    rpc_link_done(&connection->link);
    free(connection);
}

bool grpc_connection_has_room(const struct grpc_connection *connection)
{
    const struct h2_session *session = connection->link.session;
    return h2_session_takes_requests(session) &&
           h2_session_num_streams(session) < h2_session_max_streams(session);
}

static size_t fill_headers(const struct grpc_call *call, const char *timeout,
                           struct h2_header *headers)
{
    const struct h2_header fixed[FIXED_HEADERS] = {
        {.name = ":method", .value = "POST"},
        {.name = ":scheme", .value = "https"},
        {.name = ":path", .value = call->path},
        {.name = ":authority", .value = call->channel->address},
        {.name = "te", .value = "trailers"},
        {.name = "content-type", .value = "application/grpc"},
        {.name = "user-agent", .value = "remora/" REMORA_VERSION},
        {.name = "grpc-timeout", .value = timeout, .unique = true},
    };
    for (size_t i = 0; i < FIXED_HEADERS; i++)
        headers[i] = fixed[i];
    for (size_t i = 0; i < call->num_fields; i++)
        headers[FIXED_HEADERS + i] = (struct h2_header){
            .name = call->fields[i].name, .value = call->fields[i].value, .unique = true};
    return FIXED_HEADERS + call->num_fields;
}

int grpc_connection_send(struct grpc_connection *connection, struct grpc_call *call,
                         struct err *err)
{
    struct grpc_channel *channel = connection->channel;
    struct h2_header headers[FIXED_HEADERS + GRPC_CALL_METADATA_MAX];
    char timeout[GRPC_TIMEOUT_TEXT_MAX];
    uint64_t spent_ms = net_loop_now_ms(channel->loop) - call->started_at_ms;
    uint64_t left_ms = call->timeout_ms > spent_ms ? call->timeout_ms - spent_ms : 1;
    size_t num_headers = fill_headers(call, grpc_timeout_format(left_ms, timeout), headers);
    call->stream =
        h2_session_request(connection->link.session, headers, num_headers, false, call, err);
    if (call->stream == NULL)
        return -1;
    TAILQ_REMOVE(&channel->waiting, call, entry);
    call->state = GRPC_CALL_OPEN;
    h2_stream_write(call->stream, buf_head(&call->request), buf_len(&call->request));
    h2_stream_end(call->stream);
    return 0;
}
