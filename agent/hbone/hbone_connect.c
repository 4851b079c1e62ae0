#include "hbone_connect.h"

#include <string.h>

static const char *text_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

struct hbone_connect hbone_connect_of(const struct hbone_pool_request *request)
{
    return (struct hbone_connect){
        .authority = text_or_null(request->authority),
        .baggage = text_or_null(request->baggage),
        .forwarded = text_or_null(request->forwarded),
        .traceparent = text_or_null(request->traceparent),
        .network = text_or_null(request->network),
    };
}

static size_t text_size(const char *text)
{
    return text == NULL ? 0 : strlen(text) + 1;
}

size_t hbone_connect_size(const struct hbone_connect *connect)
{
    return text_size(connect->authority) + text_size(connect->baggage) +
           text_size(connect->forwarded) + text_size(connect->traceparent) +
           text_size(connect->network);
}

static const char *put_text(char **at, const char *text)
{
    if (text == NULL)
        return NULL;
    char *copy = *at;
    size_t size = text_size(text);
    memcpy(copy, text, size);
    *at += size;
    return copy;
}

char *hbone_connect_copy(struct hbone_connect *to, const struct hbone_connect *from, char *text)
{
    char *at = text;
    to->authority = put_text(&at, from->authority);
    to->baggage = put_text(&at, from->baggage);
    to->forwarded = put_text(&at, from->forwarded);
    to->traceparent = put_text(&at, from->traceparent);
    to->network = put_text(&at, from->network);
    return at;
}

size_t hbone_connect_headers(const struct hbone_connect *connect, struct h2_header *headers)
{
    /* What does not repeat is kept out of the compression table. */
    const struct h2_header all[HBONE_CONNECT_HEADERS] = {
        {.name = ":method", .value = "CONNECT"},
        {.name = ":authority", .value = connect->authority},
        {.name = "baggage", .value = connect->baggage},
        {.name = "forwarded", .value = connect->forwarded, .unique = true},
        {.name = "traceparent", .value = connect->traceparent, .unique = true},
        {.name = "x-forwarded-network", .value = connect->network},
    };
    size_t num = 0;
    for (size_t i = 0; i < HBONE_CONNECT_HEADERS; i++)
        if (all[i].value != NULL)
            headers[num++] = all[i];
    return num;
}

/* ------------------------------------------------------------------------------ answer, loss -- */

static unsigned parse_status(const char *text)
{
    unsigned status = 0;
    for (; text != NULL && *text >= '0' && *text <= '9' && status < 1000; text++)
        status = status * 10 + (unsigned)(*text - '0');
    return status;
}

static enum reason reason_of_status(unsigned status)
{
    switch (status) {
    case 200:
        return REASON_DONE;
    case 401:
        return REASON_PEER_REFUSED;
    case 503:
        return REASON_PEER_UNREACHABLE;
    default:
        return REASON_PEER_STATUS;
    }
}

void hbone_connect_read_answer(struct hbone_pool_answer *answer, struct err *err,
                               const struct h2_header *headers, size_t num_headers)
{
    answer->status = parse_status(h2_header_find(headers, num_headers, ":status"));
    answer->baggage = h2_header_find(headers, num_headers, "baggage");
    answer->reason = reason_of_status(answer->status);
    answer->err = NULL;
    if (answer->reason == REASON_DONE)
        return;
    err_set(err, ERR_DENIED, "the peer answered CONNECT with status %u", answer->status);
    answer->err = err;
}

enum reason hbone_connect_reason_of_loss(const struct hbone_loss *loss, const struct err **why,
                                         struct err *store)
{
    *why = loss->err;
    if (loss->reason != REASON_DONE)
        return loss->reason;
    err_set(store, ERR_PROTOCOL, "the stream was reset before the answer (HTTP/2 error code %u)",
            loss->code);
    *why = store;
    return loss->by_peer ? REASON_PEER_RESET : REASON_HTTP2_FAILED;
}
