/*
 * Collects workloads, services and policies and turns them into a mesh_snapshot. Checks what a
 * source may not say (limits, duplicates, broken names); what merely does not fit together (a
 * workload that names a service nobody described) is a warning.
 */
#ifndef REMORA_MESH_BUILDER_H
#define REMORA_MESH_BUILDER_H

#include "err.h"
#include "mesh.h"
#include "mesh_snapshot.h"

enum {
    MESH_WARNINGS_KEPT =
        16,                 /* enough to see what kind of mistake a file has; the rest is counted */
    MESH_WARNING_MAX = 256, /* bytes, NUL included */
};

/* A zeroed struct is valid and empty. */
struct mesh_warnings {
    size_t num; /* may be more than are kept */
    char kept[MESH_WARNINGS_KEPT][MESH_WARNING_MAX];
};

struct mesh_builder;

/* NULL when out of memory. */
struct mesh_builder *mesh_builder_new(void);

/* NULL is ignored. */
void mesh_builder_free(struct mesh_builder *builder);

/*
 * Each takes a copy of the value and all it points to. NULL text and lists with a length of 0 are
 * allowed. 0, or -1: ERR_INVALID or ERR_LIMIT names the object and the field, ERR_NOMEM. After -1
 * the builder can only be freed.
 */
int mesh_builder_add_workload(struct mesh_builder *builder, const struct mesh_workload *workload,
                              struct err *err);
int mesh_builder_add_service(struct mesh_builder *builder, const struct mesh_service *service,
                             struct err *err);
int mesh_builder_add_policy(struct mesh_builder *builder, const struct mesh_policy *policy,
                            struct err *err);

/*
 * Makes the snapshot of everything added, with one reference, the caller's. Once a builder;
 * afterwards it can only be freed. `warnings` (may be NULL) is added to. NULL: *err is ERR_INVALID
 * (two objects with one key, named) or ERR_NOMEM.
 */
struct mesh_snapshot *mesh_builder_build(struct mesh_builder *builder,
                                         struct mesh_warnings *warnings, struct err *err);

#endif
