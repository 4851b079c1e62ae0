#include "certrotate_config.h"

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "options_program.h"
#include "options_server.h"
#include "spiffe_id.h"
#include "words.h"
#include "workload_api.h"

enum {
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    HOUR = 60 * MINUTE,
    DAY = 24 * HOUR,
};

static const char *const sources[] = {"istio-ca", "spiffe", NULL};
static const char *const signals[] = {"none", "HUP", "USR1", "USR2", "TERM", "WINCH", NULL};
static const int signal_numbers[] = {0, SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGWINCH};

#define OPTION(name_, type_, field_, default_, section_, ...)                                      \
    {                                                                                              \
        .name = (name_), .type = (type_), .offset = offsetof(struct certrotate_config, field_),    \
        .default_value = (default_), .section = (section_), __VA_ARGS__                            \
    }

#define PROGRAM  "Program"
#define IDENTITY "Who we are"
#define SOURCE   "Source"
#define FILES    "Files"
#define AFTER    "Afterwards"

static const struct option_spec specs[] = {
    OPTIONS_PROGRAM(struct certrotate_config, PROGRAM),
    OPTION("check-config", OPTION_BOOL, check_config, "false", PROGRAM, .command_only = true,
           .help = "Say what is wrong with the configuration, or print what is in force and where "
                   "it comes from, and exit."),
    OPTION("once", OPTION_BOOL, once, "false", PROGRAM,
           .help = "Get a certificate, write the files, run the hook or send the signal, and exit; "
                   "the exit code says how it went. For init containers and cron."),
    OPTION("once-timeout", OPTION_DURATION, once_timeout_ms, "1m", PROGRAM, .min = SECOND,
           .max = DAY,
           .help = "With --once: how long it may take, attempts that fail included. In a pod that "
                   "starts with its control plane, a minute is what that needs."),

    OPTION("identity", OPTION_TEXT, identity, "", IDENTITY,
           .help = "The SPIFFE ID to ask for and to insist on. Where nothing is said, istio-ca is "
                   "asked for spiffe://TRUST-DOMAIN/ns/POD-NAMESPACE/sa/SERVICE-ACCOUNT, and of "
                   "spiffe any is taken."),
    OPTION("trust-domain", OPTION_TEXT, trust_domain, "cluster.local", IDENTITY,
           .aliases = {"TRUST_DOMAIN"}, .help = "The mesh's trust domain. Istio's default."),
    OPTION("pod-namespace", OPTION_TEXT, pod_namespace, "", IDENTITY, .aliases = {"POD_NAMESPACE"},
           .help = "This pod's namespace. Required with istio-ca, unless identity is given."),
    OPTION("service-account", OPTION_TEXT, service_account, "default", IDENTITY,
           .aliases = {"SERVICE_ACCOUNT"},
           .help = "This pod's service account; Kubernetes gives pods \"default\" where nothing is "
                   "said."),
    OPTION("cluster-id", OPTION_TEXT, cluster_id, "Kubernetes", IDENTITY,
           .aliases = {"CLUSTER_ID", "ISTIO_META_CLUSTER_ID"},
           .help = "The cluster's name, told to Istio's CA. Istio's default."),

    OPTION("cert-source", OPTION_ENUM, source, "istio-ca", SOURCE, .choices = sources,
           .help = "Where the certificate comes from: Istio's CA (or any that speaks its "
                   "CreateCertificate), or the SPIFFE Workload API (SPIRE)."),
    OPTION("ca-address", OPTION_TEXT, ca_address, "istiod.istio-system.svc:15012", SOURCE,
           .aliases = {"CA_ADDRESS"},
           .help = "host:port of the CA; https:// in front is accepted."),
    OPTION("ca-root-file", OPTION_PATH, ca_root_file, "/var/run/secrets/istio/root-cert.pem",
           SOURCE, .aliases = {"CA_ROOT_CA"},
           .help = "PEM file of the roots by which the CA's own server certificate is verified."),
    OPTION("ca-server-name", OPTION_TEXT, ca_server_name, "", SOURCE,
           .help = "DNS name that the CA's server certificate has to carry. Where nothing is said: "
                   "the host of ca-address."),
    OPTION("token-file", OPTION_PATH, token_file, "/var/run/secrets/tokens/istio-token", SOURCE,
           .help = "Bearer token by which the CA knows this pod; read anew for each call, for "
                   "Kubernetes replaces it."),
    OPTION("cert-ttl", OPTION_DURATION, cert_ttl_ms, "24h", SOURCE, .min = 10 * SECOND,
           .max = (uint64_t)90 * DAY, .aliases = {"SECRET_TTL"},
           .help = "Lifetime asked of the CA, which may give less. Renewed at about half of it. "
                   "Istio's default."),
    OPTION("spiffe-endpoint", OPTION_TEXT, spiffe_endpoint, "", SOURCE,
           .aliases = {"SPIFFE_ENDPOINT_SOCKET"},
           .help = "The Workload API: unix:///path of its socket, or tcp://ip:port. Required with "
                   "cert-source spiffe."),
    OPTION("spiffe-hint", OPTION_TEXT, spiffe_hint, "", SOURCE,
           .help = "Of several identities, the one with this hint. Where nothing is said, the one "
                   "that identity names, else the first."),

    OPTION("output-dir", OPTION_PATH, output_dir, "", FILES,
           .help = "Directory of the files, this program's own; made if it is missing. It has to "
                   "belong to this program's user, and nobody else may write to it. Required."),
    OPTION("memory-only", OPTION_BOOL, memory_only, "true", FILES,
           .help = "Refuse an output-dir that is not on tmpfs (in a pod: an emptyDir with medium "
                   "Memory). A key on a disk outlives the pod."),
    OPTION("cert-name", OPTION_TEXT, cert_name, "tls.crt", FILES,
           .help = "The certificate with its intermediates, leaf first. The names are those of a "
                   "Kubernetes Secret."),
    OPTION("key-name", OPTION_TEXT, key_name, "tls.key", FILES,
           .help = "The private key, PKCS#8. Made anew for each certificate."),
    OPTION("bundle-name", OPTION_TEXT, bundle_name, "ca.crt", FILES,
           .help = "The roots of our trust domain: what peers are verified by."),
    OPTION("combined-name", OPTION_TEXT, combined_name, "", FILES,
           .help = "Key, certificate and intermediates in one file, for programs that want that "
                   "(HAProxy, Envoy, stunnel). Empty: not written, as for the next two."),
    OPTION("federated-name", OPTION_TEXT, federated_name, "", FILES,
           .help = "The roots of all federated trust domains. A program that trusts this file "
                   "cannot tell which root may speak for which trust domain: it has to check whole "
                   "SPIFFE IDs, not only that a certificate verifies."),
    OPTION("crl-name", OPTION_TEXT, crl_name, "", FILES,
           .help = "The revocation lists. There is no such file while there is no list."),
    OPTION("metrics-name", OPTION_TEXT, metrics_name, "", FILES,
           .help = "Metrics in Prometheus' text format, for node_exporter's textfile collector: "
                   "expiry, last rotation, attempts and hooks by outcome. Empty: not written."),
    OPTION("owner", OPTION_TEXT, owner_text, "", FILES,
           .help = "User, by name or number, to whom the files are given; takes CAP_CHOWN. Where "
                   "nothing is said they belong to this program's user."),
    OPTION("group", OPTION_TEXT, group_text, "", FILES,
           .help = "Group, by name or number, to which the files are given: one in which this "
                   "program's user is."),
    OPTION("mode", OPTION_TEXT, mode_text, "0644", FILES,
           .help = "Permissions, octal, of files without a key."),
    OPTION("key-mode", OPTION_TEXT, key_mode_text, "0600", FILES,
           .help = "Permissions, octal, of files with the key. 0640 lets the group read it; more "
                   "is refused."),

    OPTION("hook", OPTION_TEXT, hook, "", AFTER,
           .help = "Command to run when the files have changed, split into words at white space; "
                   "quotes and backslashes keep words together. There is no shell: for a pipe or a "
                   "variable, name one. It gets REMORA_CERTROTATE_DIR, _IDENTITY, _SERIAL and "
                   "_NOT_AFTER. Where it fails it is run again, with growing pauses."),
    OPTION("hook-timeout", OPTION_DURATION, hook_timeout_ms, "30s", AFTER, .min = 100, .max = HOUR,
           .help = "Then it is ended."),
    OPTION("signal", OPTION_ENUM, signal_choice, "none", AFTER, .choices = signals,
           .help = "Signal to send when the files have changed, instead of a hook. In a pod, the "
                   "containers have to share their processes (shareProcessNamespace) and, without "
                   "CAP_KILL, their user."),
    OPTION("pid-file", OPTION_PATH, pid_file, "", AFTER,
           .help = "File that names the process to signal; read each time."),
    OPTION("pid", OPTION_U32, pid, "0", AFTER, .min = 0, .max = INT32_MAX,
           .help = "The process to signal, where there is no pid-file."),
};

