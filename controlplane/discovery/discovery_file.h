/* One YAML file of discovery's directory, read and encoded. Immutable. */
#ifndef REMORA_DISCOVERY_FILE_H
#define REMORA_DISCOVERY_FILE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "discovery_resource.h"
#include "err.h"
#include "mesh_builder.h"

struct discovery_file {
    char *name;                      /* in the directory */
    struct discovery_list resources; /* counted here */
    struct mesh_warnings warnings;   /* of the file as if it were alone */
    struct stat stat;                /* from before it was read */
    bool was_young; /* it had just been written: another write may leave the same times and size */
};

/* Reads `path`, which is the directory's entry `name`. NULL: *err says file, line and what is
 * wrong. */
struct discovery_file *discovery_file_load(const char *path, const char *name, struct err *err);
void discovery_file_free(struct discovery_file *file); /* NULL is ignored */

/* False when what is now at `path` may be something else than what was read. */
bool discovery_file_is_current(const struct discovery_file *file, const char *path);

#endif
