/* The workloads of a snapshot, and the ways to find them. Private to mesh. */
#ifndef REMORA_MESH_WORKLOADS_H
#define REMORA_MESH_WORKLOADS_H

#include "mesh_object.h"
#include "mesh_tree.h"

/* A zeroed struct is valid and empty. */
struct mesh_workloads {
    struct mesh_tree by_uid; /* owns struct mesh_workload_object */
    struct mesh_tree by_name;
    struct mesh_tree by_ip;     /* struct mesh_workload_place */
    struct mesh_tree endpoints; /* see mesh_endpoints.h */
};

struct mesh_workloads mesh_workloads_copy(const struct mesh_workloads *workloads);
void mesh_workloads_done(struct mesh_workloads *workloads);

/* Puts the object in, of which a reference is taken, in the place of what has its uid. 0, or -1 when out of memory: then there
 * is nothing left to do but mesh_workloads_done. */
int mesh_workloads_put(struct mesh_workloads *workloads, struct mesh_workload_object *object);

/* Takes the object out. 0, or -1 as above. */
int mesh_workloads_remove(struct mesh_workloads *workloads, struct mesh_workload_object *object);

/* NULL: there is none. What is found lives as long as the workloads are not changed. */
struct mesh_workload_object *mesh_workloads_find(const struct mesh_workloads *workloads,
                                                 const char *uid);
const struct mesh_workload *mesh_workloads_at(const struct mesh_workloads *workloads,
                                              const char *network, const struct ip *ip);
const struct mesh_workload *mesh_workloads_named(const struct mesh_workloads *workloads,
                                                 const char *namespace_, const char *name,
                                                 const char *service_account);

/* Objects in the order of their adding; a tree owns a reference to each. For what one update has touched. */
extern const struct mesh_tree_kind mesh_workloads_touched;

#endif
