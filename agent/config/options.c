#include "options.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "option_value.h"
#include "options_set.h"
#include "yaml_reader.h"

const char *options_set_env_name(const struct option_table *table, const struct option_spec *spec,
                                 char *out)
{
    snprintf(out, OPTION_ENV_NAME_MAX, "%s%s", table->env_prefix, spec->name);
    for (char *byte = out; *byte != '\0'; byte++)
        *byte = *byte == '-' ? '_' : (char)toupper((unsigned char)*byte);
    return out;
}

static const struct option_spec *find_spec(const struct option_table *table, const char *name,
                                           size_t len)
{
    for (size_t i = 0; i < table->num_specs; i++)
        if (strlen(table->specs[i].name) == len && strncmp(table->specs[i].name, name, len) == 0)
            return &table->specs[i];
    return NULL;
}

static struct option_given *given_for(const struct options *options, const struct option_spec *spec)
{
    return &options->given[spec - options->table->specs];
}

static const struct option_spec *known_spec(const struct options *options, const char *name)
{
    const struct option_spec *spec = find_spec(options->table, name, strlen(name));
    assert(spec != NULL);
    return spec;
}

/* ---------------------------------------------------------------------- what was given -- */

static void forget(struct option_given *given)
{
    free(given->text);
    free(given->place);
    given->text = NULL;
    given->place = NULL;
}

/* Replaces what was given before. Copies both texts. */
static int give(struct options *options, const struct option_spec *spec, enum option_source source,
                const char *text, const char *place, struct err *err)
{
    struct option_given *given = given_for(options, spec);
    char *text_copy = strdup(text);
    char *place_copy = place == NULL ? NULL : strdup(place);
    if (text_copy == NULL || (place != NULL && place_copy == NULL)) {
        free(text_copy);
        free(place_copy);
        return err_set(err, ERR_NOMEM, "out of memory for the option \"%s\"", spec->name);
    }
    forget(given);
    given->source = source;
    given->text = text_copy;
    given->place = place_copy;
    return 0;
}

/* -------------------------------------------------------------------------------- flags -- */

static int give_flag(struct options *options, const struct option_spec *spec, const char *text,
                     struct err *err)
{
    char place[OPTION_PLACE_MAX];
    if (given_for(options, spec)->source == OPTION_FROM_FLAG)
        return err_set(err, ERR_INVALID, "--%s: given twice", spec->name);
    snprintf(place, sizeof(place), "--%s", spec->name);
    return give(options, spec, OPTION_FROM_FLAG, text, place, err);
}

/* One flag with its value; *used says how many arguments that took. `next` may be NULL. */
static int read_flag(struct options *options, const char *arg, const char *next, int *used,
                     struct err *err)
{
    if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0')
        return err_set(err, ERR_INVALID, "\"%.100s\" is no option; options begin with --", arg);
    const char *name = arg + 2;
    size_t len = strcspn(name, "=");
    const struct option_spec *spec = find_spec(options->table, name, len);
    if (spec == NULL)
        return err_set(err, ERR_INVALID, "--%.*s: no such option; --help lists them",
                       len > 100 ? 100 : (int)len, name);
    *used = 1;
    if (name[len] == '=')
        return give_flag(options, spec, name + len + 1, err);
    if (spec->type == OPTION_BOOL)
        return give_flag(options, spec, "true", err);
    if (next == NULL)
        return err_set(err, ERR_INVALID, "--%s: a value is missing", spec->name);
    *used = 2;
    return give_flag(options, spec, next, err);
}

static int read_flags(struct options *options, int argc, char *const *argv, struct err *err)
{
    const char *first_word = options->table->first_word;
    /* "-" alone is a file's name to many: standard input. */
    bool has_word = first_word != NULL && argc > 1 && (argv[1][0] != '-' || argv[1][1] == '\0');
    if (has_word && give_flag(options, known_spec(options, first_word), argv[1], err) < 0)
        return -1;
    for (int i = has_word ? 2 : 1; i < argc;) {
        int used = 0;
        if (read_flag(options, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used, err) < 0)
            return -1;
        i += used;
    }
    return 0;
}

/* -------------------------------------------------------------------------- environment -- */

/* The value of a variable; NULL when it is not set, or set to nothing. */
static const char *find_variable(char *const *envp, const char *name)
{
    size_t len = strlen(name);
    for (; *envp != NULL; envp++)
        if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
            return (*envp)[len + 1] == '\0' ? NULL : *envp + len + 1;
    return NULL;
}

static int read_variable(struct options *options, const struct option_spec *spec, struct err *err)
{
    char own_name[OPTION_ENV_NAME_MAX];
    const char *name = options_set_env_name(options->table, spec, own_name);
    const char *text = find_variable(options->envp, name);
    for (size_t i = 0; text == NULL && i < OPTION_ALIASES_MAX && spec->aliases[i] != NULL; i++) {
        name = spec->aliases[i];
        text = find_variable(options->envp, name);
    }
    if (text == NULL)
        return 0;
    return give(options, spec, OPTION_FROM_ENVIRONMENT, text, name, err);
}

static int read_environment(struct options *options, struct err *err)
{
    for (size_t i = 0; i < options->table->num_specs; i++) {
        const struct option_spec *spec = &options->table->specs[i];
        if (options->given[i].source != OPTION_FROM_FLAG && !spec->command_only &&
            read_variable(options, spec, err) < 0)
            return -1;
    }
    return 0;
}

