/* Adding to a struct mesh_warnings. Private to mesh. */
#ifndef REMORA_MESH_WARNINGS_H
#define REMORA_MESH_WARNINGS_H

#include "mesh_builder.h"

/* Counts the warning and keeps its text while there is room. `warnings` may be NULL. */
void mesh_warnings_add(struct mesh_warnings *warnings, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds all of `more`. `warnings` may be NULL. */
void mesh_warnings_merge(struct mesh_warnings *warnings, const struct mesh_warnings *more);

#endif
