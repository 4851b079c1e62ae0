#include "wds_field.h"
#include "wds_object.h"

/* Both count alike; see workload.proto. */
_Static_assert((int)MESH_SCOPE_NETWORK == (int)ISTIO__WORKLOAD__LOAD_BALANCING__SCOPE__NETWORK,
               "scopes");
_Static_assert((int)MESH_LB_PASSTHROUGH == (int)ISTIO__WORKLOAD__LOAD_BALANCING__MODE__PASSTHROUGH,
               "load-balancing modes");
_Static_assert((int)MESH_ALLOW_ALL ==
                   (int)ISTIO__WORKLOAD__LOAD_BALANCING__HEALTH_POLICY__ALLOW_ALL,
               "health policies");
_Static_assert((int)MESH_FAMILIES_DUAL == (int)ISTIO__WORKLOAD__IPFAMILIES__DUAL, "IP families");

static bool is_network(const Istio__Workload__NetworkAddress *from)
{
    return from->prefix_case == ISTIO__WORKLOAD__NETWORK_ADDRESS__PREFIX_LENGTH &&
           from->length != from->address.len * 8;
}

static int read_addresses(const Istio__Workload__Service *from, struct protobuf_memory *memory,
                          struct mesh_service *service, struct err *err)
{
    size_t num = from->n_addresses;
    if (num == 0)
        return 0;
    if (wds_field_num("addresses", num, 2 * MESH_ADDRESSES_MAX, err) < 0)
        return -1;
    struct mesh_network_address *vips = protobuf_memory_array(memory, num, sizeof(*vips));
    struct mesh_network_cidr *cidrs = protobuf_memory_array(memory, num, sizeof(*cidrs));
    if (vips == NULL || cidrs == NULL)
        return protobuf_memory_err(memory, err);
    service->vips = vips;
    service->cidr_vips = cidrs;
    for (size_t i = 0; i < num; i++) {
        const Istio__Workload__NetworkAddress *address = from->addresses[i];
        if (is_network(address)) {
            struct mesh_network_cidr *cidr = &cidrs[service->num_cidr_vips++];
            cidr->network = address->network;
            if (wds_field_cidr("an address", &address->address, address->length, &cidr->cidr, err) <
                0)
                return -1;
        } else {
            struct mesh_network_address *vip = &vips[service->num_vips++];
            vip->network = address->network;
            if (wds_field_ip("an address", &address->address, &vip->ip, err) < 0)
                return -1;
        }
    }
    return 0;
}

static int read_waypoints(const Istio__Workload__Service *from, struct protobuf_memory *memory,
                          struct mesh_service *service, struct err *err)
{
    size_t num = from->n_weighted_waypoints;
    if (wds_field_gateway("waypoint", from->waypoint, &service->waypoint, err) < 0 ||
        wds_field_num("weighted waypoints", num, MESH_ADDRESSES_MAX, err) < 0)
        return -1;
    struct mesh_weighted_waypoint *waypoints =
        protobuf_memory_array(memory, num, sizeof(*waypoints));
    if (waypoints == NULL && num > 0)
        return protobuf_memory_err(memory, err);
    for (size_t i = 0; i < num; i++) {
        if (from->weighted_waypoints[i]->destination == NULL)
            return err_set(err, ERR_INVALID, "weighted waypoint %zu has no destination", i + 1);
        waypoints[i].weight = from->weighted_waypoints[i]->weight;
        if (wds_field_gateway("a weighted waypoint", from->weighted_waypoints[i]->destination,
                              &waypoints[i].gateway, err) < 0)
            return -1;
    }
    service->weighted_waypoints = waypoints;
    service->num_weighted_waypoints = num;
    return 0;
}

static int read_load_balancing(const Istio__Workload__LoadBalancing *from,
                               struct mesh_service *service, struct err *err)
{
    if (from == NULL)
        return 0;
    size_t num = from->n_routing_preference;
    if (wds_field_num("routing preferences", num, MESH_SCOPES_MAX, err) < 0 ||
        wds_field_enum("load-balancing mode", from->mode, MESH_LB_PASSTHROUGH, err) < 0 ||
        wds_field_enum("health policy", from->health_policy, MESH_ALLOW_ALL, err) < 0)
        return -1;
    for (size_t i = 0; i < num; i++) {
        if (wds_field_enum("a routing preference", from->routing_preference[i], MESH_SCOPE_NETWORK,
                           err) < 0)
            return -1;
        service->load_balancing.preferences[i] = (enum mesh_scope)from->routing_preference[i];
    }
    service->load_balancing.num_preferences = num;
    service->load_balancing.mode = (enum mesh_lb_mode)from->mode;
    service->load_balancing.health_policy = (enum mesh_health_policy)from->health_policy;
    return 0;
}

int wds_decode_service(const Istio__Workload__Service *from, struct protobuf_memory *memory,
                       struct mesh_service *service, struct err *err)
{
    service->name = from->name;
    service->namespace_ = from->namespace_;
    service->hostname = from->hostname;
    service->subject_alt_names = (const char *const *)from->subject_alt_names;
    service->num_subject_alt_names = from->n_subject_alt_names;
    service->canonical = from->canonical;
    service->ingress_use_waypoint = from->ingress_use_waypoint;
    /* What a newer Istio may restrict in another way, older agents see. */
    service->visibility =
        from->visibility == ISTIO__WORKLOAD__VISIBILITY__NAMESPACE ? MESH_NAMESPACE : MESH_PUBLIC;
    if (wds_field_enum("IP families", from->ip_families, MESH_FAMILIES_DUAL, err) < 0 ||
        read_addresses(from, memory, service, err) < 0 ||
        wds_field_ports("ports", memory, from->ports, from->n_ports, &service->ports, err) < 0 ||
        read_waypoints(from, memory, service, err) < 0)
        return -1;
    service->num_ports = from->n_ports;
    service->ip_families = (enum mesh_ip_families)from->ip_families;
    return read_load_balancing(from->load_balancing, service, err);
}
