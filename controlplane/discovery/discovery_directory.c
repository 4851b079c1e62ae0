#include "discovery_directory.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "discovery_file.h"

enum {
    POLL_MS = 5000, /* for filesystems that do not notify */
    FILES_MAX = 10000,
    DEBOUNCE_ROUNDS_MAX = 10,
};

struct discovery_directory {
    struct net_loop *loop;
    char *path;
    uint64_t debounce_ms;
    const struct discovery_directory_handler *handler;
    void *owner;
    struct net_watch *watch;
    struct net_timer *poll;
    struct net_timer *debounce;
    uint64_t first_change_ms; /* 0: nothing waits for the debounce */

    struct discovery_file **files; /* in force, by name */
    size_t num_files;
    struct discovery_table *table;
    uint64_t num_tables;
    size_t num_clashes;    /* in the table that was made last */
    bool is_stale;         /* the files have changed, and memory did not suffice for a new table */
    struct err last_error; /* what was told last; ERR_NONE: nothing since the last good look */
};

/* ---------------------------------------------------------------------------------- errors -- */

/* A mistake that stays is not told at every look. */
static void tell(struct discovery_directory *directory, const struct err *err)
{
    if (directory->last_error.kind == err->kind &&
        strcmp(directory->last_error.message, err->message) == 0)
        return;
    directory->last_error = *err;
    directory->handler->on_error(directory->owner, err);
}

/* --------------------------------------------------------------------------------- listing -- */

static bool has_ending(const char *name)
{
    static const char *const endings[] = {".yaml", ".yml", ".json"};
    size_t len = strlen(name);
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        size_t ending_len = strlen(endings[i]);
        if (len > ending_len && strcmp(name + len - ending_len, endings[i]) == 0)
            return true;
    }
    return false;
}

static int is_ours(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && has_ending(entry->d_name);
}

