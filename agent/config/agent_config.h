/*
 * The configuration of remora-agent: its table of options and the values in force.
 * docs/CONFIGURATION.md is made from the table.
 */
#ifndef REMORA_AGENT_CONFIG_H
#define REMORA_AGENT_CONFIG_H

#include "log.h"
#include "options.h"

enum agent_access_log { AGENT_ACCESS_LOG_OFF, AGENT_ACCESS_LOG_TEXT, AGENT_ACCESS_LOG_JSON };
enum agent_inbound_mode { AGENT_INBOUND_STRICT, AGENT_INBOUND_PERMISSIVE };
enum agent_outbound_policy { AGENT_OUTBOUND_ALLOW_ANY, AGENT_OUTBOUND_REGISTRY_ONLY };
enum agent_discovery { AGENT_DISCOVERY_ON_DEMAND, AGENT_DISCOVERY_WILDCARD };
enum agent_unanswered { AGENT_UNANSWERED_REFUSE, AGENT_UNANSWERED_PASSTHROUGH };
enum agent_crl_policy { AGENT_CRL_LENIENT, AGENT_CRL_STRICT };
enum agent_cert_source { AGENT_CERT_ISTIO_CA, AGENT_CERT_FILES, AGENT_CERT_SPIFFE };

/* Text is never NULL; "" is what was not given. Durations in milliseconds, sizes in bytes. */
struct agent_config {
    /* program */
    const char *config_file;
    bool check_config;                 /* print what is in force and exit */
    bool help, help_markdown, version; /* print and exit; nothing else is checked then */
    bool allow_root;
    uint32_t workers;
    enum log_level log_level;
    enum log_format log_format;
    enum agent_access_log access_log;

    /* who we are */
    const char *pod_name;
    const char *pod_namespace;
    const char *service_account;
    const char *trust_domain;
    const char *cluster_id;
    const char *network;
    const char *node_name;
    const char *instance_ip;

    /* listeners */
    bool ipv6;
    uint16_t outbound_port;
    uint16_t inbound_port;
    uint16_t hbone_port;
    uint16_t readiness_port;
    uint16_t metrics_port;

    /* policy */
    enum agent_inbound_mode inbound_mode;
    enum agent_outbound_policy outbound_policy;
    const char *ports_file; /* "": none */

    /* discovery */
    const char *local_file;  /* "": the control plane is asked */
    const char *xds_address; /* "host:port", no scheme */
    const char *xds_root_file;
    const char *xds_server_name; /* never "": the host of xds_address unless given */
    enum agent_discovery discovery;
    uint64_t discovery_timeout_ms;
    enum agent_unanswered unanswered_destination;
    uint64_t subscription_expiry_ms;
    const char *cache_dir;

    /* certificates */
    enum agent_cert_source cert_source;
    const char *ca_address; /* "host:port", no scheme */
    const char *ca_root_file;
    const char *ca_server_name; /* never "": the host of ca_address unless given */
    const char *token_file;
    uint64_t cert_ttl_ms;
    const char *cert_file;
    const char *key_file;
    const char *trust_bundle_file;
    const char *spiffe_endpoint; /* "unix:///path" or "tcp://ip:port" */
    const char *spiffe_hint;

    /* trust */
    const char *trust_domain_aliases;   /* "a,b" */
    const char *federated_bundle_files; /* "domain=path,..." */
    const char *crl_file;               /* "path,..." */
    enum agent_crl_policy crl_policy;
    uint64_t peer_expiry_grace_ms;

    /* timers */
    uint64_t connect_timeout_ms;
    uint64_t tls_timeout_ms;
    uint64_t tunnel_answer_timeout_ms;
    uint64_t idle_timeout_ms; /* 0: none */
    uint64_t drain_timeout_ms;
    uint32_t termination_grace_s; /* 0: not known */

    /* HTTP/2 and the pool */
    uint64_t http2_ping_interval_ms;
    uint64_t http2_ping_timeout_ms;
    uint64_t http2_stream_window;
    uint64_t http2_connection_window;
    uint64_t http2_frame_size;
    uint32_t http2_max_streams; /* that a peer may open on one inbound connection */
    uint32_t pool_max_streams;  /* that we open on one outbound connection */
    uint64_t pool_idle_timeout_ms;

    /* TCP */
    uint64_t keepalive_time_ms; /* 0: no keepalive */
    uint64_t keepalive_interval_ms;
    uint32_t keepalive_count;
    uint64_t tcp_user_timeout_ms; /* 0: the kernel's */

    /* limits */
    uint32_t max_connections;
};

extern const struct option_table agent_config_table;

/*
 * Reads flags, environment and file into *config, and checks what several options decide together.
 * The texts belong to the result, which has to live as long as *config is used. With --help,
 * --help-markdown or --version the rest is not checked. NULL: *err says which option is wrong,
 * where it was given, and what was expected.
 */
struct options *agent_config_load(struct agent_config *config, int argc, char *const *argv,
                                  char *const *envp, struct err *err);

/* How long live connections get after SIGTERM when the pod's grace period is known, as ztunnel has
 * it. */
uint64_t agent_config_drain_ms(uint32_t termination_grace_s);

#endif
