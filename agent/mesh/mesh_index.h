/*
 * What is inside a snapshot: the objects in the order they were added, and arrays of references sorted for binary search.
 * Where several objects have one key, the order in which they were added stays. Private to mesh.
 */
#ifndef REMORA_MESH_INDEX_H
#define REMORA_MESH_INDEX_H

#include "mesh_arena.h"
#include "mesh_builder.h"
#include "refcount.h"

/* A workload as one service's endpoint, with all that does not depend on who asks. */
struct mesh_endpoint {
    const struct mesh_workload *workload;
    const struct mesh_membership *membership;
    uint64_t weight_before; /* sum of the capacities of the endpoints in front of this one */
};

struct mesh_endpoints {
    struct mesh_endpoint *items; /* those that health allows and whose capacity is not 0 */
    size_t num;
    uint64_t weight; /* sum of all capacities */
};

struct mesh_workload_at {
    const char *network;
    struct ip ip;
    unsigned rank; /* lower is better; see mesh_snapshot_workload_by_ip */
    const struct mesh_workload *workload;
};

struct mesh_service_at {
    const char *network;
    struct ip ip;
    const struct mesh_service *service;
};

struct mesh_snapshot {
    struct refcount refcount;
    struct mesh_arena arena; /* all but the three arrays of objects */

    struct mesh_workload *workloads;
    size_t num_workloads;
    struct mesh_service *services;
    size_t num_services;
    struct mesh_policy *policies;
    size_t num_policies;

    const struct mesh_workload **workloads_by_uid;
    const struct mesh_workload **workloads_by_name; /* namespace, then name */
    struct mesh_workload_at *workloads_by_ip;
    size_t num_workloads_by_ip;

    const struct mesh_service **services_by_key;
    const struct mesh_service **services_by_hostname;
    struct mesh_service_at *services_by_vip;
    size_t num_services_by_vip;
    const struct mesh_service *
        *services_with_cidrs; /* searched one by one: few services have any */
    size_t num_services_with_cidrs;
    struct mesh_endpoints *endpoints; /* of services[i] at [i] */

    const struct mesh_policy **policies_by_key;
    const struct mesh_policy **global_policies;
    size_t num_global_policies;
    const struct mesh_policy **namespace_policies; /* of scope NAMESPACE, by namespace */
    size_t num_namespace_policies;
};

/* Makes the indexes of a snapshot whose objects are there. 0, or -1: ERR_INVALID (a duplicate, named) or ERR_NOMEM. */
int mesh_index_build(struct mesh_snapshot *snapshot, struct mesh_warnings *warnings,
                     struct err *err);

typedef int mesh_index_compare(const void *key, const void *item);

/* Index of the first of `num` sorted items of `size` bytes that is not less than the key; `num` when all are. */
size_t mesh_index_lower_bound(const void *items, size_t num, size_t size, const void *key,
                              mesh_index_compare *compare);

/* The endpoints of a service of this snapshot. */
const struct mesh_endpoints *mesh_index_endpoints(const struct mesh_snapshot *snapshot,
                                                  const struct mesh_service *service);

/* The order of addresses: by IP, then by network. */
int mesh_index_compare_ip(const char *network, const struct ip *ip, const char *other_network,
                          const struct ip *other_ip);

/* The port at which an endpoint serves a service's port: its own map, else the service's; 0: neither knows it. */
uint16_t mesh_index_target_port(const struct mesh_service *service,
                                const struct mesh_membership *membership, uint16_t service_port);

#endif