/* By the bytes of the names, whatever the locale. */
static int compare_entries(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void free_entries(struct dirent **entries, size_t num)
{
    for (size_t i = 0; i < num; i++)
        free(entries[i]);
    free(entries);
}

static int list(const struct discovery_directory *directory, struct dirent ***entries, size_t *num,
                struct err *err)
{
    int result = scandir(directory->path, entries, is_ours, compare_entries);
    if (result < 0)
        return err_set_sys(err, errno, "%s", directory->path);
    *num = (size_t)result;
    if (*num > FILES_MAX) {
        free_entries(*entries, *num);
        return err_set(err, ERR_LIMIT, "%s: more than %d files", directory->path, FILES_MAX);
    }
    return 0;
}

/* --------------------------------------------------------------------------------- reading -- */

/* The next state of the files, made out of the present one. */
struct look {
    struct discovery_directory *directory;
    struct discovery_file **files;
    size_t num_files;
    bool changed;
    struct err err; /* the first mistake; ERR_NONE: there is none */
};

/* The file of that name that is in force, taken out of the present state; NULL: there is none. */
static struct discovery_file *take_present(struct discovery_directory *directory, const char *name)
{
    for (size_t i = 0; i < directory->num_files; i++) {
        struct discovery_file *file = directory->files[i];
        if (file != NULL && strcmp(file->name, name) == 0) {
            directory->files[i] = NULL;
            return file;
        }
    }
    return NULL;
}

static bool same_content(const struct discovery_file *a, const struct discovery_file *b)
{
    if (a->resources.num != b->resources.num)
        return false;
    for (size_t i = 0; i < a->resources.num; i++) {
        const struct discovery_resource *x = a->resources.values[i];
        const struct discovery_resource *y = b->resources.values[i];
        if (x->type != y->type || strcmp(x->name, y->name) != 0 ||
            strcmp(x->version, y->version) != 0)
            return false;
    }
    return true;
}

static void look_at_file(struct look *look, const char *name)
{
    struct err err = {0};
    char *path = NULL;
    struct discovery_file *present = take_present(look->directory, name);
    if (asprintf(&path, "%s/%s", look->directory->path, name) < 0) {
        look->files[look->num_files++] = present;
        return;
    }
    if (present != NULL && discovery_file_is_current(present, path)) {
        look->files[look->num_files++] = present;
        free(path);
        return;
    }
    struct discovery_file *file = discovery_file_load(path, name, &err);
    if (file == NULL && look->err.kind == ERR_NONE)
        look->err = err;
    look->changed |= file != NULL && (present == NULL || !same_content(file, present));
    look->files[look->num_files++] = file != NULL ? file : present;
    if (file != NULL)
        discovery_file_free(present);
    free(path);
}

/* What is left of the present state was removed from the directory. */
static void replace_files(struct look *look)
{
    struct discovery_directory *directory = look->directory;
    for (size_t i = 0; i < directory->num_files; i++) {
        look->changed |= directory->files[i] != NULL;
        discovery_file_free(directory->files[i]);
    }
    free(directory->files);
    directory->files = look->files;
    directory->num_files = 0;
    for (size_t i = 0; i < look->num_files; i++)
        if (look->files[i] != NULL)
            directory->files[directory->num_files++] = look->files[i];
}

/* Reads what has changed. 0, *changed says whether something has; -1: the directory could not be
 * read, and everything stays. *mistake is a file that stays as it was. */
static int read_files(struct discovery_directory *directory, bool *changed, struct err *mistake,
                      struct err *err)
{
    struct dirent **entries = NULL;
    size_t num = 0;
    if (list(directory, &entries, &num, err) < 0)
        return -1;
    struct look look = {.directory = directory,
                        .files = calloc(num + 1, sizeof(struct discovery_file *))};
    if (look.files == NULL) {
        free_entries(entries, num);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < num; i++)
        look_at_file(&look, entries[i]->d_name);
    replace_files(&look);
    free_entries(entries, num);
    *changed = look.changed;
    *mistake = look.err;
    return 0;
}

/* ----------------------------------------------------------------------------------- table -- */

static const char *file_of(const struct discovery_directory *directory,
                           const struct discovery_resource *resource)
{
    for (size_t i = 0; i < directory->num_files; i++) {
        const struct discovery_list *resources = &directory->files[i]->resources;
        for (size_t k = 0; k < resources->num; k++)
            if (resources->values[k] == resource)
                return directory->files[i]->name;
    }
    return "?";
}

static void on_clash(void *owner, const struct discovery_resource *stays,
                     const struct discovery_resource *goes)
{
    struct discovery_directory *directory = owner;
    char text[MESH_WARNING_MAX];
    if (directory->num_clashes++ >= MESH_WARNINGS_KEPT)
        return;
    snprintf(text, sizeof(text), "\"%.90s\" is in %.60s and in %.60s; the first one counts",
             stays->name, file_of(directory, stays), file_of(directory, goes));
    directory->handler->on_warning(directory->owner, text);
}

/* Somebody may have left a copy of a whole mesh there. */
static void tell_more_clashes(const struct discovery_directory *directory)
{
    char text[MESH_WARNING_MAX];
    if (directory->num_clashes <= MESH_WARNINGS_KEPT)
        return;
    snprintf(text, sizeof(text), "%zu more resources are in two files",
             directory->num_clashes - MESH_WARNINGS_KEPT);
    directory->handler->on_warning(directory->owner, text);
}

/* What one of several files names may be in another. */
static void tell_warnings(const struct discovery_directory *directory)
{
    if (directory->num_files != 1)
        return;
    const struct mesh_warnings *warnings = &directory->files[0]->warnings;
    for (size_t i = 0; i < warnings->num && i < MESH_WARNINGS_KEPT; i++)
        directory->handler->on_warning(directory->owner, warnings->kept[i]);
}

static int fill_table(struct discovery_directory *directory, struct discovery_table *table)
{
    for (size_t i = 0; i < directory->num_files; i++) {
        const struct discovery_list *resources = &directory->files[i]->resources;
        for (size_t k = 0; k < resources->num; k++)
            if (discovery_table_add(table, resources->values[k]) < 0)
                return -1;
    }
    return discovery_table_seal(table, on_clash, directory);
}

static int make_table(struct discovery_directory *directory, struct err *err)
{
    struct discovery_table *table = discovery_table_new(directory->num_tables + 1);
    directory->num_clashes = 0;
    if (table == NULL || fill_table(directory, table) < 0) {
        discovery_table_unref(table);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    directory->num_tables++;
    discovery_table_unref(directory->table);
    directory->table = table;
    tell_more_clashes(directory);
    tell_warnings(directory);
    return 0;
}

/* -------------------------------------------------------------------------------- watching -- */

static void look_again(struct discovery_directory *directory)
{
    struct err err = {0};
    struct err mistake = {0};
    bool changed;
    directory->first_change_ms = 0;
    net_timer_start(directory->poll, POLL_MS);
    int result = read_files(directory, &changed, &mistake, &err);
    if (result == 0) {
        changed |= directory->is_stale;
        directory->is_stale = changed;
        result = changed ? make_table(directory, &err) : 0;
    }
    if (result < 0) {
        tell(directory, &err);
        return;
    }
    directory->is_stale = false;
    if (mistake.kind != ERR_NONE)
        tell(directory, &mistake);
    else
        directory->last_error = (struct err){0};
    if (changed)
        directory->handler->on_table(directory->owner, directory->table);
}

static void directory_on_poll(void *owner)
{
    look_again(owner);
}

static void directory_on_quiet(void *owner)
{
    look_again(owner);
}

static void directory_on_change(void *owner)
{
    struct discovery_directory *directory = owner;
    uint64_t now_ms = net_loop_now_ms(directory->loop);
    if (directory->first_change_ms == 0)
        directory->first_change_ms = now_ms;
    if (now_ms - directory->first_change_ms < DEBOUNCE_ROUNDS_MAX * directory->debounce_ms)
        net_timer_start(directory->debounce, directory->debounce_ms);
}

static int start(struct discovery_directory *directory, struct err *err)
{
    struct err mistake = {0};
    bool changed;
    directory->poll = net_timer_new(directory->loop, directory_on_poll, directory);
    directory->debounce = net_timer_new(directory->loop, directory_on_quiet, directory);
    if (directory->path == NULL || directory->poll == NULL || directory->debounce == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    /* Watching begins before reading, so that no change falls between the two. */
    directory->watch = net_watch_new(directory->loop, directory->path, POLL_MS, directory_on_change,
                                     directory, err);
    if (directory->watch == NULL || read_files(directory, &changed, &mistake, err) < 0)
        return -1;
    if (mistake.kind != ERR_NONE) {
        *err = mistake;
        return -1;
    }
    net_timer_start(directory->poll, POLL_MS);
    return make_table(directory, err);
}

struct discovery_directory *
discovery_directory_new(struct net_loop *loop, const struct discovery_directory_options *options,
                        const struct discovery_directory_handler *handler, void *owner,
                        struct err *err)
{
    struct discovery_directory *directory = calloc(1, sizeof(*directory));
    if (directory == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    directory->loop = loop;
    directory->path = strdup(options->path);
    directory->debounce_ms = options->debounce_ms;
    directory->handler = handler;
    directory->owner = owner;
    if (start(directory, err) == 0)
        return directory;
    discovery_directory_free(directory);
    return NULL;
}

void discovery_directory_free(struct discovery_directory *directory)
{
    if (directory == NULL)
        return;
    net_watch_free(directory->watch);
    net_timer_free(directory->poll);
    net_timer_free(directory->debounce);
    for (size_t i = 0; i < directory->num_files; i++)
        discovery_file_free(directory->files[i]);
    free(directory->files);
    discovery_table_unref(directory->table);
    free(directory->path);
    free(directory);
}

struct discovery_table *discovery_directory_table(const struct discovery_directory *directory)
{
    return directory->table;
}
