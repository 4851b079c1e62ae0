#include "dial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "tls_handshake.h"

struct dial {
    struct tls_io *io;
    struct tls_context *context;
    struct net_connect *connect; /* one of these three is under way */
    struct starttls_request *request;
    struct tls_handshake *handshake;
    char **expected;
    size_t num_expected;
    enum starttls starttls;
    uint64_t tls_timeout_ms;
    uint64_t tls_until_ms; /* once TCP stands */
    void (*on_connected)(void *owner);
    dial_done *done;
    void *owner;
};

enum reason dial_connect_reason(const struct err *err)
{
    if (err->kind == ERR_TIMEOUT)
        return REASON_CONNECT_TIMEOUT;
    if (err->kind == ERR_NOMEM)
        return REASON_NO_MEMORY;
    switch (err->kind == ERR_SYSTEM ? err->sys : 0) {
    case ECONNREFUSED:
        return REASON_CONNECT_REFUSED;
    case ETIMEDOUT:
        return REASON_CONNECT_TIMEOUT;
    case EMFILE:
    case ENFILE:
        return REASON_OUT_OF_DESCRIPTORS;
    case ENOMEM:
    case ENOBUFS:
        return REASON_NO_MEMORY;
    default:
        return REASON_CONNECT_FAILED;
    }
}

static void dial_release(struct dial *dial)
{
    for (size_t i = 0; i < dial->num_expected; i++)
        free(dial->expected[i]);
    free(dial->expected);
    tls_context_unref(dial->context);
    free(dial);
}

static void dial_end(struct dial *dial, struct stream *stream, enum reason reason,
                     const struct err *err)
{
    dial_done *done = dial->done;
    void *owner = dial->owner;
    dial_release(dial);
    done(owner, stream, reason, err);
}

static void dial_on_handshake(void *owner, struct stream *stream, enum reason reason,
                              const struct err *err)
{
    dial_end(owner, stream, reason, err);
}

static void dial_start_handshake(struct dial *dial, struct stream *stream)
{
    uint64_t now_ms = net_loop_now_ms(tls_io_loop(dial->io));
    struct tls_conn_params params = {
        .role = TLS_CLIENT,
        .now_ms = clock_wall_ms(),
        .expected = (const char *const *)dial->expected,
        .num_expected = dial->num_expected,
    };
    struct err why;
    dial->handshake =
        tls_handshake_start(dial->io, stream, dial->context, &params,
                            dial->tls_until_ms > now_ms ? dial->tls_until_ms - now_ms : 0,
                            dial_on_handshake, dial, &why);
    if (dial->handshake != NULL)
        return;
    stream_close(stream);
    dial_end(dial, NULL, why.kind == ERR_NOMEM ? REASON_NO_MEMORY : REASON_TLS_FAILED, &why);
}

static void dial_on_starttls(void *owner, struct stream *stream, enum reason reason,
                             const struct err *err)
{
    struct dial *dial = owner;
    dial->request = NULL;
    if (stream != NULL)
        dial_start_handshake(dial, stream);
    else
        dial_end(dial, NULL, reason, err);
}

static void dial_start_starttls(struct dial *dial, struct stream *stream)
{
    dial->request = starttls_start(tls_io_loop(dial->io), stream, dial->starttls,
                                   dial->tls_timeout_ms, dial_on_starttls, dial);
    if (dial->request != NULL)
        return;
    struct err why;
    err_set(&why, ERR_NOMEM, "dial: out of memory");
    stream_close(stream);
    dial_end(dial, NULL, REASON_NO_MEMORY, &why);
}

static void dial_on_connected(void *owner, struct net_tcp *tcp, const struct err *err)
{
    struct dial *dial = owner;
    dial->connect = NULL;
    if (tcp == NULL) {
        dial_end(dial, NULL, dial_connect_reason(err), err);
        return;
    }
    if (dial->on_connected != NULL)
        dial->on_connected(dial->owner);
    net_tcp_set_read_size(tcp, TLS_IO_READ);
    dial->tls_until_ms = net_loop_now_ms(tls_io_loop(dial->io)) + dial->tls_timeout_ms;
    if (dial->starttls == STARTTLS_NONE)
        dial_start_handshake(dial, net_tcp_stream(tcp));
    else
        dial_start_starttls(dial, net_tcp_stream(tcp));
}

/* -------------------------------------------------------------------------- starting, ending -- */

static int dial_copy_expected(struct dial *dial, const struct dial_params *params)
{
    if (params->num_expected == 0)
        return 0;
    dial->expected = calloc(params->num_expected, sizeof(*dial->expected));
    if (dial->expected == NULL)
        return -1;
    for (; dial->num_expected < params->num_expected; dial->num_expected++) {
        char *copy = strdup(params->expected[dial->num_expected]);
        if (copy == NULL)
            return -1;
        dial->expected[dial->num_expected] = copy;
    }
    return 0;
}

struct dial *dial_start(struct tls_io *io, const struct dial_params *params, dial_done *done,
                        void *owner, struct err *err)
{
    struct dial *dial = calloc(1, sizeof(*dial));
    if (dial == NULL) {
        err_set(err, ERR_NOMEM, "dial: out of memory");
        return NULL;
    }
    dial->io = io;
    dial->context = tls_context_ref(params->context);
    dial->starttls = params->starttls;
    dial->tls_timeout_ms = params->tls_timeout_ms;
    dial->on_connected = params->on_connected;
    dial->done = done;
    dial->owner = owner;
    if (dial_copy_expected(dial, params) < 0) {
        err_set(err, ERR_NOMEM, "dial: out of memory");
        goto fail;
    }
    dial->connect = net_connect_start(tls_io_loop(io), &params->to, &params->tcp,
                                      params->connect_timeout_ms, dial_on_connected, dial, err);
    if (dial->connect == NULL)
        goto fail;
    return dial;
fail:
    dial_release(dial);
    return NULL;
}

void dial_cancel(struct dial *dial)
{
    if (dial == NULL)
        return;
    net_connect_cancel(dial->connect);
    starttls_cancel(dial->request);
    tls_handshake_cancel(dial->handshake);
    dial_release(dial);
}
