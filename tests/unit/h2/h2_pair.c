#include "h2_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void on_output(void *owner, const uint8_t *bytes, size_t len)
{
    struct side *side = owner;
    assert_int_equal(buf_append(&side->out, bytes, len), 0);
    side->num_produced += len;
    if (side->max_out != 0 && buf_len(&side->out) >= side->max_out)
        h2_session_set_blocked(side->session, true);
}

static void on_wants_send(void *owner)
{
    struct side *side = owner;
    side->wants_send = true;
}

static struct seen *note(struct side *side, struct h2_stream *stream)
{
    struct seen *seen = h2_stream_owner(stream);
    if (seen != NULL)
        return seen;
    assert_true(side->num_streams < SIDE_STREAMS_MAX);
    seen = &side->streams[side->num_streams++];
    seen->stream = stream;
    h2_stream_set_owner(stream, seen);
    return seen;
}

static void note_headers(struct seen *seen, const struct h2_header *headers, size_t num_headers)
{
    size_t at = 0;
    seen->headers[0] = '\0';
    for (size_t i = 0; i < num_headers && at < sizeof(seen->headers); i++)
        at += (size_t)snprintf(seen->headers + at, sizeof(seen->headers) - at, "%s=%s;",
                               headers[i].name, headers[i].value);
}

static void on_headers(void *owner, struct h2_stream *stream, const struct h2_header *headers,
                       size_t num_headers, bool end)
{
    struct side *side = owner;
    struct seen *seen = note(side, stream);
    note_headers(seen, headers, num_headers);
    seen->num_headers++;
    seen->ended = end;
    if (side->answer) {
        const struct h2_header ok[] = {{.name = ":status", .value = "200"}};
        assert_int_equal(h2_stream_respond(stream, ok, 1, false), 0);
    }
}

static void on_trailers(void *owner, struct h2_stream *stream, const struct h2_header *headers,
                        size_t num_headers)
{
    struct seen *seen = h2_stream_owner(stream);
    note_headers(seen, headers, num_headers);
    seen->num_trailers++;
    seen->ended = true;
}

static void on_data(void *owner, struct h2_stream *stream, const uint8_t *bytes, size_t len)
{
    struct side *side = owner;
    struct seen *seen = h2_stream_owner(stream);
    assert_int_equal(buf_append(&seen->data, bytes, len), 0);
    if (!side->keep)
        h2_stream_consume(stream, len);
}

static void on_end(void *owner, struct h2_stream *stream)
{
    struct seen *seen = h2_stream_owner(stream);
    assert_false(seen->ended);
    seen->ended = true;
}

static void on_writable(void *owner, struct h2_stream *stream)
{
    struct seen *seen = h2_stream_owner(stream);
    seen->num_writable++;
}

static void on_end_sent(void *owner, struct h2_stream *stream)
{
    struct seen *seen = h2_stream_owner(stream);
    assert_false(seen->end_sent);
    seen->end_sent = true;
}

static void on_closed(void *owner, struct h2_stream *stream, uint32_t code, bool by_peer)
{
    struct seen *seen = h2_stream_owner(stream);
    assert_false(seen->closed);
    seen->closed = true;
    seen->code = code;
    seen->by_peer = by_peer;
    seen->stream = NULL;
}

static void on_malformed(void *owner, const char *why)
{
    struct side *side = owner;
    side->num_malformed++;
    snprintf(side->malformed, sizeof(side->malformed), "%s", why);
}

static void on_settings(void *owner)
{
    struct side *side = owner;
    side->num_settings++;
}

static void on_goaway(void *owner, uint32_t code)
{
    struct side *side = owner;
    side->num_goaways++;
}

static void on_ping_ack(void *owner, uint64_t payload)
{
    struct side *side = owner;
    side->ping_ack = payload;
}

static const struct h2_handler handler = {
    .on_output = on_output,
    .on_wants_send = on_wants_send,
    .on_headers = on_headers,
    .on_data = on_data,
    .on_end = on_end,
    .on_trailers = on_trailers,
    .on_writable = on_writable,
    .on_end_sent = on_end_sent,
    .on_closed = on_closed,
    .on_malformed = on_malformed,
    .on_settings = on_settings,
    .on_goaway = on_goaway,
    .on_ping_ack = on_ping_ack,
};

