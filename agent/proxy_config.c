#include "proxy_config.h"

static uint32_t seconds(uint64_t ms)
{
    return (uint32_t)((ms + 999) / 1000);
}

struct addr proxy_config_wildcard(const struct agent_config *config, uint16_t port)
{
    return (struct addr){.ip = {.family = config->ipv6 ? IP_V6 : IP_V4}, .port = port};
}

static void fill_listeners(struct proxy_options *options, const struct agent_config *config)
{
    options->outbound_addr = (struct addr){
        .ip = {.family = IP_V4, .bytes = {127, 0, 0, 1}},
        .port = config->outbound_port,
    };
    options->inbound_addr = proxy_config_wildcard(config, config->inbound_port);
    options->hbone_addr = proxy_config_wildcard(config, config->hbone_port);
    options->ipv6 = config->ipv6;
    options->reuse_port = config->workers > 1;
}

static void fill_limits(struct proxy_options *options, const struct agent_config *config)
{
    options->connect_timeout_ms = config->connect_timeout_ms;
    options->tls_timeout_ms = config->tls_timeout_ms;
    options->tunnel_answer_timeout_ms = config->tunnel_answer_timeout_ms;
    options->idle_timeout_ms = config->idle_timeout_ms;
    options->http2_ping_interval_ms = config->http2_ping_interval_ms;
    options->http2_ping_timeout_ms = config->http2_ping_timeout_ms;
    options->http2_stream_window = (uint32_t)config->http2_stream_window;
    options->http2_connection_window = (uint32_t)config->http2_connection_window;
    options->http2_frame_size = (uint32_t)config->http2_frame_size;
    options->http2_max_streams = config->http2_max_streams;
    options->pool_max_streams = config->pool_max_streams;
    options->pool_idle_timeout_ms = config->pool_idle_timeout_ms;
    options->peer_expiry_grace_ms = config->peer_expiry_grace_ms;
    options->tcp = (struct net_tcp_options){
        .keepalive_idle_s = seconds(config->keepalive_time_ms),
        .keepalive_interval_s = seconds(config->keepalive_interval_ms),
        .keepalive_count = config->keepalive_count,
        .user_timeout_ms = (uint32_t)config->tcp_user_timeout_ms,
    };
    /* The kernel spreads connections over the workers; each takes its share of the limit. */
    options->max_sessions = (config->max_connections + config->workers - 1) / config->workers;
}

void proxy_config_fill(struct proxy_options *options, const struct agent_config *config)
{
    *options = (struct proxy_options){
        .pod_name = config->pod_name,
        .pod_namespace = config->pod_namespace,
        .service_account = config->service_account,
        .network = config->network,
        .cluster_id = config->cluster_id,
        .strict = config->inbound_mode == AGENT_INBOUND_STRICT,
        .refuse_unknown = config->outbound_policy == AGENT_OUTBOUND_REGISTRY_ONLY,
        .discovery_timeout_ms = config->discovery_timeout_ms,
        .touch_ms = config->subscription_expiry_ms / 4,
        /* The file has everything or has not; the control plane sends one after the other. */
        .await_policies = config->local_file[0] == '\0',
        .pass_unanswered = config->unanswered_destination == AGENT_UNANSWERED_PASSTHROUGH,
    };
    fill_listeners(options, config);
    fill_limits(options, config);
}
