#include "xds_discovery.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "mesh_name.h"
#include "pod_addresses.h"
#include "rate_limit.h"
#include "xds_source.h"

enum {
    /* Lines that a control plane can cause: enough to see what is wrong, and no more. */
    LINES_PER_SECOND = 1,
    LINES_BURST = 20,
};

/* ztunnel's reasons, as Istio's dashboards know them. */
enum { CONNECTION_ERROR, ERROR, RECONNECT, COMPLETE, NUM_TERMINATIONS };

struct xds_discovery {
    const struct agent_config *config;
    const struct xds_discovery_handler *handler;
    void *owner;
    char *cache_file; /* NULL: none */
    struct xds_source *source;
    struct rate_limit ends;     /* lines about streams that ended */
    struct rate_limit rejected; /* and about resources */
    struct rate_limit refused;  /* and about names that cannot be asked for */
    struct telemetry_xds telemetry;
    struct telemetry_outcome ends_by_reason[XDS_NUM_ENDS];
    struct telemetry_outcome terminations[NUM_TERMINATIONS];
};

/* --------------------------------------------------------------------- what the source tells -- */

static void on_snapshot(void *owner, struct mesh_snapshot *snapshot,
                        const struct mesh_warnings *warnings)
{
    struct xds_discovery *discovery = owner;
    discovery->handler->on_snapshot(discovery->owner, snapshot, warnings);
}

static void on_connected(void *owner)
{
    struct xds_discovery *discovery = owner;
    LOG_INFO("agent", "connected to the control plane",
             LOG_S("address", discovery->config->xds_address));
    discovery->handler->on_progress(discovery->owner,
                                    "connected; the control plane has yet to say who this pod is "
                                    "and what its policies are",
                                    NULL);
}

static const char *likely_cause(enum xds_end end)
{
    switch (end) {
    case XDS_END_CONNECT:
        return "is the control plane running, is a NetworkPolicy in the way, is xds-root-file its "
               "root?";
    case XDS_END_REFUSED:
        return "is the token of this pod, for this control plane, and not expired?";
    case XDS_END_BROKEN:
        return "did the control plane restart, is it starting or overloaded?";
    case XDS_END_PROTOCOL:
        return "is it a control plane that answers, and one that serves workloads (ambient mode)?";
    case XDS_END_CLEAN:
    case XDS_NUM_ENDS:
        break;
    }
    return NULL;
}

static void on_disconnected(void *owner, enum xds_end end, const struct err *err, uint64_t retry_ms)
{
    struct xds_discovery *discovery = owner;
    const char *address = discovery->config->xds_address;
    uint64_t num_more;
    if (err == NULL) {
        discovery->handler->on_progress(discovery->owner, "the control plane ended the stream",
                                        NULL);
        LOG_INFO("agent", "the control plane ended the stream; connecting again",
                 LOG_S("address", address));
        return;
    }
    discovery->handler->on_progress(discovery->owner, "no answer from the control plane",
                                    err->message);
    if (!rate_limit_take(&discovery->ends, clock_mono_ms(), &num_more))
        return;
    bool any = xds_source_snapshot(discovery->source) != NULL;
    LOG_WARN("agent", "no stream to the control plane", LOG_S("address", address),
             LOG_S("reason", xds_end_name(end)), LOG_S("error", err->message),
             LOG_S("likely_cause", likely_cause(end)),
             LOG_S("in_force", any ? "the state before" : "none"), LOG_U("retry_in_ms", retry_ms),
             LOG_U("lines_left_out", num_more));
}

static void on_rejected(void *owner, enum xds_type type, const char *name, const char *reason)
{
    struct xds_discovery *discovery = owner;
    uint64_t num_more;
    if (!rate_limit_take(&discovery->rejected, clock_mono_ms(), &num_more))
        return;
    LOG_WARN("agent", "the control plane sent what cannot be used; what was known before stays",
             LOG_S("type", xds_type_name(type)), LOG_S("resource", name), LOG_S("error", reason),
             LOG_U("lines_left_out", num_more));
}

static void on_trouble(void *owner, const struct err *err)
{
    LOG_WARN("agent", "trouble with discovery", LOG_S("error", err->message));
}

static const struct xds_source_handler source_handler = {
    .on_snapshot = on_snapshot,
    .on_connected = on_connected,
    .on_disconnected = on_disconnected,
    .on_rejected = on_rejected,
    .on_trouble = on_trouble,
};

/* ----------------------------------------------------------------------------- making, ending -- */

/* The names by which the control plane knows this pod. */
struct own_names {
    char texts[POD_ADDRESSES_MAX][MESH_NAME_TEXT_MAX];
    const char *names[POD_ADDRESSES_MAX];
};

static void fill_own_names(struct own_names *own, const struct pod_addresses *addresses,
                           const char *network)
{
    for (size_t i = 0; i < addresses->num; i++)
        own->names[i] = mesh_name_of_address(network, &addresses->ips[i], own->texts[i]);
}

static int make_cache_file(struct xds_discovery *discovery, struct err *err)
{
    if (discovery->config->cache_dir[0] == '\0')
        return 0;
    if (asprintf(&discovery->cache_file, "%s/discovery", discovery->config->cache_dir) >= 0)
        return 0;
    discovery->cache_file = NULL;
    return err_set(err, ERR_NOMEM, "out of memory");
}

