#include "xds_client.h"

#include <stdlib.h>
#include <string.h>

#include "bearer_token.h"
#include "buf.h"
#include "grpc_call.h"
#include "rng.h"

#define METHOD "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

enum {
    CONNECT_TIMEOUT_MS = 20 * 1000, /* a few addresses, each of which may take 5 s to connect */
    YOUNG_GOAWAY_MS = 500, /* within which the successor of a stream that is not steady is opened:
                              well within the 10 s that servers of gRPC leave it */
};

struct xds_stream {
    struct xds_client *client;
    struct grpc_call *call; /* NULL: there is none */
    bool is_open;
    bool is_answered;
    bool is_old; /* its server has said GOAWAY */
    uint64_t opened_at_ms;
};

struct xds_client {
    struct net_loop *loop;
    struct grpc_channel *channel;
    struct xds_delta *delta;
    const struct xds_client_handler *handler;
    void *owner;
    char *token_file; /* NULL: none is sent */
    char *cluster_id; /* NULL: not sent */
    uint64_t connect_timeout_ms;
    uint64_t backoff_max_ms;

    struct xds_stream streams[2];
    struct xds_stream *present; /* the one that serves */
    struct xds_stream *next;    /* the other: being opened, or unused */
    struct net_timer *retry;
    unsigned num_failures; /* in a row */
    uint64_t num_ends[XDS_NUM_ENDS];

    struct net_task send;
    struct buf unsent; /* a request that the call did not take yet */
};

const char *xds_end_name(enum xds_end end)
{
    static const char *const names[XDS_NUM_ENDS] = {
        [XDS_END_CLEAN] = "clean",   [XDS_END_CONNECT] = "connect",   [XDS_END_REFUSED] = "refused",
        [XDS_END_BROKEN] = "broken", [XDS_END_PROTOCOL] = "protocol",
    };
    return names[end];
}

/* ------------------------------------------------------------------------------------ sending -- */

/* 1: sent. 0: there is none, or it has to wait. -1: out of memory. */
static int send_one(struct xds_client *client, struct err *err)
{
    struct buf *unsent = &client->unsent;
    if (buf_len(unsent) == 0) {
        int due = xds_delta_next_request(client->delta, unsent, err);
        if (due <= 0)
            return due;
    }
    if (grpc_call_send(client->present->call, buf_head(unsent), buf_len(unsent), err) < 0)
        return err->kind == ERR_LIMIT ? 0 : -1;
    buf_clear(unsent, 0);
    return 1;
}

static void end_stream(struct xds_stream *stream, enum xds_end end, const struct err *err);

static void on_send(void *owner)
{
    struct xds_client *client = owner;
    struct err err;
    int sent = 1;
    while (sent > 0 && client->present->is_open)
        sent = send_one(client, &err);
    if (sent < 0)
        end_stream(client->present, XDS_END_BROKEN, &err);
}

void xds_client_wake(struct xds_client *client)
{
    net_task_schedule(client->loop, &client->send);
}

/* ------------------------------------------------------------------------------------- ending -- */

static void forget_call(struct xds_stream *stream)
{
    grpc_call_cancel(stream->call);
    *stream = (struct xds_stream){.client = stream->client};
}

static bool was_steady(const struct xds_stream *stream)
{
    uint64_t now_ms = net_loop_now_ms(stream->client->loop);
    return stream->is_answered && now_ms - stream->opened_at_ms >= XDS_CLIENT_STEADY_MS;
}

/* Full jitter: many agents that lost one server do not come back together. */
static uint64_t next_delay(struct xds_client *client)
{
    uint64_t bound = XDS_CLIENT_BACKOFF_MIN_MS;
    for (unsigned i = 0; i < client->num_failures && bound < client->backoff_max_ms; i++)
        bound *= 2;
    if (bound > client->backoff_max_ms)
        bound = client->backoff_max_ms;
    client->num_failures++;
    return rng_u64() % (bound + 1);
}

