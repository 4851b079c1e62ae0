#include "local_schema.h"

#include <string.h>

#include "local_policy.h"

/* -------------------------------------------------------------------------------- pieces -- */

static const char *text_at(struct yaml_reader *reader, const struct yaml_node *map, const char *key)
{
    return yaml_reader_text(reader, yaml_reader_find(map, key));
}

static const char *const *read_texts(struct yaml_reader *reader, const struct yaml_node *list,
                                     size_t *num)
{
    if (!yaml_reader_list(reader, list))
        return NULL;
    const char **texts = yaml_reader_alloc(reader, list->num, sizeof(const char *));
    for (const struct yaml_node *node = list->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next)
        texts[node->index] = yaml_reader_text(reader, node);
    *num = list->num;
    return texts;
}

/* "before/after" as two texts; `after` may hold more slashes. False: there is no slash, which is an error with `form`. */
static bool split(struct yaml_reader *reader, const struct yaml_node *node, const char *form,
                  const char **before, const char **after)
{
    const char *text = yaml_reader_text(reader, node);
    const char *slash = strchr(text, '/');
    if (slash == NULL) {
        yaml_reader_fail(reader, node, "expected %s, found \"%.80s\"", form, text);
        return false;
    }
    size_t len = (size_t)(slash - text);
    char *copy = yaml_reader_alloc(reader, len + 1, 1);
    if (copy == NULL)
        return false;
    memcpy(copy, text, len);
    *before = copy;
    *after = slash + 1;
    return true;
}

static void check_key(struct yaml_reader *reader, const struct yaml_node *node, const char *key,
                      const char *form)
{
    if (strchr(key, '/') == NULL)
        yaml_reader_fail(reader, node, "expected %s, found \"%.80s\"", form, key);
}

/* A map of service port to target port. */
static const struct mesh_port *read_ports(struct yaml_reader *reader, const struct yaml_node *map,
                                          size_t *num)
{
    if (!yaml_reader_map(reader, map, NULL))
        return NULL;
    struct mesh_port *ports = yaml_reader_alloc(reader, map->num, sizeof(*ports));
    size_t i = 0;
    for (const struct yaml_node *node = map->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next) {
        ports[i].service_port = (uint16_t)yaml_reader_key_u32(reader, node, 1, UINT16_MAX);
        ports[i].target_port = (uint16_t)yaml_reader_u32(reader, node, 0, UINT16_MAX, 0);
        i++;
    }
    *num = map->num;
    return ports;
}

/* "network/ip" or "namespace/hostname": what follows the slash tells. */
static void read_destination(struct yaml_reader *reader, const struct yaml_node *node,
                             struct mesh_gateway *gateway)
{
    const char *before;
    const char *after;
    if (node == NULL ||
        !split(reader, node, "\"network/ip\" or \"namespace/hostname\"", &before, &after))
        return;
    if (ip_parse(&gateway->ip, after, NULL) == 0) {
        gateway->kind = MESH_GATEWAY_ADDRESS;
        gateway->network = before;
    } else {
        gateway->kind = MESH_GATEWAY_HOSTNAME;
        gateway->namespace_ = before;
        gateway->hostname = after;
    }
}

static struct mesh_gateway read_gateway(struct yaml_reader *reader, const struct yaml_node *node)
{
    static const char *const keys[] = {"destination", "hboneMtlsPort", NULL};
    struct mesh_gateway gateway = {0};
    if (!yaml_reader_map(reader, node, keys))
        return gateway;
    read_destination(reader, yaml_reader_required(reader, node, "destination"), &gateway);
    gateway.hbone_mtls_port = (uint16_t)yaml_reader_u32(
        reader, yaml_reader_find(node, "hboneMtlsPort"), 1, UINT16_MAX, MESH_HBONE_PORT);
    return gateway;
}

/* ----------------------------------------------------------------------------- workloads -- */

