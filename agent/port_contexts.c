#include "port_contexts.h"

#include <stdlib.h>

#include "log.h"
#include "port_files.h"

enum {
    POLL_MS = 5000,  /* for filesystems that do not notify */
    SETTLE_MS = 200, /* a certificate and its key are two files, written one after the other */
    /* Between attempts to make a table for an identity, each twice the one before. */
    RETRY_FIRST_MS = 1000,
    RETRY_MAX_MS = 60 * 1000,
};

struct port_contexts {
    struct net_loop *loop;
    struct port_contexts_options options;
    size_t condition; /* of readiness, where there is a path */
    struct net_timer *settle;
    struct net_timer *retry;
    uint64_t retry_ms;          /* until the next attempt, should this one fail */
    struct net_watch *watch;    /* of the ports-file */
    struct net_watch **watches; /* of what it names */
    size_t num_watches;
    struct port_files *files;  /* that are in force; NULL: none yet */
    struct identity *identity; /* the latest; NULL: there was none */
    bool is_valid;             /* it still is */
    bool has_contexts;         /* a table that was made with an identity is in force */
    bool is_behind;            /* but not one for the identity of now */
};

static void on_change(void *owner)
{
    struct port_contexts *contexts = owner;
    net_timer_start(contexts->settle, SETTLE_MS);
}

/* ------------------------------------------------------------------------------- watching -- */

static void free_watches(struct port_contexts *contexts)
{
    for (size_t i = 0; i < contexts->num_watches; i++)
        net_watch_free(contexts->watches[i]);
    free(contexts->watches);
    contexts->watches = NULL;
    contexts->num_watches = 0;
}

/* Without a watch the agent works as well, until the file changes. */
static void watch_files(struct port_contexts *contexts, const struct port_files *files)
{
    size_t num = port_files_num(files);
    struct err err = {0};
    free_watches(contexts);
    contexts->watches = calloc(num + 1, sizeof(struct net_watch *));
    if (contexts->watches == NULL)
        err_set(&err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; contexts->watches != NULL && i < num; i++) {
        struct net_watch *watch = net_watch_new(contexts->loop, port_files_path(files, i), POLL_MS,
                                                on_change, contexts, &err);
        if (watch != NULL)
            contexts->watches[contexts->num_watches++] = watch;
    }
    if (err.kind != ERR_NONE)
        LOG_WARN("agent", "a file of the ports-file is not watched", LOG_S("error", err.message));
}

/* -------------------------------------------------------------------------------- loading -- */

static void tell_failure(struct port_contexts *contexts, const struct err *err)
{
    bool loaded = contexts->files != NULL;
    LOG_WARN("agent", "ports not loaded", LOG_S("error", err->message),
             LOG_S("in_force", loaded ? "the state before" : "none"));
    if (!loaded)
        readiness_set_pending(contexts->options.readiness, contexts->condition, "not loaded yet",
                              err->message);
}

static int publish(struct port_contexts *contexts, struct port_files *files, struct err *err)
{
    struct port_table *table = port_table_new(files, contexts->identity, contexts->is_valid, err);
    if (table == NULL)
        return -1;
    contexts->options.on_table(contexts->options.owner, table);
    port_table_unref(table);
    contexts->has_contexts = contexts->identity != NULL;
    contexts->is_behind = false;
    net_timer_stop(contexts->retry);
    return 0;
}

static void tell_loaded(struct port_contexts *contexts)
{
    size_t num_ports, num_destinations;
    const struct ports_config *config = port_files_config(contexts->files);
    ports_config_ports(config, &num_ports);
    ports_config_destinations(config, &num_destinations);
    LOG_INFO("agent", "ports loaded", LOG_S("file", contexts->options.path),
             LOG_U("ports", num_ports), LOG_U("destinations", num_destinations),
             LOG_U("files", port_files_num(contexts->files)));
    readiness_set_met(contexts->options.readiness, contexts->condition);
}

/* Watching begins before reading, so that no change falls between the two. */
static struct port_files *read_files(struct port_contexts *contexts, struct err *err)
{
    struct ports_config *config = ports_config_load(contexts->options.path, err);
    if (config == NULL)
        return NULL;
    struct port_files *files = port_files_new(config, err);
    if (files == NULL)
        return NULL;
    watch_files(contexts, files);
    if (port_files_read(files, err) == 0)
        return files;
    port_files_unref(files);
    return NULL;
}

