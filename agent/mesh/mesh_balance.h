/*
 * Which endpoint of a service takes a connection. Pure: the randomness is a value. Private to mesh; mesh_decide is the way in.
 */
#ifndef REMORA_MESH_BALANCE_H
#define REMORA_MESH_BALANCE_H

#include "mesh_decide.h"
#include "mesh_index.h"

struct mesh_pick {
    const struct mesh_endpoint *endpoint; /* NULL: none can be chosen */
    struct addr target;                   /* the endpoint's address and port */
    const char *
        unsupported; /* none can be chosen, and one could if the agent had this way to it: what is missing, as static
                                text; else NULL */
};

/*
 * Picks, each endpoint with the probability that its capacity is of the sum, among the endpoints that can serve the port, have
 * an address of the right family, were not tried, do not want clear text where only tunnels will do, and rank best by the
 * service's routing preferences.
 */
struct mesh_pick mesh_balance_pick(const struct mesh_snapshot *snapshot,
                                   const struct mesh_service *service,
                                   const struct mesh_request *request);

/* True when `target` is among the request's tried ones. */
bool mesh_balance_was_tried(const struct mesh_request *request, const struct addr *target);

#endif
