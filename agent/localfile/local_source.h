/*
 * Workloads, services and policies from a local YAML file, in the schema of ztunnel's
 * LOCAL_XDS_PATH (camelCase keys, unknown keys are errors). Reloaded when the file changes; a bad
 * file is reported and the last good state stays.
 */
#ifndef REMORA_LOCAL_SOURCE_H
#define REMORA_LOCAL_SOURCE_H

#include "err.h"
#include "mesh_builder.h"
#include "mesh_snapshot.h"
#include "net_loop.h"

/*
 * Reads the file once. Returns a snapshot with one reference, the caller's; `warnings` (may be
 * NULL) is added to. NULL: *err names file, line, the path of keys and what was expected
 * (ERR_INVALID), or ERR_SYSTEM, ERR_LIMIT, ERR_NOMEM.
 */
struct mesh_snapshot *local_source_load(const char *path, struct mesh_warnings *warnings,
                                        struct err *err);

/* The same from memory; `name` stands for the file in messages. */
struct mesh_snapshot *local_source_parse(const char *name, const char *bytes, size_t len,
                                         struct mesh_warnings *warnings, struct err *err);

struct local_source;

/* All are called on the loop's thread, never from inside a local_source_* call. None may be NULL.
 */
struct local_source_handler {
    /* A good file was read: `snapshot` is the callback's to keep, `warnings` is lent. The source
     * may be freed inside. */
    void (*on_snapshot)(void *owner, struct mesh_snapshot *snapshot,
                        const struct mesh_warnings *warnings);
    /* The file cannot be read or is wrong; whatever was loaded before stays in force. The source
     * may be freed inside. */
    void (*on_error)(void *owner, const struct err *err);
};

/*
 * Loads the file as soon as the loop runs and again after each change. A file that is missing or
 * wrong at start is an on_error, and is loaded once it is there or right. `handler` is borrowed
 * until local_source_free. NULL: the watch could not be made.
 */
struct local_source *local_source_new(struct net_loop *loop, const char *path,
                                      const struct local_source_handler *handler, void *owner,
                                      struct err *err);

/* No callback afterwards. NULL is ignored. */
void local_source_free(struct local_source *source);

#endif
