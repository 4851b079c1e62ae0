/* The configuration of remora-controlplane: its table of options and the values in force. */
#ifndef REMORA_CONTROLPLANE_CONFIG_H
#define REMORA_CONTROLPLANE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "log.h"
#include "options.h"

/* Text is never NULL. Durations in milliseconds. */
struct controlplane_config {
    const char *config_file;
    bool help, help_markdown, version; /* print and exit; nothing else is checked then */
    enum log_level log_level;
    enum log_format log_format;

    struct addr listen;
    const char *server_name; /* what clients verify: a DNS name or an address */

    const char *state_dir; /* this, or the other two */
    const char *ca_cert_file;
    const char *ca_key_file;
    bool intermediate;
    const char *tokens_file;
    const char *trust_domain;
    uint64_t cert_ttl_ms;
    uint64_t max_cert_ttl_ms;
    uint64_t server_cert_ttl_ms;

    const char *discovery_dir; /* "": discovery is not served */
    uint64_t discovery_debounce_ms;

    uint32_t max_connections;
    uint64_t handshake_timeout_ms;
    uint64_t idle_timeout_ms;
    uint64_t keepalive_interval_ms;
    uint64_t max_connection_age_ms;
    uint64_t max_connection_age_grace_ms;
};

extern const struct option_table controlplane_config_table;

/*
 * Reads flags, environment and file into *config, and checks what the table cannot. The texts
 * belong to the result, which has to live as long as *config is used. NULL: *err says which option
 * is wrong, where it was given, and what was expected.
 */
struct options *controlplane_config_load(struct controlplane_config *config, int argc,
                                         char *const *argv, char *const *envp, struct err *err);

#endif
