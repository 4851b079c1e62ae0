/* One connection of a channel: hands what happens to the calls whose streams it carries. */
#include <inttypes.h>
#include <stdlib.h>

#include "grpc_channel_impl.h"
#include "grpc_timeout.h"

enum {
    /*
     * Messages are put together as they come and never wait here, so that a window is only what may
     * be under way: certificates are kilobytes, discovery fills a megabyte within a round trip of
     * 10 ms at 100 MB/s.
     */
    STREAM_WINDOW = 64 * 1024,
    STREAM_WINDOW_MAX = 1024 * 1024,
    CONNECTION_WINDOW = 1024 * 1024,
    FRAME_MAX = 16384,
    HEADER_LIST_MAX = 16 * 1024,
    FIXED_HEADERS = 7,
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

static void connection_on_writable(void *owner, struct h2_stream *stream)
{
    grpc_call_on_writable(h2_stream_owner(stream));
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

static struct grpc_call *first_not_told(const struct grpc_connection *connection)
{
    struct grpc_call *call;
    TAILQ_FOREACH (call, &connection->calls, entry) {
        if (!call->told_goaway)
            return call;
    }
    return NULL;
}

/* Telling a call may end it and others. */
static void connection_on_goaway(void *owner, uint32_t code)
{
    struct grpc_connection *connection = owner;
    struct grpc_call *call;
    while ((call = first_not_told(connection)) != NULL)
        grpc_call_on_goaway(call);
    grpc_channel_pump(connection->channel);
}

/* --------------------------------------------------------------------------------- keepalive -- */

static void start_keepalive(struct grpc_connection *connection, uint64_t ms)
{
    connection->received_then = connection->link.num_received;
    net_timer_start(connection->keepalive, ms);
}

static void fail_keepalive(struct grpc_connection *connection)
{
    struct err err;
    err_set(&err, ERR_TIMEOUT, "no sign of life for %" PRIu64 " ms",
            connection->channel->keepalive_timeout_ms);
    rpc_link_fail(&connection->link, &err);
}

/* What is received counts, too: the answer to a PING stands behind all that is on its way. */
static void on_keepalive(void *owner)
{
    struct grpc_connection *connection = owner;
    const struct grpc_channel *channel = connection->channel;
    bool is_alive = connection->link.num_received != connection->received_then;
    if (connection->ping_sent && !is_alive) {
        fail_keepalive(connection);
        return;
    }
    connection->ping_sent = h2_session_num_streams(connection->link.session) > 0 &&
                            h2_session_ping(connection->link.session, 0) == 0;
    start_keepalive(connection,
                    connection->ping_sent ? channel->keepalive_timeout_ms : channel->keepalive_ms);
}

static void connection_on_ping_ack(void *owner, uint64_t payload)
{
    struct grpc_connection *connection = owner;
    connection->ping_sent = false;
    start_keepalive(connection, connection->channel->keepalive_ms);
}

/* ------------------------------------------------------------------------- beginning, ending -- */

static const struct h2_handler session_handler = {
    .on_output = rpc_link_on_output,
    .on_wants_send = rpc_link_on_wants_send,
    .on_headers = connection_on_headers,
    .on_data = connection_on_data,
    .on_end = connection_on_end,
    .on_trailers = connection_on_trailers,
    .on_writable = connection_on_writable,
    .on_closed = connection_on_closed,
    .on_settings = connection_on_settings,
    .on_goaway = connection_on_goaway,
    .on_ping_ack = connection_on_ping_ack,
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
    if (connection == NULL ||
        (connection->keepalive = net_timer_new(channel->loop, on_keepalive, connection)) == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
    } else if (rpc_link_init(&connection->link, stream, &params, err) == 0) {
        connection->channel = channel;
        TAILQ_INIT(&connection->calls);
        LIST_INSERT_HEAD(&channel->connections, connection, entry);
        start_keepalive(connection, channel->keepalive_ms);
        return connection;
    }
    if (connection != NULL)
        net_timer_free(connection->keepalive);
    free(connection);
    stream_close(stream);
    return NULL;
}

void grpc_connection_free(struct grpc_connection *connection)
{
    LIST_REMOVE(connection, entry);
    net_timer_free(connection->keepalive);
    rpc_link_done(&connection->link);
    free(connection);
}

bool grpc_connection_has_room(const struct grpc_connection *connection)
{
    const struct h2_session *session = connection->link.session;
    return h2_session_takes_requests(session) &&
           h2_session_num_streams(session) < h2_session_max_streams(session);
}

/* ----------------------------------------------------------------------------------- calls -- */

/* `timeout` NULL: the call has none. */
static size_t fill_headers(const struct grpc_call *call, const char *timeout,
                           struct h2_header *headers)
{
    const struct grpc_channel *channel = call->channel;
    const char *scheme = channel->target.kind == GRPC_TARGET_TLS ? "https" : "http";
    const struct h2_header fixed[FIXED_HEADERS] = {
        {.name = ":method", .value = "POST"},
        {.name = ":scheme", .value = scheme},
        {.name = ":path", .value = call->path},
        {.name = ":authority", .value = grpc_target_authority(&channel->target, channel->address)},
        {.name = "te", .value = "trailers"},
        {.name = "content-type", .value = "application/grpc"},
        {.name = "user-agent", .value = "remora/" REMORA_VERSION},
    };
    size_t num = 0;
    for (; num < FIXED_HEADERS; num++)
        headers[num] = fixed[num];
    if (timeout != NULL)
        headers[num++] =
            (struct h2_header){.name = "grpc-timeout", .value = timeout, .unique = true};
    for (size_t i = 0; i < call->num_fields; i++)
        headers[num++] = (struct h2_header){
            .name = call->fields[i].name, .value = call->fields[i].value, .unique = true};
    return num;
}

/* What is left of the call's time. */
static const char *format_timeout(const struct grpc_call *call, char *out)
{
    if (call->timeout_ms == 0)
        return NULL;
    uint64_t spent_ms = net_loop_now_ms(call->channel->loop) - call->started_at_ms;
    return grpc_timeout_format(call->timeout_ms > spent_ms ? call->timeout_ms - spent_ms : 1, out);
}

int grpc_connection_open(struct grpc_connection *connection, struct grpc_call *call,
                         struct err *err)
{
    struct h2_header headers[FIXED_HEADERS + 1 + GRPC_CALL_METADATA_MAX];
    char timeout[GRPC_TIMEOUT_TEXT_MAX];
    size_t num_headers = fill_headers(call, format_timeout(call, timeout), headers);
    call->stream =
        h2_session_request(connection->link.session, headers, num_headers, false, call, err);
    if (call->stream == NULL)
        return -1;
    TAILQ_REMOVE(&connection->channel->waiting, call, entry);
    TAILQ_INSERT_TAIL(&connection->calls, call, entry);
    call->connection = connection;
    call->state = GRPC_CALL_OPEN;
    grpc_call_on_open(call);
    return 0;
}
