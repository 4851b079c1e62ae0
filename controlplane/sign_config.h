/* The options of `remora-controlplane sign`. */
#ifndef REMORA_SIGN_CONFIG_H
#define REMORA_SIGN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "ca_order.h"
#include "options.h"

/* Text is never NULL; "" is what was not given. */
struct sign_config {
    bool help;
    const char *csr_file; /* "": standard input */
    const char *out_file; /* "": standard output */

    const char *state_dir; /* this, or the other two */
    const char *ca_cert_file;
    const char *ca_key_file;

    struct ca_name_rules rules;
    bool keep_subject;
    enum ca_usage usage;
    uint64_t validity_ms;
};

extern const struct option_table sign_config_table;

/* As controlplane_config_load, from flags alone: who signs says what, each time. */
struct options *sign_config_load(struct sign_config *config, int argc, char *const *argv,
                                 struct err *err);

#endif