const struct option_table certrotate_config_table = {
    .program = "remora-certrotate",
    .description = "keeps a workload's certificate, key and trust bundle fresh in PEM files, for "
                   "programs that do their own TLS",
    .env_prefix = "REMORA_CERTROTATE_",
    .config_name = "config",
    .specs = specs,
    .num_specs = sizeof(specs) / sizeof(specs[0]),
};

/* ------------------------------------------------------------------------------------- checks -- */

static int check_required(const struct options *options, const char *name, const char *value,
                          const char *why, struct err *err)
{
    return value[0] != '\0' ? 0 : options_error(options, name, err, "required%s", why);
}

static int check_identity(const struct options *options, const char *uri, struct err *err)
{
    struct spiffe_id id;
    struct err why;
    if (spiffe_id_parse(&id, uri, strlen(uri), &why) < 0)
        return options_error(options, "identity", err, "%s", why.message);
    bool has_path = id.path[0] != '\0';
    spiffe_id_done(&id);
    return has_path
               ? 0
               : options_error(options, "identity", err,
                               "\"%.200s\" has no path: it is a trust domain, not a workload", uri);
}

static int derive_identity(struct options *options, const struct certrotate_config *config,
                           struct err *err)
{
    struct spiffe_id id;
    if (config->identity[0] != '\0')
        return check_identity(options, config->identity, err);
    if (config->source != CERTROTATE_ISTIO_CA)
        return 0;
    if (check_required(options, "pod-namespace", config->pod_namespace,
                       " with cert-source istio-ca, where there is no identity", err) < 0)
        return -1;
    if (spiffe_id_format(&id, config->trust_domain, config->pod_namespace, config->service_account,
                         err) < 0)
        return err_prefix(err,
                          "trust-domain \"%.100s\", pod-namespace \"%.100s\" and service-account "
                          "\"%.100s\" make no identity",
                          config->trust_domain, config->pod_namespace, config->service_account);
    int result = options_derive(options, "identity", id.uri, err);
    spiffe_id_done(&id);
    return result;
}

