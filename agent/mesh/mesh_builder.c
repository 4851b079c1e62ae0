#include "mesh_builder.h"

#include <stdlib.h>

#include "mesh_check.h"
#include "mesh_index.h"
#include "mesh_name.h"
#include "mesh_warnings.h"

/* The snapshot is in the making from the start: what it shares is copied on the first change. */
struct mesh_builder {
    struct mesh_snapshot *snapshot; /* NULL once it is built, or when building failed */
    struct mesh_tree touched;       /* workloads that were added or put, and not removed again */
    struct mesh_arena scratch;
    struct mesh_warnings warnings;
    bool failed; /* out of memory in the middle of something */
};

struct mesh_builder *mesh_builder_new(struct mesh_snapshot *base)
{
    struct mesh_builder *builder = calloc(1, sizeof(*builder));
    if (builder == NULL)
        return NULL;
    builder->snapshot = mesh_index_copy(base);
    if (builder->snapshot == NULL) {
        free(builder);
        return NULL;
    }
    return builder;
}

void mesh_builder_free(struct mesh_builder *builder)
{
    if (builder == NULL)
        return;
    mesh_tree_done(&builder->touched, &mesh_workloads_touched);
    mesh_snapshot_unref(builder->snapshot);
    mesh_arena_done(&builder->scratch);
    free(builder);
}

static int out_of_memory(struct mesh_builder *builder, struct err *err)
{
    builder->failed = true;
    return err_set(err, ERR_NOMEM, "out of memory for the state of the mesh");
}

