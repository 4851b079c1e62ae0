#include "controlplane_config.h"

#include <stddef.h>
#include <string.h>

#include "options_program.h"
#include "spiffe_id.h"

enum {
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    HOUR = 60 * MINUTE,
    HOST_MAX = 253, /* RFC 1035, 2.3.4, as text */
};

#define YEARS_MS (10ull * 365 * 24 * HOUR)

#define FIELD(name_) .offset = offsetof(struct controlplane_config, name_)

#define PROGRAM     "Program"
#define SERVER      "Server"
#define CERTIFICATE "Certificate authority"
#define DISCOVERY   "Discovery"
#define LIMITS      "Limits"

static const struct option_spec specs[] = {
    OPTIONS_PROGRAM(struct controlplane_config, PROGRAM),

    {.name = "listen",
     .type = OPTION_ADDR,
     FIELD(listen),
     .default_value = "[::]:15012",
     .section = SERVER,
     .help = "Address and port of the server; [::] takes IPv4 too. 15012 is istiod's port."},
    {.name = "server-name",
     .type = OPTION_TEXT,
     FIELD(server_name),
     .default_value = "localhost",
     .section = SERVER,
     .help = "The DNS name or address that clients verify the server by (remora-agent's "
             "ca-server-name)."},
    {.name = "server-cert-ttl",
     .type = OPTION_DURATION,
     FIELD(server_cert_ttl_ms),
     .default_value = "24h",
     .min = SECOND,
     .max = YEARS_MS,
     .section = SERVER,
     .help = "Lifetime of the server's own certificate. It is renewed in the middle of its life."},

    {.name = "state-dir",
     .type = OPTION_PATH,
     FIELD(state_dir),
     .default_value = "",
     .section = CERTIFICATE,
     .help = "Directory of the CA, made with a new root if it is missing: root.pem (what agents "
             "trust), root-key.pem, and issuer.pem and issuer-key.pem if there is an intermediate. "
             "Required, unless ca-cert and ca-key are given."},
    {.name = "ca-cert",
     .type = OPTION_PATH,
     FIELD(ca_cert_file),
     .default_value = "",
     .section = CERTIFICATE,
     .help =
         "Instead of state-dir, a CA made elsewhere, by openssl for example: PEM file of its "
         "certificate, and behind it what leads to its root, root included. Nothing is written."},
    {.name = "ca-key",
     .type = OPTION_PATH,
     FIELD(ca_key_file),
     .default_value = "",
     .section = CERTIFICATE,
     .help = "The private key to ca-cert: PEM, not encrypted, mode 0600."},
    {.name = "intermediate",
     .type = OPTION_BOOL,
     FIELD(intermediate),
     .default_value = "false",
     .section = CERTIFICATE,
     .help =
         "Make an intermediate if there is none, so that root-key.pem can be kept elsewhere. One "
         "that is there is always used."},
    {.name = "tokens-file",
     .type = OPTION_PATH,
     FIELD(tokens_file),
     .default_value = "",
     .section = CERTIFICATE,
     .help =
         "YAML file that says which bearer token stands for which identity: a list `tokens` of "
         "{token or tokenFile, namespace, serviceAccount, trustDomain}. Read again when it or a "
         "token file changes. Required."},
    {.name = "trust-domain",
     .type = OPTION_TEXT,
     FIELD(trust_domain),
     .default_value = "cluster.local",
     .section = CERTIFICATE,
     .help = "Trust domain of tokens that name none. The default is Istio's."},
    {.name = "cert-ttl",
     .type = OPTION_DURATION,
     FIELD(cert_ttl_ms),
     .default_value = "24h",
     .min = SECOND,
     .max = YEARS_MS,
     .section = CERTIFICATE,
     .help = "Lifetime of certificates when a request asks for none. The default is istiod's."},
    {.name = "max-cert-ttl",
     .type = OPTION_DURATION,
     FIELD(max_cert_ttl_ms),
     .default_value = "2160h",
     .min = SECOND,
     .max = YEARS_MS,
     .section = CERTIFICATE,
     .help =
         "Lifetime that no certificate exceeds, whatever is asked for. The default is istiod's."},

    {.name = "discovery-dir",
     .type = OPTION_PATH,
     FIELD(discovery_dir),
     .default_value = "",
     .section = DISCOVERY,
     .help =
         "Directory of YAML files (.yaml, .yml, .json) with workloads, services and policies, in "
         "the schema of docs/LOCAL-FILE.md; all together are one mesh. Served as delta xDS to "
         "whom the tokens-file knows, and told to the agents as the files change. Empty: "
         "discovery is not served."},
    {.name = "discovery-debounce",
     .type = OPTION_DURATION,
     FIELD(discovery_debounce_ms),
     .default_value = "100ms",
     .min = 0,
     .max = MINUTE,
     .section = DISCOVERY,
     .help =
         "Changed files are read when nothing has changed for this long, or at the latest after "
         "ten times as long. The default is istiod's."},

    {.name = "max-connections",
     .type = OPTION_U32,
     FIELD(max_connections),
     .default_value = "1000",
     .min = 1,
     .max = 100000,
     .section = LIMITS,
     .help = "Connections at one time; more are closed as they come. An agent keeps one for "
             "discovery, and needs another, for a moment, at each renewal."},
    {.name = "handshake-timeout",
     .type = OPTION_DURATION,
     FIELD(handshake_timeout_ms),
     .default_value = "10s",
     .min = 100,
     .max = MINUTE,
     .section = LIMITS,
     .help = "Time that a client has for its TLS handshake."},
    {.name = "idle-timeout",
     .type = OPTION_DURATION,
     FIELD(idle_timeout_ms),
     .default_value = "30s",
     .min = 100,
     .max = HOUR,
     .section = LIMITS,
     .help = "A connection on which no call is finished for this long is ended, unless discovery "
             "streams on it; that one must answer a PING."},
    {.name = "keepalive-interval",
     .type = OPTION_DURATION,
     FIELD(keepalive_interval_ms),
     .default_value = "30s",
     .min = 10,
     .max = HOUR,
     .section = LIMITS,
     .help =
         "A client of discovery that says nothing for this long is sent a PING, and has as long "
         "again to answer. The default is istiod's."},
    {.name = "max-connection-age",
     .type = OPTION_DURATION,
     FIELD(max_connection_age_ms),
     .default_value = "30m",
     .min = 0,
     .max = YEARS_MS,
     .section = LIMITS,
     .help = "A connection this old is asked to go (GOAWAY), so that clients spread over servers "
             "and identities are looked at again; some up to a tenth sooner. 0: for ever. The "
             "default is istiod's."},
    {.name = "max-connection-age-grace",
     .type = OPTION_DURATION,
     FIELD(max_connection_age_grace_ms),
     .default_value = "10s",
     .min = 0,
     .max = HOUR,
     .section = LIMITS,
     .help =
         "What still runs on such a connection after this is cut off. The default is istiod's."},
};

