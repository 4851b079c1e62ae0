#include "hbone_request.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hbone_request {
    struct hbone_server *server;
    struct hbone_stream *stream;
    void *owner;
};

/* ----------------------------------------------------------------------------------- arrival -- */

/* An answer without a body; NO_ERROR asks the client to send nothing more (RFC 9113 8.1). */
static void answer_and_end(struct h2_stream *h2, unsigned status)
{
    char text[8];
    snprintf(text, sizeof(text), "%u", status);
    const struct h2_header headers[] = {{.name = ":status", .value = text}};
    h2_stream_respond(h2, headers, 1, true);
}

static void refuse_malformed(struct hbone_server *server, struct h2_stream *h2, const char *why)
{
    answer_and_end(h2, 400);
    h2_stream_reset(h2, H2_NO_ERROR);
    hbone_server_report_malformed(server, why);
}

/* All lines of a list-valued field, joined by commas (RFC 9110 5.3). NULL when there is none. */
static const char *join_lines(const struct h2_header *headers, size_t num_headers, const char *name,
                              struct buf *store)
{
    const char *first = h2_header_find(headers, num_headers, name);
    size_t num_lines = 0;
    for (size_t i = 0; i < num_headers; i++) {
        if (strcmp(headers[i].name, name) != 0)
            continue;
        if (buf_printf(store, "%s%s", num_lines > 0 ? "," : "", headers[i].value) < 0)
            return first;
        num_lines++;
    }
    if (num_lines <= 1 || buf_append(store, "", 1) < 0)
        return first;
    return (const char *)buf_head(store);
}

static void on_lost(void *owner, const struct hbone_loss *loss)
{
    struct hbone_request *request = owner;
    hbone_server_handler_get(request->server)->on_request_gone(request->owner, request);
    free(request);
}

static const struct hbone_opener opener = {.on_lost = on_lost};

static struct hbone_request *request_new(struct hbone_server *server, struct hbone_conn *conn,
                                         struct h2_stream *h2, bool end)
{
    struct hbone_request *request = calloc(1, sizeof(*request));
    if (request == NULL)
        return NULL;
    request->server = server;
    request->stream = hbone_stream_new(conn, h2, end, &opener, request);
    if (request->stream == NULL) {
        free(request);
        return NULL;
    }
    return request;
}

void hbone_request_receive(struct hbone_server *server, struct hbone_conn *conn,
                           struct h2_stream *h2, const struct h2_header *headers,
                           size_t num_headers, bool end)
{
    struct hbone_request_info info = {0};
    struct buf baggage = {0};
    struct err err;
    const char *method = h2_header_find(headers, num_headers, ":method");
    const char *authority = h2_header_find(headers, num_headers, ":authority");
    if (method == NULL || strcmp(method, "CONNECT") != 0) {
        refuse_malformed(server, h2, "the method is not CONNECT");
        return;
    }
    if (authority == NULL ||
        hbone_authority_parse(&info.authority, authority, strlen(authority), &err) < 0) {
        refuse_malformed(server, h2, authority == NULL ? "there is no :authority" : err.message);
        return;
    }
    struct hbone_request *request = request_new(server, conn, h2, end);
    if (request == NULL) {
        h2_stream_reset(h2, H2_INTERNAL_ERROR);
        return;
    }
    info.baggage = join_lines(headers, num_headers, "baggage", &baggage);
    info.forwarded = h2_header_find(headers, num_headers, "forwarded");
    info.traceparent = h2_header_find(headers, num_headers, "traceparent");
    info.x_forwarded_network = h2_header_find(headers, num_headers, "x-forwarded-network");
    hbone_server_handler_get(server)->on_request(hbone_server_owner(server), request, &info);
    buf_done(&baggage);
}

/* ------------------------------------------------------------------------------------ answer -- */

struct hbone_server *hbone_request_server(const struct hbone_request *request)
{
    return request->server;
}

void hbone_request_set_owner(struct hbone_request *request, void *request_owner)
{
    request->owner = request_owner;
}

struct stream *hbone_request_accept(struct hbone_request *request, const char *baggage)
{
    struct hbone_stream *stream = request->stream;
    free(request);
    const struct h2_header headers[] = {
        {.name = ":status", .value = "200"},
        {.name = "baggage", .value = baggage},
    };
    bool with_baggage = baggage != NULL && baggage[0] != '\0';
    if (h2_stream_respond(hbone_stream_h2(stream), headers, with_baggage ? 2 : 1, false) < 0) {
        hbone_stream_drop(stream, H2_INTERNAL_ERROR);
        return NULL;
    }
    return hbone_stream_open(stream);
}

void hbone_request_refuse(struct hbone_request *request, unsigned status)
{
    struct hbone_stream *stream = request->stream;
    free(request);
    answer_and_end(hbone_stream_h2(stream), status);
    hbone_stream_drop(stream, H2_NO_ERROR);
}