/* An object whose key nobody has makes one more. */
static int check_room(const struct mesh_tree *objects, struct err *err)
{
    if (objects->num >= MESH_OBJECTS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d objects of one kind", MESH_OBJECTS_MAX);
    return 0;
}

/* The place in the order of adding: that of the object that is replaced, else behind all. */
static uint64_t sequence_for(struct mesh_builder *builder, const struct mesh_object *before)
{
    return before != NULL ? before->sequence : builder->snapshot->next_sequence++;
}

/* ---------------------------------------------------------------------------- workloads -- */

static int keep_workload(struct mesh_builder *builder, struct mesh_workload_object *object)
{
    if (mesh_workloads_put(&builder->snapshot->workloads, object) < 0)
        return -1;
    return mesh_tree_put(&builder->touched, &mesh_workloads_touched, object);
}

/* `before` is what the workload replaces, or NULL. */
static int store_workload(struct mesh_builder *builder, const struct mesh_workload *workload,
                          const struct mesh_workload_object *before, struct err *err)
{
    if (before == NULL && check_room(&builder->snapshot->workloads.by_uid, err) < 0)
        return -1;
    uint64_t sequence = sequence_for(builder, before == NULL ? NULL : &before->object);
    struct mesh_workload_object *object =
        mesh_object_new_workload(&builder->scratch, workload, sequence, &builder->warnings);
    if (object == NULL)
        return out_of_memory(builder, err);
    int result = keep_workload(builder, object);
    mesh_object_unref(object);
    return result < 0 ? out_of_memory(builder, err) : 0;
}

int mesh_builder_add_workload(struct mesh_builder *builder, const struct mesh_workload *workload,
                              struct err *err)
{
    if (builder->failed)
        return out_of_memory(builder, err);
    if (mesh_check_workload(workload, err) < 0)
        return -1;
    if (mesh_workloads_find(&builder->snapshot->workloads, workload->uid) != NULL)
        return err_set(err, ERR_INVALID, "two workloads have the uid \"%s\"", workload->uid);
    return store_workload(builder, workload, NULL, err);
}

int mesh_builder_put_workload(struct mesh_builder *builder, const struct mesh_workload *workload,
                              struct err *err)
{
    if (builder->failed)
        return out_of_memory(builder, err);
    if (mesh_check_workload(workload, err) < 0)
        return -1;
    return store_workload(builder, workload,
                          mesh_workloads_find(&builder->snapshot->workloads, workload->uid), err);
}

void mesh_builder_remove_workload(struct mesh_builder *builder, const char *uid)
{
    struct mesh_workload_object *object =
        builder->failed ? NULL : mesh_workloads_find(&builder->snapshot->workloads, uid);
    if (object == NULL)
        return;
    if (mesh_tree_remove(&builder->touched, &mesh_workloads_touched, object) < 0 ||
        mesh_workloads_remove(&builder->snapshot->workloads, object) < 0)
        builder->failed = true;
}

/* ----------------------------------------------------------------------------- services -- */

static int store_service(struct mesh_builder *builder, const struct mesh_service *service,
                         bool may_replace, struct err *err)
{
    struct mesh_services *services = &builder->snapshot->services;
    if (builder->failed)
        return out_of_memory(builder, err);
    if (mesh_check_service(service, err) < 0)
        return -1;
    char key[MESH_KEY_MAX + 1];
    mesh_name_of_key(service->namespace_, service->hostname, key);
    const struct mesh_service_object *before = mesh_services_find(services, key);
    if (before != NULL && !may_replace)
        return err_set(err, ERR_INVALID, "two services are named \"%s\"", key);
    if (before == NULL && check_room(&services->by_key, err) < 0)
        return -1;
    uint64_t sequence = sequence_for(builder, before == NULL ? NULL : &before->object);
    struct mesh_service_object *object =
        mesh_object_new_service(&builder->scratch, service, sequence, &builder->warnings);
    if (object == NULL)
        return out_of_memory(builder, err);
    int result = mesh_services_put(services, object);
    mesh_object_unref(object);
    return result < 0 ? out_of_memory(builder, err) : 0;
}

int mesh_builder_add_service(struct mesh_builder *builder, const struct mesh_service *service,
                             struct err *err)
{
    return store_service(builder, service, false, err);
}

int mesh_builder_put_service(struct mesh_builder *builder, const struct mesh_service *service,
                             struct err *err)
{
    return store_service(builder, service, true, err);
}

void mesh_builder_remove_service(struct mesh_builder *builder, const char *key)
{
    struct mesh_service_object *object =
        builder->failed ? NULL : mesh_services_find(&builder->snapshot->services, key);
    if (object != NULL && mesh_services_remove(&builder->snapshot->services, object) < 0)
        builder->failed = true;
}

/* ----------------------------------------------------------------------------- policies -- */

static int store_policy(struct mesh_builder *builder, const struct mesh_policy *policy,
                        bool may_replace, struct err *err)
{
    struct mesh_policies *policies = &builder->snapshot->policies;
    if (builder->failed)
        return out_of_memory(builder, err);
    if (mesh_check_policy(policy, err) < 0)
        return -1;
    char key[MESH_KEY_MAX + 1];
    mesh_name_of_key(policy->namespace_, policy->name, key);
    const struct mesh_policy_object *before = mesh_policies_find(policies, key);
    if (before != NULL && !may_replace)
        return err_set(err, ERR_INVALID, "two policies are named \"%s\"", key);
    if (before == NULL && check_room(&policies->by_key, err) < 0)
        return -1;
    uint64_t sequence = sequence_for(builder, before == NULL ? NULL : &before->object);
    struct mesh_policy_object *object =
        mesh_object_new_policy(&builder->scratch, policy, sequence, &builder->warnings);
    if (object == NULL)
        return out_of_memory(builder, err);
    int result = mesh_policies_put(policies, object);
    mesh_object_unref(object);
    return result < 0 ? out_of_memory(builder, err) : 0;
}

int mesh_builder_add_policy(struct mesh_builder *builder, const struct mesh_policy *policy,
                            struct err *err)
{
    return store_policy(builder, policy, false, err);
}

int mesh_builder_put_policy(struct mesh_builder *builder, const struct mesh_policy *policy,
                            struct err *err)
{
    return store_policy(builder, policy, true, err);
}

void mesh_builder_remove_policy(struct mesh_builder *builder, const char *key)
{
    struct mesh_policy_object *object =
        builder->failed ? NULL : mesh_policies_find(&builder->snapshot->policies, key);
    if (object != NULL && mesh_policies_remove(&builder->snapshot->policies, object) < 0)
        builder->failed = true;
}

/* ---------------------------------------------------------------------------- on demand -- */

void mesh_builder_set_on_demand(struct mesh_builder *builder, bool on_demand)
{
    builder->snapshot->on_demand = on_demand;
}

void mesh_builder_put_answered(struct mesh_builder *builder, struct mesh_interest *interest)
{
    if (!builder->failed && mesh_index_put_answered(builder->snapshot, interest) < 0)
        builder->failed = true;
}

void mesh_builder_remove_answered(struct mesh_builder *builder, const char *name)
{
    const struct mesh_interest *interest =
        builder->failed ? NULL : mesh_index_find_answered(builder->snapshot, name);
    if (interest != NULL && mesh_index_remove_answered(builder->snapshot, interest) < 0)
        builder->failed = true;
}

/* ----------------------------------------------------------------------------- building -- */

static void warn_of_policies(struct mesh_builder *builder, const struct mesh_workload *workload)
{
    for (size_t i = 0; i < workload->num_authorization_policies; i++) {
        const char *key = workload->authorization_policies[i];
        if (mesh_policies_find(&builder->snapshot->policies, key) == NULL)
            mesh_warnings_add(&builder->warnings,
                              "workload \"%s\" lists the policy \"%s\", which nothing describes: "
                              "all connections to it are refused",
                              workload->uid, key);
    }
}

static void warn_of_services(struct mesh_builder *builder, const struct mesh_workload *workload)
{
    for (size_t i = 0; i < workload->num_services; i++) {
        const char *key = workload->services[i].service;
        if (mesh_services_find(&builder->snapshot->services, key) == NULL)
            mesh_warnings_add(&builder->warnings,
                              "workload \"%s\" is an endpoint of \"%s\", which nothing describes",
                              workload->uid, key);
    }
}

/* In a mesh known on demand, a service that nobody asked for is not missing. */
static void warn_of_touched(struct mesh_builder *builder)
{
    struct mesh_tree_walk walk;
    const struct mesh_workload_object *object =
        mesh_tree_seek(&walk, &builder->touched, NULL, NULL);
    for (; object != NULL; object = mesh_tree_next(&walk)) {
        warn_of_policies(builder, &object->workload);
        if (!builder->snapshot->on_demand)
            warn_of_services(builder, &object->workload);
    }
}

struct mesh_snapshot *mesh_builder_build(struct mesh_builder *builder,
                                         struct mesh_warnings *warnings, struct err *err)
{
    if (builder->failed) {
        out_of_memory(builder, err);
        return NULL;
    }
    warn_of_touched(builder);
    mesh_warnings_merge(warnings, &builder->warnings);
    struct mesh_snapshot *snapshot = builder->snapshot;
    builder->snapshot = NULL;
    return snapshot;
}
