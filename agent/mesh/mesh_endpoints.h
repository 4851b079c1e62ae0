/*
 * The endpoints of all services, in one order: by service, then as their workloads were added. Who is an endpoint of what does
 * not depend on whether the service is known, nor on what it says; so nothing has to be done here when a service comes, changes
 * or goes. Private to mesh.
 */
#ifndef REMORA_MESH_ENDPOINTS_H
#define REMORA_MESH_ENDPOINTS_H

#include "mesh_object.h"
#include "mesh_tree.h"

/* Of trees of struct mesh_endpoint. */
extern const struct mesh_tree_kind mesh_endpoints_kind;

/* The sum of the capacities of those endpoints that the service's health policy allows, and where in the tree they begin. */
struct mesh_endpoints_share {
    uint64_t before;
    uint64_t weight;
};

struct mesh_endpoints_share mesh_endpoints_share(const struct mesh_tree *endpoints,
                                                 const struct mesh_service *service);

/* The endpoint in whose part of the service's share `point` falls, which is less than the share's weight. */
const struct mesh_endpoint *mesh_endpoints_at(const struct mesh_tree *endpoints,
                                              const struct mesh_service *service,
                                              const struct mesh_endpoints_share *share,
                                              uint64_t point);

bool mesh_endpoints_any(const struct mesh_tree *endpoints, const char *service_key);

/* A way along the endpoints that the service's health policy allows and whose capacity is not 0. */
struct mesh_endpoints_walk {
    struct mesh_tree_walk walk;
    const struct mesh_service *service;
};

/* The first one, and the one after that which was returned last; NULL: there is none. */
const struct mesh_endpoint *mesh_endpoints_first(struct mesh_endpoints_walk *walk,
                                                 const struct mesh_tree *endpoints,
                                                 const struct mesh_service *service);
const struct mesh_endpoint *mesh_endpoints_next(struct mesh_endpoints_walk *walk);

#endif
