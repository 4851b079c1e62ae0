#include "mesh_decide.h"

#include <stdio.h>
#include <string.h>

#include "mesh_balance.h"
#include "mesh_eligible.h"
#include "mesh_hop.h"

/* `detail` may be NULL. */
static void refuse(struct mesh_decision *decision, enum reason reason, const char *detail)
{
    decision->kind = MESH_REFUSE;
    decision->reason = reason;
    snprintf(decision->detail, sizeof(decision->detail), "%s", detail != NULL ? detail : "");
}

/* ---------------------------------------------------------------------------- the last step -- */

/* Who may answer for the workload: itself, and whoever the service (NULL: none) says. */
static void set_identities(struct mesh_decision *decision, const struct mesh_workload *workload,
                           const struct mesh_service *service)
{
    if (workload->identity != NULL)
        decision->identities[decision->num_identities++] = workload->identity;
    for (size_t i = 0; service != NULL && i < service->num_subject_alt_names; i++)
        decision->identities[decision->num_identities++] = service->subject_alt_names[i];
}

/* Where `ip` is none, the workload's host name stands for it. */
static void set_resolve(struct mesh_decision *decision, const struct ip *ip,
                        const struct mesh_workload *workload, const struct mesh_service *service)
{
    if (ip->family != IP_NONE)
        return;
    decision->resolve = workload->hostname;
    decision->families = service != NULL ? service->ip_families : MESH_FAMILIES_AUTOMATIC;
}

/* Whoever is dialled at `dialled` must prove an identity. */
static void secure_to(struct mesh_decision *decision, enum mesh_decision_kind kind,
                      const struct ip *dialled, const struct mesh_workload *workload,
                      const struct mesh_service *service)
{
    decision->workload = workload;
    set_identities(decision, workload, service);
    if (decision->num_identities == 0) {
        refuse(decision, REASON_NO_EXPECTED_IDENTITY, NULL);
        return;
    }
    decision->kind = kind;
    set_resolve(decision, dialled, workload, service);
}

static void tunnel_to(struct mesh_decision *decision, const struct addr *agent,
                      const struct mesh_workload *workload, const struct mesh_service *service)
{
    decision->tunnel = *agent;
    secure_to(decision, MESH_TUNNEL, &agent->ip, workload, service);
}

/*
 * A chosen workload is dialled as it wants to be, or not at all. `decision->target` is set; `service` is the one as whose endpoint
 * it was chosen, or NULL.
 */
static void reach(struct mesh_decision *decision, const struct mesh_workload *workload,
                  const struct mesh_service *service)
{
    decision->workload = workload;
    decision->attempt = mesh_eligible_attempt(workload, &decision->target);
    const struct addr agent = {.ip = decision->target.ip, .port = MESH_HBONE_PORT};
    switch (workload->tunnel) {
    case MESH_TUNNEL_NONE:
        decision->kind = MESH_PASSTHROUGH;
        set_resolve(decision, &decision->target.ip, workload, service);
        return;
    case MESH_TUNNEL_HBONE:
        tunnel_to(decision, &agent, workload, service);
        return;
    case MESH_TUNNEL_LEGACY_ISTIO_MTLS:
        secure_to(decision, MESH_ISTIO_MTLS, &decision->target.ip, workload, service);
        return;
    }
}

/* ------------------------------------------------------------------------- through gateways -- */

/* The answer for a name was of use, or NULL was: there is none. */
static void note_use(struct mesh_decision *decision, const struct mesh_interest *interest)
{
    if (interest != NULL && decision->num_used < MESH_USED_MAX)
        decision->used[decision->num_used++] = interest;
}

static void note_hop(const struct mesh_snapshot *snapshot, const struct mesh_gateway *gateway,
                     struct mesh_decision *decision)
{
    char name[MESH_NAME_TEXT_MAX];
    if (mesh_snapshot_is_on_demand(snapshot))
        note_use(decision, mesh_snapshot_answered(snapshot, mesh_hop_name(gateway, name)));
}

static void ask_for(struct mesh_decision *decision, const struct mesh_gateway *gateway)
{
    decision->kind = MESH_ASK;
    mesh_hop_name(gateway, decision->ask);
}

/* Says why there is no way through a gateway. */
static void refuse_hop(struct mesh_decision *decision, enum mesh_hop_state state,
                       const struct mesh_gateway *gateway, enum reason unknown, const char *what)
{
    char name[MESH_NAME_TEXT_MAX];
    bool is_unknown = state == MESH_HOP_UNKNOWN;
    refuse(decision, is_unknown ? unknown : REASON_NO_HEALTHY_ENDPOINT, NULL);
    snprintf(decision->detail, sizeof(decision->detail), "the %s \"%.*s\" %s", what, MESH_KEY_MAX,
             mesh_hop_name(gateway, name),
             is_unknown ? "is not known" : "has no endpoint that can be reached");
}

/*
 * Into another network, as whose part `workload` was chosen: a tunnel to the network's gateway, and one inside of it to whoever
 * is one of `inner`'s identities. Gateways route by service, so only a service can be reached there.
 */
