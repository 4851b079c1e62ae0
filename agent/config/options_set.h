/* What struct options holds. Private to config: options.c fills it, options_text.c prints it. */
#ifndef REMORA_OPTIONS_SET_H
#define REMORA_OPTIONS_SET_H

#include "options.h"

enum {
    OPTION_ENV_NAME_MAX = 128, /* bytes of PREFIX_NAME with its NUL */
    OPTION_PLACE_MAX = 256,    /* bytes of "file:line:column: key" with its NUL */
};

struct option_given {
    enum option_source source;
    char *text;  /* owned */
    char *place; /* owned; "--name", "NAME" or "file:line:column: name"; NULL for a default */
};

struct options {
    const struct option_table *table;
    void *out;
    char *const *envp;
    struct option_given *given; /* as many as the table has specs, in its order */
};

/* The option's environment variable in `out` (OPTION_ENV_NAME_MAX bytes), which is returned. */
const char *options_set_env_name(const struct option_table *table, const struct option_spec *spec,
                                 char *out);

#endif
