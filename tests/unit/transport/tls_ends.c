#include "tls_ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"

enum { WATCHDOG_MS = 20 * 1000 };

static void on_read(void *owner, const uint8_t *bytes, size_t len)
{
    struct end *end = owner;
    assert_false(end->eof || end->failed);
    assert_int_equal(buf_append(&end->data, bytes, len), 0);
    if (end->close_on_read)
        end_close(end);
}

static void on_eof(void *owner)
{
    struct end *end = owner;
    assert_false(end->eof);
    end->eof = true;
}

static void on_writable(void *owner)
{
    struct end *end = owner;
    end->num_writable++;
}

static void on_shutdown(void *owner)
{
    struct end *end = owner;
    assert_false(end->shutdown);
    end->shutdown = true;
}

static void on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
    struct end *end = owner;
    assert_false(end->failed);
    end->failed = true;
    end->fault = fault;
    snprintf(end->error, sizeof(end->error), "%s", err->message);
}

static const struct stream_handler handler = {
    .on_read = on_read,
    .on_eof = on_eof,
    .on_writable = on_writable,
    .on_shutdown = on_shutdown,
    .on_failed = on_failed,
};

void end_attach(struct end *end, struct stream *stream)
{
    end->stream = stream;
    stream_set_handler(stream, &handler, end);
    if (!end->hold)
        stream_read_start(stream);
}

static void on_shaken(void *owner, struct stream *stream, enum reason reason, const struct err *err)
{
    struct end *end = owner;
    assert_false(end->shaken);
    assert_int_equal(stream != NULL, reason == REASON_DONE);
    end->handshake = NULL;
    end->shaken = true;
    end->reason = reason;
    if (stream != NULL)
        end_attach(end, stream);
    else
        snprintf(end->error, sizeof(end->error), "%s", err->message);
}

void end_write(struct end *end, const char *text)
{
    stream_write(end->stream, (const uint8_t *)text, strlen(text));
}

void end_close(struct end *end)
{
    stream_close(end->stream);
    end->stream = NULL;
}

bool end_has(const struct end *end, const char *text)
{
    return buf_len(&end->data) == strlen(text) &&
           memcmp(buf_head(&end->data), text, strlen(text)) == 0;
}

struct tls_context *ends_context(struct ends *ends, const struct cert_built *leaf,
                                 const struct cert_built *root)
{
    struct err err;
    const char *key = cert_builder_key_pem(leaf);
    const char *chain = cert_builder_chain_pem(leaf);
    const char *roots = cert_builder_pem(root);
    struct svid *svid = svid_new_pem(key, strlen(key), chain, strlen(chain), &err);
    assert_non_null(svid);
    struct trust_bundle *bundle = trust_bundle_new_pem("cluster.local", roots, strlen(roots), &err);
    assert_non_null(bundle);
    const struct trust trust = {.bundles = &bundle, .num_bundles = 1};
    struct identity *identity = identity_new(svid, &trust, 1, &err);
    assert_non_null(identity);
    struct tls_context *context = tls_context_new_mesh(identity, NULL, &err);
    assert_non_null(context);
    identity_unref(identity);
    trust_bundle_unref(bundle);
    svid_unref(svid);
    return context;
}

void ends_init(struct ends *ends)
{
    struct err err;
    memset(ends, 0, sizeof(*ends));
    ends->loop = net_loop_new(&err);
    assert_non_null(ends->loop);
    ends->io = tls_io_new(ends->loop);
    assert_non_null(ends->io);
    ends->root = cert_builder_root("root");
    ends->client_leaf = cert_builder_leaf(ends->root, CLIENT_ID);
    ends->server_leaf = cert_builder_leaf(ends->root, SERVER_ID);
    ends->client_tls = ends_context(ends, ends->client_leaf, ends->root);
    ends->server_tls = ends_context(ends, ends->server_leaf, ends->root);
}

static void end_done(struct end *end)
{
    tls_handshake_cancel(end->handshake);
    end_close(end);
    buf_done(&end->data);
}

void ends_done(struct ends *ends)
{
    end_done(&ends->client);
    end_done(&ends->server);
    tls_io_free(ends->io);
    assert_int_equal(net_loop_free(ends->loop), 0);
    tls_context_unref(ends->client_tls);
    tls_context_unref(ends->server_tls);
    cert_builder_free(ends->client_leaf);
    cert_builder_free(ends->server_leaf);
    cert_builder_free(ends->root);
}

void ends_shake(struct ends *ends, struct end *end, enum tls_role role, struct stream *lower,
                const char *expected, uint64_t timeout_ms)
{
    struct err err;
    const struct tls_conn_params params = {
        .role = role,
        .now_ms = clock_wall_ms(),
        .expected = &expected,
        .num_expected = expected != NULL ? 1 : 0,
    };
    end->handshake = tls_handshake_start(ends->io, lower,
                                         role == TLS_CLIENT ? ends->client_tls : ends->server_tls,
                                         &params, timeout_ms, on_shaken, end, &err);
    assert_non_null(end->handshake);
}

void ends_sockets(struct ends *ends, struct net_tcp **client, struct net_tcp **server, int fds[2])
{
    struct err err;
    const struct net_tcp_options options = {0};
    struct sockaddr_storage sa;
    struct addr any;
    assert_int_equal(addr_parse(&any, "127.0.0.1:0", &err), 0);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = addr_to_sockaddr(&any, &sa);
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&sa, len), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    close(listener);
    *client = net_tcp_from_fd(ends->loop, fds[0], &options, &err);
    *server = net_tcp_from_fd(ends->loop, fds[1], &options, &err);
    assert_non_null(*client);
    assert_non_null(*server);
}

/* ----------------------------------------------------------------------------------- running -- */

struct until {
    struct ends *ends;
    bool (*is_so)(struct ends *ends);
    struct net_task look;
    unsigned rounds_left;
};

static void on_look(void *owner)
{
    struct until *until = owner;
    bool over = until->is_so != NULL ? until->is_so(until->ends) : until->rounds_left-- == 0;
    if (over)
        net_loop_stop(until->ends->loop);
    else
        net_task_schedule(until->ends->loop, &until->look);
}

static void on_watchdog(void *owner)
{
    fail_msg("what the test waits for did not come");
}

static void run(struct until *until)
{
    struct net_timer *watchdog = net_timer_new(until->ends->loop, on_watchdog, NULL);
    assert_non_null(watchdog);
    net_timer_start(watchdog, WATCHDOG_MS);
    until->look = (struct net_task){.run = on_look, .owner = until};
    net_task_schedule(until->ends->loop, &until->look);
    net_loop_run(until->ends->loop);
    net_timer_free(watchdog);
}

void ends_until(struct ends *ends, bool (*is_so)(struct ends *ends))
{
    struct until until = {.ends = ends, .is_so = is_so};
    run(&until);
}

void ends_settle(struct ends *ends)
{
    struct until until = {.ends = ends, .rounds_left = 400};
    run(&until);
}

bool ends_both_shaken(struct ends *ends)
{
    return ends->client.shaken && ends->server.shaken;
}
