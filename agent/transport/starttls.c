#include "starttls.h"

#include <assert.h>
#include <stdlib.h>

struct starttls_request {
    struct stream *stream;
    struct net_timer *timer;
    uint64_t timeout_ms;
    starttls_done *done;
    void *owner;
};

/* Length, and the code 1234.5679 in the place of a protocol version. */
static const uint8_t postgresql_request[] = {0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f};

/* Everything but the stream. */
static void starttls_release(struct starttls_request *request)
{
    net_timer_free(request->timer);
    free(request);
}

static void starttls_end(struct starttls_request *request, struct stream *stream,
                         enum reason reason, const struct err *err)
{
    starttls_done *done = request->done;
    void *owner = request->owner;
    starttls_release(request);
    done(owner, stream, reason, err);
}

static void starttls_fail(struct starttls_request *request, enum reason reason,
                          const struct err *err)
{
    stream_close(request->stream);
    starttls_end(request, NULL, reason, err);
}

/* ------------------------------------------------------------------------------------ events -- */

/*
 * One byte, and nothing behind it: the server has to wait for the ClientHello, so whatever came with the answer was put there to be
 * taken for something said inside TLS.
 */
static void starttls_on_read(void *owner, const uint8_t *bytes, size_t len)
{
    struct starttls_request *request = owner;
    struct err err;
    if (bytes[0] == 'N')
        err_set(&err, ERR_DENIED, "PostgreSQL: the server does not do TLS (ssl = off there)");
    else if (bytes[0] == 'E')
        err_set(&err, ERR_PROTOCOL,
                "PostgreSQL: the server answered the request for TLS with an error, which its own "
                "log tells");
    else if (bytes[0] != 'S')
        err_set(&err, ERR_PROTOCOL,
                "PostgreSQL: no answer to the request for TLS: is this a PostgreSQL?");
    else if (len > 1)
        err_set(&err, ERR_PROTOCOL,
                "PostgreSQL: %zu bytes in clear after the answer to the request for TLS: somebody "
                "on the way may have put them there",
                len - 1);
    else {
        stream_read_stop(request->stream);
        starttls_end(request, request->stream, REASON_DONE, NULL);
        return;
    }
    starttls_fail(request, REASON_TLS_FAILED, &err);
}

static void starttls_on_eof(void *owner)
{
    struct err err;
    err_set(&err, ERR_PROTOCOL,
            "PostgreSQL: the server closed the connection when it was asked for TLS");
    starttls_fail(owner, REASON_TLS_FAILED, &err);
}

static void starttls_on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    (void)fault;
    struct err why = *err;
    err_prefix(&why, "PostgreSQL: asking for TLS");
    starttls_fail(owner, REASON_TLS_FAILED, &why);
}

static void starttls_on_timeout(void *owner)
{
    struct starttls_request *request = owner;
    struct err err;
    err_set(&err, ERR_TIMEOUT, "PostgreSQL: no answer to the request for TLS after %llu ms",
            (unsigned long long)request->timeout_ms);
    starttls_fail(request, REASON_TLS_TIMEOUT, &err);
}

static const struct stream_handler starttls_handler = {
    .on_read = starttls_on_read,
    .on_eof = starttls_on_eof,
    .on_failed = starttls_on_failed,
};

/* -------------------------------------------------------------------------- starting, ending -- */

struct starttls_request *starttls_start(struct net_loop *loop, struct stream *stream,
                                        enum starttls kind, uint64_t timeout_ms,
                                        starttls_done *done, void *owner)
{
    assert(kind == STARTTLS_POSTGRESQL);
    struct starttls_request *request = calloc(1, sizeof(*request));
    if (request == NULL)
        return NULL;
    request->timer = net_timer_new(loop, starttls_on_timeout, request);
    if (request->timer == NULL) {
        starttls_release(request);
        return NULL;
    }
    request->stream = stream;
    request->timeout_ms = timeout_ms;
    request->done = done;
    request->owner = owner;
    stream_set_handler(stream, &starttls_handler, request);
    stream_write(stream, postgresql_request, sizeof(postgresql_request));
    stream_read_start(stream);
    net_timer_start(request->timer, timeout_ms);
    return request;
}

void starttls_cancel(struct starttls_request *request)
{
    if (request == NULL)
        return;
    stream_close(request->stream);
    starttls_release(request);
}
