#include "wds_field.h"

#include <inttypes.h>

int wds_field_enum(const char *field, int value, int max, struct err *err)
{
    if (value < 0 || value > max)
        return err_set(err, ERR_INVALID, "%s has the unknown value %d", field, value);
    return 0;
}

int wds_field_num(const char *field, size_t num, size_t max, struct err *err)
{
    if (num > max)
        return err_set(err, ERR_LIMIT, "%s has %zu entries, more than %zu", field, num, max);
    return 0;
}

int wds_field_port(const char *field, uint32_t value, uint16_t *port, struct err *err)
{
    if (value > UINT16_MAX)
        return err_set(err, ERR_INVALID, "%s is %" PRIu32 ", and no port", field, value);
    *port = (uint16_t)value;
    return 0;
}

int wds_field_ip(const char *field, const ProtobufCBinaryData *bytes, struct ip *ip,
                 struct err *err)
{
    if (ip_from_bytes(ip, bytes->data, bytes->len, NULL) < 0)
        return err_set(err, ERR_INVALID, "%s has %zu bytes; an IP address has 4 or 16", field,
                       bytes->len);
    return 0;
}

int wds_field_cidr(const char *field, const ProtobufCBinaryData *bytes, uint32_t prefix_len,
                   struct cidr *cidr, struct err *err)
{
    struct ip ip;
    char text[ADDR_TEXT_MAX];
    if (wds_field_ip(field, bytes, &ip, err) < 0)
        return -1;
    if (prefix_len == 0 && !ip_is_unspecified(&ip))
        return err_set(err, ERR_INVALID, "%s is %s with a prefix of 0 bits", field,
                       ip_format(&ip, text));
    if (cidr_from_bytes(cidr, bytes->data, bytes->len, prefix_len, err) < 0)
        return err_prefix(err, "%s", field);
    return 0;
}

static int gateway_hostname(const char *field, const Istio__Workload__NamespacedHostname *from,
                            struct mesh_gateway *gateway, struct err *err)
{
    if (from->hostname[0] == '\0')
        return err_set(err, ERR_INVALID, "%s has an empty host name", field);
    gateway->kind = MESH_GATEWAY_HOSTNAME;
    gateway->namespace_ = from->namespace_;
    gateway->hostname = from->hostname;
    return 0;
}

static int gateway_address(const char *field, const Istio__Workload__NetworkAddress *from,
                           struct mesh_gateway *gateway, struct err *err)
{
    if (wds_field_ip(field, &from->address, &gateway->ip, err) < 0)
        return -1;
    if (from->prefix_case == ISTIO__WORKLOAD__NETWORK_ADDRESS__PREFIX_LENGTH &&
        from->length != from->address.len * 8)
        return err_set(err, ERR_INVALID, "%s is a network of addresses, and not one", field);
    gateway->kind = MESH_GATEWAY_ADDRESS;
    gateway->network = from->network;
    return 0;
}

int wds_field_gateway(const char *field, const Istio__Workload__GatewayAddress *from,
                      struct mesh_gateway *gateway, struct err *err)
{
    *gateway = (struct mesh_gateway){
        .kind = MESH_GATEWAY_NONE, .namespace_ = "", .hostname = "", .network = ""};
    if (from == NULL)
        return 0;
    if (wds_field_port(field, from->hbone_mtls_port, &gateway->hbone_mtls_port, err) < 0)
        return -1;
    if (gateway->hbone_mtls_port == 0)
        gateway->hbone_mtls_port = MESH_HBONE_PORT;
    switch ((int)from->destination_case) {
    case ISTIO__WORKLOAD__GATEWAY_ADDRESS__DESTINATION_HOSTNAME:
        return gateway_hostname(field, from->hostname, gateway, err);
    case ISTIO__WORKLOAD__GATEWAY_ADDRESS__DESTINATION_ADDRESS:
        return gateway_address(field, from->address, gateway, err);
    default:
        return err_set(err, ERR_INVALID, "%s has no destination that is understood", field);
    }
}

static int read_port(const Istio__Workload__Port *from, struct mesh_port *port, struct err *err)
{
    if (wds_field_port("service port", from->service_port, &port->service_port, err) < 0 ||
        wds_field_port("target port", from->target_port, &port->target_port, err) < 0 ||
        wds_field_enum("protocol of a port", from->app_protocol, MESH_APP_TLS, err) < 0)
        return -1;
    port->app_protocol = (enum mesh_app_protocol)from->app_protocol;
    return 0;
}

int wds_field_ports(const char *field, struct protobuf_memory *memory,
                    Istio__Workload__Port *const *from, size_t num, const struct mesh_port **ports,
                    struct err *err)
{
    *ports = NULL;
    if (num == 0)
        return 0;
    if (wds_field_num(field, num, MESH_PORTS_MAX, err) < 0)
        return -1;
    struct mesh_port *read = protobuf_memory_array(memory, num, sizeof(*read));
    if (read == NULL)
        return protobuf_memory_err(memory, err);
    for (size_t i = 0; i < num; i++)
        if (read_port(from[i], &read[i], err) < 0)
            return err_prefix(err, "%s", field);
    *ports = read;
    return 0;
}
