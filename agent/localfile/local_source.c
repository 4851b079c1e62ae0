#include "local_source.h"

#include <stdlib.h>
#include <string.h>

#include "local_schema.h"

enum {
    POLL_MS =
        5000, /* for filesystems that do not notify; a policy is in force at the latest after this */
};

struct local_source {
    struct net_watch *watch;
    struct net_timer *
        first_load; /* runs once, so that the first callback does not come from inside local_source_new */
    char *path;
    const struct local_source_handler *handler;
    void *owner;
};

/* ------------------------------------------------------------------------------- reading -- */

/* Takes the document. */
static struct mesh_snapshot *build(struct yaml_doc *doc, struct mesh_warnings *warnings,
                                   struct err *err)
{
    struct mesh_snapshot *snapshot = NULL;
    struct mesh_builder *builder = mesh_builder_new(NULL);
    if (builder == NULL) {
        err_set(err, ERR_NOMEM, "%s: out of memory", yaml_doc_name(doc));
    } else if (local_schema_read(doc, builder, err) == 0) {
        snapshot = mesh_builder_build(builder, warnings, err);
        if (snapshot == NULL)
            err_prefix(err, "%s", yaml_doc_name(doc));
    }
    mesh_builder_free(builder);
    yaml_doc_free(doc);
    return snapshot;
}

struct mesh_snapshot *local_source_parse(const char *name, const char *bytes, size_t len,
                                         struct mesh_warnings *warnings, struct err *err)
{
    struct yaml_doc *doc = yaml_doc_parse(name, bytes, len, err);
    return doc == NULL ? NULL : build(doc, warnings, err);
}

struct mesh_snapshot *local_source_load(const char *path, struct mesh_warnings *warnings,
                                        struct err *err)
{
    struct yaml_doc *doc = yaml_doc_load(path, err);
    return doc == NULL ? NULL : build(doc, warnings, err);
}

/* ------------------------------------------------------------------------------ watching -- */

/* Ends with a callback, in which the source may be freed. */
static void load(struct local_source *source)
{
    struct mesh_warnings warnings = {0};
    struct err err = {0};
    struct mesh_snapshot *snapshot = local_source_load(source->path, &warnings, &err);
    if (snapshot == NULL)
        source->handler->on_error(source->owner, &err);
    else
        source->handler->on_snapshot(source->owner, snapshot, &warnings);
}

static void local_source_on_start(void *owner)
{
    load(owner);
}

/* A change before the first load makes that one early, and a second one needless. */
static void local_source_on_change(void *owner)
{
    struct local_source *source = owner;
    net_timer_stop(source->first_load);
    load(source);
}

struct local_source *local_source_new(struct net_loop *loop, const char *path,
                                      const struct local_source_handler *handler, void *owner,
                                      struct err *err)
{
    struct local_source *source = calloc(1, sizeof(*source));
    if (source == NULL) {
        err_set(err, ERR_NOMEM, "out of memory for watching \"%s\"", path);
        return NULL;
    }
    source->handler = handler;
    source->owner = owner;
    source->path = strdup(path);
    source->first_load = net_timer_new(loop, local_source_on_start, source);
    if (source->path == NULL || source->first_load == NULL) {
        err_set(err, ERR_NOMEM, "out of memory for watching \"%s\"", path);
        goto fail;
    }
    /* Watching begins before reading, so that no change falls between the two. */
    source->watch = net_watch_new(loop, path, POLL_MS, local_source_on_change, source, err);
    if (source->watch == NULL)
        goto fail;
    net_timer_start(source->first_load, 0);
    return source;
fail:
    local_source_free(source);
    return NULL;
}

void local_source_free(struct local_source *source)
{
    if (source == NULL)
        return;
    net_watch_free(source->watch);
    net_timer_free(source->first_load);
    free(source->path);
    free(source);
}
