/* Small meshes for the tests of mesh: collected in a fixture, built once. */
#ifndef REMORA_TEST_MESH_FIXTURE_H
#define REMORA_TEST_MESH_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mesh_builder.h"

#define FIXTURE_COUNT(type, ...) (sizeof((type[]){__VA_ARGS__}) / sizeof(type))

/* Initializers of a list and its length, for a field `x` with `num_x`. */
#define IPS(...) .ips = (struct ip[]){__VA_ARGS__}, .num_ips = FIXTURE_COUNT(struct ip, __VA_ARGS__)
#define VIPS(...)                                                                                  \
    .vips = (struct mesh_network_address[]){__VA_ARGS__},                                          \
    .num_vips = FIXTURE_COUNT(struct mesh_network_address, __VA_ARGS__)
#define PORTS(...)                                                                                 \
    .ports = (struct mesh_port[]){__VA_ARGS__},                                                    \
    .num_ports = FIXTURE_COUNT(struct mesh_port, __VA_ARGS__)
#define SERVICES(...)                                                                              \
    .services = (struct mesh_membership[]){__VA_ARGS__},                                           \
    .num_services = FIXTURE_COUNT(struct mesh_membership, __VA_ARGS__)

static inline struct ip fixture_ip(const char *text)
{
    struct ip ip;
    assert_int_equal(ip_parse(&ip, text, NULL), 0);
    return ip;
}

static inline struct addr fixture_addr(const char *text)
{
    struct addr addr;
    assert_int_equal(addr_parse(&addr, text, NULL), 0);
    return addr;
}

static inline void fixture_add_workload(struct mesh_builder *builder,
                                        const struct mesh_workload *workload)
{
    struct err err = {0};
    if (mesh_builder_add_workload(builder, workload, &err) < 0)
        fail_msg("%s", err.message);
}

static inline void fixture_add_service(struct mesh_builder *builder,
                                       const struct mesh_service *service)
{
    struct err err = {0};
    if (mesh_builder_add_service(builder, service, &err) < 0)
        fail_msg("%s", err.message);
}

/* Takes the builder. */
static inline struct mesh_snapshot *fixture_build(struct mesh_builder *builder)
{
    struct err err = {0};
    struct mesh_snapshot *snapshot = mesh_builder_build(builder, NULL, &err);
    if (snapshot == NULL)
        fail_msg("%s", err.message);
    mesh_builder_free(builder);
    return snapshot;
}

#endif
