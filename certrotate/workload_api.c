#include "workload_api.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "grpc_call.h"
#include "grpc_target.h"
#include "rng.h"
#include "workload_messages.h"

enum {
    CONNECT_TIMEOUT_MS = 5 * 1000, /* to this machine; less than rotation waits for a fetch */
    RETRY_JITTER_PERCENT = 20,     /* all agents of a node miss a restarted SPIRE agent at once */
    /* Servers in Go take pings on a stream that is quiet no more often than every five minutes. The
     * end of a server on this machine is noticed without any. */
    KEEPALIVE_MS = 10 * 60 * 1000,
};

/* The stream is up, or is being opened, exactly when there is a call; `retry` runs exactly when
 * there is none, the source has begun, and the server has not barred it. */
struct workload_api {
    struct cert_source source; /* first: see cert_source.h */
    struct net_loop *loop;
    struct grpc_channel *channel;
    struct workload_messages_choice choice;
    char *hint, *spiffe_id; /* what `choice` points to */
    uint64_t (*random)(void);

    struct grpc_call *call;
    struct net_timer *retry;
    uint64_t opened_at_ms; /* of the call */
    bool has_spoken;       /* a message has come by this call */
    unsigned num_failures; /* streams in a row that were not there or did not last */
    bool barred;           /* InvalidArgument */

    struct workload_messages_answer *newest; /* not fetched yet; NULL: none */
    struct err err;                          /* why there is nothing newer; ERR_NONE: all is well */

    cert_source_done *done; /* NULL: no fetch runs */
    void *owner;
    struct net_task answer; /* gives a fetch what there is already */
};

/* ------------------------------------------------------------------------------ ending a fetch -- */

/* The source may be freed inside `done`, so what is lent must not be its own. */
static void deliver(struct workload_api *api)
{
    struct workload_messages_answer *newest = api->newest;
    cert_source_done *done = api->done;
    api->newest = NULL;
    api->done = NULL;
    done(api->owner, workload_messages_fetched(newest), NULL);
    workload_messages_answer_free(newest);
}

static void fail_fetch(struct workload_api *api)
{
    struct err err = api->err;
    cert_source_done *done = api->done;
    api->done = NULL;
    done(api->owner, NULL, &err);
}

static void on_answer(void *owner)
{
    struct workload_api *api = owner;
    if (api->newest != NULL)
        deliver(api);
    else
        fail_fetch(api);
}

/* ---------------------------------------------------------------------------------- the stream -- */

/* A trouble that is new is told through a fetch, which the machine starts then. */
static void tell_trouble(struct workload_api *api, bool is_new)
{
    if (api->done != NULL)
        net_task_schedule(api->loop, &api->answer);
    else if (is_new && api->source.on_changed != NULL)
        api->source.on_changed(api->source.owner);
}

static void workload_api_on_message(void *owner, const uint8_t *message, size_t len)
{
    struct workload_api *api = owner;
    struct err err = {0};
    struct workload_messages_answer *answer =
        workload_messages_read_answer(message, len, &api->choice, &err);
    api->has_spoken = true;
    if (answer == NULL) {
        err_prefix(&err, "Workload API %s", grpc_channel_address(api->channel));
        bool is_new = api->err.kind == ERR_NONE || strcmp(api->err.message, err.message) != 0;
        api->err = err;
        tell_trouble(api, is_new);
        return;
    }
    workload_messages_answer_free(api->newest);
    api->newest = answer;
    api->err = (struct err){0};
    if (api->done != NULL)
        net_task_schedule(api->loop, &api->answer);
    else if (api->source.on_changed != NULL)
        api->source.on_changed(api->source.owner);
}

static uint64_t pause_ms(const struct workload_api *api)
{
    uint64_t max_ms =
        api->has_spoken ? WORKLOAD_API_RETRY_SPOKEN_MAX_MS : WORKLOAD_API_RETRY_MAX_MS;
    uint64_t ms = WORKLOAD_API_RETRY_FIRST_MS;
    for (unsigned i = 1; i < api->num_failures && ms < max_ms; i++)
        ms *= 2;
    if (ms > max_ms)
        ms = max_ms;
    uint64_t spread = ms / 100 * RETRY_JITTER_PERCENT;
    return ms - spread + api->random() % (2 * spread + 1);
}

static void note_end(struct workload_api *api, enum grpc_status status, const struct err *call_err)
{
    if (status == GRPC_STATUS_OK)
        err_set(&api->err, ERR_SYSTEM, "Workload API %s: it ended the stream",
                grpc_channel_address(api->channel));
    else
        api->err = *call_err;
    if (status == GRPC_STATUS_PERMISSION_DENIED)
        err_prefix(&api->err, "no identity is registered for this workload");
    /* One that ends as soon as it was opened, though with a message, is not asked for in a loop. */
    if (api->has_spoken &&
        net_loop_now_ms(api->loop) - api->opened_at_ms >= WORKLOAD_API_RETRY_MAX_MS)
        api->num_failures = 0;
    api->num_failures++;
    api->barred = status == GRPC_STATUS_INVALID_ARGUMENT;
    if (api->barred)
        err_prefix(&api->err, "not tried again before a reload (SIGHUP)");
    else
        net_timer_start(api->retry, pause_ms(api));
}

static void workload_api_on_end(void *owner, enum grpc_status status, const struct err *err)
{
    struct workload_api *api = owner;
    bool was_well = api->err.kind == ERR_NONE;
    api->call = NULL;
    note_end(api, status, err);
    tell_trouble(api, was_well);
}