static void read_ips(struct yaml_reader *reader, const struct yaml_node *list,
                     struct mesh_workload *workload)
{
    if (!yaml_reader_list(reader, list))
        return;
    struct ip *ips = yaml_reader_alloc(reader, list->num, sizeof(*ips));
    for (const struct yaml_node *node = list->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next)
        ips[node->index] = yaml_reader_ip(reader, node);
    workload->ips = ips;
    workload->num_ips = list->num;
}

static void read_memberships(struct yaml_reader *reader, const struct yaml_node *map,
                             struct mesh_workload *workload)
{
    if (!yaml_reader_map(reader, map, NULL))
        return;
    struct mesh_membership *services = yaml_reader_alloc(reader, map->num, sizeof(*services));
    size_t i = 0;
    for (const struct yaml_node *node = map->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next) {
        check_key(reader, node, node->key, "\"namespace/hostname\" as the key");
        services[i].service = node->key;
        services[i].ports = read_ports(reader, node, &services[i].num_ports);
        i++;
    }
    workload->services = services;
    workload->num_services = map->num;
}

static void read_policy_names(struct yaml_reader *reader, const struct yaml_node *list,
                              struct mesh_workload *workload)
{
    workload->authorization_policies =
        read_texts(reader, list, &workload->num_authorization_policies);
    if (list == NULL || yaml_reader_failed(reader))
        return;
    for (const struct yaml_node *node = list->first; node != NULL; node = node->next)
        check_key(reader, node, node->text, "\"namespace/name\"");
}

static void read_locality(struct yaml_reader *reader, const struct yaml_node *node,
                          struct mesh_locality *locality)
{
    static const char *const keys[] = {"region", "zone", "subzone", NULL};
    if (!yaml_reader_map(reader, node, keys))
        return;
    locality->region = text_at(reader, node, "region");
    locality->zone = text_at(reader, node, "zone");
    locality->subzone = text_at(reader, node, "subzone");
}

static void read_app_tunnel(struct yaml_reader *reader, const struct yaml_node *node,
                            struct mesh_workload *workload)
{
    static const char *const keys[] = {"protocol", "port", NULL};
    static const char *const protocols[] = {"NONE", "PROXY", NULL};
    if (!yaml_reader_map(reader, node, keys))
        return;
    workload->application_tunnel.present = true;
    workload->application_tunnel.protocol = (enum mesh_app_tunnel_protocol)yaml_reader_enum(
        reader, yaml_reader_required(reader, node, "protocol"), protocols);
    workload->application_tunnel.port =
        (uint16_t)yaml_reader_u32(reader, yaml_reader_find(node, "port"), 1, UINT16_MAX, 0);
}

static void read_names(struct yaml_reader *reader, const struct yaml_node *node,
                       struct mesh_workload *workload)
{
    workload->uid = yaml_reader_text(reader, yaml_reader_required(reader, node, "uid"));
    workload->name = text_at(reader, node, "name");
    workload->namespace_ = text_at(reader, node, "namespace");
    workload->service_account = text_at(reader, node, "serviceAccount");
    workload->trust_domain = text_at(reader, node, "trustDomain");
    workload->network = text_at(reader, node, "network");
    workload->cluster_id = text_at(reader, node, "clusterId");
    workload->node = text_at(reader, node, "node");
    workload->hostname = text_at(reader, node, "hostname");
    workload->canonical_name = text_at(reader, node, "canonicalName");
    workload->canonical_revision = text_at(reader, node, "canonicalRevision");
    workload->workload_name = text_at(reader, node, "workloadName");
}

static void read_kinds(struct yaml_reader *reader, const struct yaml_node *node,
                       struct mesh_workload *workload)
{
    static const char *const protocols[] = {"TCP", "HBONE", "LegacyIstioMtls", NULL};
    /* In both spellings that the field has used; only a label depends on it. */
    static const char *const types[] = {"deployment", "cronjob", "pod", "job", "Deployment",
                                        "CronJob",    "Pod",     "Job", NULL};
    static const char *const modes[] = {"Standard", "HostNetwork", NULL};
    static const char *const statuses[] = {"Healthy", "Unhealthy", NULL};
    workload->tunnel =
        (enum mesh_tunnel)yaml_reader_enum(reader, yaml_reader_find(node, "protocol"), protocols);
    workload->workload_type = (enum mesh_workload_type)(
        yaml_reader_enum(reader, yaml_reader_find(node, "workloadType"), types) % 4);
    workload->network_mode = (enum mesh_network_mode)yaml_reader_enum(
        reader, yaml_reader_find(node, "networkMode"), modes);
    workload->unhealthy = yaml_reader_enum(reader, yaml_reader_find(node, "status"), statuses) == 1;
    workload->capacity =
        yaml_reader_u32(reader, yaml_reader_find(node, "capacity"), 0, UINT32_MAX, 1);
}

