#include "mesh_inbound.h"

#include <string.h>

#include "mesh_hop.h"

static void refuse(struct mesh_landing *landing, enum reason reason, const char *detail)
{
    landing->reason = reason;
    landing->detail = detail;
}

/* ------------------------------------------------------------------------------- addresses -- */

static bool is_waypoint_of_service(const struct mesh_snapshot *snapshot,
                                   const struct mesh_service *service,
                                   const struct mesh_workload *local)
{
    if (mesh_hop_is(snapshot, &service->waypoint, local))
        return true;
    for (size_t i = 0; i < service->num_weighted_waypoints; i++)
        if (mesh_hop_is(snapshot, &service->weighted_waypoints[i].gateway, local))
            return true;
    return false;
}

/* True when this pod stands in front of whatever is at the address. */
static bool is_waypoint_of(const struct mesh_snapshot *snapshot, const struct mesh_arrival *arrival,
                           const struct mesh_service *service)
{
    if (service != NULL && is_waypoint_of_service(snapshot, service, arrival->local))
        return true;
    const struct mesh_workload *workload =
        mesh_snapshot_workload_by_ip(snapshot, arrival->network, &arrival->ip);
    return workload != NULL && mesh_hop_is(snapshot, &workload->waypoint, arrival->local);
}

/* The port is taken as it is: the address is not this pod's, so no map of its own says another. */
static void land_by_address(const struct mesh_snapshot *snapshot,
                            const struct mesh_arrival *arrival, struct mesh_landing *landing)
{
    if (ip_equal(&arrival->ip, &arrival->address))
        return;
    if (arrival->local == NULL) {
        refuse(landing, REASON_UNKNOWN_LOCAL_WORKLOAD, NULL);
        return;
    }
    const struct mesh_service *service = mesh_snapshot_service_by_vip(
        snapshot, arrival->network, &arrival->ip, arrival->local->namespace_);
    if (arrival->local->application_tunnel.present || is_waypoint_of(snapshot, arrival, service))
        landing->service = service;
    else
        refuse(landing, REASON_WRONG_DESTINATION,
               "the tunnel's :authority is not the address that it was opened to");
}

/* ------------------------------------------------------------------------------ host names -- */

static struct addr address_of(const struct mesh_service *service,
                              const struct mesh_arrival *arrival, const struct addr *otherwise)
{
    for (size_t i = 0; i < service->num_vips; i++) {
        const struct mesh_network_address *vip = &service->vips[i];
        if (vip->ip.family == arrival->address.family &&
            strcmp(vip->network, arrival->network) == 0)
            return (struct addr){.ip = vip->ip, .port = arrival->port};
    }
    return *otherwise;
}

static void land_by_host(const struct mesh_snapshot *snapshot, const struct mesh_arrival *arrival,
                         struct mesh_landing *landing)
{
    if (arrival->local == NULL) {
        refuse(landing, REASON_UNKNOWN_LOCAL_WORKLOAD, NULL);
        return;
    }
    landing->service =
        mesh_snapshot_service_by_hostname(snapshot, arrival->host, arrival->local->namespace_);
    if (landing->service == NULL) {
        refuse(landing, REASON_UNKNOWN_DESTINATION,
               "discovery knows no service of the host name in the tunnel's :authority");
        return;
    }
    landing->target.port =
        mesh_snapshot_target_port(landing->service, arrival->local, arrival->port);
    landing->original = address_of(landing->service, arrival, &landing->target);
    if (landing->target.port == 0)
        refuse(landing, REASON_UNKNOWN_DESTINATION,
               "this pod does not serve that port of the service in the tunnel's :authority");
}

/* --------------------------------------------------------------------- application tunnels -- */

static struct ip loopback_of(uint8_t family)
{
    if (family == IP_V4)
        return (struct ip){.family = IP_V4, .bytes = {127, 0, 0, 1}};
    return (struct ip){.family = IP_V6, .bytes = {[15] = 1}};
}

/* The application takes everything at one port of the loopback, and learns from a header what it was for. */
static void enter_application_tunnel(const struct mesh_workload *local,
                                     struct mesh_landing *landing)
{
    if (local->application_tunnel.port != 0)
        landing->target.port = local->application_tunnel.port;
    landing->is_proxied = local->application_tunnel.protocol == MESH_APP_TUNNEL_PROXY;
    landing->dial = (struct addr){
        .ip = loopback_of(landing->target.ip.family),
        .port = landing->target.port,
    };
}

void mesh_inbound_land(const struct mesh_snapshot *snapshot, const struct mesh_arrival *arrival,
                       struct mesh_landing *landing)
{
    *landing = (struct mesh_landing){
        .reason = REASON_DONE,
        .target = {.ip = arrival->address, .port = arrival->port},
        .original = {.ip = arrival->ip, .port = arrival->port},
    };
    if (arrival->ip.family != IP_NONE)
        land_by_address(snapshot, arrival, landing);
    else
        land_by_host(snapshot, arrival, landing);
    landing->dial = landing->target;
    if (landing->reason == REASON_DONE && arrival->local != NULL &&
        arrival->local->application_tunnel.present)
        enter_application_tunnel(arrival->local, landing);
}
