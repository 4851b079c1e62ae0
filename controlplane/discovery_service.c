#include "discovery_service.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "discovery_client.h"
#include "discovery_node.h"
#include "log.h"
#include "protobuf_read.h"
#include "spiffe_id.h"

enum {
    LINES_PER_SECOND = 10,
    LINES_AT_ONCE = 50,
    SENT_KEEP = 64 * 1024, /* bytes of the buffer for responses that stay between two of them */
};

struct discovery_stream {
    struct discovery_service *service;
    LIST_ENTRY(discovery_stream) entry;
    struct grpc_server_call *call;
    struct addr peer;
    struct spiffe_id id;
    uint8_t token[TOKEN_TABLE_DIGEST]; /* that it was opened with */
    bool has_node;                     /* it has said who it is, and may be that */
    struct discovery_client *client;
    uint64_t opened_ms;
    uint64_t num_responses;
    uint64_t num_nacks;
};

/* ------------------------------------------------------------------------------------- log -- */

static void log_refusal(struct discovery_service *service, const struct addr *peer,
                        const struct spiffe_id *id, enum grpc_status status, const struct err *err)
{
    char text[ADDR_TEXT_MAX];
    uint64_t num_unlogged;
    if (!rate_limit_take(&service->refusals, clock_mono_ms(), &num_unlogged))
        return;
    LOG_WARN("discovery", "stream refused", LOG_S("peer", addr_format(peer, text)),
             LOG_S("identity", id == NULL ? NULL : id->uri),
             LOG_S("status", grpc_status_name(status)), LOG_S("error", err->message),
             LOG_U("unlogged", num_unlogged));
}

static void log_nack(struct discovery_stream *stream, enum discovery_type type, const char *reason)
{
    uint64_t num_unlogged;
    stream->num_nacks++;
    if (!rate_limit_take(&stream->service->nacks, clock_mono_ms(), &num_unlogged))
        return;
    LOG_WARN("discovery", "client rejects resources", LOG_S("identity", stream->id.uri),
             LOG_S("type", discovery_type_url(type)), LOG_S("error", reason),
             LOG_U("unlogged", num_unlogged));
}

static void log_begin(const struct discovery_stream *stream, const struct discovery_node *node)
{
    char text[ADDR_TEXT_MAX];
    LOG_INFO("discovery", "client has come", LOG_S("identity", stream->id.uri),
             LOG_S("node", node->id), LOG_S("peer", addr_format(&stream->peer, text)),
             LOG_U("clients", stream->service->num_streams));
}

static void log_end(const struct discovery_stream *stream)
{
    char text[ADDR_TEXT_MAX];
    LOG_INFO("discovery", "client has gone", LOG_S("identity", stream->id.uri),
             LOG_S("peer", addr_format(&stream->peer, text)),
             LOG_U("responses", stream->num_responses), LOG_U("nacks", stream->num_nacks),
             LOG_U("seconds", (clock_mono_ms() - stream->opened_ms) / 1000));
}

static void log_told(const struct discovery_stream *stream, const struct discovery_told *told)
{
    LOG_DEBUG("discovery", "client told", LOG_S("identity", stream->id.uri),
              LOG_S("type", discovery_type_url(told->type)),
              LOG_U("resources", told->num_resources), LOG_U("removed", told->num_removed));
}

/* ----------------------------------------------------------------------------------- begin -- */

static void free_stream(struct discovery_stream *stream)
{
    if (stream == NULL)
        return;
    discovery_client_free(stream->client);
    spiffe_id_done(&stream->id);
    free(stream);
}

/* The table of tokens may be exchanged while the stream lives: the identity is copied. */
static struct discovery_stream *new_stream(struct discovery_service *service,
                                           struct grpc_server_call *call,
                                           const struct grpc_server_request *request,
                                           const struct spiffe_id *id, struct err *err)
{
    struct discovery_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL || spiffe_id_copy(&stream->id, id, err) < 0)
        goto fail;
    stream->client = discovery_client_new(service->table);
    if (stream->client == NULL)
        goto fail;
    stream->service = service;
    stream->call = call;
    stream->peer = *request->peer;
    token_table_digest(request->token, strlen(request->token), stream->token);
    stream->opened_ms = clock_mono_ms();
    LIST_INSERT_HEAD(&service->streams, stream, entry);
    service->num_streams++;
    return stream;
fail:
    free_stream(stream);
    err_set(err, ERR_NOMEM, "out of memory");
    return NULL;
}

static enum grpc_status stream_on_open(void *owner, struct grpc_server_call *call,
                                       const struct grpc_server_request *request, void **call_owner,
                                       struct err *err)
{
    struct discovery_service *service = owner;
    const struct spiffe_id *id =
        request->token == NULL
            ? NULL
            : token_table_find(service->tokens, request->token, strlen(request->token));
    enum grpc_status status = GRPC_STATUS_UNAUTHENTICATED;
    if (id == NULL) {
        err_set(err, ERR_DENIED, request->token == NULL ? "no bearer token" : "unknown token");
    } else {
        *call_owner = new_stream(service, call, request, id, err);
        status = *call_owner == NULL ? GRPC_STATUS_RESOURCE_EXHAUSTED : GRPC_STATUS_OK;
    }
    if (status != GRPC_STATUS_OK)
        log_refusal(service, request->peer, id, status, err);
    return status;
}

