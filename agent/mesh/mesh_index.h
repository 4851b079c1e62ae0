/* What is inside a snapshot. Private to mesh. */
#ifndef REMORA_MESH_INDEX_H
#define REMORA_MESH_INDEX_H

#include "mesh_policies.h"
#include "mesh_services.h"
#include "mesh_workloads.h"
#include "refcount.h"

struct mesh_snapshot {
    struct refcount refcount;
    bool on_demand;
    uint64_t next_sequence; /* of the object that is added next */
    struct mesh_workloads workloads;
    struct mesh_services services;
    struct mesh_policies policies;
    struct mesh_tree answered; /* owns struct mesh_interest, by name */
};

/* A snapshot of our own with all that `base` has; NULL: with nothing. NULL when out of memory. */
struct mesh_snapshot *mesh_index_copy(const struct mesh_snapshot *base);

/* Frees what the snapshot has, and itself. */
void mesh_index_free(struct mesh_snapshot *snapshot);

/* Puts the interest in, of which a reference is taken, in the place of that which has its name. 0, or -1 when out of memory. */
int mesh_index_put_answered(struct mesh_snapshot *snapshot, struct mesh_interest *interest);

/* Takes out the interest. 0, or -1 when out of memory. */
int mesh_index_remove_answered(struct mesh_snapshot *snapshot,
                               const struct mesh_interest *interest);

/* The interest of this name, or NULL. */
struct mesh_interest *mesh_index_find_answered(const struct mesh_snapshot *snapshot,
                                               const char *name);

/* The port at which an endpoint serves a service's port: its own map, else the service's; 0: neither knows it. */
uint16_t mesh_index_target_port(const struct mesh_service *service,
                                const struct mesh_membership *membership, uint16_t service_port);

#endif