static bool is_own_variable(const struct option_table *table, const char *variable)
{
    size_t len = strcspn(variable, "=");
    for (size_t i = 0; i < table->num_specs; i++) {
        char name[OPTION_ENV_NAME_MAX];
        options_set_env_name(table, &table->specs[i], name);
        if (!table->specs[i].command_only && strlen(name) == len &&
            strncmp(name, variable, len) == 0)
            return true;
    }
    return false;
}

const char *options_unknown_variable(const struct options *options, size_t *index)
{
    const char *prefix = options->table->env_prefix;
    while (options->envp[*index] != NULL) {
        const char *variable = options->envp[(*index)++];
        if (strncmp(variable, prefix, strlen(prefix)) == 0 &&
            !is_own_variable(options->table, variable))
            return variable;
    }
    return NULL;
}

/* --------------------------------------------------------------------------------- file -- */

static bool belongs_in_file(const struct option_table *table, const struct option_spec *spec)
{
    return !spec->command_only && strcmp(spec->name, table->config_name) != 0;
}

static void read_entry(struct options *options, struct yaml_reader *reader,
                       const struct yaml_node *entry)
{
    const struct option_spec *spec = find_spec(options->table, entry->key, strlen(entry->key));
    if (spec == NULL || !belongs_in_file(options->table, spec)) {
        yaml_reader_fail(reader, entry, "no such option in a file");
        return;
    }
    const char *text = yaml_reader_raw(reader, entry);
    if (yaml_reader_failed(reader) || given_for(options, spec)->source != OPTION_FROM_DEFAULT)
        return;
    char place[OPTION_PLACE_MAX];
    snprintf(place, sizeof(place), "%.180s:%zu:%zu: %s", yaml_doc_name(reader->doc), entry->line,
             entry->column, spec->name);
    if (give(options, spec, OPTION_FROM_FILE, text, place, reader->err) < 0)
        reader->failed = true;
}

static int read_doc(struct options *options, struct yaml_doc *doc, struct err *err)
{
    struct yaml_reader reader;
    yaml_reader_init(&reader, doc, err);
    const struct yaml_node *root = yaml_doc_root(doc);
    if (yaml_reader_map(&reader, root, NULL))
        for (const struct yaml_node *entry = root->first; entry != NULL; entry = entry->next)
            read_entry(options, &reader, entry);
    return yaml_reader_failed(&reader) ? -1 : 0;
}

/* The file is named by a flag or the environment, so it is read after them and fills in only what they left out. */
static int read_file(struct options *options, struct err *err)
{
    if (options->table->config_name == NULL)
        return 0;
    const struct option_given *given =
        given_for(options, known_spec(options, options->table->config_name));
    if (given->source == OPTION_FROM_DEFAULT || given->text[0] == '\0')
        return 0;
    struct yaml_doc *doc = yaml_doc_load(given->text, err);
    if (doc == NULL) /* what is wrong inside names the file itself */
        return err->kind == ERR_SYSTEM ? err_prefix(err, "%s", given->place) : -1;
    int status = read_doc(options, doc, err);
    yaml_doc_free(doc);
    return status;
}

/* ------------------------------------------------------------------------------- values -- */

static int store(struct options *options, const struct option_spec *spec, struct err *err)
{
    const struct option_given *given = given_for(options, spec);
    if (option_value_store(spec, given->text, options->out, err) == 0)
        return 0;
    return err_prefix(err, "%s", given->place == NULL ? spec->name : given->place);
}

static int store_all(struct options *options, struct err *err)
{
    for (size_t i = 0; i < options->table->num_specs; i++) {
        const struct option_spec *spec = &options->table->specs[i];
        if (options->given[i].text == NULL &&
            give(options, spec, OPTION_FROM_DEFAULT, spec->default_value, NULL, err) < 0)
            return -1;
        if (store(options, spec, err) < 0)
            return -1;
    }
    return 0;
}

static int read_all(struct options *options, int argc, char *const *argv, struct err *err)
{
    if (read_flags(options, argc, argv, err) < 0 || read_environment(options, err) < 0)
        return -1;
    if (read_file(options, err) < 0)
        return -1;
    return store_all(options, err);
}

struct options *options_parse(const struct option_table *table, int argc, char *const *argv,
                              char *const *envp, void *out, struct err *err)
{
    struct options *options = calloc(1, sizeof(*options));
    struct option_given *given = calloc(table->num_specs, sizeof(*given));
    if (options == NULL || given == NULL) {
        free(options);
        free(given);
        err_set(err, ERR_NOMEM, "out of memory for the options");
        return NULL;
    }
    *options = (struct options){.table = table, .out = out, .envp = envp, .given = given};
    if (read_all(options, argc, argv, err) < 0) {
        options_free(options);
        return NULL;
    }
    return options;
}

void options_free(struct options *options)
{
    if (options == NULL)
        return;
    for (size_t i = 0; i < options->table->num_specs; i++)
        forget(&options->given[i]);
    free(options->given);
    free(options);
}

enum option_source options_source(const struct options *options, const char *name)
{
    return given_for(options, known_spec(options, name))->source;
}

int options_derive(struct options *options, const char *name, const char *text, struct err *err)
{
    const struct option_spec *spec = known_spec(options, name);
    if (give(options, spec, OPTION_DERIVED, text, NULL, err) < 0)
        return -1;
    return store(options, spec, err);
}

int options_error(const struct options *options, const char *name, struct err *err,
                  const char *format, ...)
{
    const struct option_given *given = given_for(options, known_spec(options, name));
    char message[ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (given->place != NULL)
        return err_set(err, ERR_INVALID, "%s: %s", given->place, message);
    return err_set(err, ERR_INVALID, "%s: %s", name, message);
}