static void load(void *owner)
{
    struct port_contexts *contexts = owner;
    struct err err;
    struct port_files *files = read_files(contexts, &err);
    if (files == NULL || publish(contexts, files, &err) < 0) {
        tell_failure(contexts, &err);
        port_files_unref(files);
        return;
    }
    port_files_unref(contexts->files);
    contexts->files = files;
    tell_loaded(contexts);
}

void port_contexts_reload(struct port_contexts *contexts)
{
    if (contexts->options.path[0] != '\0')
        load(contexts);
}

/* -------------------------------------------------------------------------------- identity -- */

/* Before the first identity no contexts are made, and so it is now that files show to be wrong. */
static void tell_no_contexts(const struct port_contexts *contexts, const struct err *err)
{
    bool has_former = contexts->has_contexts;
    LOG_ERROR("agent", "no ports for the new identity", LOG_S("error", err->message),
              LOG_S("in_force", has_former ? "those of the former identity" : "none"),
              LOG_U("retry_ms", contexts->retry_ms));
    if (!has_former && contexts->options.path[0] != '\0')
        readiness_set_pending(contexts->options.readiness, contexts->condition, "not loaded yet",
                              err->message);
}

/* Memory that was short comes back, and the next identity may be half a day away. */
static void try_again_later(struct port_contexts *contexts)
{
    contexts->is_behind = true;
    net_timer_start(contexts->retry, contexts->retry_ms);
    contexts->retry_ms *= 2;
    if (contexts->retry_ms > RETRY_MAX_MS)
        contexts->retry_ms = RETRY_MAX_MS;
}

static void follow_identity(void *owner)
{
    struct port_contexts *contexts = owner;
    bool was_behind = contexts->is_behind;
    struct err err;
    if (publish(contexts, contexts->files, &err) < 0) {
        tell_no_contexts(contexts, &err);
        try_again_later(contexts);
    } else if (was_behind) {
        LOG_INFO("agent", "ports follow the identity again");
        if (contexts->options.path[0] != '\0')
            readiness_set_met(contexts->options.readiness, contexts->condition);
    }
}

void port_contexts_set_identity(struct port_contexts *contexts, struct identity *identity)
{
    contexts->is_valid = identity != NULL;
    if (identity != NULL) {
        identity_unref(contexts->identity);
        contexts->identity = identity_ref(identity);
    }
    contexts->retry_ms = RETRY_FIRST_MS;
    if (contexts->files != NULL)
        follow_identity(contexts);
}

/* ------------------------------------------------------------------------- making, ending -- */

static int open_file(struct port_contexts *contexts, struct err *err)
{
    contexts->settle = net_timer_new(contexts->loop, load, contexts);
    if (contexts->settle == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    contexts->watch =
        net_watch_new(contexts->loop, contexts->options.path, POLL_MS, on_change, contexts, err);
    if (contexts->watch == NULL)
        return -1;
    contexts->condition = readiness_add(contexts->options.readiness, "ports", "not loaded yet");
    return 0;
}

static int open_nothing(struct port_contexts *contexts, struct err *err)
{
    struct ports_config *config = ports_config_new_empty();
    if (config == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    contexts->files = port_files_new(config, err);
    return contexts->files != NULL ? 0 : -1;
}

struct port_contexts *port_contexts_new(struct net_loop *loop,
                                        const struct port_contexts_options *options,
                                        struct err *err)
{
    struct port_contexts *contexts = calloc(1, sizeof(*contexts));
    if (contexts == NULL) {
        err_set(err, ERR_NOMEM, "ports: out of memory");
        return NULL;
    }
    contexts->loop = loop;
    contexts->options = *options;
    bool is_empty = options->path[0] == '\0';
    contexts->retry = net_timer_new(loop, follow_identity, contexts);
    if (contexts->retry == NULL)
        err_set(err, ERR_NOMEM, "out of memory");
    else if ((is_empty ? open_nothing(contexts, err) : open_file(contexts, err)) == 0)
        return contexts;
    err_prefix(err, "ports");
    port_contexts_free(contexts);
    return NULL;
}

void port_contexts_start(struct port_contexts *contexts)
{
    struct err err;
    if (contexts->options.path[0] != '\0')
        load(contexts);
    else if (publish(contexts, contexts->files, &err) < 0)
        LOG_ERROR("agent", "no ports", LOG_S("error", err.message));
}

void port_contexts_free(struct port_contexts *contexts)
{
    if (contexts == NULL)
        return;
    net_watch_free(contexts->watch);
    free_watches(contexts);
    net_timer_free(contexts->settle);
    net_timer_free(contexts->retry);
    port_files_unref(contexts->files);
    identity_unref(contexts->identity);
    free(contexts);
}
