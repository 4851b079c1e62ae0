/*
 * One table of options gives everything that configuration needs: the flag `--name value`, the
 * environment variable `PREFIX_NAME` and its aliases, the key in a YAML file, the checks and their
 * messages, the help and the page of documentation. A flag beats the environment beats the file
 * beats the default.
 *
 * The engine knows no option but those that its table names; each program has its own table (see
 * agent_config.c).
 */
#ifndef REMORA_OPTIONS_H
#define REMORA_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "buf.h"
#include "err.h"

/* What a value is, and the C type of the field at `offset` that receives it. */
enum option_type {
    OPTION_TEXT,     /* const char *; never NULL; printable UTF-8 without control characters */
    OPTION_PATH,     /* const char *; never NULL; a file name */
    OPTION_U32,      /* uint32_t; min..max */
    OPTION_PORT,     /* uint16_t; 1..65535 */
    OPTION_DURATION, /* uint64_t milliseconds; min..max; "500ms", "10s", "5m", "24h", "1h30m", "0"
                      */
    OPTION_SIZE,     /* uint64_t bytes; min..max; "4096", "64KiB", "4MiB", "1GiB" */
    OPTION_BOOL,     /* bool; true or false; a flag alone means true */
    OPTION_ENUM,     /* an enum whose values count from 0 in the order of `choices` */
    OPTION_ADDR      /* struct addr; "127.0.0.1:15012", "[::1]:15012" */
};

enum { OPTION_ALIASES_MAX = 2 };

struct option_spec {
    const char *name; /* "connect-timeout"; lower case, digits and dashes */
    enum option_type type;
    size_t offset;                           /* of the field in the program's struct */
    const char *default_value;               /* parsed like any other value */
    uint64_t min, max;                       /* of U32, DURATION (ms) and SIZE (bytes) */
    const char *const *choices;              /* of ENUM; ends with NULL */
    const char *aliases[OPTION_ALIASES_MAX]; /* environment variables that are read too, when
                                                PREFIX_NAME is not set */
    bool command_only; /* a flag and nothing else: makes no sense in the environment or in a file */
    const char *section; /* heading in texts; options of one section stand together */
    const char *help;    /* one or more sentences, with the reason of the default */
};

struct option_table {
    const char *program;     /* "remora-agent" */
    const char *description; /* one sentence, for help and documentation */
    const char *env_prefix;  /* "REMORA_" */
    const char
        *config_name; /* the option of type PATH that names the YAML file; NULL: there is none */
    /* The option whose value an argv[1] that is no flag is: "inspect FILE". NULL: there is none */
    const char *first_word;
    const struct option_spec *specs;
    size_t num_specs;
};

enum option_source {
    OPTION_FROM_DEFAULT,
    OPTION_FROM_FILE,
    OPTION_FROM_ENVIRONMENT,
    OPTION_FROM_FLAG,
    OPTION_DERIVED
};

/* What was given, and where; owns the text that the program's struct points to. */
struct options;

/*
 * Reads all sources, checks each value and stores it in `out` (the struct that the table's offsets
 * mean). argv[0] is skipped. What is wrong is named with its source: the flag, the variable, or the
 * file, line and key. Unknown flags and keys, values given twice by flag, and arguments that are no
 * flags (but for the table's first_word) are errors. An environment variable with an empty value counts as not set, since pod
 * templates often carry such. Returns NULL on failure: ERR_INVALID, ERR_SYSTEM (the file),
 * ERR_NOMEM. The result has to live as long as `out` is used.
 */
struct options *options_parse(const struct option_table *table, int argc, char *const *argv,
                              char *const *envp, void *out, struct err *err);

/* NULL is ignored. */
void options_free(struct options *options);

/* Where the value of the option came from. The name has to be in the table. */
enum option_source options_source(const struct options *options, const char *name);

/* Sets an option that follows from others, as if it had been given; `text` is copied. 0, or -1: the
 * value is not valid. */
int options_derive(struct options *options, const char *name, const char *text, struct err *err);

/*
 * Fills *err and returns -1, with where the option's value came from in front: "--drain-timeout:
 * <formatted>". For checks that involve more than one option.
 */
int options_error(const struct options *options, const char *name, struct err *err,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * Environment variables that begin with the prefix and mean nothing, one after another from *index
 * = 0; NULL at the end. Worth a warning, not an error: Kubernetes itself makes such variables for
 * services whose name is like the program's.
 */
const char *options_unknown_variable(const struct options *options, size_t *index);

/* Appends a text to `out`. 0, or -1 when out of memory. */
int options_help(const struct option_table *table, struct buf *out);     /* --help */
int options_markdown(const struct option_table *table, struct buf *out); /* a page of docs/ */
/* For --check-config: what is in force, as a YAML file that would give the same, and from where. */
int options_report(const struct options *options, struct buf *out);

#endif
