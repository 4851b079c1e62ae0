#include "hbone_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WATCHDOG_MS = 20 * 1000 };

/* --------------------------------------------------------------------------- ends of tunnels -- */

static void copy_text(char *to, size_t len, const char *from)
{
    snprintf(to, len, "%s", from != NULL ? from : "(none)");
}

static void on_read(void *owner, const uint8_t *bytes, size_t len)
{
    struct end *end = owner;
    assert_false(end->eof);
    if (buf_append(&end->data, bytes, len) < 0)
        assert_true(end->is_tolerant);
    if (end->on_read != NULL)
        end->on_read(end);
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
    copy_text(end->error, sizeof(end->error), err->message);
}

static const struct stream_handler end_handler = {
    .on_read = on_read,
    .on_eof = on_eof,
    .on_writable = on_writable,
    .on_shutdown = on_shutdown,
    .on_failed = on_failed,
};

void end_attach(struct end *end, struct stream *stream)
{
    end->stream = stream;
    stream_set_handler(stream, &end_handler, end);
    stream_read_start(stream);
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

static void end_done(struct end *end)
{
    end_close(end);
    buf_done(&end->data);
}

/* -------------------------------------------------------------------------------- the server -- */

static unsigned index_of(struct world *world, const struct hbone_server *server)
{
    for (unsigned i = 0; i < world->num_servers; i++)
        if (world->servers[i].server == server)
            return i;
    fail_msg("a request of a connection that is not open");
    return 0;
}

struct server_owner {
    struct world *world;
    unsigned index;
};

static struct server_owner server_owners[SERVERS_MAX];

static void on_handshaken(void *owner)
{
    struct server_owner *self = owner;
    self->world->servers[self->index].handshaken = true;
}

static void accept_request(struct world *world, struct got *got, struct hbone_request *request)
{
    struct stream *stream = hbone_request_accept(request, world->accept_baggage);
    got->end.is_tolerant = world->is_tolerant;
    if (stream != NULL)
        end_attach(&got->end, stream);
    else
        assert_true(world->is_tolerant);
}

static void on_request(void *owner, struct hbone_request *request,
                       const struct hbone_request_info *info)
{
    struct server_owner *self = owner;
    struct world *world = self->world;
    assert_true(world->num_gots < CALLS_MAX);
    struct got *got = &world->gots[world->num_gots++];
    got->server = index_of(world, hbone_request_server(request));
    assert_int_equal(got->server, self->index);
    got->request = request;
    got->authority = info->authority;
    copy_text(got->baggage, sizeof(got->baggage), info->baggage);
    copy_text(got->forwarded, sizeof(got->forwarded), info->forwarded);
    copy_text(got->traceparent, sizeof(got->traceparent), info->traceparent);
    copy_text(got->network, sizeof(got->network), info->x_forwarded_network);
    hbone_request_set_owner(request, got);
    if (world->mode == WORLD_HOLD)
        return;
    got->request = NULL;
    if (world->mode == WORLD_REFUSE)
        hbone_request_refuse(request, world->refuse_status);
    else
        accept_request(world, got, request);
}

static void on_request_gone(void *request_owner, struct hbone_request *request)
{
    struct got *got = request_owner;
    assert_ptr_equal(got->request, request);
    got->request = NULL;
    got->gone = true;
}

static void on_malformed(void *owner, const char *why)
{
    struct server_owner *self = owner;
    self->world->num_malformed++;
    copy_text(self->world->malformed, sizeof(self->world->malformed), why);
}

static void on_closed(void *owner, enum reason reason, const struct err *err, bool handshaken)
{
    struct server_owner *self = owner;
    struct served *served = &self->world->servers[self->index];
    assert_int_equal(handshaken, served->handshaken);
    assert_false(served->closed);
    served->closed = true;
    served->server = NULL;
    served->reason = reason;
    copy_text(served->error, sizeof(served->error), err != NULL ? err->message : NULL);
}

static const struct hbone_server_handler server_handler = {
    .on_handshaken = on_handshaken,
    .on_request = on_request,
    .on_request_gone = on_request_gone,
    .on_malformed = on_malformed,
    .on_closed = on_closed,
};

static void on_accept(void *owner, struct net_tcp *tcp)
{
    struct world *world = owner;
    struct err err;
    assert_true(world->num_servers < SERVERS_MAX);
    unsigned index = world->num_servers++;
    server_owners[index] = (struct server_owner){.world = world, .index = index};
    struct hbone_server *server =
        hbone_server_start(world->io, tcp, world->server_tls, &world->server_options,
                           &server_handler, &server_owners[index], &err);
    if (server == NULL) {
        assert_true(world->is_tolerant);
        world->num_servers--;
        stream_close(net_tcp_stream(tcp));
        return;
    }
    world->servers[index].server = server;
}

static void on_overload(void *owner)
{
    struct world *world = owner;
    assert_true(world->is_tolerant);
}

/* -------------------------------------------------------------------------------- the client -- */

static void on_called(void *owner, struct stream *stream, const struct hbone_pool_answer *answer)
{
    struct call *call = owner;
    assert_false(call->done);
    assert_int_equal(stream != NULL, answer->reason == REASON_DONE);
    call->wait = NULL;
    call->done = true;
    call->reason = answer->reason;
    call->status = answer->status;
    copy_text(call->baggage, sizeof(call->baggage), answer->baggage);
    copy_text(call->peer, sizeof(call->peer), answer->peer != NULL ? answer->peer->id.uri : NULL);
    copy_text(call->error, sizeof(call->error), answer->err != NULL ? answer->err->message : NULL);
    if (stream != NULL)
        end_attach(&call->end, stream);
}

struct call *world_call_as(struct world *world, const struct hbone_pool_request *request)
{
    assert_true(world->num_calls < CALLS_MAX);
    struct call *call = &world->calls[world->num_calls++];
    call->wait = hbone_pool_connect(world->pool, request, on_called, call);
    call->end.is_tolerant = world->is_tolerant;
    if (call->wait == NULL)
        assert_true(world->is_tolerant);
    assert_false(call->done);
    return call;
}

struct call *world_call(struct world *world)
{
    static const char *const expected[] = {SERVER_ID};
    const struct hbone_pool_request request = {
        .peer = world->addr,
        .expected = expected,
        .num_expected = 1,
        .authority = "127.0.0.1:8080",
        .baggage = "k8s.namespace.name=shop",
        .forwarded = "for=\"127.0.0.1:4000\"",
        .traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    };
    return world_call_as(world, &request);
}

/* ---------------------------------------------------------------------------- making, ending -- */

static void on_watchdog(void *owner)
{
    fail_msg("what the test waits for did not come");
}

struct tls_context *world_context(struct world *world, struct cert_built *leaf, uint64_t epoch)
{
    struct err err;
    const char *key = cert_builder_key_pem(leaf);
    const char *chain = cert_builder_chain_pem(leaf);
    const char *root = cert_builder_pem(world->root);
    struct svid *svid = svid_new_pem(key, strlen(key), chain, strlen(chain), &err);
    assert_non_null(svid);
    struct trust_bundle *bundle = trust_bundle_new_pem("cluster.local", root, strlen(root), &err);
    assert_non_null(bundle);
    const struct trust trust = {.bundles = &bundle, .num_bundles = 1};
    struct identity *identity = identity_new(svid, &trust, epoch, &err);
    assert_non_null(identity);
    struct tls_context *context = tls_context_new_mesh(identity, NULL, &err);
    assert_non_null(context);
    identity_unref(identity);
    trust_bundle_unref(bundle);
    svid_unref(svid);
    return context;
}

void world_init(struct world *world)
{
    struct err err;
    memset(world, 0, sizeof(*world));
    world->loop = net_loop_new(&err);
    assert_non_null(world->loop);
    world->watchdog = net_timer_new(world->loop, on_watchdog, NULL);
    assert_non_null(world->watchdog);
    world->io = tls_io_new(world->loop);
    assert_non_null(world->io);
    world->root = cert_builder_root("root");
    world->leaf_client = cert_builder_leaf(world->root, CLIENT_ID);
    world->leaf_server = cert_builder_leaf(world->root, SERVER_ID);
    world->client_tls = world_context(world, world->leaf_client, 1);
    world->server_tls = world_context(world, world->leaf_server, 1);
    hbone_pool_options_default(&world->pool_options);
    hbone_server_options_default(&world->server_options);
}

void world_open(struct world *world)
{
    struct err err;
    struct addr any;
    const struct net_listener_options options = {0};
    assert_int_equal(addr_parse(&any, "127.0.0.1:0", &err), 0);
    world->listener =
        net_listener_new(world->loop, &any, &options, on_accept, on_overload, world, &err);
    assert_non_null(world->listener);
    world->addr = *net_listener_addr(world->listener);
    world->pool = hbone_pool_new(world->io, &world->pool_options, &err);
    assert_non_null(world->pool);
    hbone_pool_set_context(world->pool, world->client_tls);
}

void world_done(struct world *world)
{
    for (unsigned i = 0; i < world->num_calls; i++) {
        hbone_pool_cancel(world->calls[i].wait);
        end_done(&world->calls[i].end);
    }
    for (unsigned i = 0; i < world->num_gots; i++) {
        if (world->gots[i].request != NULL)
            hbone_request_refuse(world->gots[i].request, 503);
        end_done(&world->gots[i].end);
    }
    hbone_pool_free(world->pool);
    for (unsigned i = 0; i < world->num_servers; i++)
        hbone_server_free(world->servers[i].server);
    net_listener_free(world->listener);
    tls_io_free(world->io);
    net_timer_free(world->watchdog);
    assert_int_equal(net_loop_free(world->loop), 0);
    tls_context_unref(world->client_tls);
    tls_context_unref(world->server_tls);
    cert_builder_free(world->leaf_client);
    cert_builder_free(world->leaf_server);
    cert_builder_free(world->root);
}

/* ----------------------------------------------------------------------------------- running -- */

struct until {
    struct world *world;
    bool (*is_so)(struct world *world);
    struct net_task look;
    unsigned rounds_left; /* without is_so */
};

static void on_look(void *owner)
{
    struct until *until = owner;
    bool over = until->is_so != NULL ? until->is_so(until->world) : until->rounds_left-- == 0;
    if (over)
        net_loop_stop(until->world->loop);
    else
        net_task_schedule(until->world->loop, &until->look);
}

static void run(struct until *until)
{
    net_timer_start(until->world->watchdog, WATCHDOG_MS);
    until->look = (struct net_task){.run = on_look, .owner = until};
    net_task_schedule(until->world->loop, &until->look);
    net_loop_run(until->world->loop);
    net_timer_stop(until->world->watchdog);
}

void world_until(struct world *world, bool (*is_so)(struct world *world))
{
    struct until until = {.world = world, .is_so = is_so};
    run(&until);
}

void world_settle(struct world *world)
{
    struct until until = {.world = world, .rounds_left = 400};
    run(&until);
}

bool all_calls_done(struct world *world)
{
    for (unsigned i = 0; i < world->num_calls; i++)
        if (!world->calls[i].done && world->calls[i].wait != NULL)
            return false;
    return true;
}

bool all_servers_closed(struct world *world)
{
    for (unsigned i = 0; i < world->num_servers; i++)
        if (!world->servers[i].closed)
            return false;
    return true;
}

unsigned world_num_connections(struct world *world)
{
    struct hbone_pool_stats stats;
    hbone_pool_get_stats(world->pool, &stats);
    return stats.connections;
}