const struct option_table controlplane_config_table = {
    .program = "remora-controlplane",
    .description = "The embedded control plane of Remora: a certificate authority that speaks "
                   "Istio's CreateCertificate, and discovery that speaks Istio's delta xDS, for "
                   "demonstrations, tests and single machines.",
    .env_prefix = "REMORA_CONTROLPLANE_",
    .config_name = "config",
    .specs = specs,
    .num_specs = sizeof(specs) / sizeof(specs[0]),
};

static bool is_host(const char *text)
{
    struct ip ip;
    size_t len = strlen(text);
    if (ip_parse(&ip, text, NULL) == 0)
        return true;
    return len > 0 && len <= HOST_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == len;
}

static int check_required(const struct options *options, const char *name, const char *value,
                          struct err *err)
{
    return value[0] != '\0' ? 0 : options_error(options, name, err, "required");
}

static int check_ca(const struct options *options, const struct controlplane_config *config,
                    struct err *err)
{
    bool has_cert = config->ca_cert_file[0] != '\0';
    bool has_key = config->ca_key_file[0] != '\0';
    if (has_cert != has_key)
        return options_error(options, has_cert ? "ca-cert" : "ca-key", err,
                             "ca-cert and ca-key belong together");
    if (!has_cert)
        return check_required(options, "state-dir", config->state_dir, err);
    if (config->state_dir[0] != '\0')
        return options_error(options, "state-dir", err, "either this or ca-cert and ca-key");
    return config->intermediate
               ? options_error(options, "intermediate", err, "only in a state-dir is one made")
               : 0;
}

static int check(const struct options *options, const struct controlplane_config *config,
                 struct err *err)
{
    struct err why;
    if (check_ca(options, config, err) < 0 ||
        check_required(options, "tokens-file", config->tokens_file, err) < 0)
        return -1;
    if (!is_host(config->server_name))
        return options_error(options, "server-name", err,
                             "expected a DNS name or an address, found \"%.100s\"",
                             config->server_name);
    if (spiffe_id_check_trust_domain(config->trust_domain, strlen(config->trust_domain), &why) < 0)
        return options_error(options, "trust-domain", err, "%s", why.message);
    return 0;
}

struct options *controlplane_config_load(struct controlplane_config *config, int argc,
                                         char *const *argv, char *const *envp, struct err *err)
{
    *config = (struct controlplane_config){0};
    struct options *options =
        options_parse(&controlplane_config_table, argc, argv, envp, config, err);
    if (options == NULL)
        return NULL;
    bool only_prints = config->help || config->help_markdown || config->version;
    if (!only_prints && check(options, config, err) < 0) {
        options_free(options);
        return NULL;
    }
    return options;
}
