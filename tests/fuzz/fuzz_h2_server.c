/*
 * Bytes of a client into an HTTP/2 server session, in pieces, with an owner that accepts, answers,
 * parks, resets and echoes. The first byte of the input says what the owner does; the client's
 * preface is put in front of the rest.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "h2_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { ECHO = 1, PARK = 2, RESET = 4, REFUSE = 8, SMALL_PIECES = 16, DRAIN = 32, BLOCK = 64 };

struct server {
    struct h2_session *session;
    uint8_t ways;
    unsigned num_outputs;
};

static void on_output(void *owner, const uint8_t *bytes, size_t len)
{
    struct server *server = owner;
    if ((server->ways & BLOCK) != 0 && server->num_outputs++ % 4 == 3)
        h2_session_set_blocked(server->session, true);
}

static void on_wants_send(void *owner)
{
}

static void on_headers(void *owner, struct h2_stream *stream, const struct h2_header *headers,
                       size_t num_headers, bool end)
{
    struct server *server = owner;
    const struct h2_header ok[] = {{.name = ":status", .value = "200"}};
    const struct h2_header refused[] = {{.name = ":status", .value = "401"}};
    if (h2_header_find(headers, num_headers, ":method") == NULL)
        abort(); /* nghttp2 lets no request through without it */
    h2_stream_set_owner(stream, stream);
    if ((server->ways & REFUSE) != 0) {
        h2_stream_respond(stream, refused, 1, true);
        h2_stream_reset(stream, H2_NO_ERROR);
    } else {
        h2_stream_respond(stream, ok, 1, false);
    }
}

static void on_data(void *owner, struct h2_stream *stream, const uint8_t *bytes, size_t len)
{
    struct server *server = owner;
    if ((server->ways & ECHO) != 0)
        h2_stream_write(stream, bytes, len);
    if ((server->ways & PARK) == 0)
        h2_stream_consume(stream, len);
    if ((server->ways & RESET) != 0 && bytes[0] == 'r')
        h2_stream_reset(stream, H2_CANCEL);
}

static void on_end(void *owner, struct h2_stream *stream)
{
    h2_stream_end(stream);
}

static void on_closed(void *owner, struct h2_stream *stream, uint32_t code, bool by_peer)
{
    if (h2_stream_owner(stream) != stream)
        abort(); /* it was never announced */
}

static const struct h2_handler handler = {
    .on_output = on_output,
    .on_wants_send = on_wants_send,
    .on_headers = on_headers,
    .on_data = on_data,
    .on_end = on_end,
    .on_closed = on_closed,
};

static int feed(struct server *server, const uint8_t *bytes, size_t len)
{
    size_t piece = (server->ways & SMALL_PIECES) != 0 ? 7 : 4096;
    while (len > 0) {
        size_t part = len < piece ? len : piece;
        if (h2_session_recv(server->session, bytes, part, NULL) < 0)
            return -1;
        if (h2_session_send(server->session, NULL) < 0)
            return -1;
        h2_session_set_blocked(server->session, false);
        bytes += part;
        len -= part;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    if (len == 0)
        return 0;
    struct server server = {.ways = bytes[0]};
    struct h2_options options;
    h2_options_default(&options, H2_SERVER);
    server.session = h2_session_new(H2_SERVER, &options, &handler, &server, NULL);
    if (server.session == NULL)
        abort();
    int rc = feed(&server, (const uint8_t *)preface, sizeof(preface) - 1);
    if (rc == 0 && (server.ways & DRAIN) != 0)
        h2_session_start_drain(server.session);
    if (rc == 0)
        feed(&server, bytes + 1, len - 1);
    h2_session_send(server.session, NULL);
    h2_session_end_streams(server.session, H2_INTERNAL_ERROR);
    h2_session_free(server.session);
    return 0;
}
