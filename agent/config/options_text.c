/* What the table of options says to people: help, documentation, what is in force. */
#include "option_value.h"
#include "options_set.h"

#include <string.h>

enum {
    HELP_INDENT = 6,
    HELP_COLUMNS = 100, /* a line of help is not longer */
};

/* ---------------------------------------------------------------------------------- help -- */

/* The text in lines of at most HELP_COLUMNS, broken at spaces. */
static int append_wrapped(struct buf *out, const char *text)
{
    while (*text != '\0') {
        size_t len = strlen(text);
        if (len > HELP_COLUMNS - HELP_INDENT) {
            len = HELP_COLUMNS - HELP_INDENT;
            while (len > 1 && text[len] != ' ')
                len--;
        }
        if (buf_printf(out, "%*s%.*s\n", HELP_INDENT, "", (int)len, text) < 0)
            return -1;
        text += len;
        text += strspn(text, " ");
    }
    return 0;
}

static int append_heading(const struct option_table *table, size_t i, const char *format_start,
                          const char *format_end, struct buf *out)
{
    const struct option_spec *specs = table->specs;
    if (i > 0 && strcmp(specs[i].section, specs[i - 1].section) == 0)
        return 0;
    if (buf_append_str(out, format_start) < 0 || buf_append_str(out, specs[i].section) < 0)
        return -1;
    return buf_append_str(out, format_end);
}

/* "default 10s; 100ms to 5m; environment REMORA_X, X" */
static int append_facts(const struct option_table *table, const struct option_spec *spec,
                        struct buf *out)
{
    char name[OPTION_ENV_NAME_MAX];
    if (spec->default_value[0] != '\0' && spec->type != OPTION_BOOL)
        if (buf_printf(out, "default %s; ", spec->default_value) < 0)
            return -1;
    if (spec->type == OPTION_BOOL && buf_printf(out, "default %s; ", spec->default_value) < 0)
        return -1;
    if (spec->max > 0 &&
        (option_value_describe_range(spec, out) < 0 || buf_append_str(out, "; ") < 0))
        return -1;
    if (spec->command_only)
        return buf_append_str(out, "flag only");
    if (buf_printf(out, "environment %s", options_set_env_name(table, spec, name)) < 0)
        return -1;
    for (size_t i = 0; i < OPTION_ALIASES_MAX && spec->aliases[i] != NULL; i++)
        if (buf_printf(out, ", %s", spec->aliases[i]) < 0)
            return -1;
    return 0;
}

static int append_option(const struct option_table *table, const struct option_spec *spec,
                         struct buf *out)
{
    if (buf_printf(out, "  --%s%s", spec->name, spec->type == OPTION_BOOL ? "[=" : " ") < 0)
        return -1;
    if (option_value_describe(spec, out) < 0)
        return -1;
    if (buf_append_str(out, spec->type == OPTION_BOOL ? "]\n" : "\n") < 0 ||
        append_wrapped(out, spec->help) < 0)
        return -1;
    if (buf_printf(out, "%*s[", HELP_INDENT, "") < 0 || append_facts(table, spec, out) < 0)
        return -1;
    return buf_append_str(out, "]\n");
}

int options_help(const struct option_table *table, struct buf *out)
{
    if (buf_printf(out, "%s: %s\n\nusage: %s [--OPTION VALUE | --OPTION=VALUE]...\n",
                   table->program, table->description, table->program) < 0)
        return -1;
    for (size_t i = 0; i < table->num_specs; i++)
        if (append_heading(table, i, "\n", ":\n", out) < 0 ||
            append_option(table, &table->specs[i], out) < 0)
            return -1;
    return 0;
}

/* ------------------------------------------------------------------------- documentation -- */

static int append_intro(const struct option_table *table, struct buf *out)
{
    return buf_printf(
        out,
        "# Configuration of %s\n\n"
        "<!-- Written by `%s --help-markdown`; edit the table in the source instead. -->\n\n"
        "`%s` %s.\n\n"
        "Every option can be given as a flag (`--name value` or `--name=value`), as an environment "
        "variable (`%sNAME`, upper case, dashes as underscores), or as a key of the YAML file that "
        "`--config` names. A flag beats the environment, the environment beats the file, the file "
        "beats the default. An empty environment variable counts as not set. `--check-config` "
        "prints what is in force and where it comes from.\n\n"
        "Durations carry their unit: `500ms`, `10s`, `5m`, `1h30m`. Sizes are in bytes or carry "
        "`KiB`, `MiB` or `GiB`.\n",
        table->program, table->program, table->program, table->description, table->env_prefix);
}

