#include "mesh_balance.h"

#include "mesh_eligible.h"
#include "mesh_endpoints.h"

struct scan {
    const struct mesh_snapshot *snapshot;
    const struct mesh_service *service;
    const struct mesh_want *want;
    int best_rank;
    uint64_t weight;         /* of all eligible endpoints of the best rank */
    struct mesh_pick missed; /* why one of the others is not */
};

/* The endpoint's rank, or -1 when it cannot be chosen. *pick is set. */
static int examine(struct scan *scan, const struct mesh_endpoint *endpoint, struct mesh_pick *pick)
{
    int rank = mesh_eligible_rank(scan->snapshot, scan->service, endpoint, scan->want, pick);
    if (rank < 0 && pick->reason != REASON_NO_HEALTHY_ENDPOINT)
        scan->missed = (struct mesh_pick){.reason = pick->reason, .detail = pick->detail};
    return rank;
}

static void weigh(struct scan *scan)
{
    scan->best_rank = -1;
    struct mesh_endpoints_walk walk;
    const struct mesh_endpoint *endpoint =
        mesh_endpoints_first(&walk, &scan->snapshot->workloads.endpoints, scan->service);
    for (; endpoint != NULL; endpoint = mesh_endpoints_next(&walk)) {
        struct mesh_pick pick;
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
        return scan->missed;
    uint64_t point = random % scan->weight;
    struct mesh_endpoints_walk walk;
    const struct mesh_endpoint *endpoint =
        mesh_endpoints_first(&walk, &scan->snapshot->workloads.endpoints, scan->service);
    for (; endpoint != NULL; endpoint = mesh_endpoints_next(&walk)) {
        struct mesh_pick pick;
        if (examine(scan, endpoint, &pick) != scan->best_rank)
            continue;
        if (point < endpoint->workload->capacity)
            return pick;
        point -= endpoint->workload->capacity;
    }
    return scan->missed;
}

/*
 * Without ranking, nearly every endpoint is eligible: one is drawn among all of them in O(log n). If the draw hits one that is
 * not, the rest of the same random number draws again among those that are, which leaves the probabilities exact.
 */
static struct mesh_pick draw(const struct mesh_snapshot *snapshot,
                             const struct mesh_service *service, const struct mesh_want *want)
{
    const struct mesh_tree *endpoints = &snapshot->workloads.endpoints;
    struct mesh_endpoints_share share = mesh_endpoints_share(endpoints, service);
    struct mesh_pick pick = {.reason = REASON_NO_HEALTHY_ENDPOINT};
    if (share.weight == 0)
        return pick;
    uint64_t random = want->random;
    if (!mesh_eligible_is_ranked(service)) {
        const struct mesh_endpoint *drawn =
            mesh_endpoints_at(endpoints, service, &share, random % share.weight);
        if (mesh_eligible_rank(snapshot, service, drawn, want, &pick) >= 0)
            return pick;
        random /= share.weight;
    }
    struct scan scan = {
        .snapshot = snapshot,
        .service = service,
        .want = want,
        .missed = {.reason = REASON_NO_HEALTHY_ENDPOINT},
    };
    return pick_by_scan(&scan, random);
}

struct mesh_pick mesh_balance_pick(const struct mesh_snapshot *snapshot,
                                   const struct mesh_service *service,
                                   const struct mesh_request *request)
{
    const struct mesh_want want = {
        .request = request, .port = request->destination.port, .random = request->random};
    return draw(snapshot, service, &want);
}

struct mesh_pick mesh_balance_pick_hop(const struct mesh_snapshot *snapshot,
                                       const struct mesh_service *service,
                                       const struct mesh_request *request, uint16_t port,
                                       uint64_t random)
{
    const struct mesh_want want = {
        .request = request, .port = port, .random = random, .is_hop = true};
    return draw(snapshot, service, &want);
}