static void read_workload(struct yaml_reader *reader, const struct yaml_node *node,
                          struct mesh_workload *workload)
{
    static const char *const keys[] = {"uid",
                                       "name",
                                       "namespace",
                                       "serviceAccount",
                                       "trustDomain",
                                       "workloadIps",
                                       "protocol",
                                       "node",
                                       "network",
                                       "clusterId",
                                       "workloadName",
                                       "workloadType",
                                       "canonicalName",
                                       "canonicalRevision",
                                       "hostname",
                                       "waypoint",
                                       "networkGateway",
                                       "applicationTunnel",
                                       "authorizationPolicies",
                                       "status",
                                       "locality",
                                       "networkMode",
                                       "capacity",
                                       "services",
                                       NULL};
    if (!yaml_reader_map(reader, node, keys))
        return;
    read_names(reader, node, workload);
    read_kinds(reader, node, workload);
    read_ips(reader, yaml_reader_required(reader, node, "workloadIps"), workload);
    read_memberships(reader, yaml_reader_required(reader, node, "services"), workload);
    read_policy_names(reader, yaml_reader_find(node, "authorizationPolicies"), workload);
    read_locality(reader, yaml_reader_find(node, "locality"), &workload->locality);
    read_app_tunnel(reader, yaml_reader_find(node, "applicationTunnel"), workload);
    workload->waypoint = read_gateway(reader, yaml_reader_find(node, "waypoint"));
    workload->network_gateway = read_gateway(reader, yaml_reader_find(node, "networkGateway"));
}

/* ------------------------------------------------------------------------------ services -- */

static struct mesh_network_address read_vip(struct yaml_reader *reader,
                                            const struct yaml_node *node)
{
    struct mesh_network_address vip = {0};
    const char *ip;
    struct err err = {0};
    if (split(reader, node, "\"network/ip\" (\"/ip\" for the network without name)", &vip.network,
              &ip) &&
        ip_parse(&vip.ip, ip, &err) < 0)
        yaml_reader_fail(reader, node, "%s", err.message);
    return vip;
}

static void read_vips(struct yaml_reader *reader, const struct yaml_node *list,
                      struct mesh_service *service)
{
    if (!yaml_reader_list(reader, list))
        return;
    struct mesh_network_address *vips = yaml_reader_alloc(reader, list->num, sizeof(*vips));
    for (const struct yaml_node *node = list->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next)
        vips[node->index] = read_vip(reader, node);
    service->vips = vips;
    service->num_vips = list->num;
}

static struct mesh_network_cidr read_cidr_vip(struct yaml_reader *reader,
                                              const struct yaml_node *node)
{
    struct mesh_network_cidr vip = {0};
    const char *cidr;
    struct err err = {0};
    if (split(reader, node, "\"network/ip/length\"", &vip.network, &cidr) &&
        cidr_parse(&vip.cidr, cidr, &err) < 0)
        yaml_reader_fail(reader, node, "%s", err.message);
    return vip;
}

static void read_cidr_vips(struct yaml_reader *reader, const struct yaml_node *list,
                           struct mesh_service *service)
{
    if (!yaml_reader_list(reader, list))
        return;
    struct mesh_network_cidr *vips = yaml_reader_alloc(reader, list->num, sizeof(*vips));
    for (const struct yaml_node *node = list->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next)
        vips[node->index] = read_cidr_vip(reader, node);
    service->cidr_vips = vips;
    service->num_cidr_vips = list->num;
}

