#include "mesh_endpoints.h"

#include <string.h>

/* Which of the two sums a service chooses by. */
enum { WEIGHT_ALL, WEIGHT_HEALTHY };

static unsigned weight_of(const struct mesh_service *service)
{
    return service->load_balancing.health_policy == MESH_ALLOW_ALL ? WEIGHT_ALL : WEIGHT_HEALTHY;
}

static int compare_service(const void *key, const void *item)
{
    const struct mesh_endpoint *endpoint = item;
    return strcmp(key, endpoint->membership->service);
}

/* Every endpoint of the service is less than the key. */
static int compare_behind_service(const void *key, const void *item)
{
    int order = compare_service(key, item);
    return order != 0 ? order : 1;
}

/* A workload that is an endpoint of one service twice counts twice. */
static int compare_endpoints(const void *left, const void *right)
{
    const struct mesh_endpoint *a = left;
    const struct mesh_endpoint *b = right;
    int order = compare_service(a->membership->service, b);
    if (order != 0)
        return order;
    uint64_t sequence = mesh_object_of_workload(a->workload)->sequence;
    uint64_t other_sequence = mesh_object_of_workload(b->workload)->sequence;
    if (sequence != other_sequence)
        return sequence < other_sequence ? -1 : 1;
    return (a > b) - (a < b);
}

static struct mesh_tree_weights weigh(const void *item)
{
    const struct mesh_endpoint *endpoint = item;
    uint64_t capacity = endpoint->workload->capacity;
    return (struct mesh_tree_weights){
        {[WEIGHT_ALL] = capacity, [WEIGHT_HEALTHY] = endpoint->workload->unhealthy ? 0 : capacity}};
}

const struct mesh_tree_kind mesh_endpoints_kind = {.compare = compare_endpoints, .weigh = weigh};

struct mesh_endpoints_share mesh_endpoints_share(const struct mesh_tree *endpoints,
                                                 const struct mesh_service *service)
{
    unsigned which = weight_of(service);
    struct mesh_tree_weights before =
        mesh_tree_sum_before(endpoints, &mesh_endpoints_kind, service->key, compare_service);
    struct mesh_tree_weights behind =
        mesh_tree_sum_before(endpoints, &mesh_endpoints_kind, service->key, compare_behind_service);
    return (struct mesh_endpoints_share){.before = before.of[which],
                                         .weight = behind.of[which] - before.of[which]};
}

const struct mesh_endpoint *mesh_endpoints_at(const struct mesh_tree *endpoints,
                                              const struct mesh_service *service,
                                              const struct mesh_endpoints_share *share,
                                              uint64_t point)
{
    return mesh_tree_at(endpoints, &mesh_endpoints_kind, weight_of(service), share->before + point);
}

bool mesh_endpoints_any(const struct mesh_tree *endpoints, const char *service_key)
{
    return mesh_tree_find(endpoints, service_key, compare_service) != NULL;
}

/* From `item` on, the first that can be chosen. */
static const struct mesh_endpoint *skip(struct mesh_endpoints_walk *walk, const void *item)
{
    unsigned which = weight_of(walk->service);
    for (; item != NULL; item = mesh_tree_next(&walk->walk)) {
        if (compare_service(walk->service->key, item) != 0)
            return NULL;
        if (weigh(item).of[which] > 0)
            return item;
    }
    return NULL;
}

const struct mesh_endpoint *mesh_endpoints_first(struct mesh_endpoints_walk *walk,
                                                 const struct mesh_tree *endpoints,
                                                 const struct mesh_service *service)
{
    walk->service = service;
    return skip(walk, mesh_tree_seek(&walk->walk, endpoints, service->key, compare_service));
}

const struct mesh_endpoint *mesh_endpoints_next(struct mesh_endpoints_walk *walk)
{
    return skip(walk, mesh_tree_next(&walk->walk));
}
