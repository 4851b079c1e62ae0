/*
 * Which endpoint of a service takes a connection. Pure: the randomness is a value. Private to mesh; mesh_decide is the way in.
 */
#ifndef REMORA_MESH_BALANCE_H
#define REMORA_MESH_BALANCE_H

#include "mesh_decide.h"
#include "mesh_index.h"

struct mesh_pick {
    const struct mesh_endpoint *endpoint; /* NULL: none can be chosen */
    struct addr
        target; /* the endpoint's address and port; without an address where it only has a host name */

    /* None can be chosen: why, should one be there that is healthy and was not tried; else NO_HEALTHY_ENDPOINT and NULL. */
    enum reason reason;
    const char *detail; /* static text, or NULL */
};

/*
 * Picks, each endpoint with the probability that its capacity is of the sum, among the endpoints that are eligible
 * (mesh_eligible.h) and rank best by the service's routing preferences.
 */
struct mesh_pick mesh_balance_pick(const struct mesh_snapshot *snapshot,
                                   const struct mesh_service *service,
                                   const struct mesh_request *request);

/* The same for a service of waypoints or network gateways, of which `port` is wanted. `random` beside the request's own. */
struct mesh_pick mesh_balance_pick_hop(const struct mesh_snapshot *snapshot,
                                       const struct mesh_service *service,
                                       const struct mesh_request *request, uint16_t port,
                                       uint64_t random);

#endif
