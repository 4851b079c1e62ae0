#include "token_source.h"

#include <stdlib.h>
#include <string.h>

enum {
    POLL_MS = 2000, /* for filesystems that do not notify */
};

struct token_source {
    struct net_loop *loop;
    char *path;
    char *trust_domain;
    const struct token_source_handler *handler;
    void *owner;
    struct token_table *table;
    struct net_watch *watch;         /* of the table's file */
    struct net_watch **file_watches; /* of the token files */
    size_t num_file_watches;
};

static void on_change(void *owner);

static void free_watches(struct net_watch **watches, size_t num)
{
    for (size_t i = 0; i < num; i++)
        net_watch_free(watches[i]);
    free(watches);
}

static size_t count_files(const struct token_table *table)
{
    size_t num = 0;
    while (token_table_file(table, num) != NULL)
        num++;
    return num;
}

/* Watches the files of `table` instead of those before. */
static int watch_files(struct token_source *source, const struct token_table *table,
                       struct err *err)
{
    size_t num = count_files(table);
    struct net_watch **watches = calloc(num == 0 ? 1 : num, sizeof(struct net_watch *));
    if (watches == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < num; i++) {
        watches[i] = net_watch_new(source->loop, token_table_file(table, i), POLL_MS, on_change,
                                   source, err);
        if (watches[i] == NULL) {
            free_watches(watches, i);
            return err_prefix(err, "watching %s", token_table_file(table, i));
        }
    }
    free_watches(source->file_watches, source->num_file_watches);
    source->file_watches = watches;
    source->num_file_watches = num;
    return 0;
}

/* A table, and the watches that it needs; or NULL, and everything is as it was. */
static struct token_table *load(struct token_source *source, struct err *err)
{
    struct token_table *table = token_table_load(source->path, source->trust_domain, err);
    if (table != NULL && watch_files(source, table, err) < 0) {
        token_table_free(table);
        return NULL;
    }
    return table;
}

static void on_change(void *owner)
{
    struct token_source *source = owner;
    struct err err;
    struct token_table *old = source->table;
    struct token_table *table = load(source, &err);
    if (table == NULL) {
        source->handler->on_error(source->owner, &err);
        return;
    }
    source->table = table;
    source->handler->on_table(source->owner, table); /* who uses the old one lets go of it here */
    token_table_free(old);
}

struct token_source *token_source_new(struct net_loop *loop, const char *path,
                                      const char *trust_domain,
                                      const struct token_source_handler *handler, void *owner,
                                      struct err *err)
{
    struct token_source *source = calloc(1, sizeof(*source));
    if (source == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    source->loop = loop;
    source->handler = handler;
    source->owner = owner;
    source->path = strdup(path);
    source->trust_domain = strdup(trust_domain);
    if (source->path == NULL || source->trust_domain == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        goto fail;
    }
    source->watch = net_watch_new(loop, path, POLL_MS, on_change, source, err);
    if (source->watch == NULL)
        goto fail;
    source->table = load(source, err);
    if (source->table == NULL)
        goto fail;
    return source;

fail:
    token_source_free(source);
    return NULL;
}

void token_source_free(struct token_source *source)
{
    if (source == NULL)
        return;
    net_watch_free(source->watch);
    free_watches(source->file_watches, source->num_file_watches);
    token_table_free(source->table);
    free(source->path);
    free(source->trust_domain);
    free(source);
}

const struct token_table *token_source_table(const struct token_source *source)
{
    return source->table;
}
