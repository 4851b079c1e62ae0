#include "mesh_decide.h"

#include "mesh_balance.h"

static void refuse(struct mesh_decision *decision, enum reason reason, const char *detail)
{
    decision->kind = MESH_REFUSE;
    decision->reason = reason;
    decision->detail = detail;
}

/* Who may answer for the workload: itself, and whoever the service (NULL: none) says. */
static void set_identities(struct mesh_decision *decision, const struct mesh_workload *workload,
                           const struct mesh_service *service)
{
    if (workload->identity != NULL)
        decision->identities[decision->num_identities++] = workload->identity;
    for (size_t i = 0; service != NULL && i < service->num_subject_alt_names; i++)
        decision->identities[decision->num_identities++] = service->subject_alt_names[i];
}

/*
 * The last step: a chosen workload is dialled as it wants to be, or not at all. `decision->target` is set; `service` is the one
 * as whose endpoint it was chosen, or NULL.
 */
static void reach(struct mesh_decision *decision, const struct mesh_workload *workload,
                  const struct mesh_service *service)
{
    decision->workload = workload;
    switch (workload->tunnel) {
    case MESH_TUNNEL_NONE:
        decision->kind = MESH_PASSTHROUGH;
        return;
    case MESH_TUNNEL_HBONE:
        set_identities(decision, workload, service);
        if (decision->num_identities == 0) {
            refuse(decision, REASON_NO_EXPECTED_IDENTITY, NULL);
            return;
        }
        decision->kind = MESH_TUNNEL;
        decision->tunnel = (struct addr){.ip = decision->target.ip, .port = MESH_HBONE_PORT};
        return;
    case MESH_TUNNEL_LEGACY_ISTIO_MTLS:
        break;
    }
    refuse(decision, REASON_UNSUPPORTED_DESTINATION,
           "the workload wants Istio's mTLS without HBONE");
}

/* The application asked for the workload's own address. */
static void reach_directly(const struct mesh_request *request, const struct mesh_workload *workload,
                           struct mesh_decision *decision)
{
    decision->target = request->destination;
    decision->workload = workload;
    if (workload->waypoint.kind != MESH_GATEWAY_NONE) {
        refuse(decision, REASON_UNSUPPORTED_DESTINATION,
               "the workload is to be reached through a waypoint");
        return;
    }
    reach(decision, workload, NULL);
}

/* True when some waypoint stands in front of the service: the plain one, or any weighted one that is ever chosen. */
static bool has_waypoint(const struct mesh_service *service)
{
    if (service->waypoint.kind != MESH_GATEWAY_NONE)
        return true;
    for (size_t i = 0; i < service->num_weighted_waypoints; i++)
        if (service->weighted_waypoints[i].weight > 0)
            return true;
    return false;
}

static void reach_endpoint(const struct mesh_snapshot *snapshot, const struct mesh_request *request,
                           struct mesh_decision *decision)
{
    struct mesh_pick pick = mesh_balance_pick(snapshot, decision->service, request);
    if (pick.endpoint == NULL && pick.unsupported != NULL) {
        refuse(decision, REASON_UNSUPPORTED_DESTINATION, pick.unsupported);
        return;
    }
    if (pick.endpoint == NULL) {
        refuse(decision, REASON_NO_HEALTHY_ENDPOINT, NULL);
        return;
    }
    decision->target = pick.target;
    reach(decision, pick.endpoint->workload, decision->service);
}

/*
 * The application asked for a service's address. A service that is passed through leads to the original destination; should
 * that be a workload that we know, it is still dialled as that workload wants, for HBONE is never downgraded.
 */
static void reach_service(const struct mesh_snapshot *snapshot, const struct mesh_request *request,
                          const struct mesh_workload *workload, struct mesh_decision *decision)
{
    if (has_waypoint(decision->service))
        refuse(decision, REASON_UNSUPPORTED_DESTINATION,
               "the service is to be reached through a waypoint");
    else if (decision->service->load_balancing.mode != MESH_LB_PASSTHROUGH)
        reach_endpoint(snapshot, request, decision);
    else if (workload != NULL)
        reach_directly(request, workload, decision);
    else
        decision->kind = MESH_PASSTHROUGH;
}

/* True when nothing is known at the destination's very address and the control plane was not asked; then decision->ask is the
 * name to ask for. */
static bool must_ask(const struct mesh_snapshot *snapshot, const struct mesh_request *request,
                     struct mesh_decision *decision)
{
    const struct ip *ip = &request->destination.ip;
    if (!mesh_snapshot_is_on_demand(snapshot) ||
        mesh_snapshot_knows_address(snapshot, request->network, ip))
        return false;
    mesh_name_of_address(request->network, ip, decision->ask);
    if (mesh_snapshot_answered(snapshot, decision->ask) == NULL)
        return true;
    decision->ask[0] = '\0';
    return false;
}

static void decide(const struct mesh_snapshot *snapshot, const struct mesh_request *request,
                   struct mesh_decision *decision)
{
    const struct ip *ip = &request->destination.ip;
    if (request->source == NULL) {
        refuse(decision, REASON_UNKNOWN_LOCAL_WORKLOAD, NULL);
        return;
    }
    if (request->num_tried > MESH_TRIED_MAX) {
        refuse(decision, REASON_LIMIT, "too many endpoints were tried for one connection");
        return;
    }
    if (must_ask(snapshot, request, decision)) {
        decision->kind = MESH_ASK;
        return;
    }
    const struct mesh_workload *workload =
        mesh_snapshot_workload_by_ip(snapshot, request->network, ip);
    decision->service =
        mesh_snapshot_service_by_vip(snapshot, request->network, ip, request->source->namespace_);
    if (decision->service != NULL)
        reach_service(snapshot, request, workload, decision);
    else if (workload != NULL)
        reach_directly(request, workload, decision);
    else if (request->refuse_unknown)
        refuse(decision, REASON_UNKNOWN_DESTINATION, NULL);
    else
        decision->kind = MESH_PASSTHROUGH;
}

void mesh_decide(const struct mesh_snapshot *snapshot, const struct mesh_request *request,
                 struct mesh_decision *decision)
{
    *decision = (struct mesh_decision){.reason = REASON_DONE, .target = request->destination};
    decide(snapshot, request, decision);
    /* Where there is only one way, having tried it is the end; a pick among endpoints leaves the tried ones out itself. */
    bool leads_somewhere = decision->kind == MESH_PASSTHROUGH || decision->kind == MESH_TUNNEL;
    if (leads_somewhere && mesh_balance_was_tried(request, &decision->target))
        refuse(decision, REASON_NO_HEALTHY_ENDPOINT, "the only way to the destination was tried");
}
