#include "ca_client.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bearer_token.h"
#include "ca_messages.h"
#include "grpc_call.h"

enum {
    TIMEOUT_MS = 9 * 1000, /* less than rotation waits: our error says how far the call had come */
};

struct ca_client {
    struct cert_source source; /* first: see cert_source.h */
    struct grpc_channel *channel;
    struct grpc_call *call; /* NULL: no fetch runs */
    char *token_file;
    char *cluster_id; /* NULL: not sent */
    int64_t validity_s;
    uint64_t timeout_ms;

    cert_source_done *done;
    void *owner;
    bool answered; /* an answer was read, good or bad */
    struct ca_messages_answer answer;
    struct err err; /* ERR_NONE: the answer is good */
};

/* ------------------------------------------------------------------------------------ answer -- */

static void ca_client_on_message(void *owner, const uint8_t *message, size_t len)
{
    struct ca_client *client = owner;
    if (client->answered)
        err_set(&client->err, ERR_PROTOCOL, "it answered more than once");
    else
        ca_messages_read_answer(message, len, &client->answer, &client->err);
    client->answered = true;
}

static void finish(struct ca_client *client, const struct err *err)
{
    /* The source may be freed inside, so what is lent must not be its own. */
    struct ca_messages_answer answer = client->answer;
    cert_source_done *done = client->done;
    void *owner = client->owner;
    client->answer = (struct ca_messages_answer){0};
    client->call = NULL;
    if (err != NULL) {
        done(owner, NULL, err);
    } else {
        const struct cert_fetched fetched = {
            .chain = {.bytes = buf_head(&answer.chain_pem), .len = buf_len(&answer.chain_pem)},
            .roots = {.bytes = buf_head(&answer.roots_pem), .len = buf_len(&answer.roots_pem)},
        };
        done(owner, &fetched, NULL);
    }
    ca_messages_answer_done(&answer);
}

static void ca_client_on_end(void *owner, enum grpc_status status, const struct err *call_err)
{
    struct ca_client *client = owner;
    struct err err = client->err;
    if (status != GRPC_STATUS_OK) {
        err = *call_err;
        if (status == GRPC_STATUS_UNAUTHENTICATED)
            err_prefix(&err, "token of %s", client->token_file);
    } else if (!client->answered) {
        err_set(&err, ERR_PROTOCOL, "control plane %s: it answered without a certificate",
                grpc_channel_address(client->channel));
    } else if (err.kind != ERR_NONE) {
        err_prefix(&err, "control plane %s", grpc_channel_address(client->channel));
    }
    finish(client, err.kind == ERR_NONE ? NULL : &err);
}

static const struct grpc_call_handler call_handler = {
    .on_message = ca_client_on_message,
    .on_end = ca_client_on_end,
};

/* ----------------------------------------------------------------------------------- request -- */

static struct grpc_call *start_call(struct ca_client *client, const char *csr_pem,
                                    const char *authorization, struct err *err)
{
    const struct grpc_metadata metadata[] = {
        {.name = "authorization", .value = authorization},
        {.name = "clusterid", .value = client->cluster_id},
    };
    struct buf request = {0};
    struct grpc_call *call = NULL;
    if (ca_messages_write_request(&request, csr_pem, client->validity_s, err) == 0) {
        const struct grpc_call_params params = {
            .path = CA_MESSAGES_CREATE_PATH,
            .metadata = metadata,
            .num_metadata = client->cluster_id == NULL ? 1 : 2,
            .message = buf_head(&request),
            .message_len = buf_len(&request),
            .answer_max = CA_MESSAGES_ANSWER_MAX,
            .timeout_ms = client->timeout_ms,
        };
        call = grpc_call_start(client->channel, &params, &call_handler, client, err);
    }
    buf_done(&request);
    return call;
}

static int ca_client_start_fetch(struct cert_source *source, const char *csr_pem,
                                 cert_source_done *done, void *owner, struct err *err)
{
    struct ca_client *client = (struct ca_client *)source;
    char authorization[BEARER_TOKEN_HEADER_MAX];
    client->done = done;
    client->owner = owner;
    client->answered = false;
    client->err = (struct err){0};
    if (bearer_token_read(client->token_file, authorization, err) == 0)
        client->call = start_call(client, csr_pem, authorization, err);
    explicit_bzero(authorization, sizeof(authorization));
    return client->call == NULL ? -1 : 0;
}

static void ca_client_cancel(struct cert_source *source)
{
    struct ca_client *client = (struct ca_client *)source;
    grpc_call_cancel(client->call);
    client->call = NULL;
    ca_messages_answer_done(&client->answer);
}

/* -------------------------------------------------------------------------------------- life -- */

static void ca_client_free(struct cert_source *source)
{
    struct ca_client *client = (struct ca_client *)source;
    ca_client_cancel(source);
    grpc_channel_free(client->channel);
    free(client->token_file);
    free(client->cluster_id);
    free(client);
}

static const struct cert_source_ops source_ops = {
    .start_fetch = ca_client_start_fetch,
    .cancel = ca_client_cancel,
    .free = ca_client_free,
};

struct cert_source *ca_client_new(struct tls_io *io, const struct ca_client_options *options,
                                  struct err *err)
{
    struct ca_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    bool has_cluster_id = options->cluster_id != NULL && options->cluster_id[0] != '\0';
    client->source =
        (struct cert_source){.ops = &source_ops, .name = "istio-ca", .wants_csr = true};
    client->validity_s = options->validity_s;
    client->timeout_ms = options->timeout_ms == 0 ? TIMEOUT_MS : options->timeout_ms;
    client->token_file = strdup(options->token_file);
    client->cluster_id = has_cluster_id ? strdup(options->cluster_id) : NULL;
    if (client->token_file == NULL || (has_cluster_id && client->cluster_id == NULL)) {
        err_set(err, ERR_NOMEM, "out of memory");
        goto fail;
    }
    client->channel =
        grpc_channel_new(io,
                         &(struct grpc_channel_options){.address = options->address,
                                                        .server_name = options->server_name,
                                                        .roots_file = options->roots_file},
                         err);
    if (client->channel == NULL)
        goto fail;
    return &client->source;

fail:
    ca_client_free(&client->source);
    return NULL;
}
