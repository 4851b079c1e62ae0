/* The options of remora-init: its table, and what was given. */
#ifndef REMORA_INIT_OPTIONS_H
#define REMORA_INIT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "capture_options.h"
#include "err.h"

enum init_families {
    INIT_FAMILIES_AUTO,
    INIT_FAMILIES_IPV4,
    INIT_FAMILIES_IPV6,
    INIT_FAMILIES_BOTH
};

struct init_options {
    struct capture_options capture;
    enum init_families families; /* of verify */
    uint64_t timeout_ms;         /* of verify, for each family */
};

/*
 * Reads flags (argv[0] is skipped) and REMORA_* variables, and checks them. -1: ERR_INVALID names
 * the flag or variable and the value; ERR_NOMEM.
 */
int init_options_load(struct init_options *options, int argc, char *const *argv, char *const *envp,
                      struct err *err);

/* Appends the description of the options to `out`. 0, or -1 when out of memory. */
int init_options_help(struct buf *out);

#endif
