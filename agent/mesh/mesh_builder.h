/*
 * The one way to make a mesh_snapshot: out of nothing or out of another one, by adding, replacing
 * and removing workloads, services and policies. Checks what a source may not say (limits,
 * duplicates, broken names); what merely does not fit together (a workload that names a service
 * nobody described) is a warning.
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

/*
 * A builder of a snapshot that has all that `base` has and shares it (a reference is taken); NULL:
 * nothing. `base` never changes. NULL when out of memory.
 */
struct mesh_builder *mesh_builder_new(struct mesh_snapshot *base);

/* NULL is ignored. */
void mesh_builder_free(struct mesh_builder *builder);

/*
 * An object is known by its key: a workload by its uid, a service by "namespace/hostname", a policy
 * by "namespace/name". `_add` refuses a key that is taken already, `_put` replaces the object that
 * has it. Each takes a copy of the value and all it points to. NULL text and lists with a length of
 * 0 are allowed.
 *
 * 0, or -1: ERR_INVALID or ERR_LIMIT names the object and the field (or the key that is taken), and
 * the builder is as it was and can go on; ERR_NOMEM, and the builder can only be freed (to go on is
 * harmless, and mesh_builder_build will say it again).
 *
 * The cost of each of these, and of removing, is in the size of the object and the logarithm of the
 * mesh's.
 */
int mesh_builder_add_workload(struct mesh_builder *builder, const struct mesh_workload *workload,
                              struct err *err);
int mesh_builder_add_service(struct mesh_builder *builder, const struct mesh_service *service,
                             struct err *err);
int mesh_builder_add_policy(struct mesh_builder *builder, const struct mesh_policy *policy,
                            struct err *err);
int mesh_builder_put_workload(struct mesh_builder *builder, const struct mesh_workload *workload,
                              struct err *err);
int mesh_builder_put_service(struct mesh_builder *builder, const struct mesh_service *service,
                             struct err *err);
int mesh_builder_put_policy(struct mesh_builder *builder, const struct mesh_policy *policy,
                            struct err *err);

/* Removing what is not there is nothing. Running out of memory is told by mesh_builder_build. */
void mesh_builder_remove_workload(struct mesh_builder *builder, const char *uid);
void mesh_builder_remove_service(struct mesh_builder *builder, const char *key);
void mesh_builder_remove_policy(struct mesh_builder *builder, const char *key);

/* See mesh_snapshot_is_on_demand; false in a snapshot without a base, else the base's. */
void mesh_builder_set_on_demand(struct mesh_builder *builder, bool on_demand);

/*
 * The control plane has answered for the interest's name: there is such a thing, and then it was
 * put here or before, or there is none. A reference is taken; an interest of the same name is
 * replaced. Removing what is not there is nothing. Running out of memory is told by
 * mesh_builder_build.
 */
void mesh_builder_put_answered(struct mesh_builder *builder, struct mesh_interest *interest);
void mesh_builder_remove_answered(struct mesh_builder *builder, const char *name);

/*
 * Makes the snapshot, with one reference, the caller's. Once a builder; afterwards it can only be
 * freed. `warnings` (may be NULL) is added to: what was wrong with an object added or put here, and
 * which policies and, unless the snapshot is on demand, services it names that nothing describes.
 * Objects of the base are not looked at again. NULL: *err is ERR_NOMEM.
 */
struct mesh_snapshot *mesh_builder_build(struct mesh_builder *builder,
                                         struct mesh_warnings *warnings, struct err *err);

#endif
