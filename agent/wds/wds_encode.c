#include <stdint.h>
#include <string.h>

#include "istio/workload/workload.pb-c.h"
#include "wds_message.h"

/* --------------------------------------------------------------------------------- pieces -- */

/* The bytes are the value's own. */
static ProtobufCBinaryData ip_bytes(const struct ip *ip)
{
    union {
        const uint8_t *in;
        uint8_t *out;
    } pointer = {.in = ip->bytes};
    return (ProtobufCBinaryData){.data = pointer.out, .len = ip->family == IP_V4 ? 4 : 16};
}

static Istio__Workload__Port **ports(struct protobuf_memory *memory, const struct mesh_port *from,
                                     size_t num, size_t *num_out)
{
    Istio__Workload__Port **list = wds_message_list(memory, num, sizeof(**list));
    *num_out = list == NULL ? 0 : num;
    for (size_t i = 0; i < *num_out; i++) {
        istio__workload__port__init(list[i]);
        list[i]->service_port = from[i].service_port;
        list[i]->target_port = from[i].target_port;
        list[i]->app_protocol = (Istio__Workload__AppProtocol)from[i].app_protocol;
    }
    return list;
}

static Istio__Workload__NamespacedHostname *hostname(struct protobuf_memory *memory,
                                                     const struct mesh_gateway *from)
{
    Istio__Workload__NamespacedHostname *to = protobuf_memory_array(memory, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    istio__workload__namespaced_hostname__init(to);
    to->namespace_ = wds_message_text(from->namespace_);
    to->hostname = wds_message_text(from->hostname);
    return to;
}

static Istio__Workload__NetworkAddress *address(struct protobuf_memory *memory, const char *network,
                                                const struct ip *ip)
{
    Istio__Workload__NetworkAddress *to = protobuf_memory_array(memory, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    istio__workload__network_address__init(to);
    to->network = wds_message_text(network);
    to->address = ip_bytes(ip);
    return to;
}

static Istio__Workload__GatewayAddress *gateway(struct protobuf_memory *memory,
                                                const struct mesh_gateway *from)
{
    if (from->kind == MESH_GATEWAY_NONE)
        return NULL;
    Istio__Workload__GatewayAddress *to = protobuf_memory_array(memory, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    istio__workload__gateway_address__init(to);
    to->hbone_mtls_port = from->hbone_mtls_port;
    if (from->kind == MESH_GATEWAY_HOSTNAME) {
        to->destination_case = ISTIO__WORKLOAD__GATEWAY_ADDRESS__DESTINATION_HOSTNAME;
        to->hostname = hostname(memory, from);
    } else {
        to->destination_case = ISTIO__WORKLOAD__GATEWAY_ADDRESS__DESTINATION_ADDRESS;
        to->address = address(memory, from->network, &from->ip);
    }
    return to;
}

static char **texts(struct protobuf_memory *memory, const char *const *from, size_t num,
                    size_t *num_out)
{
    char **to = protobuf_memory_array(memory, num, sizeof(char *));
    *num_out = to == NULL ? 0 : num;
    for (size_t i = 0; i < *num_out; i++)
        to[i] = wds_message_text(from[i]);
    return to;
}

/* ------------------------------------------------------------------------------- workload -- */

static void set_workload_texts(const struct mesh_workload *from, Istio__Workload__Workload *to)
{
    to->uid = wds_message_text(from->uid);
    to->name = wds_message_text(from->name);
    to->namespace_ = wds_message_text(from->namespace_);
    to->service_account = wds_message_text(from->service_account);
    to->trust_domain = wds_message_text(from->trust_domain);
    to->network = wds_message_text(from->network);
    to->cluster_id = wds_message_text(from->cluster_id);
    to->node = wds_message_text(from->node);
    to->hostname = wds_message_text(from->hostname);
    to->canonical_name = wds_message_text(from->canonical_name);
    to->canonical_revision = wds_message_text(from->canonical_revision);
    to->workload_name = wds_message_text(from->workload_name);
}

static void set_workload_values(const struct mesh_workload *from, Istio__Workload__Workload *to)
{
    to->workload_type = (Istio__Workload__WorkloadType)from->workload_type;
    to->tunnel_protocol = (Istio__Workload__TunnelProtocol)from->tunnel;
    to->native_tunnel = from->native_tunnel;
    to->network_mode = (Istio__Workload__NetworkMode)from->network_mode;
    to->status = from->unhealthy ? ISTIO__WORKLOAD__WORKLOAD_STATUS__UNHEALTHY
                                 : ISTIO__WORKLOAD__WORKLOAD_STATUS__HEALTHY;
}

static void set_workload_parts(struct protobuf_memory *memory, const struct mesh_workload *from,
                               Istio__Workload__Workload *to)
{
    Istio__Workload__Locality *locality = protobuf_memory_array(memory, 1, sizeof(*locality));
    Istio__Workload__UInt32Value *capacity = protobuf_memory_array(memory, 1, sizeof(*capacity));
    Istio__Workload__ApplicationTunnel *tunnel = protobuf_memory_array(memory, 1, sizeof(*tunnel));
    if (locality == NULL || capacity == NULL || tunnel == NULL)
        return;
    istio__workload__locality__init(locality);
    locality->region = wds_message_text(from->locality.region);
    locality->zone = wds_message_text(from->locality.zone);
    locality->subzone = wds_message_text(from->locality.subzone);
    istio__workload__uint32_value__init(capacity);
    capacity->value = from->capacity;
    istio__workload__application_tunnel__init(tunnel);
    tunnel->protocol =
        (Istio__Workload__ApplicationTunnel__Protocol)from->application_tunnel.protocol;
    tunnel->port = from->application_tunnel.port;
    to->locality = locality;
    to->capacity = from->capacity == 1 ? NULL : capacity;
    to->application_tunnel = from->application_tunnel.present ? tunnel : NULL;
    to->waypoint = gateway(memory, &from->waypoint);
    to->network_gateway = gateway(memory, &from->network_gateway);
}

static void set_addresses(struct protobuf_memory *memory, const struct mesh_workload *from,
                          Istio__Workload__Workload *to)
{
    to->addresses = protobuf_memory_array(memory, from->num_ips, sizeof(*to->addresses));
    if (to->addresses == NULL)
        return;
    to->n_addresses = from->num_ips;
    for (size_t i = 0; i < from->num_ips; i++)
        to->addresses[i] = ip_bytes(&from->ips[i]);
}

static void set_memberships(struct protobuf_memory *memory, const struct mesh_workload *from,
                            Istio__Workload__Workload *to)
{
    to->services = wds_message_list(memory, from->num_services, sizeof(**to->services));
    Istio__Workload__PortList *lists =
        protobuf_memory_array(memory, from->num_services, sizeof(*lists));
    if (to->services == NULL || lists == NULL)
        return;
    to->n_services = from->num_services;
    for (size_t i = 0; i < from->num_services; i++) {
        const struct mesh_membership *membership = &from->services[i];
        istio__workload__workload__services_entry__init(to->services[i]);
        istio__workload__port_list__init(&lists[i]);
        lists[i].ports = ports(memory, membership->ports, membership->num_ports, &lists[i].n_ports);
        to->services[i]->key = wds_message_text(membership->service);
        to->services[i]->value = &lists[i];
    }
}

int wds_encode_workload(struct buf *out, const struct mesh_workload *workload, struct err *err)
{
    struct protobuf_memory *memory = protobuf_memory_new(SIZE_MAX, PROTOBUF_PLAIN);
    if (memory == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    Istio__Workload__Workload message;
    Istio__Workload__Address to;
    istio__workload__workload__init(&message);
    istio__workload__address__init(&to);
    set_workload_texts(workload, &message);
    set_workload_values(workload, &message);
    set_workload_parts(memory, workload, &message);
    set_addresses(memory, workload, &message);
    set_memberships(memory, workload, &message);
    message.authorization_policies =
        texts(memory, workload->authorization_policies, workload->num_authorization_policies,
              &message.n_authorization_policies);
    to.type_case = ISTIO__WORKLOAD__ADDRESS__TYPE_WORKLOAD;
    to.workload = &message;
    return wds_message_pack(out, &to.base, memory, err);
}

/* -------------------------------------------------------------------------------- service -- */

static void set_vips(struct protobuf_memory *memory, const struct mesh_service *from,
                     Istio__Workload__Service *to)
{
    size_t num = from->num_vips + from->num_cidr_vips;
    to->addresses = wds_message_list(memory, num, sizeof(**to->addresses));
    if (to->addresses == NULL)
        return;
    to->n_addresses = num;
    for (size_t i = 0; i < num; i++)
        istio__workload__network_address__init(to->addresses[i]);
    for (size_t i = 0; i < from->num_vips; i++) {
        to->addresses[i]->network = wds_message_text(from->vips[i].network);
        to->addresses[i]->address = ip_bytes(&from->vips[i].ip);
    }
    for (size_t i = 0; i < from->num_cidr_vips; i++) {
        Istio__Workload__NetworkAddress *cidr = to->addresses[from->num_vips + i];
        cidr->network = wds_message_text(from->cidr_vips[i].network);
        cidr->address = ip_bytes(&from->cidr_vips[i].cidr.ip);
        cidr->prefix_case = ISTIO__WORKLOAD__NETWORK_ADDRESS__PREFIX_LENGTH;
        cidr->length = from->cidr_vips[i].cidr.prefix_len;
    }
}

static void set_weighted_waypoints(struct protobuf_memory *memory, const struct mesh_service *from,
                                   Istio__Workload__Service *to)
{
    size_t num = from->num_weighted_waypoints;
    to->weighted_waypoints = wds_message_list(memory, num, sizeof(**to->weighted_waypoints));
    if (to->weighted_waypoints == NULL)
        return;
    to->n_weighted_waypoints = num;
    for (size_t i = 0; i < num; i++) {
        istio__workload__weighted_waypoint__init(to->weighted_waypoints[i]);
        to->weighted_waypoints[i]->weight = from->weighted_waypoints[i].weight;
        to->weighted_waypoints[i]->destination =
            gateway(memory, &from->weighted_waypoints[i].gateway);
    }
}

static void set_load_balancing(struct protobuf_memory *memory, const struct mesh_service *from,
                               Istio__Workload__Service *to)
{
    size_t num = from->load_balancing.num_preferences;
    Istio__Workload__LoadBalancing *lb = protobuf_memory_array(memory, 1, sizeof(*lb));
    if (lb == NULL)
        return;
    istio__workload__load_balancing__init(lb);
    lb->mode = (Istio__Workload__LoadBalancing__Mode)from->load_balancing.mode;
    lb->health_policy =
        (Istio__Workload__LoadBalancing__HealthPolicy)from->load_balancing.health_policy;
    lb->routing_preference = protobuf_memory_array(memory, num, sizeof(*lb->routing_preference));
    lb->n_routing_preference = lb->routing_preference == NULL ? 0 : num;
    for (size_t i = 0; i < lb->n_routing_preference; i++)
        lb->routing_preference[i] =
            (Istio__Workload__LoadBalancing__Scope)from->load_balancing.preferences[i];
    to->load_balancing = lb;
}

int wds_encode_service(struct buf *out, const struct mesh_service *service, struct err *err)
{
    struct protobuf_memory *memory = protobuf_memory_new(SIZE_MAX, PROTOBUF_PLAIN);
    if (memory == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    Istio__Workload__Service message;
    Istio__Workload__Address to;
    istio__workload__service__init(&message);
    istio__workload__address__init(&to);
    message.name = wds_message_text(service->name);
    message.namespace_ = wds_message_text(service->namespace_);
    message.hostname = wds_message_text(service->hostname);
    message.ip_families = (Istio__Workload__IPFamilies)service->ip_families;
    message.visibility = (Istio__Workload__Visibility)service->visibility;
    message.canonical = service->canonical;
    message.ingress_use_waypoint = service->ingress_use_waypoint;
    message.ports = ports(memory, service->ports, service->num_ports, &message.n_ports);
    message.subject_alt_names = texts(memory, service->subject_alt_names,
                                      service->num_subject_alt_names, &message.n_subject_alt_names);
    message.waypoint = gateway(memory, &service->waypoint);
    set_vips(memory, service, &message);
    set_weighted_waypoints(memory, service, &message);
    set_load_balancing(memory, service, &message);
    to.type_case = ISTIO__WORKLOAD__ADDRESS__TYPE_SERVICE;
    to.service = &message;
    return wds_message_pack(out, &to.base, memory, err);
}