static void reach_network(const struct mesh_snapshot *snapshot, const struct mesh_request *request,
                          const struct mesh_workload *workload, const struct mesh_service *inner,
                          struct mesh_decision *decision)
{
    const struct mesh_gateway *gateway = &workload->network_gateway;
    decision->workload = workload;
    decision->target = request->destination;
    if (decision->service == NULL) {
        refuse(decision, REASON_UNSUPPORTED_DESTINATION,
               "in another network only services can be reached, not a workload by its address");
        return;
    }
    if (gateway->kind == MESH_GATEWAY_NONE) {
        refuse(decision, REASON_GATEWAY_UNKNOWN, NULL);
        return;
    }
    if (inner == NULL || inner->num_subject_alt_names == 0) {
        refuse(decision, REASON_NO_EXPECTED_IDENTITY,
               "nothing says who answers in the other network (subject alternative names)");
        return;
    }
    struct mesh_hop hop;
    enum mesh_hop_state state = mesh_hop_find(snapshot, request, gateway, &hop);
    if (state == MESH_HOP_ASK) {
        ask_for(decision, gateway);
    } else if (state != MESH_HOP_FOUND) {
        refuse_hop(decision, state, gateway, REASON_GATEWAY_UNKNOWN, "network gateway");
    } else {
        note_hop(snapshot, gateway, decision);
        decision->attempt = hop.attempt;
        decision->is_nested = true;
        decision->inner_identities = inner->subject_alt_names;
        decision->num_inner_identities = inner->num_subject_alt_names;
        tunnel_to(decision, &hop.addr, hop.workload, hop.service);
    }
}

static void reach_waypoint(const struct mesh_snapshot *snapshot, const struct mesh_request *request,
                           const struct mesh_hop *waypoint, struct mesh_decision *decision)
{
    decision->target = request->destination;
    if (strcmp(waypoint->workload->network, request->network) != 0) {
        reach_network(snapshot, request, waypoint->workload, waypoint->service, decision);
        return;
    }
    decision->attempt = waypoint->attempt;
    tunnel_to(decision, &waypoint->addr, waypoint->workload, waypoint->service);
}

/* Decides that the way leads through the waypoint, or that it is to be asked for. Else says why not. */
static enum mesh_hop_state try_waypoint(const struct mesh_snapshot *snapshot,
                                        const struct mesh_request *request,
                                        const struct mesh_gateway *gateway,
                                        struct mesh_decision *decision)
{
    struct mesh_hop hop;
    enum mesh_hop_state state = mesh_hop_find(snapshot, request, gateway, &hop);
    if (state == MESH_HOP_ASK) {
        ask_for(decision, gateway);
    } else if (state != MESH_HOP_FOUND) {
        refuse_hop(decision, state, gateway, REASON_WAYPOINT_UNKNOWN, "waypoint");
    } else {
        note_hop(snapshot, gateway, decision);
        reach_waypoint(snapshot, request, &hop, decision);
    }
    return state;
}

static uint64_t total_weight(const struct mesh_service *service)
{
    uint64_t weight = 0;
    for (size_t i = 0; i < service->num_weighted_waypoints; i++)
        weight += service->weighted_waypoints[i].weight;
    return weight;
}

/* The index of the weighted waypoint whose share holds `point`, which is less than the sum of the weights. */
static size_t weighted_at(const struct mesh_service *service, uint64_t point)
{
    size_t i = 0;
    while (point >= service->weighted_waypoints[i].weight)
        point -= service->weighted_waypoints[i++].weight;
    return i;
}

/* One of the weighted waypoints, drawn by weight. Should that one have no endpoint left, the others are as good. */
static void reach_weighted(const struct mesh_snapshot *snapshot, const struct mesh_request *request,
                           const struct mesh_service *service, uint64_t weight,
                           struct mesh_decision *decision)
{
    size_t num = service->num_weighted_waypoints;
    size_t drawn = weighted_at(service, request->random % weight);
    for (size_t i = 0; i < num; i++) {
        const struct mesh_weighted_waypoint *waypoint =
            &service->weighted_waypoints[(drawn + i) % num];
        if (waypoint->weight == 0)
            continue;
        if (try_waypoint(snapshot, request, &waypoint->gateway, decision) != MESH_HOP_DOWN)
            return;
    }
}

/* A waypoint reaches what is behind it directly; else it would send the connection round and round. */
static bool is_waypoint_of(const struct mesh_snapshot *snapshot,
                           const struct mesh_workload *workload, const struct mesh_service *service)
{
    for (size_t i = 0; i < service->num_weighted_waypoints; i++)
        if (service->weighted_waypoints[i].weight > 0 &&
            mesh_hop_is(snapshot, &service->weighted_waypoints[i].gateway, workload))
            return true;
    return mesh_hop_is(snapshot, &service->waypoint, workload);
}

/* ------------------------------------------------------------------------ what was asked for -- */

