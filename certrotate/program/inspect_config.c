#include "inspect_config.h"

#include <stddef.h>
#include <string.h>

#include "cert_rules.h"
#include "principal.h"
#include "spiffe_id.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };

#define OPTION(name_, type_, field_, default_, section_, ...)                                      \
    {                                                                                              \
        .name = (name_), .type = (type_), .offset = offsetof(struct inspect_config, field_),       \
        .default_value = (default_), .command_only = true, .section = (section_), __VA_ARGS__      \
    }

#define WHAT   "What to look at"
#define VERIFY "How to verify"
#define DOOR   "Outside of the mesh: an application's own door, and destinations"

static const struct option_spec specs[] = {
    OPTION(
        "file", OPTION_PATH, file, "", WHAT,
        .help =
            "PEM or DER file of a certificate and its intermediates; a key in it is passed "
            "over. \"-\" is standard input: what openssl s_client -showcerts prints can be piped "
            "in. Also without --file, as the first word."),
    OPTION("address", OPTION_TEXT, address, "", WHAT,
           .help = "ip:port of a TLS server, whose certificate is looked at as it presents it. No "
                   "certificate of our own is shown, and nothing is sent."),
    OPTION("server-name", OPTION_TEXT, server_name, "", WHAT,
           .help = "With --address: the name to ask for (SNI). The mesh asks for none. With "
                   "--server-ca: the DNS name or address that the certificate has to be for."),
    OPTION("timeout", OPTION_DURATION, timeout_ms, "5s", WHAT, .min = 100, .max = MINUTE,
           .help = "With --address: for connecting, and for the handshake."),
    OPTION("help", OPTION_BOOL, help, "false", WHAT, .help = "Print this text and exit."),

    OPTION("trust-bundle", OPTION_PATH, trust_bundle_file, "", VERIFY,
           .help = "PEM file of the roots to verify by. Without it the certificate is shown and "
                   "not judged."),
    OPTION("trust-domain", OPTION_TEXT, trust_domain, "", VERIFY,
           .help = "The trust domain whose roots these are: only its identities verify. Where "
                   "nothing is said: that of the certificate."),
    OPTION("crl", OPTION_PATH, crl_file, "", VERIFY,
           .help = "PEM or DER file of revocation lists. Lists that have expired are gone by."),
    OPTION("key", OPTION_PATH, key_file, "", VERIFY,
           .help = "PEM file of the private key, to see whether it belongs to the certificate."),
    OPTION("identity", OPTION_TEXT, identity, "", VERIFY,
           .help = "The SPIFFE ID that the certificate has to have."),
    OPTION("legacy-key-usage", OPTION_BOOL, legacy_key_usage, "false", VERIFY,
           .help = "Go by a keyUsage that is missing or not critical, which X.509-SVID forbids and "
                   "hand-made certificates often have."),

    OPTION("client-ca", OPTION_PATH, client_ca_file, "", DOOR,
           .help = "PEM file of the roots by which an mtls port of the agent verifies its callers. "
                   "With this the certificate is judged as a caller's; with a trust-bundle too, "
                   "whose trust domain only that one's CAs may name, as the agent has it."),
    OPTION("server-ca", OPTION_PATH, server_ca_file, "", DOOR,
           .help =
               "PEM file of the roots by which the agent verifies a server that the ports-file's "
               "destinations name. With this the certificate is judged as that server's, by "
               "server-name."),
    OPTION("verify-depth", OPTION_U32, verify_depth, "1", DOOR, .max = CERT_CHAIN_MAX,
           .help = "CA certificates that may stand between the caller's or server's and the root."),
    OPTION("principal-from", OPTION_TEXT, principal_from, "uri,dns,email,cn", DOOR,
           .help = "Kinds of name that such a port makes the principal of, in this order, with "
                   "commas between."),
};

const struct option_table inspect_config_table = {
    .program = "remora-certrotate inspect [FILE]",
    .description =
        "shows any certificate, what peers in the mesh and an application's own door would refuse "
        "about it, and whether it verifies",
    .env_prefix = "REMORA_CERTROTATE_INSPECT_",
    .first_word = "file",
    .specs = specs,
    .num_specs = sizeof(specs) / sizeof(specs[0]),
};

static int check_names(const struct options *options, const struct inspect_config *config,
                       struct err *err)
{
    struct err why;
    struct spiffe_id id;
    if (config->trust_domain[0] != '\0' &&
        spiffe_id_check_trust_domain(config->trust_domain, strlen(config->trust_domain), &why) < 0)
        return options_error(options, "trust-domain", err, "%s", why.message);
    if (config->identity[0] == '\0')
        return 0;
    if (spiffe_id_parse(&id, config->identity, strlen(config->identity), &why) < 0)
        return options_error(options, "identity", err, "%s", why.message);
    spiffe_id_done(&id);
    return 0;
}

int inspect_config_principals(const char *text, struct pki *pki)
{
    pki->num_principals = 0;
    while (*text != '\0') {
        char name[8];
        size_t len = strcspn(text, ",");
        if (len >= sizeof(name) || pki->num_principals == NUM_PRINCIPAL_KINDS)
            return -1;
        memcpy(name, text, len);
        name[len] = '\0';
        if (!principal_kind_parse(name, &pki->principals[pki->num_principals++]))
            return -1;
        text += len + (text[len] == ',');
    }
    return pki->num_principals > 0 ? 0 : -1;
}

static int check(const struct options *options, const struct inspect_config *config,
                 struct err *err)
{
    if ((config->file[0] == '\0') == (config->address[0] == '\0'))
        return err_set(err, ERR_INVALID, "either a file or --address says what to look at");
    bool in_mesh = config->trust_bundle_file[0] != '\0';
    bool at_door = config->client_ca_file[0] != '\0';
    if (config->identity[0] != '\0' && at_door)
        return options_error(options, "identity", err,
                             "of a caller, which client-ca makes it, the verdict names the "
                             "principal");
    bool is_server = config->server_ca_file[0] != '\0';
    if (config->crl_file[0] != '\0' && !in_mesh && !at_door && !is_server)
        return options_error(
            options, "crl", err,
            "without a trust-bundle, a client-ca or a server-ca nothing is judged");
    if (is_server && (at_door || in_mesh))
        return options_error(options, "server-ca", err,
                             "it is judged as a server's by name, or by client-ca or trust-bundle");
    if (is_server && config->server_name[0] == '\0')
        return options_error(options, "server-ca", err, "server-name says whose it has to be");
    struct pki pki;
    if (inspect_config_principals(config->principal_from, &pki) < 0)
        return options_error(options, "principal-from", err,
                             "expected some of uri, dns, email and cn, with commas between");
    return check_names(options, config, err);
}

struct options *inspect_config_load(struct inspect_config *config, int argc, char *const *argv,
                                    struct err *err)
{
    static char *const NO_ENVIRONMENT[] = {NULL};
    *config = (struct inspect_config){0};
    struct options *options =
        options_parse(&inspect_config_table, argc, argv, NO_ENVIRONMENT, config, err);
    if (options != NULL && !config->help && check(options, config, err) < 0) {
        options_free(options);
        options = NULL;
    }
    return options;
}
