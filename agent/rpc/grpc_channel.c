#include "grpc_channel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "grpc_channel_impl.h"
#include "host_port.h"
#include "text_file.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    TLS_TIMEOUT_MS = 5000,
    IDLE_MS = 10 * 1000,
    ROOTS_MAX = 256 * 1024, /* bytes of the roots file; a hundred roots */
};

/* Keepalive as ztunnel's to its control plane. */
static const struct net_tcp_options tcp_options = {
    .keepalive_idle_s = 300, .keepalive_interval_s = 75, .keepalive_count = 9};

/* ---------------------------------------------------------------------------- the connections --
 */

static void drop_attempt(struct grpc_channel *channel)
{
    net_resolve_cancel(channel->resolve);
    channel->resolve = NULL;
    dial_cancel(channel->dial);
    channel->dial = NULL;
    tls_context_unref(channel->context);
    channel->context = NULL;
}

static void fail_waiting(struct grpc_channel *channel, const struct err *err)
{
    drop_attempt(channel);
    while (!TAILQ_EMPTY(&channel->waiting))
        grpc_call_fail(TAILQ_FIRST(&channel->waiting), GRPC_STATUS_UNAVAILABLE, err);
}

static void on_dialed(void *owner, struct stream *stream, enum reason reason,
                      const struct err *err);

/* Goes on with the next address; with *err about the last one when there is none left. */
static void dial_next(struct grpc_channel *channel, const struct err *err)
{
    struct err why = {0};
    if (err != NULL)
        why = *err;
    while (channel->next_addr < channel->num_addrs) {
        const struct dial_params params = {.to = channel->addrs[channel->next_addr++],
                                           .context = channel->context,
                                           .tcp = tcp_options,
                                           .connect_timeout_ms = channel->connect_timeout_ms,
                                           .tls_timeout_ms = channel->tls_timeout_ms};
        channel->dial = dial_start(channel->io, &params, on_dialed, channel, &why);
        if (channel->dial != NULL)
            return;
    }
    fail_waiting(channel, &why);
}

static void on_dialed(void *owner, struct stream *stream, enum reason reason, const struct err *err)
{
    struct grpc_channel *channel = owner;
    struct err why;
    channel->dial = NULL;
    if (stream == NULL) {
        dial_next(channel, err);
        return;
    }
    if (grpc_connection_new(channel, stream, &why) == NULL) {
        fail_waiting(channel, &why);
        return;
    }
    drop_attempt(channel);
    grpc_channel_pump(channel);
}

static void on_resolved(void *owner, const struct addr *addrs, size_t num_addrs,
                        const struct err *err)
{
    struct grpc_channel *channel = owner;
    channel->resolve = NULL;
    if (num_addrs == 0) {
        fail_waiting(channel, err);
        return;
    }
    memcpy(channel->addrs, addrs, num_addrs * sizeof(*addrs));
    channel->num_addrs = num_addrs;
    dial_next(channel, NULL);
}

static struct tls_context *new_context(const struct grpc_channel *channel, struct err *err)
{
    struct tls_context *context = NULL;
    char *roots = malloc(ROOTS_MAX);
    if (roots == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    ptrdiff_t len = text_file_read(channel->roots_file, roots, ROOTS_MAX, err);
    if (len >= 0) {
        context = tls_context_new_client(roots, (size_t)len, channel->server_name, err);
        if (context == NULL)
            err_prefix(err, "%s", channel->roots_file);
    }
    free(roots);
    return context;
}

/* An address literal needs no thread to be looked up. */
static bool take_literal(struct grpc_channel *channel)
{
    struct addr *addr = &channel->addrs[0];
    if (ip_parse(&addr->ip, channel->host, NULL) < 0)
        return false;
    addr->port = channel->port;
    channel->num_addrs = 1;
    return true;
}

static void start_attempt(struct grpc_channel *channel)
{
    struct err err = {0};
    channel->num_addrs = 0;
    channel->next_addr = 0;
    channel->context = new_context(channel, &err);
    if (channel->context == NULL) {
        fail_waiting(channel, &err);
        return;
    }
    if (take_literal(channel)) {
        dial_next(channel, NULL);
        return;
    }
    channel->resolve =
        net_resolve_start(channel->loop, channel->host, channel->port, on_resolved, channel, &err);
    if (channel->resolve == NULL)
        fail_waiting(channel, &err);
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
        if (grpc_connection_send(connection, call, &err) < 0)
            grpc_call_fail(call, GRPC_STATUS_UNAVAILABLE, &err);
    }
    bool is_connecting = channel->resolve != NULL || channel->dial != NULL;
    if (!TAILQ_EMPTY(&channel->waiting) && !is_connecting && !will_have_room(channel))
        start_attempt(channel);
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
        drop_attempt(channel);
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

static int copy_options(struct grpc_channel *channel, const struct grpc_channel_options *options,
                        struct err *err)
{
    if (host_port_parse(options->address, &channel->host, &channel->port, err) < 0)
        return err_prefix(err, "address \"%s\"", options->address);
    const char *name = options->server_name == NULL ? channel->host : options->server_name;
    channel->address = strdup(options->address);
    channel->server_name = strdup(name);
    channel->roots_file = strdup(options->roots_file);
    if (channel->address == NULL || channel->server_name == NULL || channel->roots_file == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    channel->connect_timeout_ms = or_default(options->connect_timeout_ms, CONNECT_TIMEOUT_MS);
    channel->tls_timeout_ms = or_default(options->tls_timeout_ms, TLS_TIMEOUT_MS);
    channel->idle_ms = or_default(options->idle_ms, IDLE_MS);
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
    drop_attempt(channel);
    net_task_cancel(&channel->pump);
    net_timer_free(channel->idle);
    while (!LIST_EMPTY(&channel->connections))
        grpc_connection_free(LIST_FIRST(&channel->connections));
    free(channel->address);
    free(channel->host);
    free(channel->server_name);
    free(channel->roots_file);
    free(channel);
}

const char *grpc_channel_address(const struct grpc_channel *channel)
{
    return channel->address;
}
