#include "large_mesh.h"

#include <stdio.h>

enum { NODES = 2000, NAMESPACES = 500, TEXT = LARGE_MESH_TEXT };

/* Four letters or digits as Kubernetes ends the names of pods, from a number. */
static const char *suffix(unsigned number, char out[6])
{
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    for (int i = 0; i < 5; i++) {
        out[i] = letters[number % (sizeof(letters) - 1)];
        number = number / (sizeof(letters) - 1) * 3 + 7 * (number % 11);
    }
    out[5] = '\0';
    return out;
}

static unsigned service_of(const struct large_mesh *mesh, unsigned workload)
{
    return workload % mesh->num_services;
}

static const char *namespace_of(unsigned service, char out[TEXT])
{
    snprintf(out, TEXT, "team-%03u", service % NAMESPACES);
    return out;
}

static const char *app_of(unsigned service, char out[TEXT])
{
    snprintf(out, TEXT, "checkout-%05u", service);
    return out;
}

static const char *hostname_of(unsigned service, char out[TEXT])
{
    char namespace_[TEXT];
    char app[TEXT];
    snprintf(out, TEXT, "%.40s.%.40s.svc.cluster.local", app_of(service, app),
             namespace_of(service, namespace_));
    return out;
}

static const char *service_key(unsigned service, char out[TEXT])
{
    char namespace_[TEXT];
    char hostname[TEXT];
    snprintf(out, TEXT, "%.30s/%.90s", namespace_of(service, namespace_),
             hostname_of(service, hostname));
    return out;
}

static const char *pod_of(const struct large_mesh *mesh, unsigned i, char out[TEXT])
{
    char app[TEXT];
    char end[6];
    unsigned service = service_of(mesh, i);
    snprintf(out, TEXT, "%.40s-7d9f8%05x-%s%u", app_of(service, app), service, suffix(i, end),
             i / mesh->num_services);
    return out;
}

const char *large_mesh_uid(const struct large_mesh *mesh, unsigned i, char *uid)
{
    char namespace_[TEXT];
    char pod[TEXT];
    snprintf(uid, TEXT, "Kubernetes//Pod/%.30s/%.70s",
             namespace_of(service_of(mesh, i), namespace_), pod_of(mesh, i, pod));
    return uid;
}

static struct ip ip_of(uint8_t first, unsigned i)
{
    return (struct ip){.family = IP_V4,
                       .bytes = {first, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
}

struct ip large_mesh_workload_ip(unsigned i)
{
    return ip_of(10, i + 1);
}

struct ip large_mesh_service_ip(unsigned i)
{
    return ip_of(172, i + 1);
}

int large_mesh_put_workload(const struct large_mesh *mesh, struct mesh_builder *builder, unsigned i,
                            unsigned version, struct err *err)
{
    char uid[TEXT];
    char pod[TEXT];
    char namespace_[TEXT];
    char app[TEXT];
    char node[TEXT];
    char key[TEXT];
    char large_key[TEXT];
    unsigned service = service_of(mesh, i);
    struct ip ip = large_mesh_workload_ip(i);
    const struct mesh_port port = {80, 8080, MESH_APP_HTTP11};
    snprintf(node, sizeof(node), "ip-10-3-%u-%u.eu-central-1.compute.internal", i % NODES / 250,
             i % NODES % 250);
    const struct mesh_membership memberships[] = {
        {service_key(service, key), &port, 1},
        {service_key(mesh->num_services, large_key), &port, 1}};
    const struct mesh_workload workload = {
        .uid = large_mesh_uid(mesh, i, uid),
        .name = pod_of(mesh, i, pod),
        .namespace_ = namespace_of(service, namespace_),
        .service_account = app_of(service, app),
        .node = node,
        .canonical_name = app,
        .canonical_revision = "latest",
        .workload_name = app,
        .workload_type = MESH_DEPLOYMENT,
        .ips = &ip,
        .num_ips = 1,
        .tunnel = MESH_TUNNEL_HBONE,
        .capacity = 1 + version % 7,
        .locality = {.region = "eu-central-1",
                     .zone = i % 2 == 0 ? "eu-central-1a" : "eu-central-1b"},
        .services = memberships,
        .num_services = i < mesh->num_endpoints ? 2 : 1,
    };
    return mesh_builder_put_workload(builder, &workload, err);
}

void large_mesh_remove_workload(const struct large_mesh *mesh, struct mesh_builder *builder,
                                unsigned i)
{
    char uid[TEXT];
    mesh_builder_remove_workload(builder, large_mesh_uid(mesh, i, uid));
}

int large_mesh_put_service(const struct large_mesh *mesh, struct mesh_builder *builder, unsigned i,
                           unsigned version, struct err *err)
{
    char namespace_[TEXT];
    char app[TEXT];
    char hostname[TEXT];
    const struct mesh_network_address vip = {"", large_mesh_service_ip(i)};
    const struct mesh_port port = {80, 8080, MESH_APP_HTTP11};
    const struct mesh_service service = {
        .name = app_of(i, app),
        .namespace_ = namespace_of(i, namespace_),
        .hostname = hostname_of(i, hostname),
        .vips = &vip,
        .num_vips = 1,
        .ports = &port,
        .num_ports = 1,
        .load_balancing = {.health_policy = version % 2 == 0 ? MESH_ONLY_HEALTHY : MESH_ALLOW_ALL},
        .canonical = true,
    };
    (void)mesh;
    return mesh_builder_put_service(builder, &service, err);
}
