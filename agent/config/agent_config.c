#include "agent_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "options_server.h"

enum { SECOND = 1000, HOUR = 3600 * SECOND }; /* milliseconds */

uint64_t agent_config_drain_ms(uint32_t termination_grace_s)
{
    uint64_t grace = termination_grace_s;
    if (grace > 10)
        return (grace - 5) * SECOND;
    return grace > 2 ? (grace - 1) * SECOND : SECOND;
}

static int derive_drain(struct options *options, const struct agent_config *config, struct err *err)
{
    char text[32];
    if (config->termination_grace_s == 0 ||
        options_source(options, "drain-timeout") != OPTION_FROM_DEFAULT)
        return 0;
    uint64_t drain_ms = agent_config_drain_ms(config->termination_grace_s);
    snprintf(text, sizeof(text), "%" PRIu64 "s",
             drain_ms < HOUR ? drain_ms / SECOND : (uint64_t)HOUR / SECOND);
    return options_derive(options, "drain-timeout", text, err);
}

static int derive_ca(struct options *options, const struct agent_config *config, struct err *err)
{
    const struct options_server ca = {"ca-address", &config->ca_address, "ca-server-name",
                                      &config->ca_server_name};
    return options_server_derive(options, &ca, err);
}

static int derive_xds(struct options *options, const struct agent_config *config, struct err *err)
{
    const struct options_server xds = {"xds-address", &config->xds_address, "xds-server-name",
                                       &config->xds_server_name};
    return options_server_derive(options, &xds, err);
}

static int check_required(const struct options *options, const char *name, const char *value,
                          const char *why, struct err *err)
{
    if (value[0] == '\0')
        return options_error(options, name, err, "required%s", why);
    return 0;
}

static int check_files(const struct options *options, const struct agent_config *config,
                       struct err *err)
{
    static const char why[] = " with cert-source files";
    if (check_required(options, "cert-file", config->cert_file, why, err) < 0)
        return -1;
    if (check_required(options, "key-file", config->key_file, why, err) < 0)
        return -1;
    return check_required(options, "trust-bundle-file", config->trust_bundle_file, why, err);
}

static int check_cert_source(struct options *options, const struct agent_config *config,
                             struct err *err)
{
    if (config->cert_source == AGENT_CERT_FILES)
        return check_files(options, config, err);
    if (config->cert_source == AGENT_CERT_SPIFFE)
        return check_required(options, "spiffe-endpoint", config->spiffe_endpoint,
                              " with cert-source spiffe", err);
    if (check_required(options, "ca-root-file", config->ca_root_file, " with cert-source istio-ca",
                       err) < 0)
        return -1;
    if (check_required(options, "token-file", config->token_file, " with cert-source istio-ca",
                       err) < 0)
        return -1;
    return derive_ca(options, config, err);
}

/* One source, said once: which of two was meant cannot be guessed. Variables do not count, for Istio's pod templates carry them
 * whatever the source is. */
static int check_local_file(const struct options *options, struct err *err)
{
    static const char *const of_xds[] = {"xds-address", "xds-root-file", "xds-server-name",
                                         "discovery", "unanswered-destination"};
    for (size_t i = 0; i < sizeof(of_xds) / sizeof(of_xds[0]); i++) {
        enum option_source source = options_source(options, of_xds[i]);
        if (source != OPTION_FROM_DEFAULT && source != OPTION_FROM_ENVIRONMENT)
            return options_error(options, of_xds[i], err,
                                 "does not go with local-file, which is the source of discovery");
    }
    return 0;
}

static int check_discovery(struct options *options, const struct agent_config *config,
                           struct err *err)
{
    static const char why[] = " where discovery comes from the control plane (no local-file)";
    if (config->local_file[0] != '\0')
        return check_local_file(options, err);
    if (check_required(options, "xds-root-file", config->xds_root_file, why, err) < 0)
        return -1;
    if (check_required(options, "token-file", config->token_file, why, err) < 0)
        return -1;
    if (config->unanswered_destination == AGENT_UNANSWERED_PASSTHROUGH &&
        config->outbound_policy == AGENT_OUTBOUND_REGISTRY_ONLY)
        return options_error(options, "unanswered-destination", err,
                             "passthrough contradicts outbound-policy registry-only");
    return derive_xds(options, config, err);
}

static int check_ports(const struct options *options, const struct agent_config *config,
                       struct err *err)
{
    const struct {
        const char *name;
        uint16_t port;
    } ports[] = {
        {"outbound-port", config->outbound_port}, {"inbound-port", config->inbound_port},
        {"hbone-port", config->hbone_port},       {"readiness-port", config->readiness_port},
        {"metrics-port", config->metrics_port},
    };
    for (size_t i = 1; i < sizeof(ports) / sizeof(ports[0]); i++)
        for (size_t j = 0; j < i; j++)
            if (ports[i].port == ports[j].port)
                return options_error(options, ports[i].name, err, "%u is also %s", ports[i].port,
                                     ports[j].name);
    return 0;
}

static int check(struct options *options, const struct agent_config *config, struct err *err)
{
    if (check_required(options, "pod-name", config->pod_name, "", err) < 0)
        return -1;
    if (check_required(options, "pod-namespace", config->pod_namespace, "", err) < 0)
        return -1;
    if (check_required(options, "trust-domain", config->trust_domain, "", err) < 0)
        return -1;
    if (check_discovery(options, config, err) < 0)
        return -1;
    if (check_cert_source(options, config, err) < 0 || check_ports(options, config, err) < 0)
        return -1;
    if (config->http2_connection_window < config->http2_stream_window)
        return options_error(options, "http2-connection-window", err,
                             "is less than http2-stream-window");
    return derive_drain(options, config, err);
}

struct options *agent_config_load(struct agent_config *config, int argc, char *const *argv,
                                  char *const *envp, struct err *err)
{
    *config = (struct agent_config){0};
    struct options *options = options_parse(&agent_config_table, argc, argv, envp, config, err);
    if (options == NULL)
        return NULL;
    bool only_prints = config->help || config->help_markdown || config->version;
    if (!only_prints && check(options, config, err) < 0) {
        options_free(options);
        return NULL;
    }
    return options;
}
