/*
 * The configuration of remora-certrotate: its table of options and the values in force.
 * docs/CERTROTATE.md is made from the table.
 */
#ifndef REMORA_CERTROTATE_CONFIG_H
#define REMORA_CERTROTATE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "log.h"
#include "options.h"

enum certrotate_source { CERTROTATE_ISTIO_CA, CERTROTATE_SPIFFE };

/* Text is never NULL; "" is what was not given. Durations in milliseconds. */
struct certrotate_config {
    /* program */
    const char *config_file;
    bool check_config;                 /* print what is in force and exit */
    bool help, help_markdown, version; /* print and exit; nothing else is checked then */
    enum log_level log_level;
    enum log_format log_format;
    bool once;
    uint64_t once_timeout_ms;

    /* who we are */
    const char *identity; /* the SPIFFE ID to ask for and to insist on; "": whatever the Workload
                             API gives; never "" with istio-ca */
    const char *trust_domain;
    const char *pod_namespace;
    const char *service_account;
    const char *cluster_id;

    /* source */
    enum certrotate_source source;
    const char *ca_address;
    const char *ca_root_file;
    const char *ca_server_name;
    const char *token_file;
    uint64_t cert_ttl_ms;
    const char *spiffe_endpoint;
    const char *spiffe_hint;

    /* files */
    const char *output_dir;
    bool memory_only;
    const char *cert_name, *key_name, *bundle_name, *combined_name, *federated_name, *crl_name;
    const char *metrics_name;
    const char *owner_text, *group_text, *mode_text, *key_mode_text;
    /* The same, read. */
    bool has_uid, has_gid;
    uid_t uid;
    gid_t gid;
    mode_t mode, key_mode;

    /* afterwards */
    const char *hook;
    uint64_t hook_timeout_ms;
    unsigned signal_choice; /* index in the option's choices */
    int signum;             /* the signal; 0: none */
    const char *pid_file;
    uint32_t pid;
};

extern const struct option_table certrotate_config_table;

/*
 * Reads flags, environment and file into *config, and checks what the table cannot. The texts
 * belong to the result, which has to live as long as *config is used. NULL: *err says which option
 * is wrong, where it was given, and what was expected.
 */
struct options *certrotate_config_load(struct certrotate_config *config, int argc,
                                       char *const *argv, char *const *envp, struct err *err);

#endif