static int start(struct xds_discovery *discovery, struct tls_io *io, struct err *err)
{
    const struct agent_config *config = discovery->config;
    struct pod_addresses addresses;
    struct own_names own;
    if (pod_addresses_get(&addresses, config->instance_ip, err) < 0)
        return err_prefix(err, "instance-ip");
    if (make_cache_file(discovery, err) < 0)
        return -1;
    fill_own_names(&own, &addresses, config->network);
    bool wildcard = config->discovery == AGENT_DISCOVERY_WILDCARD;
    const struct xds_source_options options = {
        .client = {.channel = {.address = config->xds_address,
                               .server_name = config->xds_server_name,
                               .roots_file = config->xds_root_file},
                   .token_file = config->token_file,
                   .cluster_id = config->cluster_id},
        .node = {.pod_name = config->pod_name,
                 .namespace_ = config->pod_namespace,
                 .service_account = config->service_account,
                 .ips = addresses.text,
                 .cluster_id = config->cluster_id,
                 .network = config->network,
                 /* On demand it would make the control plane send all of the node's workloads. */
                 .node_name = wildcard ? config->node_name : NULL},
        .wildcard = wildcard,
        .own_names = own.names,
        .num_own_names = addresses.num,
        .unused_ms = config->subscription_expiry_ms,
        .cache_file = discovery->cache_file,
    };
    discovery->source = xds_source_new(io, &options, &source_handler, discovery, err);
    return discovery->source == NULL ? -1 : 0;
}

struct xds_discovery *xds_discovery_new(struct tls_io *io, const struct agent_config *config,
                                        const struct xds_discovery_handler *handler, void *owner,
                                        struct err *err)
{
    struct xds_discovery *discovery = calloc(1, sizeof(*discovery));
    if (discovery == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    discovery->config = config;
    discovery->handler = handler;
    discovery->owner = owner;
    rate_limit_init(&discovery->ends, LINES_PER_SECOND, LINES_BURST);
    rate_limit_init(&discovery->rejected, LINES_PER_SECOND, LINES_BURST);
    rate_limit_init(&discovery->refused, LINES_PER_SECOND, LINES_BURST);
    if (start(discovery, io, err) < 0) {
        xds_discovery_free(discovery);
        return NULL;
    }
    return discovery;
}

void xds_discovery_ask(struct xds_discovery *discovery, const char *name)
{
    struct err err;
    uint64_t num_more;
    if (xds_source_ask(discovery->source, name, &err) == 0 ||
        !rate_limit_take(&discovery->refused, clock_mono_ms(), &num_more))
        return;
    LOG_WARN("agent", "the control plane cannot be asked for a destination", LOG_S("name", name),
             LOG_S("error", err.message), LOG_U("lines_left_out", num_more));
}

void xds_discovery_retry_now(struct xds_discovery *discovery)
{
    xds_source_retry_now(discovery->source);
}

static void collect_types(struct xds_discovery *discovery, const struct xds_source_stats *stats)
{
    for (size_t i = 0; i < XDS_NUM_TYPES; i++)
        discovery->telemetry.types[i] = (struct telemetry_xds_type){
            .name = xds_type_name((enum xds_type)i),
            .url = xds_type_url((enum xds_type)i),
            .num_messages = stats->num_answers[i],
            .num_bytes = stats->num_bytes[i],
            .num_updates = stats->num_updates[i],
            .num_rejected = stats->num_rejected[i],
            .num_held = stats->num_held[i],
        };
    discovery->telemetry.num_types = XDS_NUM_TYPES;
}

static void collect_ends(struct xds_discovery *discovery, const struct xds_source_stats *stats)
{
    const uint64_t *ends = stats->num_ends;
    for (size_t i = 0; i < XDS_NUM_ENDS; i++)
        discovery->ends_by_reason[i] =
            (struct telemetry_outcome){.name = xds_end_name((enum xds_end)i), .count = ends[i]};
    discovery->terminations[CONNECTION_ERROR] =
        (struct telemetry_outcome){"ConnectionError", ends[XDS_END_CONNECT]};
    discovery->terminations[ERROR] =
        (struct telemetry_outcome){"Error", ends[XDS_END_REFUSED] + ends[XDS_END_PROTOCOL]};
    discovery->terminations[RECONNECT] =
        (struct telemetry_outcome){"Reconnect", ends[XDS_END_BROKEN]};
    discovery->terminations[COMPLETE] = (struct telemetry_outcome){"Complete", ends[XDS_END_CLEAN]};
    discovery->telemetry.ends = discovery->ends_by_reason;
    discovery->telemetry.num_ends = XDS_NUM_ENDS;
    discovery->telemetry.terminations = discovery->terminations;
    discovery->telemetry.num_terminations = NUM_TERMINATIONS;
}

const struct telemetry_xds *xds_discovery_collect(struct xds_discovery *discovery)
{
    struct xds_source_stats stats;
    xds_source_stats(discovery->source, &stats);
    discovery->telemetry = (struct telemetry_xds){
        .connected = stats.connected,
        .from_cache = stats.from_cache,
        .num_acks = stats.num_acks,
        .num_nacks = stats.num_nacks,
        .num_snapshots = stats.num_snapshots,
        .num_asked = stats.num_asked,
        .num_expired = stats.num_expired,
        .num_subscribed = stats.num_subscribed,
        .last_answer_ms = stats.last_answer_ms,
    };
    collect_ends(discovery, &stats);
    collect_types(discovery, &stats);
    return &discovery->telemetry;
}

void xds_discovery_free(struct xds_discovery *discovery)
{
    if (discovery == NULL)
        return;
    xds_source_free(discovery->source);
    free(discovery->cache_file);
    free(discovery);
}
