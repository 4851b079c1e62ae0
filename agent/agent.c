#include "agent.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "admin.h"
#include "certificates.h"
#include "discovery.h"
#include "log.h"
#include "memory.h"
#include "net_loop.h"
#include "port_contexts.h"
#include "proxy_config.h"
#include "readiness.h"
#include "telemetry_hub.h"
#include "tls_io.h"
#include "tls_library.h"
#include "workers.h"

enum {
    STUCK_MS = 10 * 1000, /* no turn of a worker's loop takes a hundredth of it */
    FLUSH_MS = 1000,      /* for access-log lines at the end */
    TRIM_MS = 60 * 1000,  /* between looks at how much of the heap is free */
    NUM_SIGNALS = 3,
};

static const int signal_numbers[NUM_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

struct agent {
    const struct agent_config *config;
    struct net_loop *loop;
    struct tls_io *io; /* for the control plane */
    struct telemetry_hub *telemetry;
    struct readiness readiness;
    size_t running; /* the condition that is pending before and after */
    struct workers *workers;
    struct certificates *certificates;
    struct port_contexts *ports;
    struct discovery *discovery;
    struct admin *admin;
    struct net_signal *signals[NUM_SIGNALS];
    struct net_timer *trim_timer;
    bool draining;
};

/* ------------------------------------------------------------- from the control plane to the data -- */

static void on_context(void *owner, struct tls_context *context)
{
    struct agent *agent = owner;
    /* First the ports: when trust changes, their peers are judged again by what is there then. */
    port_contexts_set_identity(agent->ports,
                               context == NULL ? NULL : tls_context_identity(context));
    workers_publish_tls(agent->workers, context);
}

static void on_ports(void *owner, struct port_table *table)
{
    struct agent *agent = owner;
    workers_publish_ports(agent->workers, table);
}

static void on_snapshot(void *owner, struct mesh_snapshot *snapshot)
{
    struct agent *agent = owner;
    workers_publish_mesh(agent->workers, snapshot);
}

static void on_ask(void *owner, const char *name)
{
    struct agent *agent = owner;
    discovery_ask(agent->discovery, name);
}

/* -------------------------------------------------------------------------------- what admin asks -- */

static void collect(void *owner, struct telemetry_control *control)
{
    struct agent *agent = owner;
    control->ready = readiness_is_ready(&agent->readiness);
    control->log_lines_dropped = log_dropped();
    certificates_collect(agent->certificates, control);
    discovery_collect(agent->discovery, control);
}

static int find_stuck(void *owner, struct buf *out)
{
    struct agent *agent = owner;
    return workers_find_stuck(agent->workers, STUCK_MS, out);
}

/* --------------------------------------------------------------------------------- start -- */

static int start_telemetry(struct agent *agent, struct err *err)
{
    const struct agent_config *config = agent->config;
    bool json = config->access_log == AGENT_ACCESS_LOG_JSON;
    const struct telemetry_hub_options options = {
        .access_log = config->access_log != AGENT_ACCESS_LOG_OFF,
        .access_log_format = json ? LOG_JSON : LOG_TEXT,
        .access_log_fd = STDOUT_FILENO,
    };
    agent->telemetry = telemetry_hub_new(&options, err);
    return agent->telemetry == NULL ? -1 : 0;
}

static int start_control(struct agent *agent, struct err *err)
{
    agent->io = tls_io_new(agent->loop);
    if (agent->io == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    const struct port_contexts_options ports = {
        .path = agent->config->ports_file,
        .readiness = &agent->readiness,
        .on_table = on_ports,
        .owner = agent,
    };
    agent->ports = port_contexts_new(agent->loop, &ports, err);
    if (agent->ports == NULL)
        return -1;
    const struct certificates_options certificates = {
        .config = agent->config,
        .readiness = &agent->readiness,
        .on_context = on_context,
        .owner = agent,
    };
    agent->certificates = certificates_new(agent->loop, agent->io, &certificates, err);
    if (agent->certificates == NULL)
        return -1;
    const struct discovery_options discovery = {
        .config = agent->config,
        .io = agent->io,
        .readiness = &agent->readiness,
        .on_snapshot = on_snapshot,
        .owner = agent,
    };
    agent->discovery = discovery_new(agent->loop, &discovery, err);
    return agent->discovery == NULL ? -1 : 0;
}

static int start_admin(struct agent *agent, struct err *err)
{
    const struct agent_config *config = agent->config;
    const struct admin_options options = {
        .readiness_addr = proxy_config_wildcard(config, config->readiness_port),
        .metrics_addr = proxy_config_wildcard(config, config->metrics_port),
        .readiness = &agent->readiness,
        .telemetry = agent->telemetry,
        .collect = collect,
        .find_stuck = find_stuck,
        .owner = agent,
    };
    agent->admin = admin_new(agent->loop, &options, err);
    return agent->admin == NULL ? -1 : 0;
}

static void on_trim_time(void *owner)
{
    struct agent *agent = owner;
    memory_trim();
    net_timer_start(agent->trim_timer, TRIM_MS);
}

static int start_trimming(struct agent *agent, struct err *err)
{
    agent->trim_timer = net_timer_new(agent->loop, on_trim_time, agent);
    if (agent->trim_timer == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    net_timer_start(agent->trim_timer, TRIM_MS);
    return 0;
}

static void on_signal(void *owner, int signum);

static int start_signals(struct agent *agent, struct err *err)
{
    for (size_t i = 0; i < NUM_SIGNALS; i++) {
        agent->signals[i] = net_signal_new(agent->loop, signal_numbers[i], on_signal, agent, err);
        if (agent->signals[i] == NULL)
            return -1;
    }
    return 0;
}

static void on_workers_drained(void *owner);
static const struct workers_handler workers_handler = {
    .on_drained = on_workers_drained,
    .on_ask = on_ask,
};

/* All ports are open and everything that can be wrong with them is said before a thread runs. */
static int start(struct agent *agent, struct err *err)
{
    agent->running = readiness_add(&agent->readiness, "agent", "starting");
    agent->loop = net_loop_new(err);
    if (agent->loop == NULL || start_telemetry(agent, err) < 0)
        return -1;
    agent->workers =
        workers_new(agent->loop, agent->config, agent->telemetry, &workers_handler, agent, err);
    if (agent->workers == NULL || start_control(agent, err) < 0 || start_admin(agent, err) < 0 ||
        start_signals(agent, err) < 0 || start_trimming(agent, err) < 0)
        return -1;
    port_contexts_start(agent->ports);
    certificates_start(agent->certificates);
    if (workers_start(agent->workers, err) < 0)
        return -1;
    readiness_set_met(&agent->readiness, agent->running);
    return 0;
}

static void log_start(const struct agent *agent)
{
    const struct agent_config *config = agent->config;
    bool strict = config->inbound_mode == AGENT_INBOUND_STRICT;
    bool registry_only = config->outbound_policy == AGENT_OUTBOUND_REGISTRY_ONLY;
    bool from_file = config->local_file[0] != '\0';
    LOG_INFO("agent", "started", LOG_S("version", REMORA_VERSION),
             LOG_S("identity", certificates_identity(agent->certificates)),
             LOG_S("pod", config->pod_name), LOG_S("inbound", strict ? "strict" : "permissive"),
             LOG_S("outbound", registry_only ? "registry-only" : "allow-any"),
             LOG_S("discovery", from_file ? config->local_file : config->xds_address),
             LOG_U("outbound_port", config->outbound_port),
             LOG_U("inbound_port", config->inbound_port), LOG_U("hbone_port", config->hbone_port),
             LOG_U("readiness_port", config->readiness_port),
             LOG_U("metrics_port", config->metrics_port), LOG_U("workers", config->workers),
             LOG_U("uid", geteuid()));
    LOG_INFO("agent", "TLS library", LOG_S("library", tls_library_describe()),
             LOG_S("groups", tls_library_groups()));
}

/* ----------------------------------------------------------------------------------- end -- */

static void stop_signals(struct agent *agent)
{
    for (size_t i = 0; i < NUM_SIGNALS; i++) {
        net_signal_free(agent->signals[i]);
        agent->signals[i] = NULL;
    }
}

static void start_drain(struct agent *agent, int signum)
{
    uint64_t deadline_ms = agent->config->drain_timeout_ms;
    agent->draining = true;
    readiness_set_pending(&agent->readiness, agent->running, "draining", NULL);
    LOG_INFO("agent", "draining: no new connections, live ones may finish",
             LOG_S("signal", sigabbrev_np(signum)), LOG_U("deadline_ms", deadline_ms));
    workers_start_drain(agent->workers, deadline_ms);
}

static void on_signal(void *owner, int signum)
{
    struct agent *agent = owner;
    if (signum == SIGHUP) {
        LOG_INFO("agent", "reloading certificate, ports and discovery", LOG_S("signal", "HUP"));
        certificates_reload(agent->certificates);
        port_contexts_reload(agent->ports);
        discovery_reload(agent->discovery);
    } else if (!agent->draining) {
        start_drain(agent, signum);
    } else {
        LOG_WARN("agent", "ending at once", LOG_S("signal", sigabbrev_np(signum)));
        stop_signals(agent); /* a third one kills, should this hang */
        workers_end_drain(agent->workers);
    }
}

static void on_workers_drained(void *owner)
{
    struct agent *agent = owner;
    net_loop_stop(agent->loop);
}

/* Also of an agent that did not start wholly. */
static void end(struct agent *agent)
{
    stop_signals(agent);
    net_timer_free(agent->trim_timer);
    admin_free(agent->admin);
    discovery_free(agent->discovery);
    certificates_free(agent->certificates);
    port_contexts_free(agent->ports);
    tls_io_free(agent->io);
    workers_free(agent->workers);
    telemetry_hub_free(agent->telemetry, FLUSH_MS);
    int num_left = net_loop_free(agent->loop);
    if (num_left != 0)
        LOG_ERROR("agent", "the control loop left handles open", LOG_I("handles", num_left));
}

int agent_run(const struct agent_config *config, struct err *err)
{
    struct agent agent = {.config = config};
    int rc = start(&agent, err);
    if (rc == 0) {
        log_start(&agent);
        net_loop_run(agent.loop);
        LOG_INFO("agent", "stopped", LOG_S("pod", config->pod_name));
    }
    end(&agent);
    return rc;
}