/* The stream is over, whoever ended it. Where it was the one that served, the owner is told. */
static void end_stream(struct xds_stream *stream, enum xds_end end, const struct err *err)
{
    struct xds_client *client = stream->client;
    bool is_steady = was_steady(stream);
    bool has_successor = stream == client->present && client->next->call != NULL;
    bool serves_still = stream == client->next && client->present->call != NULL;
    client->num_ends[end]++;
    forget_call(stream);
    if (stream == client->present)
        buf_clear(&client->unsent, 0);
    if (has_successor)
        return;
    if (is_steady)
        client->num_failures = 0;
    uint64_t retry_ms = is_steady && end == XDS_END_CLEAN ? 0 : next_delay(client);
    net_timer_start(client->retry, retry_ms);
    if (!serves_still)
        client->handler->on_disconnected(client->owner, end, err, retry_ms);
}

static enum xds_end classify(const struct xds_stream *stream, enum grpc_status status,
                             const struct err *err)
{
    if (status == GRPC_STATUS_OK || (stream->is_old && stream->is_answered))
        return XDS_END_CLEAN;
    if (!stream->is_open)
        return XDS_END_CONNECT;
    if (err->kind == ERR_DENIED)
        return XDS_END_REFUSED;
    return err->kind == ERR_PROTOCOL ? XDS_END_PROTOCOL : XDS_END_BROKEN;
}

static void stream_on_end(void *owner, enum grpc_status status, const struct err *err)
{
    struct xds_stream *stream = owner;
    struct err why = {0};
    enum xds_end end = classify(stream, status, err);
    if (err != NULL)
        why = *err;
    if (status == GRPC_STATUS_UNAUTHENTICATED && stream->client->token_file != NULL)
        err_prefix(&why, "token of %s", stream->client->token_file);
    stream->call = NULL;
    end_stream(stream, end, err == NULL ? NULL : &why);
}

/* ------------------------------------------------------------------------- while it is there -- */

static void stream_on_message(void *owner, const uint8_t *message, size_t len)
{
    struct xds_stream *stream = owner;
    struct xds_client *client = stream->client;
    struct xds_delta_answer answer;
    struct err err;
    if (stream != client->present)
        return;
    if (xds_delta_receive(client->delta, message, len, &answer, &err) < 0) {
        err_prefix(&err, "control plane %s", grpc_channel_address(client->channel));
        end_stream(stream, err.kind == ERR_PROTOCOL ? XDS_END_PROTOCOL : XDS_END_BROKEN, &err);
        return;
    }
    stream->is_answered = true;
    xds_client_wake(client);
    client->handler->on_answer(client->owner, &answer, len);
}

static void stream_on_writable(void *owner)
{
    struct xds_stream *stream = owner;
    xds_client_wake(stream->client);
}

/* From here on the new stream serves, and the old one is not needed any more. */
static void stream_on_open(void *owner)
{
    struct xds_stream *stream = owner;
    struct xds_client *client = stream->client;
    stream->is_open = true;
    stream->opened_at_ms = net_loop_now_ms(client->loop);
    if (stream == client->next) {
        struct xds_stream *old = client->present;
        if (old->call != NULL)
            client->num_ends[XDS_END_CLEAN]++;
        forget_call(old);
        client->present = stream;
        client->next = old;
    }
    buf_clear(&client->unsent, 0);
    xds_delta_start(client->delta);
    xds_client_wake(client);
    client->handler->on_connected(client->owner);
}

/* ------------------------------------------------------------------------------------ opening -- */

static void stream_on_goaway(void *owner);

static const struct grpc_call_handler call_handler = {
    .on_open = stream_on_open,
    .on_message = stream_on_message,
    .on_writable = stream_on_writable,
    .on_goaway = stream_on_goaway,
    .on_end = stream_on_end,
};

static struct grpc_call *start_call(struct xds_stream *stream, const char *authorization,
                                    struct err *err)
{
    struct xds_client *client = stream->client;
    struct grpc_metadata metadata[2];
    size_t num_metadata = 0;
    if (authorization != NULL)
        metadata[num_metadata++] = (struct grpc_metadata){"authorization", authorization};
    if (authorization != NULL && client->cluster_id != NULL)
        metadata[num_metadata++] = (struct grpc_metadata){"clusterid", client->cluster_id};
    const struct grpc_call_params params = {
        .path = METHOD,
        .metadata = metadata,
        .num_metadata = num_metadata,
        .answer_max = XDS_CLIENT_ANSWER_MAX,
        .connect_timeout_ms = client->connect_timeout_ms,
        .keeps_sending = true,
    };
    return grpc_call_start(client->channel, &params, &call_handler, stream, err);
}

