/* The options of `remora-certrotate export`. */
#ifndef REMORA_EXPORT_CONFIG_H
#define REMORA_EXPORT_CONFIG_H

#include <stdbool.h>

#include "options.h"

/* Text is never NULL; "" is what was not given. */
struct export_config {
    bool help;
    const char *pkcs12_file;
    const char *cert_file;
    const char *key_file;
    const char *chain_file;
    const char *name;
    const char *password_file; /* "": the terminal is asked */
};

extern const struct option_table export_config_table;

/* As certrotate_config_load, from flags alone. argv[0] is skipped. */
struct options *export_config_load(struct export_config *config, int argc, char *const *argv,
                                   struct err *err);

#endif
