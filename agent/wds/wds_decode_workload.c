#include <string.h>

#include "wds_field.h"
#include "wds_object.h"

/* Both count alike; see workload.proto. */
_Static_assert((int)MESH_TUNNEL_LEGACY_ISTIO_MTLS ==
                   (int)ISTIO__WORKLOAD__TUNNEL_PROTOCOL__LEGACY_ISTIO_MTLS,
               "tunnel protocols");
_Static_assert((int)MESH_JOB == (int)ISTIO__WORKLOAD__WORKLOAD_TYPE__JOB, "workload types");
_Static_assert((int)MESH_NETWORK_HOST == (int)ISTIO__WORKLOAD__NETWORK_MODE__HOST_NETWORK,
               "network modes");
_Static_assert((int)MESH_APP_TLS == (int)ISTIO__WORKLOAD__APP_PROTOCOL__TLS, "protocols");

static const char *or_default(const char *text, const char *text_default)
{
    return text[0] == '\0' ? text_default : text;
}

static int read_enums(const Istio__Workload__Workload *from, struct mesh_workload *workload,
                      struct err *err)
{
    if (wds_field_enum("tunnel protocol", from->tunnel_protocol, MESH_TUNNEL_LEGACY_ISTIO_MTLS,
                       err) < 0 ||
        wds_field_enum("workload type", from->workload_type, MESH_JOB, err) < 0 ||
        wds_field_enum("status", from->status, ISTIO__WORKLOAD__WORKLOAD_STATUS__UNHEALTHY, err) <
            0 ||
        wds_field_enum("network mode", from->network_mode, MESH_NETWORK_HOST, err) < 0)
        return -1;
    workload->tunnel = (enum mesh_tunnel)from->tunnel_protocol;
    workload->workload_type = (enum mesh_workload_type)from->workload_type;
    workload->unhealthy = from->status == ISTIO__WORKLOAD__WORKLOAD_STATUS__UNHEALTHY;
    workload->network_mode = (enum mesh_network_mode)from->network_mode;
    return 0;
}

static void read_texts(const Istio__Workload__Workload *from, struct mesh_workload *workload)
{
    const Istio__Workload__Locality *locality = from->locality;
    workload->uid = from->uid;
    workload->name = from->name;
    workload->namespace_ = from->namespace_;
    workload->service_account = or_default(from->service_account, "default");
    workload->trust_domain = or_default(from->trust_domain, "cluster.local");
    workload->network = from->network;
    workload->cluster_id = or_default(from->cluster_id, "Kubernetes");
    workload->node = from->node;
    workload->hostname = from->hostname;
    workload->canonical_name = from->canonical_name;
    workload->canonical_revision = from->canonical_revision;
    workload->workload_name = from->workload_name;
    workload->locality = (struct mesh_locality){
        .region = locality == NULL ? "" : locality->region,
        .zone = locality == NULL ? "" : locality->zone,
        .subzone = locality == NULL ? "" : locality->subzone,
    };
}

static int read_addresses(const Istio__Workload__Workload *from, struct protobuf_memory *memory,
                          struct mesh_workload *workload, struct err *err)
{
    size_t num = from->n_addresses;
    if (wds_field_num("addresses", num, MESH_ADDRESSES_MAX, err) < 0)
        return -1;
    struct ip *ips = protobuf_memory_array(memory, num, sizeof(*ips));
    if (ips == NULL && num > 0)
        return protobuf_memory_err(memory, err);
    for (size_t i = 0; i < num; i++)
        if (wds_field_ip("an address", &from->addresses[i], &ips[i], err) < 0)
            return -1;
    workload->ips = ips;
    workload->num_ips = num;
    return 0;
}

static int read_application_tunnel(const Istio__Workload__ApplicationTunnel *from,
                                   struct mesh_workload *workload, struct err *err)
{
    if (from == NULL)
        return 0;
    if (wds_field_enum("protocol of the application tunnel", from->protocol, MESH_APP_TUNNEL_PROXY,
                       err) < 0)
        return -1;
    workload->application_tunnel.present = true;
    workload->application_tunnel.protocol = (enum mesh_app_tunnel_protocol)from->protocol;
    return wds_field_port("port of the application tunnel", from->port,
                          &workload->application_tunnel.port, err);
}

static int read_membership(const Istio__Workload__Workload__ServicesEntry *from,
                           struct protobuf_memory *memory, struct mesh_membership *membership,
                           struct err *err)
{
    const Istio__Workload__PortList *list = from->value;
    membership->service = from->key;
    if (strchr(from->key, '/') == NULL)
        return err_set(err, ERR_INVALID, "a service is \"%.*s\", not \"namespace/hostname\"",
                       MESH_NAME_MAX, from->key);
    if (list == NULL) /* an entry without a value has the empty one */
        return 0;
    membership->num_ports = list->n_ports;
    if (wds_field_ports("ports", memory, list->ports, list->n_ports, &membership->ports, err) < 0)
        return err_prefix(err, "service \"%.*s\"", MESH_NAME_MAX, from->key);
    return 0;
}

/* protobuf-c hands a map over as it was sent; in one with a key twice the last would count, but
 * nobody sends that and means it. */
static int check_not_twice(const struct mesh_membership *memberships, size_t index, struct err *err)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(memberships[i].service, memberships[index].service) == 0)
            return err_set(err, ERR_INVALID, "service \"%.*s\" stands twice", MESH_NAME_MAX,
                           memberships[i].service);
    return 0;
}

static int read_memberships(const Istio__Workload__Workload *from, struct protobuf_memory *memory,
                            struct mesh_workload *workload, struct err *err)
{
    size_t num = from->n_services;
    if (wds_field_num("services", num, MESH_MEMBERSHIPS_MAX, err) < 0)
        return -1;
    struct mesh_membership *memberships = protobuf_memory_array(memory, num, sizeof(*memberships));
    if (memberships == NULL && num > 0)
        return protobuf_memory_err(memory, err);
    for (size_t i = 0; i < num; i++)
        if (read_membership(from->services[i], memory, &memberships[i], err) < 0 ||
            check_not_twice(memberships, i, err) < 0)
            return -1;
    workload->services = memberships;
    workload->num_services = num;
    return 0;
}

int wds_decode_workload(const Istio__Workload__Workload *from, struct protobuf_memory *memory,
                        struct mesh_workload *workload, struct err *err)
{
    read_texts(from, workload);
    workload->native_tunnel = from->native_tunnel;
    workload->capacity = from->capacity == NULL ? 1 : from->capacity->value;
    workload->authorization_policies = (const char *const *)from->authorization_policies;
    workload->num_authorization_policies = from->n_authorization_policies;
    if (read_enums(from, workload, err) < 0 || read_addresses(from, memory, workload, err) < 0 ||
        wds_field_gateway("waypoint", from->waypoint, &workload->waypoint, err) < 0 ||
        wds_field_gateway("network gateway", from->network_gateway, &workload->network_gateway,
                          err) < 0 ||
        read_application_tunnel(from->application_tunnel, workload, err) < 0)
        return -1;
    return read_memberships(from, memory, workload, err);
}
