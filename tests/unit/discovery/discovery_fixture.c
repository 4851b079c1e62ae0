#include "discovery_fixture.h"

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct discovery_resource *fixture_workload(const char *uid, const char *ip, const char *service,
                                            const char *revision)
{
    struct err err;
    struct ip address;
    const struct mesh_membership membership = {.service = service};
    assert_int_equal(ip_parse(&address, ip, &err), 0);
    const struct mesh_workload workload = {
        .uid = uid,
        .name = uid,
        .namespace_ = "ns",
        .network = "",
        .canonical_revision = revision,
        .workload_type = MESH_POD,
        .ips = &address,
        .num_ips = 1,
        .tunnel = MESH_TUNNEL_HBONE,
        .capacity = 1,
        .services = &membership,
        .num_services = service == NULL ? 0 : 1,
    };
    struct discovery_resource *resource = discovery_resource_of_workload(&workload, &err);
    assert_non_null(resource);
    return resource;
}

struct discovery_resource *fixture_service(const char *hostname, const char *vip, const char *cidr)
{
    struct err err;
    struct mesh_network_address address = {.network = ""};
    struct mesh_network_cidr network = {.network = ""};
    assert_int_equal(ip_parse(&address.ip, vip, &err), 0);
    if (cidr != NULL)
        assert_int_equal(cidr_parse(&network.cidr, cidr, &err), 0);
    const struct mesh_service service = {
        .name = hostname,
        .namespace_ = "ns",
        .hostname = hostname,
        .vips = &address,
        .num_vips = 1,
        .cidr_vips = &network,
        .num_cidr_vips = cidr == NULL ? 0 : 1,
    };
    struct discovery_resource *resource = discovery_resource_of_service(&service, &err);
    assert_non_null(resource);
    return resource;
}

struct discovery_resource *fixture_policy(const char *name, bool dry_run)
{
    struct err err;
    const struct mesh_policy policy = {.name = name, .namespace_ = "ns", .dry_run = dry_run};
    struct discovery_resource *resource = discovery_resource_of_policy(&policy, &err);
    assert_non_null(resource);
    return resource;
}

struct discovery_table *fixture_table(uint64_t version, ...)
{
    va_list resources;
    struct discovery_table *table = discovery_table_new(version);
    assert_non_null(table);
    va_start(resources, version);
    for (struct discovery_resource *resource;
         (resource = va_arg(resources, struct discovery_resource *)) != NULL;) {
        assert_int_equal(discovery_table_add(table, resource), 0);
        discovery_resource_unref(resource);
    }
    va_end(resources);
    assert_int_equal(discovery_table_seal(table, NULL, NULL), 0);
    return table;
}
