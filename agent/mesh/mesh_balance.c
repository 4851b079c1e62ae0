#include "mesh_balance.h"

#include <string.h>

bool mesh_balance_was_tried(const struct mesh_request *request, const struct addr *target)
{
    for (size_t i = 0; i < request->num_tried; i++)
        if (addr_equal(&request->tried[i], target))
            return true;
    return false;
}

/* ------------------------------------------------------------------------------ address -- */

static bool family_allowed(enum mesh_ip_families families, uint8_t family)
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
        if (!family_allowed(families, ip->family))
            continue;
        if (first == NULL)
            first = ip;
        if (same_family == NULL && ip->family == wanted->family)
            same_family = ip;
    }
    return same_family != NULL ? same_family : first;
}

/* -------------------------------------------------------------------------- eligibility -- */

/* What the agent lacks to reach the workload, or NULL. */
static const char *missing_way(const struct mesh_workload *workload,
                               const struct mesh_request *request)
{
    if (strcmp(workload->network, request->network) != 0)
        return "the endpoint is in another network and needs a network gateway";
    if (workload->tunnel == MESH_TUNNEL_LEGACY_ISTIO_MTLS)
        return "the endpoint wants Istio's mTLS without HBONE";
    if (workload->num_ips == 0 && workload->hostname[0] != '\0')
        return "the endpoint has a host name and no address";
    return NULL;
}

/* Whether the endpoint can take the connection; then pick->endpoint and target are set. Else pick->unsupported may be. */
static bool is_eligible(const struct mesh_service *service, const struct mesh_endpoint *endpoint,
                        const struct mesh_request *request, struct mesh_pick *pick)
{
    if (request->only_tunnels && endpoint->workload->tunnel == MESH_TUNNEL_NONE)
        return false;
    uint16_t port =
        mesh_index_target_port(service, endpoint->membership, request->destination.port);
    if (port == 0)
        return false;
    const char *missing = missing_way(endpoint->workload, request);
    if (missing != NULL) {
        pick->unsupported = missing;
        return false;
    }
    const struct ip *ip =
        choose_ip(endpoint->workload, service->ip_families, &request->destination.ip);
    if (ip == NULL)
        return false;
    struct addr target = {.ip = *ip, .port = port};
    if (mesh_balance_was_tried(request, &target))
        return false;
    pick->endpoint = endpoint;
    pick->target = target;
    return true;
}

/* ------------------------------------------------------------------------------ ranking -- */

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

/*
 * How many of the service's preferences the workload meets, from the first up to the first that it does not. -1: it must not be
 * chosen. The field ranks a leading NETWORK apart, so that another network's endpoints still compete by the rest; they are never
 * eligible here, and among one network's endpoints the order is the same.
 */
static int rank_of(const struct mesh_service *service, const struct mesh_workload *source,
                   const struct mesh_workload *workload)
{
    size_t num = service->load_balancing.num_preferences;
    size_t rank = 0;
    while (rank < num && scope_matches(service->load_balancing.preferences[rank], source, workload))
        rank++;
    if (service->load_balancing.mode == MESH_LB_STRICT && rank < num)
        return -1;
    return (int)rank;
}

static bool is_ranked(const struct mesh_service *service)
{
    return service->load_balancing.mode == MESH_LB_STRICT ||
           service->load_balancing.mode == MESH_LB_FAILOVER;
}

/* ----------------------------------------------------------------------------- the pick -- */

/* The endpoint whose share of the weights holds `point`, which is less than their sum. */
static const struct mesh_endpoint *endpoint_at(const struct mesh_endpoints *endpoints,
                                               uint64_t point)
{
    size_t low = 0;
    size_t high = endpoints->num;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (endpoints->items[middle].weight_before <= point)
            low = middle;
        else
            high = middle;
    }
    return &endpoints->items[low];
}

struct scan {
    const struct mesh_service *service;
    const struct mesh_endpoints *endpoints;
    const struct mesh_request *request;
    int best_rank;
    uint64_t weight; /* of all eligible endpoints of the best rank */
    const char *unsupported;
};

/* The endpoint's rank, or -1 when it cannot be chosen. *pick is set when it can. */
static int examine(struct scan *scan, const struct mesh_endpoint *endpoint, struct mesh_pick *pick)
{
    int rank = 0;
    if (is_ranked(scan->service))
        rank = rank_of(scan->service, scan->request->source, endpoint->workload);
    if (rank < 0)
        return -1;
    if (is_eligible(scan->service, endpoint, scan->request, pick))
        return rank;
    if (pick->unsupported != NULL)
        scan->unsupported = pick->unsupported;
    return -1;
}

static void weigh(struct scan *scan)
{
    scan->best_rank = -1;
    for (size_t i = 0; i < scan->endpoints->num; i++) {
        const struct mesh_endpoint *endpoint = &scan->endpoints->items[i];
        struct mesh_pick pick = {0};
        int rank = examine(scan, endpoint, &pick);
        if (rank < 0 || rank < scan->best_rank)
            continue;
        if (rank > scan->best_rank) {
            scan->best_rank = rank;
            scan->weight = 0;
        }
        scan->weight += endpoint->workload->capacity;
    }
}

static struct mesh_pick pick_by_scan(struct scan *scan, uint64_t random)
{
    weigh(scan);
    if (scan->best_rank < 0)
        return (struct mesh_pick){.unsupported = scan->unsupported};
    uint64_t point = random % scan->weight;
    for (size_t i = 0; i < scan->endpoints->num; i++) {
        const struct mesh_endpoint *endpoint = &scan->endpoints->items[i];
        struct mesh_pick pick = {0};
        if (examine(scan, endpoint, &pick) != scan->best_rank)
            continue;
        if (point < endpoint->workload->capacity)
            return pick;
        point -= endpoint->workload->capacity;
    }
    return (struct mesh_pick){0};
}

/*
 * Without ranking, nearly every endpoint is eligible: one is drawn among all of them in O(log n). If the draw hits one that is
 * not, the rest of the same random number draws again among those that are, which leaves the probabilities exact.
 */
struct mesh_pick mesh_balance_pick(const struct mesh_snapshot *snapshot,
                                   const struct mesh_service *service,
                                   const struct mesh_request *request)
{
    const struct mesh_endpoints *endpoints = mesh_index_endpoints(snapshot, service);
    if (endpoints->num == 0)
        return (struct mesh_pick){0};
    uint64_t random = request->random;
    if (!is_ranked(service)) {
        struct mesh_pick pick = {0};
        if (is_eligible(service, endpoint_at(endpoints, random % endpoints->weight), request,
                        &pick))
            return pick;
        random /= endpoints->weight;
    }
    struct scan scan = {.service = service, .endpoints = endpoints, .request = request};
    return pick_by_scan(&scan, random);
}
