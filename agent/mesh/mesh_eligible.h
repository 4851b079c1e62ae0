/*
 * Whether an endpoint can take a connection, and how well it fits: by port, network, address family, what was tried, and the
 * service's routing preferences. Pure, and private to mesh.
 */
#ifndef REMORA_MESH_ELIGIBLE_H
#define REMORA_MESH_ELIGIBLE_H

#include "mesh_balance.h"

/* What is wanted of an endpoint. */
struct mesh_want {
    const struct mesh_request *request;
    uint16_t port; /* of the service */
    uint64_t random;
    bool
        is_hop; /* a waypoint or gateway, which is tunnelled to wherever it is, and need not list the port */
};

/*
 * The endpoint's rank, more is better; then pick->endpoint and pick->target are set. -1: it cannot be chosen, and
 * pick->reason and pick->detail are set where something is missing that discovery should have given.
 *
 * An endpoint in another network can be chosen when it speaks HBONE, has a gateway that can be reached, and the service says
 * who answers for it.
 */
int mesh_eligible_rank(const struct mesh_snapshot *snapshot, const struct mesh_service *service,
                       const struct mesh_endpoint *endpoint, const struct mesh_want *want,
                       struct mesh_pick *pick);

/* True when the service ranks its endpoints at all. */
bool mesh_eligible_is_ranked(const struct mesh_service *service);

/* What stands for `target` of the workload in mesh_request.tried: itself, or, where it has no address, a hash of who it is. */
struct addr mesh_eligible_attempt(const struct mesh_workload *workload, const struct addr *target);

/* True when `attempt` is among the request's tried ones. */
bool mesh_eligible_was_tried(const struct mesh_request *request, const struct addr *attempt);

/* True when a service that says so may be reached at addresses of that family. */
bool mesh_eligible_family(enum mesh_ip_families families, uint8_t family);

#endif