static struct mesh_weighted_waypoint read_weighted_waypoint(struct yaml_reader *reader,
                                                            const struct yaml_node *node)
{
    static const char *const keys[] = {"destination", "hboneMtlsPort", "weight", NULL};
    struct mesh_weighted_waypoint waypoint = {0};
    if (!yaml_reader_map(reader, node, keys))
        return waypoint;
    read_destination(reader, yaml_reader_required(reader, node, "destination"), &waypoint.gateway);
    waypoint.gateway.hbone_mtls_port = (uint16_t)yaml_reader_u32(
        reader, yaml_reader_find(node, "hboneMtlsPort"), 1, UINT16_MAX, MESH_HBONE_PORT);
    waypoint.weight =
        yaml_reader_u32(reader, yaml_reader_required(reader, node, "weight"), 0, UINT32_MAX, 0);
    return waypoint;
}

static void read_weighted_waypoints(struct yaml_reader *reader, const struct yaml_node *list,
                                    struct mesh_service *service)
{
    if (!yaml_reader_list(reader, list))
        return;
    struct mesh_weighted_waypoint *waypoints =
        yaml_reader_alloc(reader, list->num, sizeof(*waypoints));
    for (const struct yaml_node *node = list->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next)
        waypoints[node->index] = read_weighted_waypoint(reader, node);
    service->weighted_waypoints = waypoints;
    service->num_weighted_waypoints = list->num;
}

static void read_preferences(struct yaml_reader *reader, const struct yaml_node *list,
                             struct mesh_service *service)
{
    static const char *const names[] = {"Region",  "Zone",    "Subzone", "Node",
                                        "Cluster", "Network", NULL};
    if (!yaml_reader_list(reader, list))
        return;
    if (list->num > MESH_SCOPES_MAX) {
        yaml_reader_fail(reader, list, "more than %d preferences", MESH_SCOPES_MAX);
        return;
    }
    for (const struct yaml_node *node = list->first; node != NULL; node = node->next)
        service->load_balancing.preferences[node->index] =
            (enum mesh_scope)(MESH_SCOPE_REGION + yaml_reader_enum(reader, node, names));
    service->load_balancing.num_preferences = list->num;
}

static void read_load_balancer(struct yaml_reader *reader, const struct yaml_node *node,
                               struct mesh_service *service)
{
    static const char *const keys[] = {"routingPreferences", "mode", "healthPolicy", NULL};
    static const char *const modes[] = {"Standard", "Strict", "Failover", "Passthrough", NULL};
    static const char *const policies[] = {"OnlyHealthy", "AllowAll", NULL};
    if (!yaml_reader_map(reader, node, keys))
        return;
    read_preferences(reader, yaml_reader_required(reader, node, "routingPreferences"), service);
    service->load_balancing.mode = (enum mesh_lb_mode)yaml_reader_enum(
        reader, yaml_reader_required(reader, node, "mode"), modes);
    service->load_balancing.health_policy = (enum mesh_health_policy)yaml_reader_enum(
        reader, yaml_reader_required(reader, node, "healthPolicy"), policies);
}

static enum mesh_ip_families read_families(struct yaml_reader *reader, const struct yaml_node *node)
{
    static const char *const names[] = {"IPv4", "IPv6", "Dual", NULL};
    if (node == NULL)
        return MESH_FAMILIES_AUTOMATIC;
    return (enum mesh_ip_families)(MESH_FAMILIES_IPV4 + yaml_reader_enum(reader, node, names));
}

