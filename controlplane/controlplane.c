#include "controlplane.h"

#include <stdlib.h>

#include "ca_service.h"
#include "ca_state.h"
#include "clock.h"
#include "discovery_directory.h"
#include "discovery_message.h"
#include "discovery_service.h"
#include "grpc_server.h"
#include "rate_limit.h"
#include "server_identity.h"
#include "tls_library.h"
#include "token_source.h"

enum {
    DRAIN_LOOK_MS = 50,
    DRAIN_MS = 5000,
    TROUBLE_PER_SECOND = 5,
    TROUBLE_AT_ONCE = 20,
    EXPIRY_WARNING_DAYS = 30,
};

struct controlplane {
    const struct controlplane_config *config;
    struct net_loop *loop;
    struct tls_io *io;
    struct ca_issuer *issuer;
    struct token_source *tokens;
    struct server_identity *identity;
    struct ca_service service;
    struct discovery_directory *directory; /* NULL: discovery is not served */
    struct discovery_service discovery;
    struct grpc_server_method methods[2];
    struct grpc_server *server;
    struct addr addr;
    struct rate_limit trouble;
    struct net_timer *drain;
    uint64_t drain_until_ms;
    void (*on_drained)(void *owner);
    void *drain_owner;
};

/* -------------------------------------------------------------------------------------- events --
 */

static void on_trouble(void *owner, const struct addr *peer, const struct err *err)
{
    struct controlplane *controlplane = owner;
    char text[ADDR_TEXT_MAX];
    uint64_t num_unlogged;
    if (rate_limit_take(&controlplane->trouble, clock_mono_ms(), &num_unlogged))
        LOG_WARN("controlplane", "connection failed", LOG_S("peer", addr_format(peer, text)),
                 LOG_S("error", err->message), LOG_U("unlogged", num_unlogged));
}

static void on_renewed(void *owner, struct tls_context *context)
{
    struct controlplane *controlplane = owner;
    if (controlplane->server != NULL)
        grpc_server_set_context(controlplane->server, context);
}

static void on_table(void *owner, const struct token_table *table)
{
    struct controlplane *controlplane = owner;
    controlplane->service.tokens = table;
    discovery_service_set_tokens(&controlplane->discovery, table);
    LOG_INFO("controlplane", "tokens read again", LOG_S("file", controlplane->config->tokens_file),
             LOG_U("tokens", token_table_num_tokens(table)));
}

static void on_token_error(void *owner, const struct err *err)
{
    LOG_ERROR("controlplane", "changed tokens refused; those before stay in force",
              LOG_S("error", err->message));
}

static const struct token_source_handler token_handler = {
    .on_table = on_table,
    .on_error = on_token_error,
};

static void log_table(const struct controlplane *controlplane, const struct discovery_table *table)
{
    LOG_INFO("controlplane", "discovery loaded",
             LOG_S("directory", controlplane->config->discovery_dir),
             LOG_U("version", discovery_table_version(table)),
             LOG_U("addresses", discovery_table_all(table, DISCOVERY_ADDRESS)->num),
             LOG_U("policies", discovery_table_all(table, DISCOVERY_AUTHORIZATION)->num));
}

static void directory_on_table(void *owner, struct discovery_table *table)
{
    struct controlplane *controlplane = owner;
    log_table(controlplane, table);
    discovery_service_set_table(&controlplane->discovery, table);
}

static void directory_on_error(void *owner, const struct err *err)
{
    LOG_ERROR("controlplane", "changed discovery refused; what was before stays in force",
              LOG_S("error", err->message));
}

static void directory_on_warning(void *owner, const char *text)
{
    LOG_WARN("controlplane", "discovery", LOG_S("warning", text));
}

static const struct discovery_directory_handler directory_handler = {
    .on_table = directory_on_table,
    .on_error = directory_on_error,
    .on_warning = directory_on_warning,
};

/* --------------------------------------------------------------------------------------- start --
 */

