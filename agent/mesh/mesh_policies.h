/* The policies of a snapshot, and the ways to find them. Private to mesh. */
#ifndef REMORA_MESH_POLICIES_H
#define REMORA_MESH_POLICIES_H

#include "mesh_object.h"
#include "mesh_tree.h"

/* A zeroed struct is valid and empty. */
struct mesh_policies {
    struct mesh_tree by_key;   /* owns struct mesh_policy_object */
    struct mesh_tree by_scope; /* those for all and those for a namespace */
};

struct mesh_policies mesh_policies_copy(const struct mesh_policies *policies);
void mesh_policies_done(struct mesh_policies *policies);

/* Puts the object in, of which a reference is taken, in the place of what has its key. 0, or -1 when out of memory: then there
 * is nothing left to do but mesh_policies_done. */
int mesh_policies_put(struct mesh_policies *policies, struct mesh_policy_object *object);

/* Takes the object out. 0, or -1 as above. */
int mesh_policies_remove(struct mesh_policies *policies, struct mesh_policy_object *object);

/* NULL: there is none. What is found lives as long as the policies are not changed. */
struct mesh_policy_object *mesh_policies_find(const struct mesh_policies *policies,
                                              const char *key);

/* A way along the policies for all (`namespace_` NULL), or those for a whole namespace, as they were added. */
struct mesh_policies_walk {
    struct mesh_tree_walk walk;
    const char *namespace_;
};

/* The first one, and the one after that which was returned last; NULL: there is none. */
const struct mesh_policy *mesh_policies_first(struct mesh_policies_walk *walk,
                                              const struct mesh_policies *policies,
                                              const char *namespace_);
const struct mesh_policy *mesh_policies_next(struct mesh_policies_walk *walk);

#endif