static enum grpc_status status_of(const struct err *err)
{
    return err->kind == ERR_INVALID  ? GRPC_STATUS_INVALID_ARGUMENT
           : err->kind == ERR_DENIED ? GRPC_STATUS_PERMISSION_DENIED
                                     : GRPC_STATUS_RESOURCE_EXHAUSTED;
}

/* Whoever has not said who it is gets nothing. */
static int check_node(struct discovery_stream *stream, const struct discovery_request *request,
                      struct err *err)
{
    if (stream->has_node)
        return 0;
    if (!request->has_node)
        return err_set(err, ERR_INVALID, "the first request has no node");
    if (discovery_node_check(&request->node, stream->id.ns, stream->id.sa, err) < 0)
        return -1;
    stream->has_node = true;
    log_begin(stream, &request->node);
    return 0;
}

/* ------------------------------------------------------------------------------- carrying -- */

/* Sends what is due, until there is nothing more or the client does not take it. */
static int pump(struct discovery_stream *stream, struct err *err)
{
    struct buf response = {0};
    int result = 0;
    while (result == 0 && !grpc_server_call_is_full(stream->call)) {
        struct discovery_told told;
        int written = discovery_client_next(stream->client, &response, &told);
        if (written == 0)
            break;
        if (written < 0) {
            result = err_set(err, ERR_NOMEM, "out of memory");
            break;
        }
        result = grpc_server_call_send(stream->call, buf_head(&response), buf_len(&response), err);
        stream->num_responses++;
        log_told(stream, &told);
        buf_clear(&response, SENT_KEEP);
    }
    buf_done(&response);
    return result;
}

static int handle_request(struct discovery_stream *stream, const struct discovery_request *request,
                          struct err *err)
{
    struct discovery_outcome outcome;
    if (check_node(stream, request, err) < 0 ||
        discovery_client_request(stream->client, request, &outcome, err) < 0)
        return -1;
    if (outcome.nacked)
        log_nack(stream, outcome.type, request->nack_reason);
    return pump(stream, err);
}

static enum grpc_status stream_on_message(void *call_owner, const uint8_t *message, size_t len,
                                          struct err *err)
{
    struct discovery_stream *stream = call_owner;
    struct discovery_request request;
    struct protobuf_memory *memory;
    int result = discovery_message_read(message, len, &memory, &request, err);
    if (result == 0) {
        result = handle_request(stream, &request, err);
        protobuf_memory_free(memory);
    }
    if (result == 0)
        return GRPC_STATUS_OK;
    enum grpc_status status = status_of(err);
    log_refusal(stream->service, &stream->peer, &stream->id, status, err);
    return status;
}

static enum grpc_status stream_on_writable(void *call_owner, struct err *err)
{
    return pump(call_owner, err) == 0 ? GRPC_STATUS_OK : GRPC_STATUS_RESOURCE_EXHAUSTED;
}

void discovery_service_set_table(struct discovery_service *service, struct discovery_table *table)
{
    struct discovery_stream *stream = LIST_FIRST(&service->streams);
    discovery_table_unref(service->table);
    service->table = discovery_table_ref(table);
    while (stream != NULL) {
        struct discovery_stream *next = LIST_NEXT(stream, entry);
        struct err err;
        discovery_client_set_table(stream->client, table);
        if (pump(stream, &err) < 0)
            grpc_server_call_finish(stream->call, GRPC_STATUS_RESOURCE_EXHAUSTED, err.message);
        stream = next;
    }
}

static bool may_stay(const struct discovery_stream *stream)
{
    const struct spiffe_id *id = token_table_find_digest(stream->service->tokens, stream->token);
    return id != NULL && strcmp(id->uri, stream->id.uri) == 0;
}

void discovery_service_set_tokens(struct discovery_service *service,
                                  const struct token_table *tokens)
{
    struct discovery_stream *stream = LIST_FIRST(&service->streams);
    service->tokens = tokens;
    while (stream != NULL) {
        struct discovery_stream *next = LIST_NEXT(stream, entry);
        if (!may_stay(stream)) {
            struct err err;
            err_set(&err, ERR_DENIED, "its token is not known any more");
            log_refusal(service, &stream->peer, &stream->id, GRPC_STATUS_UNAUTHENTICATED, &err);
            grpc_server_call_finish(stream->call, GRPC_STATUS_UNAUTHENTICATED, err.message);
        }
        stream = next;
    }
}

/* ------------------------------------------------------------------------------------- end -- */

static void stream_on_closed(void *call_owner)
{
    struct discovery_stream *stream = call_owner;
    if (stream->has_node)
        log_end(stream);
    LIST_REMOVE(stream, entry);
    stream->service->num_streams--;
    free_stream(stream);
}

const struct grpc_server_streaming discovery_service_streaming = {
    .on_open = stream_on_open,
    .on_message = stream_on_message,
    .on_writable = stream_on_writable,
    .on_closed = stream_on_closed,
};

void discovery_service_init(struct discovery_service *service, struct discovery_table *table,
                            const struct token_table *tokens)
{
    *service = (struct discovery_service){.table = discovery_table_ref(table), .tokens = tokens};
    rate_limit_init(&service->refusals, LINES_PER_SECOND, LINES_AT_ONCE);
    rate_limit_init(&service->nacks, LINES_PER_SECOND, LINES_AT_ONCE);
    LIST_INIT(&service->streams);
}

void discovery_service_done(struct discovery_service *service)
{
    discovery_table_unref(service->table);
    service->table = NULL;
}
