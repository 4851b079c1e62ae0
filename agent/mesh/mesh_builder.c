#include "mesh_builder.h"

#include <assert.h>
#include <stdlib.h>

#include "mesh_check.h"
#include "mesh_copy.h"
#include "mesh_index.h"
#include "mesh_warnings.h"

enum { FIRST_CAPACITY = 16 };

/* The snapshot is in the making from the start: objects and arena move nowhere when it is done. */
struct mesh_builder {
    struct mesh_snapshot *snapshot; /* NULL once it is built, or when building failed */
    size_t workloads_capacity;
    size_t services_capacity;
    size_t policies_capacity;
    struct mesh_warnings warnings;
};

struct mesh_builder *mesh_builder_new(struct mesh_snapshot *base)
{
    assert(base == NULL);
    struct mesh_builder *builder = calloc(1, sizeof(*builder));
    if (builder == NULL)
        return NULL;
    builder->snapshot = calloc(1, sizeof(*builder->snapshot));
    if (builder->snapshot == NULL) {
        free(builder);
        return NULL;
    }
    refcount_init(&builder->snapshot->refcount);
    return builder;
}

void mesh_builder_free(struct mesh_builder *builder)
{
    if (builder == NULL)
        return;
    mesh_snapshot_unref(builder->snapshot);
    free(builder);
}

/* Room for one more of `num` objects of `size` bytes at *objects. */
static int grow(void **objects, size_t num, size_t *capacity, size_t size, struct err *err)
{
    if (num < *capacity)
        return 0;
    if (num >= MESH_OBJECTS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d objects of one kind", MESH_OBJECTS_MAX);
    size_t larger = *capacity == 0 ? FIRST_CAPACITY : *capacity * 2;
    void *moved = realloc(*objects, larger * size);
    if (moved == NULL)
        return err_set(err, ERR_NOMEM, "out of memory for %zu objects", larger);
    *objects = moved;
    *capacity = larger;
    return 0;
}

static int check_memory(const struct mesh_builder *builder, struct err *err)
{
    if (mesh_arena_failed(&builder->snapshot->arena))
        return err_set(err, ERR_NOMEM, "out of memory");
    return 0;
}

int mesh_builder_add_workload(struct mesh_builder *builder, const struct mesh_workload *workload,
                              struct err *err)
{
    struct mesh_snapshot *snapshot = builder->snapshot;
    if (mesh_check_workload(workload, err) < 0)
        return -1;
    void *objects = snapshot->workloads;
    if (grow(&objects, snapshot->num_workloads, &builder->workloads_capacity,
             sizeof(*snapshot->workloads), err) < 0)
        return -1;
    snapshot->workloads = objects;
    mesh_copy_workload(&snapshot->arena, workload, &snapshot->workloads[snapshot->num_workloads++],
                       &builder->warnings);
    return check_memory(builder, err);
}

int mesh_builder_add_service(struct mesh_builder *builder, const struct mesh_service *service,
                             struct err *err)
{
    struct mesh_snapshot *snapshot = builder->snapshot;
    if (mesh_check_service(service, err) < 0)
        return -1;
    void *objects = snapshot->services;
    if (grow(&objects, snapshot->num_services, &builder->services_capacity,
             sizeof(*snapshot->services), err) < 0)
        return -1;
    snapshot->services = objects;
    mesh_copy_service(&snapshot->arena, service, &snapshot->services[snapshot->num_services++],
                      &builder->warnings);
    return check_memory(builder, err);
}

int mesh_builder_add_policy(struct mesh_builder *builder, const struct mesh_policy *policy,
                            struct err *err)
{
    struct mesh_snapshot *snapshot = builder->snapshot;
    if (mesh_check_policy(policy, err) < 0)
        return -1;
    void *objects = snapshot->policies;
    if (grow(&objects, snapshot->num_policies, &builder->policies_capacity,
             sizeof(*snapshot->policies), err) < 0)
        return -1;
    snapshot->policies = objects;
    mesh_copy_policy(&snapshot->arena, policy, &snapshot->policies[snapshot->num_policies++],
                     &builder->warnings);
    return check_memory(builder, err);
}

struct mesh_snapshot *mesh_builder_build(struct mesh_builder *builder,
                                         struct mesh_warnings *warnings, struct err *err)
{
    struct mesh_snapshot *snapshot = builder->snapshot;
    builder->snapshot = NULL;
    if (mesh_index_build(snapshot, &builder->warnings, err) < 0) {
        mesh_snapshot_unref(snapshot);
        return NULL;
    }
    mesh_warnings_merge(warnings, &builder->warnings);
    return snapshot;
}