/* A bar inside a cell of a table would end the cell. */
static int append_cell(struct buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (buf_printf(out, text[i] == '|' ? "\\%c" : "%c", text[i]) < 0)
            return -1;
    return 0;
}

static int append_value_cell(const struct option_spec *spec, struct buf *out)
{
    struct buf words = {0};
    int status = option_value_describe(spec, &words);
    if (status == 0 && spec->max > 0)
        status = buf_append_str(&words, ", ") < 0 ? -1 : option_value_describe_range(spec, &words);
    if (status == 0)
        status = append_cell(out, (const char *)buf_head(&words), buf_len(&words));
    buf_done(&words);
    return status;
}

static int append_row(const struct option_table *table, const struct option_spec *spec,
                      struct buf *out)
{
    char name[OPTION_ENV_NAME_MAX];
    if (buf_printf(out, "| `%s` | ", spec->name) < 0 || append_value_cell(spec, out) < 0)
        return -1;
    const char *tick = spec->default_value[0] == '\0' ? "" : "`";
    if (buf_printf(out, " | %s%s%s | ", tick, spec->default_value, tick) < 0)
        return -1;
    const char *variable =
        spec->command_only ? "flag only" : options_set_env_name(table, spec, name);
    if (buf_printf(out, spec->command_only ? "%s" : "`%s`", variable) < 0)
        return -1;
    for (size_t i = 0; i < OPTION_ALIASES_MAX && spec->aliases[i] != NULL; i++)
        if (buf_printf(out, ", `%s`", spec->aliases[i]) < 0)
            return -1;
    if (buf_append_str(out, " | ") < 0 || append_cell(out, spec->help, strlen(spec->help)) < 0)
        return -1;
    return buf_append_str(out, " |\n");
}

int options_markdown(const struct option_table *table, struct buf *out)
{
    static const char columns[] =
        "\n\n| option | value | default | environment | meaning |\n|---|---|---|---|---|\n";
    if (append_intro(table, out) < 0)
        return -1;
    for (size_t i = 0; i < table->num_specs; i++)
        if (append_heading(table, i, "\n## ", columns, out) < 0 ||
            append_row(table, &table->specs[i], out) < 0)
            return -1;
    return 0;
}

/* ------------------------------------------------------------------------ what is in force -- */

static int append_origin(const struct option_given *given, struct buf *out)
{
    switch (given->source) {
    case OPTION_FROM_DEFAULT:
        return buf_append_str(out, "default");
    case OPTION_DERIVED:
        return buf_append_str(out, "derived from other options");
    case OPTION_FROM_FILE:
    case OPTION_FROM_ENVIRONMENT:
    case OPTION_FROM_FLAG:
        break;
    }
    return buf_append_str(out, given->place);
}

/* Texts stand in quotes, so that YAML takes none of them for something else. */
static int append_report_value(const struct option_spec *spec, const char *text, struct buf *out)
{
    if (spec->type != OPTION_TEXT && spec->type != OPTION_PATH)
        return buf_append_str(out, text);
    if (buf_append_str(out, "\"") < 0)
        return -1;
    for (; *text != '\0'; text++)
        if (buf_printf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text) < 0)
            return -1;
    return buf_append_str(out, "\"");
}

int options_report(const struct options *options, struct buf *out)
{
    for (size_t i = 0; i < options->table->num_specs; i++) {
        const struct option_spec *spec = &options->table->specs[i];
        const struct option_given *given = &options->given[i];
        if (spec->command_only)
            continue;
        /* The file cannot name itself: its own line is a comment. */
        const char *start = options->table->config_name == NULL ||
                                    strcmp(spec->name, options->table->config_name) != 0
                                ? ""
                                : "# ";
        if (buf_printf(out, "%s%s: ", start, spec->name) < 0 ||
            append_report_value(spec, given->text, out) < 0)
            return -1;
        if (buf_append_str(out, " # ") < 0 || append_origin(given, out) < 0 ||
            buf_append_str(out, "\n") < 0)
            return -1;
    }
    return 0;
}
