#include "mesh_hop.h"

#include <string.h>

#include "mesh_balance.h"
#include "mesh_eligible.h"

const char *mesh_hop_name(const struct mesh_gateway *gateway, char *out)
{
    if (gateway->kind == MESH_GATEWAY_ADDRESS)
        return mesh_name_of_address(gateway->network, &gateway->ip, out);
    return mesh_name_of_key(gateway->namespace_, gateway->hostname, out);
}

static uint16_t port_of(const struct mesh_gateway *gateway)
{
    return gateway->hbone_mtls_port != 0 ? gateway->hbone_mtls_port : MESH_HBONE_PORT;
}

/* The service that a gateway is given as: by its name, or by one of its addresses. */
static const struct mesh_service *find_service(const struct mesh_snapshot *snapshot,
                                               const struct mesh_gateway *gateway,
                                               const char *client_namespace)
{
    char key[MESH_NAME_TEXT_MAX];
    if (gateway->kind == MESH_GATEWAY_HOSTNAME)
        return mesh_snapshot_service(snapshot, mesh_hop_name(gateway, key));
    if (gateway->kind == MESH_GATEWAY_NONE)
        return NULL;
    return mesh_snapshot_service_by_vip(snapshot, gateway->network, &gateway->ip, client_namespace);
}

static const struct mesh_workload *find_workload(const struct mesh_snapshot *snapshot,
                                                 const struct mesh_gateway *gateway)
{
    if (gateway->kind != MESH_GATEWAY_ADDRESS)
        return NULL;
    return mesh_snapshot_workload_by_ip(snapshot, gateway->network, &gateway->ip);
}

/* Another draw than the one that chose the endpoint or the waypoint, from the same random number (SplitMix64's mixing). */
static uint64_t redraw(uint64_t random)
{
    random += 0x9e3779b97f4a7c15u;
    random = (random ^ (random >> 30)) * 0xbf58476d1ce4e5b9u;
    random = (random ^ (random >> 27)) * 0x94d049bb133111ebu;
    return random ^ (random >> 31);
}

static enum mesh_hop_state choose_endpoint(const struct mesh_snapshot *snapshot,
                                           const struct mesh_request *request, uint16_t port,
                                           struct mesh_hop *hop)
{
    struct mesh_pick pick =
        mesh_balance_pick_hop(snapshot, hop->service, request, port, redraw(request->random));
    if (pick.endpoint == NULL)
        return MESH_HOP_DOWN;
    hop->workload = pick.endpoint->workload;
    hop->addr = pick.target;
    hop->attempt = mesh_eligible_attempt(hop->workload, &hop->addr);
    return MESH_HOP_FOUND;
}

static enum mesh_hop_state nothing_known(const struct mesh_snapshot *snapshot,
                                         const struct mesh_gateway *gateway)
{
    char name[MESH_NAME_TEXT_MAX];
    bool may_ask = gateway->kind != MESH_GATEWAY_NONE && mesh_snapshot_is_on_demand(snapshot) &&
                   mesh_snapshot_answered(snapshot, mesh_hop_name(gateway, name)) == NULL;
    return may_ask ? MESH_HOP_ASK : MESH_HOP_UNKNOWN;
}

enum mesh_hop_state mesh_hop_find(const struct mesh_snapshot *snapshot,
                                  const struct mesh_request *request,
                                  const struct mesh_gateway *gateway, struct mesh_hop *hop)
{
    uint16_t port = port_of(gateway);
    *hop = (struct mesh_hop){
        .service = find_service(snapshot, gateway, request->source->namespace_),
    };
    if (hop->service != NULL)
        return choose_endpoint(snapshot, request, port, hop);
    hop->workload = find_workload(snapshot, gateway);
    if (hop->workload == NULL)
        return nothing_known(snapshot, gateway);
    hop->addr = (struct addr){.ip = gateway->ip, .port = port};
    hop->attempt = hop->addr;
    return mesh_eligible_was_tried(request, &hop->attempt) ? MESH_HOP_DOWN : MESH_HOP_FOUND;
}

static bool is_member(const struct mesh_workload *workload, const char *service_key)
{
    for (size_t i = 0; i < workload->num_services; i++)
        if (strcmp(workload->services[i].service, service_key) == 0)
            return true;
    return false;
}

static bool has_address(const struct mesh_workload *workload, const struct mesh_gateway *gateway)
{
    if (strcmp(workload->network, gateway->network) != 0)
        return false;
    for (size_t i = 0; i < workload->num_ips; i++)
        if (ip_equal(&workload->ips[i], &gateway->ip))
            return true;
    return false;
}

bool mesh_hop_is(const struct mesh_snapshot *snapshot, const struct mesh_gateway *gateway,
                 const struct mesh_workload *workload)
{
    char key[MESH_NAME_TEXT_MAX];
    if (gateway->kind == MESH_GATEWAY_NONE)
        return false;
    if (gateway->kind == MESH_GATEWAY_HOSTNAME) /* its own memberships tell, known service or not */
        return is_member(workload, mesh_hop_name(gateway, key));
    const struct mesh_service *service = find_service(snapshot, gateway, workload->namespace_);
    return has_address(workload, gateway) || (service != NULL && is_member(workload, service->key));
}