static const struct grpc_call_handler call_handler = {
    .on_message = workload_api_on_message,
    .on_end = workload_api_on_end,
};

static void open_stream(struct workload_api *api)
{
    static const struct grpc_metadata METADATA[] = {{"workload.spiffe.io", "true"}};
    static const uint8_t EMPTY[1]; /* an X509SVIDRequest has no field */
    const struct grpc_call_params params = {
        .path = WORKLOAD_MESSAGES_FETCH_PATH,
        .metadata = METADATA,
        .num_metadata = 1,
        .message = EMPTY,
        .message_len = 0,
        .answer_max = WORKLOAD_MESSAGES_MAX,
        .answer_is_secret = true,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
    };
    struct err err;
    net_timer_stop(api->retry);
    api->has_spoken = false;
    api->opened_at_ms = net_loop_now_ms(api->loop);
    api->call = grpc_call_start(api->channel, &params, &call_handler, api, &err);
    if (api->call != NULL)
        return;
    note_end(api, GRPC_STATUS_UNAVAILABLE, &err);
    if (api->done != NULL)
        net_task_schedule(api->loop, &api->answer);
}

static void on_retry(void *owner)
{
    open_stream(owner);
}

/* ------------------------------------------------------------------------------------- fetching -- */

/* Its server speaks and ends, again and again. Each end is told, for which the machine fetches: a
 * stream opened for that would be a loop without a pause. */
static bool is_pausing(const struct workload_api *api)
{
    return api->call == NULL && api->has_spoken && api->num_failures > 1;
}

static int start_fetch(struct cert_source *source, const char *csr_pem, cert_source_done *done,
                       void *owner, struct err *err)
{
    struct workload_api *api = (struct workload_api *)source;
    assert(api->done == NULL);
    api->done = done;
    api->owner = owner;
    if (api->newest != NULL || api->barred || is_pausing(api)) {
        net_task_schedule(api->loop, &api->answer);
        return 0;
    }
    /* A stream that has said all it had to say is asked to say it again; one that is being opened,
     * or was just opened, has not said anything yet and is waited for. */
    if (api->call != NULL && api->has_spoken) {
        grpc_call_cancel(api->call);
        api->call = NULL;
    }
    if (api->call == NULL)
        open_stream(api);
    return 0;
}

static void cancel(struct cert_source *source)
{
    struct workload_api *api = (struct workload_api *)source;
    api->done = NULL;
    net_task_cancel(&api->answer);
}

void workload_api_retry(struct cert_source *source)
{
    struct workload_api *api = (struct workload_api *)source;
    api->barred = false;
    api->num_failures = 0;
}

/* -------------------------------------------------------------------------------- new and free -- */

static void source_free(struct cert_source *source)
{
    struct workload_api *api = (struct workload_api *)source;
    cancel(source);
    grpc_call_cancel(api->call);
    grpc_channel_free(api->channel);
    net_timer_free(api->retry);
    workload_messages_answer_free(api->newest);
    free(api->hint);
    free(api->spiffe_id);
    free(api);
}

static int fill(struct workload_api *api, struct tls_io *io,
                const struct workload_api_options *options, struct err *err)
{
    api->hint = strdup(options->hint == NULL ? "" : options->hint);
    api->spiffe_id = strdup(options->spiffe_id == NULL ? "" : options->spiffe_id);
    api->retry = net_timer_new(api->loop, on_retry, api);
    if (api->hint == NULL || api->spiffe_id == NULL || api->retry == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    api->choice = (struct workload_messages_choice){.hint = api->hint, .spiffe_id = api->spiffe_id};
    const struct grpc_channel_options channel = {
        .address = options->endpoint,
        .peer = "Workload API",
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .keepalive_ms = KEEPALIVE_MS,
    };
    api->channel = grpc_channel_new(io, &channel, err);
    return api->channel == NULL ? -1 : 0;
}

struct cert_source *workload_api_new(struct tls_io *io, const struct workload_api_options *options,
                                     struct err *err)
{
    static const struct cert_source_ops OPS = {start_fetch, cancel, source_free};
    if (workload_api_check_endpoint(options->endpoint, err) < 0)
        return NULL;
    struct workload_api *api = calloc(1, sizeof(*api));
    if (api == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    api->source =
        (struct cert_source){.ops = &OPS, .name = "spiffe", .speaks_for_trust_domain = true};
    api->loop = tls_io_loop(io);
    api->random = options->random == NULL ? rng_u64 : options->random;
    api->answer = (struct net_task){.run = on_answer, .owner = api};
    if (fill(api, io, options, err) < 0) {
        source_free(&api->source);
        return NULL;
    }
    return &api->source;
}

int workload_api_check_endpoint(const char *endpoint, struct err *err)
{
    struct grpc_target target;
    if (grpc_target_parse(&target, endpoint, err) < 0)
        return -1;
    bool has_scheme = target.kind != GRPC_TARGET_TLS;
    grpc_target_done(&target);
    if (!has_scheme)
        return err_set(err, ERR_INVALID,
                       "\"%.200s\" is no Workload API endpoint: unix:///absolute/path or "
                       "tcp://ip:port",
                       endpoint);
    if (strpbrk(endpoint, "?#") != NULL)
        return err_set(err, ERR_INVALID,
                       "\"%.200s\": a Workload API endpoint has no query and no fragment",
                       endpoint);
    return 0;
}
