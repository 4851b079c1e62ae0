#include "grpc_channel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "grpc_channel_impl.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    TLS_TIMEOUT_MS = 5000,
    IDLE_MS = 10 * 1000,
    KEEPALIVE_MS = 30 * 1000,
    KEEPALIVE_TIMEOUT_MS = 10 * 1000,
};

/* ---------------------------------------------------------------------------- the connections --
 */

void grpc_channel_connect_failed(struct grpc_channel *channel, const struct err *err)
{
    grpc_attempt_drop(channel);
    while (!TAILQ_EMPTY(&channel->waiting))
        grpc_call_fail(TAILQ_FIRST(&channel->waiting), GRPC_STATUS_UNAVAILABLE, err);
}

static struct grpc_connection *find_room(struct grpc_channel *channel)
{
    struct grpc_connection *connection;
    LIST_FOREACH (connection, &channel->connections, entry) {
        if (grpc_connection_has_room(connection))
            return connection;
    }
    return NULL;
}

/* A connection that is full, but not ending, will have room when one of its calls has ended. */
static bool will_have_room(const struct grpc_channel *channel)
{
    const struct grpc_connection *connection;
    LIST_FOREACH (connection, &channel->connections, entry) {
        if (h2_session_takes_requests(connection->link.session))
            return true;
    }
    return false;
}

static void pump(void *owner)
{
    struct grpc_channel *channel = owner;
    struct grpc_connection *connection;
    while (!TAILQ_EMPTY(&channel->waiting) && (connection = find_room(channel)) != NULL) {
        struct grpc_call *call = TAILQ_FIRST(&channel->waiting);
        struct err err;
        if (grpc_connection_open(connection, call, &err) < 0)
            grpc_call_fail(call, GRPC_STATUS_UNAVAILABLE, &err);
    }
    if (!TAILQ_EMPTY(&channel->waiting) && !grpc_attempt_is_running(channel) &&
        !will_have_room(channel))
        grpc_attempt_start(channel);
}

void grpc_channel_pump(struct grpc_channel *channel)
{
    net_task_schedule(channel->loop, &channel->pump);
}

/* -------------------------------------------------------------------------------------- idle -- */

static void on_idle(void *owner)
{
    struct grpc_channel *channel = owner;
    struct grpc_connection *connection;
    LIST_FOREACH (connection, &channel->connections, entry)
        h2_session_start_drain(connection->link.session);
}

void grpc_channel_call_begun(struct grpc_channel *channel, struct grpc_call *call)
{
    channel->num_calls++;
    net_timer_stop(channel->idle);
    TAILQ_INSERT_TAIL(&channel->waiting, call, entry);
    grpc_channel_pump(channel);
}

void grpc_channel_call_left(struct grpc_channel *channel)
{
    if (TAILQ_EMPTY(&channel->waiting))
        grpc_attempt_drop(channel);
    grpc_channel_pump(channel);
}

void grpc_channel_call_done(struct grpc_channel *channel)
{
    assert(channel->num_calls > 0);
    if (--channel->num_calls == 0)
        net_timer_start(channel->idle, channel->idle_ms);
}

/* -------------------------------------------------------------------------------------- life -- */

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value == 0 ? otherwise : value;
}

static int copy_text(char **out, const char *text, struct err *err)
{
    *out = strdup(text);
    return *out == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

static int copy_tls_options(struct grpc_channel *channel,
                            const struct grpc_channel_options *options, struct err *err)
{
    const char *host = channel->target.host;
    const char *name = options->server_name == NULL ? host : options->server_name;
    if (copy_text(&channel->server_name, name, err) < 0)
        return -1;
    return copy_text(&channel->roots_file, options->roots_file, err);
}

static int copy_options(struct grpc_channel *channel, const struct grpc_channel_options *options,
                        struct err *err)
{
    const char *peer = options->peer == NULL ? "control plane" : options->peer;
    if (grpc_target_parse(&channel->target, options->address, err) < 0 ||
        copy_text(&channel->address, options->address, err) < 0 ||
        copy_text(&channel->peer, peer, err) < 0)
        return -1;
    if (channel->target.kind == GRPC_TARGET_TLS && copy_tls_options(channel, options, err) < 0)
        return -1;
    channel->connect_timeout_ms = or_default(options->connect_timeout_ms, CONNECT_TIMEOUT_MS);
    channel->tls_timeout_ms = or_default(options->tls_timeout_ms, TLS_TIMEOUT_MS);
    channel->idle_ms = or_default(options->idle_ms, IDLE_MS);
    channel->keepalive_ms = or_default(options->keepalive_ms, KEEPALIVE_MS);
    channel->keepalive_timeout_ms = or_default(options->keepalive_timeout_ms, KEEPALIVE_TIMEOUT_MS);
    return 0;
}

struct grpc_channel *grpc_channel_new(struct tls_io *io, const struct grpc_channel_options *options,
                                      struct err *err)
{
    struct grpc_channel *channel = calloc(1, sizeof(*channel));
    if (channel == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    channel->io = io;
    channel->loop = tls_io_loop(io);
    channel->pump = (struct net_task){.run = pump, .owner = channel};
    TAILQ_INIT(&channel->waiting);
    LIST_INIT(&channel->connections);
    if (copy_options(channel, options, err) < 0)
        goto fail;
    channel->idle = net_timer_new(channel->loop, on_idle, channel);
    if (channel->idle == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        goto fail;
    }
    return channel;

fail:
    grpc_channel_free(channel);
    return NULL;
}

void grpc_channel_free(struct grpc_channel *channel)
{
    if (channel == NULL)
        return;
    assert(channel->num_calls == 0);
    grpc_attempt_drop(channel);
    net_task_cancel(&channel->pump);
    net_timer_free(channel->idle);
    while (!LIST_EMPTY(&channel->connections))
        grpc_connection_free(LIST_FIRST(&channel->connections));
    free(channel->address);
    free(channel->peer);
    grpc_target_done(&channel->target);
    free(channel->server_name);
    free(channel->roots_file);
    free(channel);
}

const char *grpc_channel_address(const struct grpc_channel *channel)
{
    return channel->address;
}