static int check_istio_ca(struct options *options, const struct certrotate_config *config,
                          struct err *err)
{
    static const char WHY[] = " with cert-source istio-ca";
    const struct options_server ca = {.address_name = "ca-address",
                                      .address = &config->ca_address,
                                      .server_name_name = "ca-server-name",
                                      .server_name = &config->ca_server_name};
    if (check_required(options, "ca-root-file", config->ca_root_file, WHY, err) < 0 ||
        check_required(options, "token-file", config->token_file, WHY, err) < 0)
        return -1;
    return options_server_derive(options, &ca, err);
}

static int check_spiffe(const struct options *options, const struct certrotate_config *config,
                        struct err *err)
{
    struct err why;
    if (check_required(options, "spiffe-endpoint", config->spiffe_endpoint,
                       " with cert-source spiffe", err) < 0)
        return -1;
    if (workload_api_check_endpoint(config->spiffe_endpoint, &why) < 0)
        return options_error(options, "spiffe-endpoint", err, "%s", why.message);
    return 0;
}

static int check_source(struct options *options, const struct certrotate_config *config,
                        struct err *err)
{
    return config->source == CERTROTATE_SPIFFE ? check_spiffe(options, config, err)
                                               : check_istio_ca(options, config, err);
}

/* True for a number, which names a user or group that has no name. */
static bool read_number(const char *text, uint32_t *number)
{
    size_t len = strlen(text);
    if (len == 0 || len > 9 || strspn(text, "0123456789") != len)
        return false;
    *number = (uint32_t)strtoul(text, NULL, 10);
    return true;
}