static struct ca_issuer *load_ca(const struct controlplane_config *config, int64_t now_ms,
                                 bool *created, struct err *err)
{
    const struct ca_state_options options = {
        .dir = config->state_dir, .with_intermediate = config->intermediate, .now_ms = now_ms};
    const struct ca_state_files files = {
        .cert = config->ca_cert_file, .key = config->ca_key_file, .now_ms = now_ms};
    *created = false;
    return config->ca_cert_file[0] != '\0' ? ca_state_load(&files, err)
                                           : ca_state_open(&options, created, err);
}

static int open_ca(struct controlplane *controlplane, struct err *err)
{
    const struct controlplane_config *config = controlplane->config;
    bool created;
    int64_t now_ms = clock_wall_ms();
    char not_after[CLOCK_TEXT_MAX];
    controlplane->issuer = load_ca(config, now_ms, &created, err);
    if (controlplane->issuer == NULL)
        return -1;
    ca_issuer_set_lifetimes(controlplane->issuer, (int64_t)(config->cert_ttl_ms / 1000),
                            (int64_t)(config->max_cert_ttl_ms / 1000));
    int64_t not_after_ms = ca_issuer_not_after_ms(controlplane->issuer);
    clock_format(not_after_ms, not_after);
    LOG_INFO(
        "controlplane", created ? "CA made" : "CA loaded",
        LOG_S("state", config->state_dir[0] != '\0' ? config->state_dir : config->ca_cert_file),
        LOG_S("root_sha256", ca_issuer_root_fingerprint(controlplane->issuer)),
        LOG_S("signs_with",
              ca_issuer_chain_pem(controlplane->issuer, 0) == NULL ? "root" : "intermediate"),
        LOG_S("not_after", not_after));
    if (not_after_ms - now_ms < (int64_t)EXPIRY_WARNING_DAYS * 24 * 60 * 60 * 1000)
        LOG_WARN("controlplane", "the CA ends soon; no certificate will outlive it",
                 LOG_S("not_after", not_after));
    return 0;
}

static int start_identity(struct controlplane *controlplane, struct err *err)
{
    const struct server_identity_options options = {.host = controlplane->config->server_name,
                                                    .lifetime_ms =
                                                        controlplane->config->server_cert_ttl_ms,
                                                    .on_renewed = on_renewed,
                                                    .owner = controlplane};
    controlplane->identity =
        server_identity_new(controlplane->loop, controlplane->issuer, &options, err);
    return controlplane->identity == NULL ? err_prefix(err, "server certificate") : 0;
}

static int start_discovery(struct controlplane *controlplane, struct err *err)
{
    const struct controlplane_config *config = controlplane->config;
    if (config->discovery_dir[0] == '\0')
        return 0;
    const struct discovery_directory_options options = {
        .path = config->discovery_dir, .debounce_ms = config->discovery_debounce_ms};
    controlplane->directory = discovery_directory_new(controlplane->loop, &options,
                                                      &directory_handler, controlplane, err);
    if (controlplane->directory == NULL)
        return err_prefix(err, "discovery");
    discovery_service_init(&controlplane->discovery,
                           discovery_directory_table(controlplane->directory),
                           token_source_table(controlplane->tokens));
    log_table(controlplane, controlplane->discovery.table);
    return 0;
}

static size_t set_methods(struct controlplane *controlplane)
{
    controlplane->methods[0] = (struct grpc_server_method){.path = CA_SERVICE_CREATE_PATH,
                                                           .request_max = CA_SERVICE_REQUEST_MAX,
                                                           .run = ca_service_create,
                                                           .owner = &controlplane->service};
    controlplane->methods[1] =
        (struct grpc_server_method){.path = DISCOVERY_MESSAGE_PATH,
                                    .request_max = DISCOVERY_REQUEST_MAX,
                                    .streaming = &discovery_service_streaming,
                                    .owner = &controlplane->discovery};
    return controlplane->directory == NULL ? 1 : 2;
}