static int open_call(struct xds_stream *stream, struct err *err)
{
    const char *token_file = stream->client->token_file;
    char authorization[BEARER_TOKEN_HEADER_MAX];
    if (token_file == NULL)
        stream->call = start_call(stream, NULL, err);
    else if (bearer_token_read(token_file, authorization, err) == 0)
        stream->call = start_call(stream, authorization, err);
    explicit_bzero(authorization, sizeof(authorization));
    return stream->call == NULL ? -1 : 0;
}

/* Opens what is missing: the stream that serves, or the successor of an old one. */
static void on_retry(void *owner)
{
    struct xds_client *client = owner;
    struct xds_stream *stream = client->present->call == NULL ? client->present : client->next;
    struct err err;
    bool is_needed = client->present->call == NULL || client->present->is_old;
    if (is_needed && client->next->call == NULL && open_call(stream, &err) < 0)
        end_stream(stream, XDS_END_CONNECT, &err);
}

static void stream_on_goaway(void *owner)
{
    struct xds_stream *stream = owner;
    struct xds_client *client = stream->client;
    stream->is_old = true;
    if (stream != client->present)
        return;
    net_timer_start(client->retry, was_steady(stream) ? 0 : rng_u64() % (YOUNG_GOAWAY_MS + 1));
}

void xds_client_retry_now(struct xds_client *client)
{
    if (client->present->call == NULL && client->next->call == NULL)
        net_timer_start(client->retry, 0);
}

/* -------------------------------------------------------------------------------------- life -- */

static int copy_text(char **out, const char *text, struct err *err)
{
    if (text == NULL || text[0] == '\0')
        return 0;
    *out = strdup(text);
    return *out == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

static int set_up(struct xds_client *client, struct tls_io *io,
                  const struct xds_client_options *options, struct err *err)
{
    if (copy_text(&client->token_file, options->token_file, err) < 0 ||
        copy_text(&client->cluster_id, options->cluster_id, err) < 0)
        return -1;
    client->retry = net_timer_new(client->loop, on_retry, client);
    if (client->retry == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    client->channel = grpc_channel_new(io, &options->channel, err);
    return client->channel == NULL ? -1 : 0;
}

struct xds_client *xds_client_new(struct tls_io *io, const struct xds_client_options *options,
                                  struct xds_delta *delta, const struct xds_client_handler *handler,
                                  void *owner, struct err *err)
{
    struct xds_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    client->loop = tls_io_loop(io);
    client->delta = delta;
    client->handler = handler;
    client->owner = owner;
    client->connect_timeout_ms =
        options->connect_timeout_ms == 0 ? CONNECT_TIMEOUT_MS : options->connect_timeout_ms;
    client->backoff_max_ms =
        options->backoff_max_ms == 0 ? XDS_CLIENT_BACKOFF_MAX_MS : options->backoff_max_ms;
    client->streams[0].client = client->streams[1].client = client;
    client->present = &client->streams[0];
    client->next = &client->streams[1];
    client->send = (struct net_task){.run = on_send, .owner = client};
    if (set_up(client, io, options, err) < 0) {
        xds_client_free(client);
        return NULL;
    }
    net_timer_start(client->retry, 0);
    return client;
}

void xds_client_free(struct xds_client *client)
{
    if (client == NULL)
        return;
    net_task_cancel(&client->send);
    net_timer_free(client->retry);
    grpc_call_cancel(client->present->call);
    grpc_call_cancel(client->next->call);
    grpc_channel_free(client->channel);
    buf_done(&client->unsent);
    free(client->token_file);
    free(client->cluster_id);
    free(client);
}

bool xds_client_is_connected(const struct xds_client *client)
{
    return client->present->is_open;
}

uint64_t xds_client_num_ends(const struct xds_client *client, enum xds_end end)
{
    return client->num_ends[end];
}
