#include "discovery.h"

#include <stdlib.h>

#include "clock.h"
#include "local_source.h"
#include "log.h"

struct discovery {
    struct net_loop *loop;
    struct discovery_options options;
    struct local_source *source;
    size_t condition; /* of readiness */
    uint64_t num_loaded;
    uint64_t num_failed;
    int64_t last_success_ms;
    struct mesh_counts counts; /* of what was loaded last */
};

/* ------------------------------------------------------------------------ what the source brings -- */

static void log_warnings(const struct mesh_warnings *warnings)
{
    size_t num_kept = warnings->num < MESH_WARNINGS_KEPT ? warnings->num : MESH_WARNINGS_KEPT;
    for (size_t i = 0; i < num_kept; i++)
        LOG_WARN("agent", "discovery does not fit together", LOG_S("warning", warnings->kept[i]));
    if (warnings->num > num_kept)
        LOG_WARN("agent", "more such warnings", LOG_U("count", warnings->num - num_kept));
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
    if (knows_this_pod(discovery, snapshot)) {
        readiness_set_met(discovery->options.readiness, discovery->condition);
        return;
    }
    readiness_set_pending(discovery->options.readiness, discovery->condition,
                          "loaded, but it does not know this pod", config->pod_name);
    LOG_WARN("agent", "discovery does not know this pod: all connections are refused",
             LOG_S("namespace", config->pod_namespace), LOG_S("pod", config->pod_name),
             LOG_S("service_account", config->service_account));
}

static void on_snapshot(void *owner, struct mesh_snapshot *snapshot,
                        const struct mesh_warnings *warnings)
{
    struct discovery *discovery = owner;
    discovery->counts = mesh_snapshot_counts(snapshot);
    discovery->num_loaded++;
    discovery->last_success_ms = clock_wall_ms();
    LOG_INFO("agent", "discovery loaded", LOG_S("file", discovery->options.config->local_file),
             LOG_U("workloads", discovery->counts.workloads),
             LOG_U("services", discovery->counts.services),
             LOG_U("policies", discovery->counts.policies), LOG_U("warnings", warnings->num));
    log_warnings(warnings);
    judge(discovery, snapshot);
    discovery->options.on_snapshot(discovery->options.owner, snapshot);
    mesh_snapshot_unref(snapshot);
}

static void on_error(void *owner, const struct err *err)
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

static const struct local_source_handler source_handler = {
    .on_snapshot = on_snapshot,
    .on_error = on_error,
};

/* ----------------------------------------------------------------------------- making, ending -- */

static int start(struct discovery *discovery, struct err *err)
{
    discovery->source = local_source_new(discovery->loop, discovery->options.config->local_file,
                                         &source_handler, discovery, err);
    return discovery->source == NULL ? err_prefix(err, "discovery") : 0;
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
    if (start(discovery, err) < 0) {
        discovery_free(discovery);
        return NULL;
    }
    discovery->condition = readiness_add(options->readiness, "discovery", "not loaded yet");
    return discovery;
}

/* A new source loads at once; the old one goes only when the new one is there. */
void discovery_reload(struct discovery *discovery)
{
    struct local_source *before = discovery->source;
    struct err err;
    if (start(discovery, &err) < 0) {
        LOG_WARN("agent", "discovery not reloaded", LOG_S("error", err.message));
        discovery->source = before;
        return;
    }
    local_source_free(before);
}

void discovery_collect(const struct discovery *discovery, struct telemetry_control *control)
{
    control->discovery_loads_ok = discovery->num_loaded;
    control->discovery_loads_failed = discovery->num_failed;
    control->discovery_last_success_ms = discovery->last_success_ms;
    control->num_workloads = discovery->counts.workloads;
    control->num_services = discovery->counts.services;
    control->num_policies = discovery->counts.policies;
}

void discovery_free(struct discovery *discovery)
{
    if (discovery == NULL)
        return;
    local_source_free(discovery->source);
    free(discovery);
}
