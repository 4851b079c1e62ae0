/* A channel's attempt to connect: the name, its addresses one after the other, TLS. */
#include <stdlib.h>
#include <string.h>

#include "grpc_channel_impl.h"
#include "net_unix.h"
#include "text_file.h"

enum {
    ROOTS_MAX = 256 * 1024, /* bytes of the roots file; a hundred roots */
};

/* Keepalive as ztunnel's to its control plane. */
static const struct net_tcp_options tcp_options = {
    .keepalive_idle_s = 300, .keepalive_interval_s = 75, .keepalive_count = 9};

void grpc_attempt_drop(struct grpc_channel *channel)
{
    net_resolve_cancel(channel->resolve);
    channel->resolve = NULL;
    dial_cancel(channel->dial);
    channel->dial = NULL;
    net_connect_cancel(channel->connect);
    channel->connect = NULL;
    tls_context_unref(channel->context);
    channel->context = NULL;
}

static void take_stream(struct grpc_channel *channel, struct stream *stream)
{
    struct err err;
    if (grpc_connection_new(channel, stream, &err) == NULL) {
        grpc_channel_connect_failed(channel, &err);
        return;
    }
    grpc_attempt_drop(channel);
    grpc_channel_pump(channel);
}

/* ---------------------------------------------------------------------------------- over TLS -- */

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
    grpc_channel_connect_failed(channel, &why);
}

static void on_dialed(void *owner, struct stream *stream, enum reason reason, const struct err *err)
{
    struct grpc_channel *channel = owner;
    channel->dial = NULL;
    if (stream == NULL) {
        dial_next(channel, err);
        return;
    }
    take_stream(channel, stream);
}

static void on_resolved(void *owner, const struct addr *addrs, size_t num_addrs,
                        const struct err *err)
{
    struct grpc_channel *channel = owner;
    channel->resolve = NULL;
    if (num_addrs == 0) {
        grpc_channel_connect_failed(channel, err);
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
    if (ip_parse(&addr->ip, channel->target.host, NULL) < 0)
        return false;
    addr->port = channel->target.port;
    channel->num_addrs = 1;
    return true;
}

static void start_tls(struct grpc_channel *channel)
{
    struct err err = {0};
    channel->num_addrs = 0;
    channel->next_addr = 0;
    channel->context = new_context(channel, &err);
    if (channel->context == NULL) {
        grpc_channel_connect_failed(channel, &err);
        return;
    }
    if (take_literal(channel)) {
        dial_next(channel, NULL);
        return;
    }
    channel->resolve = net_resolve_start(channel->loop, channel->target.host, channel->target.port,
                                         on_resolved, channel, &err);
    if (channel->resolve == NULL)
        grpc_channel_connect_failed(channel, &err);
}

/* ------------------------------------------------------------------------------ in plain text -- */

static void on_connected(void *owner, struct net_tcp *tcp, const struct err *err)
{
    struct grpc_channel *channel = owner;
    channel->connect = NULL;
    if (tcp == NULL)
        grpc_channel_connect_failed(channel, err);
    else
        take_stream(channel, net_tcp_stream(tcp));
}

static void start_tcp(struct grpc_channel *channel)
{
    struct err err;
    channel->connect = net_connect_start(channel->loop, &channel->target.addr, &tcp_options,
                                         channel->connect_timeout_ms, on_connected, channel, &err);
    if (channel->connect == NULL)
        grpc_channel_connect_failed(channel, &err);
}

static void start_unix(struct grpc_channel *channel)
{
    struct err err;
    struct stream *stream = net_unix_connect(channel->loop, channel->target.path, &err);
    if (stream == NULL)
        grpc_channel_connect_failed(channel, &err);
    else
        take_stream(channel, stream);
}

/* ------------------------------------------------------------------------------------ either -- */

void grpc_attempt_start(struct grpc_channel *channel)
{
    switch (channel->target.kind) {
    case GRPC_TARGET_TLS:
        start_tls(channel);
        break;
    case GRPC_TARGET_TCP:
        start_tcp(channel);
        break;
    case GRPC_TARGET_UNIX:
        start_unix(channel);
        break;
    }
}

bool grpc_attempt_is_running(const struct grpc_channel *channel)
{
    return channel->resolve != NULL || channel->dial != NULL || channel->connect != NULL;
}
