#include "discovery.h"

#include <stdlib.h>

#include "clock.h"
#include "local_source.h"
#include "log.h"
#include "rate_limit.h"
#include "xds_discovery.h"

enum {
    /* Changes whose warnings are told: a control plane may make twenty a second, of sixteen lines. */
    WARNINGS_PER_SECOND = 1,
    WARNINGS_BURST = 10,
};

struct discovery {
    struct net_loop *loop;
    struct discovery_options options;
    /* One of the two. */
    struct local_source *local;
    struct xds_discovery *xds;
    size_t condition; /* of readiness */
    bool known;       /* this pod, in what was loaded last */
    uint64_t num_loaded;
    uint64_t num_failed;
    int64_t last_success_ms;
    struct mesh_counts counts; /* of what was loaded last */
    struct rate_limit warnings;
};

/* ------------------------------------------------------------------------ what the source brings -- */

static void log_warnings(struct discovery *discovery, const struct mesh_warnings *warnings)
{
    uint64_t num_unlogged;
    if (warnings->num == 0 ||
        !rate_limit_take(&discovery->warnings, clock_mono_ms(), &num_unlogged))
        return;
    size_t num_kept = warnings->num < MESH_WARNINGS_KEPT ? warnings->num : MESH_WARNINGS_KEPT;
    for (size_t i = 0; i < num_kept; i++)
        LOG_WARN("agent", "discovery does not fit together", LOG_S("warning", warnings->kept[i]));
    if (warnings->num > num_kept)
        LOG_WARN("agent", "more such warnings", LOG_U("count", warnings->num - num_kept));
    if (num_unlogged > 0)
        LOG_WARN("agent", "warnings about earlier changes are left out",
                 LOG_U("changes", num_unlogged));
}

static bool knows_this_pod(const struct discovery *discovery, const struct mesh_snapshot *snapshot)
{
    const struct agent_config *config = discovery->options.config;
    return mesh_snapshot_workload_by_name(snapshot, config->pod_namespace, config->pod_name,
                                          config->service_account) != NULL;
}

/* Without its own workload the agent cannot say what its peers and its policies are, and refuses
 * every connection: that is not ready. */
static void judge(struct discovery *discovery, const struct mesh_snapshot *snapshot)
{
    const struct agent_config *config = discovery->options.config;
    bool known = knows_this_pod(discovery, snapshot);
    bool is_news = known != discovery->known || discovery->num_loaded == 1;
    discovery->known = known;
    if (known) {
        readiness_set_met(discovery->options.readiness, discovery->condition);
        return;
    }
    readiness_set_pending(discovery->options.readiness, discovery->condition,
                          "loaded, but it does not know this pod", config->pod_name);
    if (is_news || discovery->local != NULL)
        LOG_WARN("agent", "discovery does not know this pod: all connections are refused",
                 LOG_S("namespace", config->pod_namespace), LOG_S("pod", config->pod_name),
                 LOG_S("service_account", config->service_account));
}

static void take(struct discovery *discovery, struct mesh_snapshot *snapshot,
                 const struct mesh_warnings *warnings)
{
    discovery->counts = mesh_snapshot_counts(snapshot);
    discovery->num_loaded++;
    discovery->last_success_ms = clock_wall_ms();
    log_warnings(discovery, warnings);
    judge(discovery, snapshot);
    discovery->options.on_snapshot(discovery->options.owner, snapshot);
}

/* -------------------------------------------------------------------------------- the local file -- */

static void on_file(void *owner, struct mesh_snapshot *snapshot,
                    const struct mesh_warnings *warnings)
{
    struct discovery *discovery = owner;
    const struct mesh_counts counts = mesh_snapshot_counts(snapshot);
    LOG_INFO("agent", "discovery loaded", LOG_S("file", discovery->options.config->local_file),
             LOG_U("workloads", counts.workloads), LOG_U("services", counts.services),
             LOG_U("policies", counts.policies), LOG_U("warnings", warnings->num));
    take(discovery, snapshot, warnings);
    mesh_snapshot_unref(snapshot);
}