static int read_owner(const struct options *options, struct certrotate_config *config,
                      struct err *err)
{
    config->has_uid = config->owner_text[0] != '\0';
    if (!config->has_uid || read_number(config->owner_text, &config->uid))
        return 0;
    const struct passwd *user = getpwnam(config->owner_text);
    if (user == NULL)
        return options_error(options, "owner", err, "there is no user \"%.100s\"",
                             config->owner_text);
    config->uid = user->pw_uid;
    return 0;
}

static int read_group(const struct options *options, struct certrotate_config *config,
                      struct err *err)
{
    config->has_gid = config->group_text[0] != '\0';
    if (!config->has_gid || read_number(config->group_text, &config->gid))
        return 0;
    const struct group *group = getgrnam(config->group_text);
    if (group == NULL)
        return options_error(options, "group", err, "there is no group \"%.100s\"",
                             config->group_text);
    config->gid = group->gr_gid;
    return 0;
}

static int read_mode(const struct options *options, const char *name, const char *text,
                     mode_t at_most, mode_t *mode, struct err *err)
{
    char *end;
    unsigned long value = strtoul(text, &end, 8);
    if (text[0] < '0' || text[0] > '7' || *end != '\0' || (value & ~(unsigned long)at_most) != 0 ||
        (value & 0400) == 0)
        return options_error(options, name, err,
                             "expected permissions out of %04o, octal, the owner's reading among "
                             "them; found \"%.20s\"",
                             (unsigned)at_most, text);
    *mode = (mode_t)value;
    return 0;
}

static int check_metrics_name(const struct options *options, const struct certrotate_config *config,
                              struct err *err)
{
    const char *name = config->metrics_name;
    const char *const others[] = {config->cert_name,      config->key_name,
                                  config->bundle_name,    config->combined_name,
                                  config->federated_name, config->crl_name};
    if (name[0] == '.' || strchr(name, '/') != NULL)
        return options_error(options, "metrics-name", err,
                             "\"%.100s\" is not a file's name (no slash, no dot in front)", name);
    for (size_t i = 0; name[0] != '\0' && i < sizeof(others) / sizeof(others[0]); i++)
        if (strcmp(name, others[i]) == 0)
            return options_error(options, "metrics-name", err, "two files are called \"%.100s\"",
                                 name);
    return 0;
}

static int read_rights(const struct options *options, struct certrotate_config *config,
                       struct err *err)
{
    if (read_owner(options, config, err) < 0 || read_group(options, config, err) < 0)
        return -1;
    if (read_mode(options, "mode", config->mode_text, 0644, &config->mode, err) < 0)
        return -1;
    return read_mode(options, "key-mode", config->key_mode_text, 0640, &config->key_mode, err);
}

static int check_action(const struct options *options, struct certrotate_config *config,
                        struct err *err)
{
    struct words words;
    struct err why;
    if (words_split(&words, config->hook, &why) < 0)
        return options_error(options, "hook", err, "%s", why.message);
    words_done(&words);
    config->signum = signal_numbers[config->signal_choice];
    if (config->signum == 0)
        return 0;
    if (config->hook[0] != '\0')
        return options_error(options, "signal", err, "there is a hook; one of the two");
    if ((config->pid_file[0] != '\0') == (config->pid != 0))
        return options_error(options, "signal", err, "to whom? Either pid-file or pid says it");
    return 0;
}

static int check(struct options *options, struct certrotate_config *config, struct err *err)
{
    if (check_required(options, "output-dir", config->output_dir, "", err) < 0 ||
        derive_identity(options, config, err) < 0 || check_source(options, config, err) < 0)
        return -1;
    if (check_metrics_name(options, config, err) < 0 || read_rights(options, config, err) < 0)
        return -1;
    return check_action(options, config, err);
}

struct options *certrotate_config_load(struct certrotate_config *config, int argc,
                                       char *const *argv, char *const *envp, struct err *err)
{
    *config = (struct certrotate_config){0};
    struct options *options =
        options_parse(&certrotate_config_table, argc, argv, envp, config, err);
    if (options == NULL)
        return NULL;
    bool only_prints = config->help || config->help_markdown || config->version;
    if (!only_prints && check(options, config, err) < 0) {
        options_free(options);
        return NULL;
    }
    return options;
}
