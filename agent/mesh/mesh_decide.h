/*
 * Where a connection of the application goes: the outbound decision. Pure: the same input gives the
 * same answer.
 *
 * Never downgrades and never bypasses: what discovery marks as HBONE, as behind a waypoint or as in
 * another network is tunnelled that way or refused, never dialled in clear and never directly; what
 * it marks as Istio's mutual TLS is dialled by that, or refused.
 */
#ifndef REMORA_MESH_DECIDE_H
#define REMORA_MESH_DECIDE_H

#include "mesh_name.h"
#include "mesh_snapshot.h"
#include "reason.h"

enum {
    MESH_EXPECTED_MAX = MESH_SANS_MAX + 1, /* identities: the workload's own and its service's */
    MESH_DETAIL_MAX = MESH_KEY_MAX + 128,  /* bytes of a refusal's detail, NUL included */
    MESH_USED_MAX = 3,  /* names that one decision rests on: destination, waypoint, gateway */
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
        *tried; /* `attempt` of earlier decisions for this connection: not to be chosen again */
    size_t num_tried;  /* at most MESH_TRIED_MAX */
    bool only_tunnels; /* an earlier decision for this connection was a tunnel or Istio's mutual
                          TLS: who breaks these must not get in clear what they would have carried */
};

enum mesh_decision_kind {
    MESH_PASSTHROUGH, /* plain TCP to `target` */
    MESH_TUNNEL, /* HBONE to `tunnel`, CONNECT `target`, the peer must be one of `identities` */
    /* Istio's mutual TLS (ALPN "istio") to `target` itself; the peer must be one of `identities` */
    MESH_ISTIO_MTLS,
    MESH_REFUSE, /* close with `reason` */
    MESH_ASK     /* nothing is known yet: ask the control plane for `ask`, then decide again */
};

/* What is borrowed lives as long as the snapshot. A copy is as good as the original. */
struct mesh_decision {
    enum mesh_decision_kind kind;
    enum reason reason;                 /* of REFUSE */
    char detail[MESH_DETAIL_MAX];       /* of REFUSE: says more than the reason's sentence, or "" */
    const struct mesh_service *service; /* the service that was addressed, or NULL */
    /* The destination, or the waypoint or network gateway that stands for it; NULL: unknown, or
       refused before one was chosen. */
    const struct mesh_workload *workload;
    /* Where the application listens: an endpoint's address; the original one where that is for a
       waypoint or gateway to find out. */
    struct addr target;
    struct addr tunnel; /* of TUNNEL: the peer agent, the waypoint or the gateway */
    /* Of TUNNEL and ISTIO_MTLS: expected SPIFFE IDs, at least one. */
    const char *identities[MESH_EXPECTED_MAX];
    size_t num_identities;

    /*
     * Of a TUNNEL through a network gateway: both the CONNECT to the gateway and the one inside of
     * that tunnel, over a TLS of its own, are for `service`'s host name and the port of `target`.
     * Whoever answers inside must be one of these, at least one.
     */
    bool is_nested;
    const char *const *inner_identities;
    size_t num_inner_identities;

    /*
     * Where the decision leads somewhere whose address is not known: the host name that has it;
     * mesh_decide_resolved fills the address in. Else NULL.
     */
    const char *resolve;
    enum mesh_ip_families families; /* that its addresses may be of */

    struct addr attempt; /* where it leads somewhere: what to add to `tried` should it fail */
    char ask[MESH_NAME_TEXT_MAX]; /* of ASK: a name as on the wire; else "" */

    /* In a snapshot on demand: the names that were of use, for who keeps them up to date. */
    const struct mesh_interest *used[MESH_USED_MAX];
    size_t num_used;
};

/*
 * Decides. `*decision` is filled completely. In a snapshot on demand, a destination at whose very
 * address nothing is known, and for which the control plane has not answered, is ASK; only then
 * networks (CIDR addresses) are considered, and what is unknown still is unknown. So is a waypoint
 * or a network gateway that is needed. Reasons of a refusal: UNKNOWN_LOCAL_WORKLOAD,
 * UNKNOWN_DESTINATION, NO_HEALTHY_ENDPOINT (also when all were tried), NO_EXPECTED_IDENTITY,
 * WAYPOINT_UNKNOWN, GATEWAY_UNKNOWN, UNSUPPORTED_DESTINATION, LIMIT.
 */
void mesh_decide(const struct mesh_snapshot *snapshot, const struct mesh_request *request,
                 struct mesh_decision *decision);

/* True for PASSTHROUGH, TUNNEL and ISTIO_MTLS. */
bool mesh_decide_leads(const struct mesh_decision *decision);

/*
 * Completes a decision whose `resolve` is not NULL with one of the name's addresses: of those that
 * the service's families allow, one of the original destination's family if there is one; drawn by
 * request->random. Addresses that can only be this pod's own (loopback, unspecified) are left out.
 * False: none is left. A name never makes a peer more trusted: identities stay as they are.
 */
bool mesh_decide_resolved(struct mesh_decision *decision, const struct mesh_request *request,
                          const struct ip *ips, size_t num_ips);

#endif
