/* The options of `remora-certrotate inspect`. */
#ifndef REMORA_INSPECT_CONFIG_H
#define REMORA_INSPECT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"
#include "pki.h"

/* Text is never NULL; "" is what was not given. */
struct inspect_config {
    bool help;
    const char *file; /* one of file and address is given */
    const char *address;
    const char *server_name;
    uint64_t timeout_ms;
    const char *key_file;
    const char *trust_bundle_file;
    const char *trust_domain;
    const char *crl_file;
    const char *identity;
    bool legacy_key_usage;
    const char *client_ca_file;
    const char *principal_from; /* kinds with commas between; checked */
    uint32_t verify_depth;
    const char *server_ca_file; /* with a server_name, and without a client_ca_file */
};

extern const struct option_table inspect_config_table;

/*
 * As certrotate_config_load, from flags alone. argv[0] is skipped; an argv[1] that is no option is
 * the file.
 */
struct options *inspect_config_load(struct inspect_config *config, int argc, char *const *argv,
                                    struct err *err);

/* The kinds of `principal_from`. -1: something else is in it. */
int inspect_config_principals(const char *text, struct pki *pki);

#endif
