#include "export_config.h"

#include <stddef.h>

#define OPTION(name_, type_, field_, default_, section_, ...)                                      \
    {                                                                                              \
        .name = (name_), .type = (type_), .offset = offsetof(struct export_config, field_),        \
        .default_value = (default_), .command_only = true, .section = (section_), __VA_ARGS__      \
    }

#define INPUT  "What goes in"
#define RESULT "What comes out"

static const struct option_spec specs[] = {
    OPTION("cert", OPTION_PATH, cert_file, "", INPUT,
           .help = "PEM or DER file of the certificate, its intermediates behind it. Required."),
    OPTION("key", OPTION_PATH, key_file, "", INPUT,
           .help = "PEM file of its private key, not encrypted. Required."),
    OPTION("chain", OPTION_PATH, chain_file, "", INPUT,
           .help = "PEM or DER file of further certificates: intermediates that cert does not "
                   "have, or the CA's own, which browsers then offer to trust."),

    OPTION("pkcs12", OPTION_PATH, pkcs12_file, "", RESULT,
           .help = "The file to write (.p12): mode 0600, replaced in one step, in a directory that "
                   "nobody else can write to. A file that is none of these is left as it is. "
                   "Required."),
    OPTION("name", OPTION_TEXT, name, "Remora", RESULT,
           .help = "The name under which browsers show it."),
    OPTION("password-file", OPTION_PATH, password_file, "", RESULT,
           .help = "File whose one line is the password of the new file, 8 to 256 characters of "
                   "ASCII; nobody else may read it. Without it the terminal is asked. A password "
                   "is never an argument or in the environment, where others see it."),
    OPTION("help", OPTION_BOOL, help, "false", RESULT, .help = "Print this text and exit."),
};

const struct option_table export_config_table = {
    .program = "remora-certrotate export",
    .description = "puts a certificate and its private key into one file for a browser (PKCS#12, "
                   "with AES-256 and SHA-256)",
    .env_prefix = "REMORA_CERTROTATE_EXPORT_",
    .specs = specs,
    .num_specs = sizeof(specs) / sizeof(specs[0]),
};

static int check(const struct options *options, const struct export_config *config, struct err *err)
{
    if (config->pkcs12_file[0] == '\0')
        return options_error(options, "pkcs12", err, "required");
    if (config->cert_file[0] == '\0')
        return options_error(options, "cert", err, "required");
    return config->key_file[0] == '\0' ? options_error(options, "key", err, "required") : 0;
}

struct options *export_config_load(struct export_config *config, int argc, char *const *argv,
                                   struct err *err)
{
    static char *const NO_ENVIRONMENT[] = {NULL};
    *config = (struct export_config){0};
    struct options *options =
        options_parse(&export_config_table, argc, argv, NO_ENVIRONMENT, config, err);
    if (options != NULL && !config->help && check(options, config, err) < 0) {
        options_free(options);
        options = NULL;
    }
    return options;
}