static int start_server(struct controlplane *controlplane, struct err *err)
{
    const struct controlplane_config *config = controlplane->config;
    ca_service_init(&controlplane->service, controlplane->issuer,
                    token_source_table(controlplane->tokens));
    const struct grpc_server_options options = {
        .at = config->listen,
        .max_connections = config->max_connections,
        .handshake_timeout_ms = config->handshake_timeout_ms,
        .idle_timeout_ms = config->idle_timeout_ms,
        .keepalive_ms = config->keepalive_interval_ms,
        .max_age_ms = config->max_connection_age_ms,
        .max_age_grace_ms = config->max_connection_age_grace_ms,
        .methods = controlplane->methods,
        .num_methods = set_methods(controlplane),
        .on_trouble = on_trouble,
        .owner = controlplane,
    };
    controlplane->server = grpc_server_new(controlplane->io, &options,
                                           server_identity_context(controlplane->identity), err);
    if (controlplane->server == NULL)
        return -1;
    controlplane->addr = *grpc_server_addr(controlplane->server);
    return 0;
}

static void log_start(const struct controlplane *controlplane)
{
    char text[ADDR_TEXT_MAX];
    LOG_INFO("controlplane", "listening", LOG_S("address", addr_format(&controlplane->addr, text)),
             LOG_S("server_name", controlplane->config->server_name),
             LOG_U("tokens", token_table_num_tokens(controlplane->service.tokens)),
             LOG_S("tls_library", tls_library_describe()));
}

struct controlplane *controlplane_new(struct net_loop *loop,
                                      const struct controlplane_config *config, struct err *err)
{
    struct controlplane *controlplane = calloc(1, sizeof(*controlplane));
    if (controlplane == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    controlplane->config = config;
    controlplane->loop = loop;
    rate_limit_init(&controlplane->trouble, TROUBLE_PER_SECOND, TROUBLE_AT_ONCE);
    controlplane->io = tls_io_new(loop);
    if (controlplane->io == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        goto fail;
    }
    if (open_ca(controlplane, err) < 0)
        goto fail;
    controlplane->tokens = token_source_new(loop, config->tokens_file, config->trust_domain,
                                            &token_handler, controlplane, err);
    if (controlplane->tokens == NULL || start_identity(controlplane, err) < 0 ||
        start_discovery(controlplane, err) < 0 || start_server(controlplane, err) < 0)
        goto fail;
    log_start(controlplane);
    return controlplane;

fail:
    controlplane_free(controlplane);
    return NULL;
}

/* ----------------------------------------------------------------------------------------- end --
 */

static void on_drain_look(void *owner)
{
    struct controlplane *controlplane = owner;
    if (grpc_server_num_connections(controlplane->server) == 0 ||
        net_loop_now_ms(controlplane->loop) >= controlplane->drain_until_ms)
        controlplane->on_drained(controlplane->drain_owner);
    else
        net_timer_start(controlplane->drain, DRAIN_LOOK_MS);
}

void controlplane_start_drain(struct controlplane *controlplane, void (*on_drained)(void *owner),
                              void *owner)
{
    controlplane->on_drained = on_drained;
    controlplane->drain_owner = owner;
    controlplane->drain_until_ms = net_loop_now_ms(controlplane->loop) + DRAIN_MS;
    grpc_server_start_drain(controlplane->server);
    controlplane->drain = net_timer_new(controlplane->loop, on_drain_look, controlplane);
    if (controlplane->drain != NULL)
        net_timer_start(controlplane->drain, 0);
    else
        on_drained(owner);
}

void controlplane_free(struct controlplane *controlplane)
{
    if (controlplane == NULL)
        return;
    net_timer_free(controlplane->drain);
    grpc_server_free(controlplane->server);
    discovery_service_done(&controlplane->discovery);
    discovery_directory_free(controlplane->directory);
    server_identity_free(controlplane->identity);
    token_source_free(controlplane->tokens);
    ca_issuer_free(controlplane->issuer);
    tls_io_free(controlplane->io);
    free(controlplane);
}

const struct addr *controlplane_addr(const struct controlplane *controlplane)
{
    return &controlplane->addr;
}