static void read_service(struct yaml_reader *reader, const struct yaml_node *node,
                         struct mesh_service *service)
{
    static const char *const keys[] = {"name",       "namespace",
                                       "hostname",   "vips",
                                       "ports",      "subjectAltNames",
                                       "waypoint",   "weightedWaypoints",
                                       "cidrVips",   "loadBalancer",
                                       "ipFamilies", "canonical",
                                       "visibility", NULL};
    static const char *const visibilities[] = {"Public", "Namespace", NULL};
    if (!yaml_reader_map(reader, node, keys))
        return;
    service->name = yaml_reader_text(reader, yaml_reader_required(reader, node, "name"));
    service->namespace_ = yaml_reader_text(reader, yaml_reader_required(reader, node, "namespace"));
    service->hostname = yaml_reader_text(reader, yaml_reader_required(reader, node, "hostname"));
    read_vips(reader, yaml_reader_required(reader, node, "vips"), service);
    service->ports =
        read_ports(reader, yaml_reader_required(reader, node, "ports"), &service->num_ports);
    service->subject_alt_names = read_texts(reader, yaml_reader_find(node, "subjectAltNames"),
                                            &service->num_subject_alt_names);
    service->waypoint = read_gateway(reader, yaml_reader_find(node, "waypoint"));
    read_weighted_waypoints(reader, yaml_reader_find(node, "weightedWaypoints"), service);
    read_cidr_vips(reader, yaml_reader_find(node, "cidrVips"), service);
    read_load_balancer(reader, yaml_reader_find(node, "loadBalancer"), service);
    service->ip_families = read_families(reader, yaml_reader_find(node, "ipFamilies"));
    service->canonical = yaml_reader_bool(reader, yaml_reader_find(node, "canonical"));
    service->visibility = (enum mesh_visibility)yaml_reader_enum(
        reader, yaml_reader_find(node, "visibility"), visibilities);
}

/* ------------------------------------------------------------------------------ document -- */

static void add_workload(struct yaml_reader *reader, const struct yaml_node *node,
                         struct mesh_builder *builder)
{
    struct mesh_workload workload = {0};
    struct err err = {0};
    read_workload(reader, node, &workload);
    if (!yaml_reader_failed(reader) && mesh_builder_add_workload(builder, &workload, &err) < 0)
        yaml_reader_fail(reader, node, "%s", err.message);
}

static void add_service(struct yaml_reader *reader, const struct yaml_node *node,
                        struct mesh_builder *builder)
{
    struct mesh_service service = {0};
    struct err err = {0};
    read_service(reader, node, &service);
    if (!yaml_reader_failed(reader) && mesh_builder_add_service(builder, &service, &err) < 0)
        yaml_reader_fail(reader, node, "%s", err.message);
}

static void add_policy(struct yaml_reader *reader, const struct yaml_node *node,
                       struct mesh_builder *builder)
{
    struct mesh_policy policy;
    struct err err = {0};
    local_policy_read(reader, node, &policy);
    if (!yaml_reader_failed(reader) && mesh_builder_add_policy(builder, &policy, &err) < 0)
        yaml_reader_fail(reader, node, "%s", err.message);
}

typedef void add_entry(struct yaml_reader *reader, const struct yaml_node *node,
                       struct mesh_builder *builder);

static void add_entries(struct yaml_reader *reader, const struct yaml_node *list, add_entry *add,
                        struct mesh_builder *builder)
{
    if (!yaml_reader_list(reader, list))
        return;
    for (const struct yaml_node *node = list->first; node != NULL && !yaml_reader_failed(reader);
         node = node->next)
        add(reader, node, builder);
}

int local_schema_read(struct yaml_doc *doc, struct mesh_builder *builder, struct err *err)
{
    static const char *const keys[] = {"workloads", "services", "policies", NULL};
    struct yaml_reader reader;
    yaml_reader_init(&reader, doc, err);
    const struct yaml_node *root = yaml_doc_root(doc);
    /* A file that is empty is more likely half written than meant to forget the whole mesh. */
    if (root == NULL)
        yaml_reader_fail(&reader, root, "the file is empty; a mesh without anything is \"{}\"");
    if (yaml_reader_map(&reader, root, keys)) {
        add_entries(&reader, yaml_reader_find(root, "workloads"), add_workload, builder);
        add_entries(&reader, yaml_reader_find(root, "services"), add_service, builder);
        add_entries(&reader, yaml_reader_find(root, "policies"), add_policy, builder);
    }
    return yaml_reader_failed(&reader) ? -1 : 0;
}
