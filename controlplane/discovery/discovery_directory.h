/*
 * Discovery's state out of a directory of YAML files: read at start, and again whenever something in
 * it changes. Files are those that end with .yaml, .yml or .json and do not begin with a dot; all
 * have the schema of docs/LOCAL-FILE.md and together they are one mesh.
 *
 * A changed file with a mistake is told, and what it said before stays in force; so does everything
 * while the directory cannot be read. A file that is removed takes with it what it said. What stands
 * in two files counts as the first one says it, in the order of their names.
 */
#ifndef REMORA_DISCOVERY_DIRECTORY_H
#define REMORA_DISCOVERY_DIRECTORY_H

#include "discovery_table.h"
#include "err.h"
#include "mesh_builder.h"
#include "net_loop.h"

struct discovery_directory;

/* None may be NULL; none is called from inside discovery_directory_new but on_warning. */
struct discovery_directory_handler {
    /* A new state; lent. */
    void (*on_table)(void *owner, struct discovery_table *table);
    /* A mistake, or something that could not be read. Told once until something changes. */
    void (*on_error)(void *owner, const struct err *err);
    /* Something that does not fit together, and is in force all the same. */
    void (*on_warning)(void *owner, const char *text);
};

struct discovery_directory_options {
    const char *path;
    uint64_t debounce_ms; /* nothing must have changed for this long; ten times as long at most */
};

/*
 * Reads the directory. At start any mistake is an error: whoever asks a control plane that forgot
 * half of its policies would be told that they are gone. `handler` is kept by pointer. NULL: *err
 * names the file.
 */
struct discovery_directory *
discovery_directory_new(struct net_loop *loop, const struct discovery_directory_options *options,
                        const struct discovery_directory_handler *handler, void *owner,
                        struct err *err);
void discovery_directory_free(struct discovery_directory *directory); /* NULL is ignored */

/* What is in force; lent until the next on_table. */
struct discovery_table *discovery_directory_table(const struct discovery_directory *directory);

#endif