/* The application asked for the workload's own address. */
static void reach_directly(const struct mesh_snapshot *snapshot, const struct mesh_request *request,
                           const struct mesh_workload *workload, struct mesh_decision *decision)
{
    decision->target = request->destination;
    decision->workload = workload;
    if (workload->waypoint.kind != MESH_GATEWAY_NONE &&
        !mesh_hop_is(snapshot, &workload->waypoint, request->source))
        try_waypoint(snapshot, request, &workload->waypoint, decision);
    else
        reach(decision, workload, NULL);
}

static void reach_endpoint(const struct mesh_snapshot *snapshot, const struct mesh_request *request,
                           struct mesh_decision *decision)
{
    struct mesh_pick pick = mesh_balance_pick(snapshot, decision->service, request);
    if (pick.endpoint == NULL) {
        refuse(decision, pick.reason, pick.detail);
        return;
    }
    const struct mesh_workload *workload = pick.endpoint->workload;
    if (strcmp(workload->network, request->network) != 0) {
        reach_network(snapshot, request, workload, decision->service, decision);
        return;
    }
    decision->target = pick.target;
    reach(decision, workload, decision->service);
}

/*
 * The application asked for a service's address. A service that is passed through leads to the original destination; should
 * that be a workload that we know, it is still dialled as that workload wants, for HBONE is never downgraded.
 */
static void reach_service(const struct mesh_snapshot *snapshot, const struct mesh_request *request,
                          const struct mesh_workload *workload, struct mesh_decision *decision)
{
    const struct mesh_service *service = decision->service;
    bool behind = !is_waypoint_of(snapshot, request->source, service);
    uint64_t weight = total_weight(service);
    if (behind && weight > 0)
        reach_weighted(snapshot, request, service, weight, decision);
    else if (behind && service->waypoint.kind != MESH_GATEWAY_NONE)
        try_waypoint(snapshot, request, &service->waypoint, decision);
    else if (service->load_balancing.mode != MESH_LB_PASSTHROUGH)
        reach_endpoint(snapshot, request, decision);
    else if (workload != NULL)
        reach_directly(snapshot, request, workload, decision);
    else
        decision->kind = MESH_PASSTHROUGH;
}

/* True when nothing is known at the destination's very address and the control plane was not asked; then decision->ask is the
 * name to ask for. */
static bool must_ask(const struct mesh_snapshot *snapshot, const struct mesh_request *request,
                     struct mesh_decision *decision)
{
    const struct ip *ip = &request->destination.ip;
    if (!mesh_snapshot_is_on_demand(snapshot))
        return false;
    mesh_name_of_address(request->network, ip, decision->ask);
    const struct mesh_interest *answered = mesh_snapshot_answered(snapshot, decision->ask);
    note_use(decision, answered);
    if (answered == NULL && !mesh_snapshot_knows_address(snapshot, request->network, ip))
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
        reach_directly(snapshot, request, workload, decision);
    else if (request->refuse_unknown)
        refuse(decision, REASON_UNKNOWN_DESTINATION, NULL);
    else
        decision->kind = MESH_PASSTHROUGH;
}

bool mesh_decide_leads(const struct mesh_decision *decision)
{
    return decision->kind == MESH_PASSTHROUGH || decision->kind == MESH_TUNNEL ||
           decision->kind == MESH_ISTIO_MTLS;
}

void mesh_decide(const struct mesh_snapshot *snapshot, const struct mesh_request *request,
                 struct mesh_decision *decision)
{
    *decision = (struct mesh_decision){
        .reason = REASON_DONE,
        .target = request->destination,
        .attempt = request->destination,
    };
    decide(snapshot, request, decision);
    /* Where there is only one way, having tried it is the end; a pick among endpoints leaves the tried ones out itself. */
    if (mesh_decide_leads(decision) && mesh_eligible_was_tried(request, &decision->attempt))
        refuse(decision, REASON_NO_HEALTHY_ENDPOINT, "the only way to the destination was tried");
}

/* -------------------------------------------------------------------------------- host names -- */

/* 0: not to be used; else more is better. */
static int fitness(const struct mesh_decision *decision, const struct mesh_request *request,
                   const struct ip *ip)
{
    if (ip_is_loopback(ip) || ip_is_unspecified(ip) ||
        !mesh_eligible_family(decision->families, ip->family))
        return 0;
    return ip->family == request->destination.ip.family ? 2 : 1;
}

bool mesh_decide_resolved(struct mesh_decision *decision, const struct mesh_request *request,
                          const struct ip *ips, size_t num_ips)
{
    int best = 0;
    size_t num_best = 0;
    for (size_t i = 0; i < num_ips; i++) {
        int fit = fitness(decision, request, &ips[i]);
        if (fit > best) {
            best = fit;
            num_best = 0;
        }
        num_best += fit == best;
    }
    if (best == 0)
        return false;
    size_t left = request->random % num_best;
    size_t i = 0;
    while (fitness(decision, request, &ips[i]) != best || left-- > 0)
        i++;
    if (decision->target.ip.family == IP_NONE)
        decision->target.ip = ips[i];
    if (decision->kind == MESH_TUNNEL)
        decision->tunnel.ip = ips[i];
    return true;
}
