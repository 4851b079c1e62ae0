#include "sign_config.h"

#include <stddef.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

#define YEARS_MS (10ull * 365 * 24 * HOUR)

/* In the order of enum ca_usage. */
static const char *const usages[] = {"client", "server", "both", NULL};

#define OPTION(name_, type_, field_, default_, section_, ...)                                      \
    {                                                                                              \
        .name = (name_), .type = (type_), .offset = offsetof(struct sign_config, field_),          \
        .default_value = (default_), .command_only = true, .section = (section_), __VA_ARGS__      \
    }

#define FILES  "Files"
#define CA     "The CA that signs"
#define NAMES  "What the request may ask for; nothing that is not named here"
#define RESULT "The certificate"

static const struct option_spec specs[] = {
    OPTION("csr", OPTION_PATH, csr_file, "", FILES,
           .help = "PEM file of the request (openssl req -new). Also without --csr, as the first "
                   "word. Without either, or as -, it is read from standard input."),
    OPTION("out", OPTION_PATH, out_file, "", FILES,
           .help = "File for the certificate and the intermediates after it, in PEM; replaced in "
                   "one step, in a directory that nobody else can write to. A file that holds "
                   "anything but a former certificate is left as it is. Without it they go to "
                   "standard output. What was signed is said on standard error."),
    OPTION("help", OPTION_BOOL, help, "false", FILES, .help = "Print this text and exit."),

    OPTION("state-dir", OPTION_PATH, state_dir, "", CA,
           .help = "Directory of the control plane's CA. Nothing is made in it; the server may be "
                   "running."),
    OPTION("ca-cert", OPTION_PATH, ca_cert_file, "", CA,
           .help = "Instead of state-dir: PEM file of the CA's certificate, and behind it what "
                   "leads to its root, root included."),
    OPTION("ca-key", OPTION_PATH, ca_key_file, "", CA,
           .help = "The private key to ca-cert: PEM, not encrypted, mode 0600."),

    OPTION("allow-dns", OPTION_TEXT, rules.allowed[CA_NAME_DNS], "", NAMES,
           .help = "DNS names, with commas between. \"*.shop.example\" allows any one label in "
                   "front; a request for a wildcard itself is never granted."),
    OPTION("allow-ip", OPTION_TEXT, rules.allowed[CA_NAME_IP], "", NAMES, .help = "IP addresses."),
    OPTION("allow-uri", OPTION_TEXT, rules.allowed[CA_NAME_URI], "", NAMES,
           .help = "URIs. A SPIFFE ID may end with \"/*\", which allows any one segment there. A "
                   "certificate gets one URI at most."),
    OPTION("allow-email", OPTION_TEXT, rules.allowed[CA_NAME_EMAIL], "", NAMES,
           .help = "E-mail addresses. \"*@shop.example\" allows any mailbox."),
    OPTION("allow-cn", OPTION_TEXT, rules.allowed[CA_NAME_CN], "", NAMES,
           .help = "Common names, by every letter. A common name that is allowed as DNS name or "
                   "e-mail address needs no entry. One that is not allowed is left out, unless "
                   "nothing else remains; that is an error, as is any alternative name that is not "
                   "allowed."),
    OPTION("keep-subject", OPTION_BOOL, keep_subject, "false", NAMES,
           .help = "Certify the whole subject as the request has it: the common name has to be "
                   "allowed, the rest is not looked at. Without this the common name alone is "
                   "kept, where it is allowed."),

    OPTION("usage", OPTION_ENUM, usage, "client", RESULT, .choices = usages,
           .help = "What it is for. A server's certificate whose request has no alternative name "
                   "gets the common name as one, if that is an allowed DNS name."),
    OPTION("validity", OPTION_DURATION, validity_ms, "2160h", RESULT, .min = MINUTE,
           .max = YEARS_MS, .help = "Lifetime; the CA's own end comes first. Ninety days."),
};

const struct option_table sign_config_table = {
    .program = "remora-controlplane sign [FILE]",
    .description = "signs a certificate signing request with the control plane's CA, without a "
                   "running server; of the request count its key and the names that are allowed "
                   "here",
    .env_prefix = "REMORA_CONTROLPLANE_SIGN_",
    .first_word = "csr",
    .specs = specs,
    .num_specs = sizeof(specs) / sizeof(specs[0]),
};

static int check_ca(const struct options *options, const struct sign_config *config,
                    struct err *err)
{
    bool has_dir = config->state_dir[0] != '\0';
    bool has_cert = config->ca_cert_file[0] != '\0';
    bool has_key = config->ca_key_file[0] != '\0';
    if (has_cert != has_key)
        return options_error(options, has_cert ? "ca-cert" : "ca-key", err,
                             "ca-cert and ca-key belong together");
    if (has_dir && has_cert)
        return options_error(options, "state-dir", err, "either this or ca-cert and ca-key");
    return has_dir || has_cert
               ? 0
               : err_set(err, ERR_INVALID, "--state-dir, or --ca-cert and --ca-key, is required");
}

static int check(const struct options *options, const struct sign_config *config, struct err *err)
{
    static const char *const NAMES_OF[NUM_CA_NAME_KINDS] = {"allow-dns", "allow-ip", "allow-uri",
                                                            "allow-email", "allow-cn"};
    struct err why;
    for (int kind = 0; kind < NUM_CA_NAME_KINDS; kind++)
        if (ca_name_check_list((enum ca_name_kind)kind, config->rules.allowed[kind], &why) < 0)
            return options_error(options, NAMES_OF[kind], err, "%s", why.message);
    return check_ca(options, config, err);
}

struct options *sign_config_load(struct sign_config *config, int argc, char *const *argv,
                                 struct err *err)
{
    static char *const NO_ENVIRONMENT[] = {NULL};
    *config = (struct sign_config){0};
    struct options *options =
        options_parse(&sign_config_table, argc, argv, NO_ENVIRONMENT, config, err);
    if (options != NULL && !config->help && check(options, config, err) < 0) {
        options_free(options);
        options = NULL;
    }
    return options;
}
