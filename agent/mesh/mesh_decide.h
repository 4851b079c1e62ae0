/*
 * Where a connection of the application goes: the outbound decision. Pure: the same input gives the
 * same answer.
 *
 * Never downgrades: what discovery marks as HBONE is tunnelled or refused, never dialled in clear;
 * so is whatever needs a way that this agent does not have (a waypoint, another network's gateway,
 * a host name without address, Istio's old mTLS).
 */
#ifndef REMORA_MESH_DECIDE_H
#define REMORA_MESH_DECIDE_H

#include "mesh_name.h"
#include "mesh_snapshot.h"
#include "reason.h"

enum {
    MESH_EXPECTED_MAX = MESH_SANS_MAX + 1, /* identities: the workload's own and its service's */
    MESH_TRIED_MAX = 8, /* endpoints that one connection may try; beyond it the whole service is
                           down, not an endpoint */
};

struct mesh_request {
    const struct mesh_workload
        *source;         /* the agent's own workload, of the same snapshot; NULL: not known yet */
    const char *network; /* the agent's own network, "" by default */
    struct addr destination; /* the original destination */
    bool refuse_unknown;     /* outbound policy registry-only */
    uint64_t random;         /* picks the endpoint; uniform */
    const struct addr
        *tried;       /* targets of earlier decisions for this connection: not to be chosen again */
    size_t num_tried; /* at most MESH_TRIED_MAX */
    bool only_tunnels; /* an earlier decision for this connection was a tunnel: who breaks tunnels
                          must not get what would have gone through them in clear */
};

enum mesh_decision_kind {
    MESH_PASSTHROUGH, /* plain TCP to `target` */
    MESH_TUNNEL, /* HBONE to `tunnel`, CONNECT `target`, the peer must be one of `identities` */
    MESH_REFUSE, /* close with `reason` */
    MESH_ASK     /* nothing is known yet: ask the control plane for `ask`, then decide again */
};

/* What is borrowed lives as long as the snapshot. A copy is as good as the original. */
struct mesh_decision {
    enum mesh_decision_kind kind;
    enum reason reason; /* of REFUSE */
    const char
        *detail; /* of REFUSE: static text that says more than the reason's sentence, or NULL */
    const struct mesh_service *service; /* the service that was addressed, or NULL */
    const struct mesh_workload
        *workload; /* the destination, or NULL: unknown, or refused before one was chosen */
    struct addr
        target; /* where the application listens: an endpoint's address, or the original one */
    struct addr tunnel;                        /* of TUNNEL: the peer agent */
    const char *identities[MESH_EXPECTED_MAX]; /* of TUNNEL: expected SPIFFE IDs, at least one */
    size_t num_identities;
    char ask[MESH_NAME_TEXT_MAX]; /* of ASK: a name as on the wire; else "" */
};

/*
 * Decides. `*decision` is filled completely. In a snapshot on demand, a destination at whose very
 * address nothing is known, and for which the control plane has not answered, is ASK; only then
 * networks (CIDR addresses) are considered, and what is unknown still is unknown. Reasons of a refusal: UNKNOWN_LOCAL_WORKLOAD,
 * UNKNOWN_DESTINATION, NO_HEALTHY_ENDPOINT (also when all were tried), NO_EXPECTED_IDENTITY,
 * UNSUPPORTED_DESTINATION, LIMIT.
 */
void mesh_decide(const struct mesh_snapshot *snapshot, const struct mesh_request *request,
                 struct mesh_decision *decision);

#endif
