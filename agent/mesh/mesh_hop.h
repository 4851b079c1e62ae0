/*
 * What a mesh_gateway leads to: the waypoint or the network gateway that takes a connection on its way. Pure, and private to
 * mesh.
 */
#ifndef REMORA_MESH_HOP_H
#define REMORA_MESH_HOP_H

#include "mesh_decide.h"

enum mesh_hop_state {
    MESH_HOP_FOUND,
    MESH_HOP_ASK,     /* nothing is known of it, and the control plane was not asked yet */
    MESH_HOP_UNKNOWN, /* discovery does not know it */
    MESH_HOP_DOWN     /* it is known; of its endpoints none can be chosen, or all were tried */
};

struct mesh_hop {
    const struct mesh_service *service; /* as whose endpoint it was chosen, or NULL */
    const struct mesh_workload *workload;
    struct addr
        addr; /* where it takes HBONE; without an address where the workload only has a host name */
    struct addr attempt; /* what stands for it in mesh_request.tried */
};

/*
 * Finds the workload behind a gateway, always the same one for the same request. *hop is set when it is FOUND. A gateway that
 * does not say where it is (its kind is NONE) is UNKNOWN.
 */
enum mesh_hop_state mesh_hop_find(const struct mesh_snapshot *snapshot,
                                  const struct mesh_request *request,
                                  const struct mesh_gateway *gateway, struct mesh_hop *hop);

/* True when the workload itself is the waypoint, or one of its endpoints. */
bool mesh_hop_is(const struct mesh_snapshot *snapshot, const struct mesh_gateway *gateway,
                 const struct mesh_workload *workload);

/* Writes the gateway's name as the control plane knows it to `out` (MESH_NAME_TEXT_MAX bytes) and returns `out`. */
const char *mesh_hop_name(const struct mesh_gateway *gateway, char *out);

#endif