void side_init(struct side *side, enum h2_side which, const struct h2_options *options)
{
    struct h2_options defaults;
    h2_options_default(&defaults, which);
    memset(side, 0, sizeof(*side));
    side->session =
        h2_session_new(which, options != NULL ? options : &defaults, &handler, side, &side->err);
    assert_non_null(side->session);
    side->wants_send = true; /* the preface */
}

void side_done(struct side *side)
{
    h2_session_free(side->session);
    buf_done(&side->out);
    for (unsigned i = 0; i < side->num_streams; i++)
        buf_done(&side->streams[i].data);
}

void side_send(struct side *side)
{
    side->wants_send = false;
    side->send_result = h2_session_send(side->session, &side->err);
}

void side_recv(struct side *side, const void *bytes, size_t len)
{
    if (side->recv_result == 0)
        side->recv_result = h2_session_recv(side->session, bytes, len, &side->err);
}

void pair_init(struct pair *pair, const struct h2_options *client, const struct h2_options *server)
{
    side_init(&pair->client, H2_CLIENT, client);
    side_init(&pair->server, H2_SERVER, server);
}

void pair_done(struct pair *pair)
{
    side_done(&pair->client);
    side_done(&pair->server);
}

/* True when anything moved. */
static bool carry(struct side *from, struct side *to, size_t chunk)
{
    if (from->wants_send)
        side_send(from);
    if (buf_len(&from->out) == 0)
        return false;
    while (buf_len(&from->out) > 0) {
        size_t len = buf_len(&from->out) < chunk ? buf_len(&from->out) : chunk;
        side_recv(to, buf_head(&from->out), len);
        buf_consume(&from->out, len);
    }
    buf_clear(&from->out, 1 << 20);
    if (from->max_out != 0)
        h2_session_set_blocked(from->session, false);
    return true;
}

void pair_pump(struct pair *pair, size_t chunk)
{
    bool moved = true;
    while (moved) {
        moved = carry(&pair->client, &pair->server, chunk);
        moved = carry(&pair->server, &pair->client, chunk) || moved;
    }
}

struct seen *pair_connect(struct pair *pair)
{
    struct side *client = &pair->client;
    const struct h2_header headers[] = {
        {.name = ":method", .value = "CONNECT"},
        {.name = ":authority", .value = "10.0.0.1:80"},
        {.name = "baggage", .value = "k8s.namespace.name=shop"},
        {.name = "traceparent", .value = "00-1-2-00", .unique = true},
    };
    assert_true(client->num_streams < SIDE_STREAMS_MAX);
    struct seen *seen = &client->streams[client->num_streams++];
    seen->stream = h2_session_request(client->session, headers, 4, false, seen, &client->err);
    assert_non_null(seen->stream);
    return seen;
}

struct seen *pair_at_server(struct pair *pair, unsigned index)
{
    assert_true(index < pair->server.num_streams);
    return &pair->server.streams[index];
}

void frame_put(struct buf *to, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
               size_t len)
{
    const uint8_t head[9] = {(uint8_t)(len >> 16),
                             (uint8_t)(len >> 8),
                             (uint8_t)len,
                             type,
                             flags,
                             (uint8_t)(stream >> 24),
                             (uint8_t)(stream >> 16),
                             (uint8_t)(stream >> 8),
                             (uint8_t)stream};
    assert_int_equal(buf_append(to, head, sizeof(head)), 0);
    assert_int_equal(buf_append(to, payload, len), 0);
}

void frame_put_field(struct buf *block, const char *name, const char *value)
{
    /* Literal without indexing, new name (RFC 7541 6.2.2); lengths below 127. */
    const uint8_t name_head[2] = {0, (uint8_t)strlen(name)};
    const uint8_t value_head[1] = {(uint8_t)strlen(value)};
    assert_int_equal(buf_append(block, name_head, 2), 0);
    assert_int_equal(buf_append_str(block, name), 0);
    assert_int_equal(buf_append(block, value_head, 1), 0);
    assert_int_equal(buf_append_str(block, value), 0);
}
