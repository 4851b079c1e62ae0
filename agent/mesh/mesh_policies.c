#include "mesh_policies.h"

#include <string.h>

static int compare_key(const void *key, const void *item)
{
    const struct mesh_policy_object *object = item;
    return strcmp(key, object->policy.key);
}

static int compare_keys(const void *left, const void *right)
{
    const struct mesh_policy_object *object = left;
    return compare_key(object->policy.key, right);
}

static const struct mesh_tree_kind by_key = {
    .compare = compare_keys,
    .ref = mesh_object_ref,
    .unref = mesh_object_unref,
};

/* For all (NULL), then by namespace. */
static int compare_scope(const char *namespace_, const struct mesh_policy *policy)
{
    bool global = policy->scope == MESH_POLICY_GLOBAL;
    if (namespace_ == NULL)
        return global ? 0 : -1;
    return global ? 1 : strcmp(namespace_, policy->namespace_);
}

static int compare_walk(const void *key, const void *item)
{
    const struct mesh_policies_walk *walk = key;
    const struct mesh_policy_object *object = item;
    return compare_scope(walk->namespace_, &object->policy);
}

static int compare_scopes(const void *left, const void *right)
{
    const struct mesh_policy_object *a = left;
    const struct mesh_policy_object *b = right;
    bool global = a->policy.scope == MESH_POLICY_GLOBAL;
    int order = compare_scope(global ? NULL : a->policy.namespace_, &b->policy);
    if (order != 0)
        return order;
    return (a->object.sequence > b->object.sequence) - (a->object.sequence < b->object.sequence);
}

static const struct mesh_tree_kind by_scope = {.compare = compare_scopes};

/* ----------------------------------------------------------------------------- changing -- */

struct mesh_policies mesh_policies_copy(const struct mesh_policies *policies)
{
    return (struct mesh_policies){.by_key = mesh_tree_copy(&policies->by_key),
                                  .by_scope = mesh_tree_copy(&policies->by_scope)};
}

void mesh_policies_done(struct mesh_policies *policies)
{
    mesh_tree_done(&policies->by_scope, &by_scope);
    mesh_tree_done(&policies->by_key, &by_key);
}

/* Policies for selected workloads are found by these workloads' lists alone. */
static bool has_scope(const struct mesh_policy *policy)
{
    return policy->scope != MESH_POLICY_WORKLOAD_SELECTOR;
}

/* As in mesh_workloads: the tree that owns an object has it first and last. */
int mesh_policies_put(struct mesh_policies *policies, struct mesh_policy_object *object)
{
    const struct mesh_policy_object *before = mesh_policies_find(policies, object->policy.key);
    if (before != NULL && mesh_tree_remove(&policies->by_scope, &by_scope, before) < 0)
        return -1;
    if (mesh_tree_put(&policies->by_key, &by_key, object) < 0)
        return -1;
    return has_scope(&object->policy) ? mesh_tree_put(&policies->by_scope, &by_scope, object) : 0;
}

int mesh_policies_remove(struct mesh_policies *policies, struct mesh_policy_object *object)
{
    if (mesh_tree_remove(&policies->by_scope, &by_scope, object) < 0)
        return -1;
    return mesh_tree_remove(&policies->by_key, &by_key, object);
}

/* ------------------------------------------------------------------------------ looking -- */

struct mesh_policy_object *mesh_policies_find(const struct mesh_policies *policies, const char *key)
{
    return mesh_tree_find(&policies->by_key, key, compare_key);
}

static const struct mesh_policy *in_scope(const struct mesh_policies_walk *walk,
                                          const struct mesh_policy_object *object)
{
    return object != NULL && compare_walk(walk, object) == 0 ? &object->policy : NULL;
}

const struct mesh_policy *mesh_policies_first(struct mesh_policies_walk *walk,
                                              const struct mesh_policies *policies,
                                              const char *namespace_)
{
    walk->namespace_ = namespace_;
    return in_scope(walk, mesh_tree_seek(&walk->walk, &policies->by_scope, walk, compare_walk));
}

const struct mesh_policy *mesh_policies_next(struct mesh_policies_walk *walk)
{
    return in_scope(walk, mesh_tree_next(&walk->walk));
}
