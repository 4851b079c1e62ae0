/*
 * What snapshots share: a workload, a service or a policy, with the entries by which the indexes know it. Each is one
 * allocation, counted, and never changed. Private to mesh.
 */
#ifndef REMORA_MESH_OBJECT_H
#define REMORA_MESH_OBJECT_H

#include "mesh.h"
#include "mesh_arena.h"
#include "mesh_builder.h"
#include "refcount.h"

struct mesh_object {
    struct refcount refcount;
    uint64_t sequence; /* the order of adding; kept by what replaces the object */
};

/* A workload at one of its addresses. */
struct mesh_workload_place {
    const struct mesh_workload *workload;
    struct ip ip;
};

/* A workload as an endpoint of one of its services, whether anybody describes the service or not. */
struct mesh_endpoint {
    const struct mesh_workload *workload;
    const struct mesh_membership *membership;
};

struct mesh_workload_object {
    struct mesh_object object;
    struct mesh_workload workload;
    struct mesh_workload_place *places; /* of each address; none on the host's network */
    size_t num_places;
    struct mesh_endpoint *endpoints; /* num_services of the workload */
};

enum { MESH_PLACE_EXACT = 255 }; /* longer than any prefix */

/*
 * A service at one of its addresses, or by its host name, as some clients see it: those in its own namespace, and, of a
 * service that is visible to all, everybody.
 */
struct mesh_service_place {
    const struct mesh_service *service;
    const char *network; /* NULL in an entry by host name, and no address */
    struct ip ip;
    uint8_t prefix_len;
    bool for_all;
};

struct mesh_service_object {
    struct mesh_object object;
    struct mesh_service service;
    struct mesh_service_place *addresses;
    size_t num_addresses;
    struct mesh_service_place *names;
    size_t num_names;
};

struct mesh_policy_object {
    struct mesh_object object;
    struct mesh_policy policy;
};

/*
 * A copy of the checked value, with one reference. `scratch` is memory to work in, of which nothing is needed afterwards. What
 * is dropped or cannot be used adds to `warnings`. NULL: out of memory.
 */
struct mesh_workload_object *mesh_object_new_workload(struct mesh_arena *scratch,
                                                      const struct mesh_workload *workload,
                                                      uint64_t sequence,
                                                      struct mesh_warnings *warnings);
struct mesh_service_object *mesh_object_new_service(struct mesh_arena *scratch,
                                                    const struct mesh_service *service,
                                                    uint64_t sequence,
                                                    struct mesh_warnings *warnings);
struct mesh_policy_object *mesh_object_new_policy(struct mesh_arena *scratch,
                                                  const struct mesh_policy *policy,
                                                  uint64_t sequence,
                                                  struct mesh_warnings *warnings);

/* For trees: `object` is any of the above. Thread-safe. */
void mesh_object_ref(void *object);
void mesh_object_unref(void *object);

/* The object that the value is part of. */
const struct mesh_object *mesh_object_of_workload(const struct mesh_workload *workload);
const struct mesh_object *mesh_object_of_service(const struct mesh_service *service);

#endif
