#include "mesh_eligible.h"

#include <string.h>

#include "mesh_hop.h"

/* --------------------------------------------------------------------------------- tried -- */

struct addr mesh_eligible_attempt(const struct mesh_workload *workload, const struct addr *target)
{
    struct addr attempt = *target;
    if (target->ip.family != IP_NONE)
        return attempt;
    /* FNV-1a of the uid, as if it were an address of no family: no real one is equal to it. */
    uint64_t hash = 14695981039346656037u;
    for (const char *at = workload->uid; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 1099511628211u;
    memcpy(attempt.ip.bytes, &hash, sizeof(hash));
    return attempt;
}

bool mesh_eligible_was_tried(const struct mesh_request *request, const struct addr *attempt)
{
    for (size_t i = 0; i < request->num_tried; i++)
        if (addr_equal(&request->tried[i], attempt))
            return true;
    return false;
}

/* ------------------------------------------------------------------------------- address -- */

bool mesh_eligible_family(enum mesh_ip_families families, uint8_t family)
{
    switch (families) {
    case MESH_FAMILIES_IPV4:
        return family == IP_V4;
    case MESH_FAMILIES_IPV6:
        return family == IP_V6;
    case MESH_FAMILIES_AUTOMATIC:
    case MESH_FAMILIES_DUAL:
        break;
    }
    return true;
}

/*
 * The address of a workload for a connection to `wanted`: that very address if the workload has it; else one that the service's
 * families allow, of the family that the application asked for if there is one. NULL: there is none.
 */
static const struct ip *choose_ip(const struct mesh_workload *workload,
                                  enum mesh_ip_families families, const struct ip *wanted)
{
    const struct ip *first = NULL;
    const struct ip *same_family = NULL;
    for (size_t i = 0; i < workload->num_ips; i++) {
        const struct ip *ip = &workload->ips[i];
        if (ip_equal(ip, wanted))
            return ip;
        if (!mesh_eligible_family(families, ip->family))
            continue;
        if (first == NULL)
            first = ip;
        if (same_family == NULL && ip->family == wanted->family)
            same_family = ip;
    }
    return same_family != NULL ? same_family : first;
}

/* --------------------------------------------------------------------------- eligibility -- */

static bool miss(struct mesh_pick *pick, enum reason reason, const char *detail)
{
    pick->reason = reason;
    pick->detail = detail;
    return false;
}

static uint16_t port_of(const struct mesh_service *service, const struct mesh_endpoint *endpoint,
                        const struct mesh_want *want)
{
    uint16_t port = mesh_index_target_port(service, endpoint->membership, want->port);
    /* Whoever made a waypoint out of a pod behind an agent had no need to name the agent's port in the service. */
    if (port == 0 && want->is_hop && endpoint->workload->application_tunnel.present)
        return want->port;
    return port;
}

/* The endpoint's address, or none where its host name stands for it. False: it has neither. */
static bool find_target(const struct mesh_service *service, const struct mesh_workload *workload,
                        const struct mesh_want *want, struct addr *target)
{
    const struct ip *ip = choose_ip(workload, service->ip_families, &want->request->destination.ip);
    if (ip != NULL)
        target->ip = *ip;
    return ip != NULL || (workload->num_ips == 0 && workload->hostname[0] != '\0');
}

/* Another network's endpoint is reached through its gateway, or not at all. */
static bool is_reachable_far(const struct mesh_snapshot *snapshot,
                             const struct mesh_service *service,
                             const struct mesh_workload *workload, const struct mesh_want *want,
                             struct mesh_pick *pick)
{
    if (workload->tunnel != MESH_TUNNEL_HBONE)
        return miss(pick, REASON_UNSUPPORTED_DESTINATION,
                    "the endpoint is in another network and does not speak HBONE");
    if (workload->network_gateway.kind == MESH_GATEWAY_NONE)
        return miss(pick, REASON_GATEWAY_UNKNOWN,
                    "the endpoint is in another network and has no network gateway");
    if (service->num_subject_alt_names == 0)
        return miss(pick, REASON_NO_EXPECTED_IDENTITY,
                    "the endpoint is in another network, and the service does not say who answers "
                    "for it there (subject alternative names)");
    struct mesh_hop hop;
    switch (mesh_hop_find(snapshot, want->request, &workload->network_gateway, &hop)) {
    case MESH_HOP_FOUND:
    case MESH_HOP_ASK:
        return true;
    case MESH_HOP_UNKNOWN:
        return miss(pick, REASON_GATEWAY_UNKNOWN,
                    "the endpoint is in another network, whose gateway discovery does not know");
    case MESH_HOP_DOWN:
        break;
    }
    return false;
}

static bool is_reachable_near(const struct mesh_service *service,
                              const struct mesh_workload *workload, const struct mesh_want *want,
                              struct mesh_pick *pick)
{
    if (!find_target(service, workload, want, &pick->target))
        return false;
    struct addr attempt = mesh_eligible_attempt(workload, &pick->target);
    return !mesh_eligible_was_tried(want->request, &attempt);
}

/* Whether the endpoint can take the connection; then pick->target is set. Else pick's reason may be. */
static bool is_eligible(const struct mesh_snapshot *snapshot, const struct mesh_service *service,
                        const struct mesh_endpoint *endpoint, const struct mesh_want *want,
                        struct mesh_pick *pick)
{
    const struct mesh_workload *workload = endpoint->workload;
    const struct mesh_request *request = want->request;
    if (!want->is_hop && request->only_tunnels && workload->tunnel == MESH_TUNNEL_NONE)
        return false;
    pick->target.port = port_of(service, endpoint, want);
    if (pick->target.port == 0)
        return false;
    if (!want->is_hop && strcmp(workload->network, request->network) != 0)
        return is_reachable_far(snapshot, service, workload, want, pick);
    return is_reachable_near(service, workload, want, pick);
}

/* ------------------------------------------------------------------------------- ranking -- */

static bool scope_matches(enum mesh_scope scope, const struct mesh_workload *source,
                          const struct mesh_workload *workload)
{
    switch (scope) {
    case MESH_SCOPE_REGION:
        return strcmp(source->locality.region, workload->locality.region) == 0;
    case MESH_SCOPE_ZONE:
        return strcmp(source->locality.zone, workload->locality.zone) == 0;
    case MESH_SCOPE_SUBZONE:
        return strcmp(source->locality.subzone, workload->locality.subzone) == 0;
    case MESH_SCOPE_NODE:
        return strcmp(source->node, workload->node) == 0;
    case MESH_SCOPE_CLUSTER:
        return strcmp(source->cluster_id, workload->cluster_id) == 0;
    case MESH_SCOPE_NETWORK:
        return strcmp(source->network, workload->network) == 0;
    case MESH_SCOPE_UNSPECIFIED:
        break;
    }
    return false;
}

/* How many of the preferences from `first` on the workload meets, up to the first that it does not. */
static size_t count_matches(const struct mesh_service *service, size_t first,
                            const struct mesh_workload *source,
                            const struct mesh_workload *workload)
{
    size_t i = first;
    while (i < service->load_balancing.num_preferences &&
           scope_matches(service->load_balancing.preferences[i], source, workload))
        i++;
    return i - first;
}

/*
 * How many of the service's preferences the workload meets, from the first up to the first that it does not. A leading NETWORK
 * is apart, as in the field: another network's endpoints still compete among themselves by the rest, and one of our own
 * network is worth as much more as the rest can be worth. -1: it must not be chosen.
 */
static int rank_of(const struct mesh_service *service, const struct mesh_workload *source,
                   const struct mesh_workload *workload)
{
    size_t num = service->load_balancing.num_preferences;
    if (service->load_balancing.mode == MESH_LB_STRICT &&
        count_matches(service, 0, source, workload) < num)
        return -1;
    if (num == 0 || service->load_balancing.preferences[0] != MESH_SCOPE_NETWORK)
        return (int)count_matches(service, 0, source, workload);
    size_t bonus = scope_matches(MESH_SCOPE_NETWORK, source, workload) ? num - 1 : 0;
    return (int)(bonus + count_matches(service, 1, source, workload));
}

bool mesh_eligible_is_ranked(const struct mesh_service *service)
{
    return service->load_balancing.mode == MESH_LB_STRICT ||
           service->load_balancing.mode == MESH_LB_FAILOVER;
}

int mesh_eligible_rank(const struct mesh_snapshot *snapshot, const struct mesh_service *service,
                       const struct mesh_endpoint *endpoint, const struct mesh_want *want,
                       struct mesh_pick *pick)
{
    int rank = 0;
    *pick = (struct mesh_pick){.reason = REASON_NO_HEALTHY_ENDPOINT};
    if (mesh_eligible_is_ranked(service))
        rank = rank_of(service, want->request->source, endpoint->workload);
    if (rank < 0 || !is_eligible(snapshot, service, endpoint, want, pick))
        return -1;
    pick->endpoint = endpoint;
    return rank;
}