static void on_file_error(void *owner, const struct err *err)
{
    struct discovery *discovery = owner;
    discovery->num_failed++;
    bool loaded = discovery->num_loaded > 0;
    LOG_WARN("agent", "discovery not loaded", LOG_S("error", err->message),
             LOG_S("in_force", loaded ? "the state before" : "none"));
    if (!loaded)
        readiness_set_pending(discovery->options.readiness, discovery->condition, "not loaded yet",
                              err->message);
}

static const struct local_source_handler file_handler = {
    .on_snapshot = on_file,
    .on_error = on_file_error,
};

/* ---------------------------------------------------------------------------- the control plane -- */

/* The first one is worth a line; those that follow come with each change of the mesh. */
static void on_mesh(void *owner, struct mesh_snapshot *snapshot,
                    const struct mesh_warnings *warnings)
{
    struct discovery *discovery = owner;
    const struct mesh_counts counts = mesh_snapshot_counts(snapshot);
    LOG_AT_(discovery->num_loaded == 0 ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "agent",
            "discovery loaded", LOG_S("address", discovery->options.config->xds_address),
            LOG_U("workloads", counts.workloads), LOG_U("services", counts.services),
            LOG_U("policies", counts.policies), LOG_U("warnings", warnings->num));
    take(discovery, snapshot, warnings);
}

static void on_progress(void *owner, const char *what, const char *detail)
{
    struct discovery *discovery = owner;
    if (discovery->num_loaded == 0)
        readiness_set_pending(discovery->options.readiness, discovery->condition, what, detail);
}

static const struct xds_discovery_handler xds_handler = {
    .on_snapshot = on_mesh,
    .on_progress = on_progress,
};

/* ----------------------------------------------------------------------------- making, ending -- */

static struct local_source *open_file(struct discovery *discovery, struct err *err)
{
    return local_source_new(discovery->loop, discovery->options.config->local_file, &file_handler,
                            discovery, err);
}

static int start(struct discovery *discovery, struct err *err)
{
    const struct agent_config *config = discovery->options.config;
    if (config->local_file[0] != '\0')
        discovery->local = open_file(discovery, err);
    else
        discovery->xds =
            xds_discovery_new(discovery->options.io, config, &xds_handler, discovery, err);
    bool made = discovery->local != NULL || discovery->xds != NULL;
    return made ? 0 : err_prefix(err, "discovery");
}

struct discovery *discovery_new(struct net_loop *loop, const struct discovery_options *options,
                                struct err *err)
{
    struct discovery *discovery = calloc(1, sizeof(*discovery));
    if (discovery == NULL) {
        err_set(err, ERR_NOMEM, "discovery: out of memory");
        return NULL;
    }
    discovery->loop = loop;
    discovery->options = *options;
    rate_limit_init(&discovery->warnings, WARNINGS_PER_SECOND, WARNINGS_BURST);
    if (start(discovery, err) < 0) {
        discovery_free(discovery);
        return NULL;
    }
    discovery->condition = readiness_add(options->readiness, "discovery", "not loaded yet");
    return discovery;
}

void discovery_ask(struct discovery *discovery, const char *name)
{
    if (discovery->xds != NULL)
        xds_discovery_ask(discovery->xds, name);
}

/* A new source loads at once; the old one goes only when the new one is there. */
static void reload_file(struct discovery *discovery)
{
    struct err err;
    struct local_source *source = open_file(discovery, &err);
    if (source == NULL) {
        LOG_WARN("agent", "discovery not reloaded", LOG_S("error", err.message));
        return;
    }
    local_source_free(discovery->local);
    discovery->local = source;
}

void discovery_reload(struct discovery *discovery)
{
    if (discovery->local != NULL)
        reload_file(discovery);
    else
        xds_discovery_retry_now(discovery->xds);
}

void discovery_collect(struct discovery *discovery, struct telemetry_control *control)
{
    control->discovery_loads_ok = discovery->num_loaded;
    control->discovery_loads_failed = discovery->num_failed;
    control->discovery_last_success_ms = discovery->last_success_ms;
    control->num_workloads = discovery->counts.workloads;
    control->num_services = discovery->counts.services;
    control->num_policies = discovery->counts.policies;
    control->xds = discovery->xds != NULL ? xds_discovery_collect(discovery->xds) : NULL;
}

void discovery_free(struct discovery *discovery)
{
    if (discovery == NULL)
        return;
    local_source_free(discovery->local);
    xds_discovery_free(discovery->xds);
    free(discovery);
}
