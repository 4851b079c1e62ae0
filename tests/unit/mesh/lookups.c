/* Each way to find something, against looking at all there is: in many small random meshes. */
#include "mesh_endpoints.h"
#include "mesh_fixture.h"
#include "mesh_index.h"
#include "mesh_model.h"

enum { ROUNDS = 60, MEMBERSHIPS_MAX = MODEL_WORKLOADS * 3 };

/* All objects as they were added. */
struct all {
    struct mesh_snapshot *snapshot;
    const struct mesh_workload *workloads[MODEL_WORKLOADS];
    size_t num_workloads;
    const struct mesh_service *services[MODEL_SERVICES];
    size_t num_services;
};

static void list_all(struct all *all, const struct mesh_model *model,
                     struct mesh_snapshot *snapshot)
{
    char key[MODEL_UID_BYTES];
    *all = (struct all){.snapshot = snapshot};
    for (unsigned order = 0; order < model->next_order; order++) {
        for (unsigned i = 0; i < MODEL_WORKLOADS; i++)
            if (model->workloads[i].present && model->workloads[i].order == order)
                all->workloads[all->num_workloads++] =
                    mesh_snapshot_workload_by_uid(snapshot, mesh_model_uid(i, key));
        for (unsigned i = 0; i < MODEL_SERVICES; i++)
            if (model->services[i].present && model->services[i].order == order)
                all->services[all->num_services++] =
                    mesh_snapshot_service(snapshot, mesh_model_service_key(i, key));
    }
}

/* ---------------------------------------------------------------------------- workloads -- */

static int rank_of(const struct mesh_workload *workload)
{
    int rank = strstr(workload->uid, "//Pod/") != NULL ? 2 : 0;
    return rank + (workload->tunnel == MESH_TUNNEL_HBONE);
}

static bool is_at(const struct mesh_workload *workload, const char *network, const struct ip *ip)
{
    if (workload->network_mode == MESH_NETWORK_HOST || strcmp(workload->network, network) != 0)
        return false;
    for (size_t i = 0; i < workload->num_ips; i++)
        if (ip_equal(&workload->ips[i], ip))
            return true;
    return false;
}

static void check_workloads(const struct all *all)
{
    for (unsigned i = 0; i < MODEL_IPS * MODEL_NETWORKS; i++) {
        const char *network = mesh_model_network(i);
        struct ip ip = mesh_model_ip(i / MODEL_NETWORKS);
        const struct mesh_workload *best = NULL;
        for (size_t j = 0; j < all->num_workloads; j++)
            if (is_at(all->workloads[j], network, &ip) &&
                (best == NULL || rank_of(all->workloads[j]) > rank_of(best)))
                best = all->workloads[j];
        assert_ptr_equal(mesh_snapshot_workload_by_ip(all->snapshot, network, &ip), best);
    }
}

/* ----------------------------------------------------------------------------- services -- */

/* How well a service fits for who asks; -1: it must not be seen. */
static int fitness(const struct mesh_service *service, unsigned prefix_len, const char *from)
{
    bool own = strcmp(service->namespace_, from) == 0;
    if (service->visibility == MESH_NAMESPACE && !own)
        return -1;
    return (own ? 1024 : 0) + (int)prefix_len * 2 + (service->canonical ? 1 : 0);
}

struct choice {
    const struct mesh_service *service;
    int fitness;
};

static void consider(struct choice *choice, const struct mesh_service *service, unsigned prefix_len,
                     const char *from)
{
    int fit = fitness(service, prefix_len, from);
    if (fit >= 0 && (choice->service == NULL || fit > choice->fitness))
        *choice = (struct choice){service, fit};
}

static const struct mesh_service *service_at(const struct all *all, const char *network,
                                             const struct ip *ip, const char *from)
{
    struct choice exact = {0};
    struct choice by_network = {0};
    for (size_t i = 0; i < all->num_services; i++) {
        const struct mesh_service *service = all->services[i];
        for (size_t j = 0; j < service->num_vips; j++)
            if (strcmp(service->vips[j].network, network) == 0 &&
                ip_equal(&service->vips[j].ip, ip))
                consider(&exact, service, 0, from);
        for (size_t j = 0; j < service->num_cidr_vips; j++)
            if (strcmp(service->cidr_vips[j].network, network) == 0 &&
                cidr_contains(&service->cidr_vips[j].cidr, ip))
                consider(&by_network, service, service->cidr_vips[j].cidr.prefix_len, from);
    }
    return exact.service != NULL ? exact.service : by_network.service;
}

static void check_services(const struct all *all)
{
    for (unsigned i = 0; i < MODEL_IPS * MODEL_NETWORKS * MODEL_NAMESPACES; i++) {
        const char *from = mesh_model_namespace(i);
        const char *network = mesh_model_network(i / MODEL_NAMESPACES);
        struct ip ip = mesh_model_ip(i / MODEL_NAMESPACES / MODEL_NETWORKS);
        assert_ptr_equal(mesh_snapshot_service_by_vip(all->snapshot, network, &ip, from),
                         service_at(all, network, &ip, from));
    }
}

static void check_hostnames(const struct all *all)
{
    for (size_t i = 0; i < all->num_services; i++)
        for (unsigned j = 0; j <= MODEL_NAMESPACES; j++) {
            const char *hostname = all->services[i]->hostname;
            const char *from = j < MODEL_NAMESPACES ? mesh_model_namespace(j) : "elsewhere";
            struct choice choice = {0};
            for (size_t k = 0; k < all->num_services; k++)
                if (strcmp(all->services[k]->hostname, hostname) == 0)
                    consider(&choice, all->services[k], 0, from);
            assert_ptr_equal(mesh_snapshot_service_by_hostname(all->snapshot, hostname, from),
                             choice.service);
        }
}

/* ---------------------------------------------------------------------------- endpoints -- */

static size_t list_endpoints(const struct all *all, const struct mesh_service *service,
                             const struct mesh_workload **endpoints)
{
    bool all_allowed = service->load_balancing.health_policy == MESH_ALLOW_ALL;
    size_t num = 0;
    for (size_t i = 0; i < all->num_workloads; i++) {
        const struct mesh_workload *workload = all->workloads[i];
        for (size_t j = 0; j < workload->num_services; j++)
            if (strcmp(workload->services[j].service, service->key) == 0 &&
                workload->capacity > 0 && (all_allowed || !workload->unhealthy))
                endpoints[num++] = workload;
    }
    return num;
}

/* Each endpoint has as many points as it has capacity, which makes its probability exact. */
static void check_endpoints(const struct all *all, const struct mesh_service *service)
{
    const struct mesh_tree *tree = &all->snapshot->workloads.endpoints;
    const struct mesh_workload *expected[MEMBERSHIPS_MAX];
    size_t num = list_endpoints(all, service, expected);
    struct mesh_endpoints_share share = mesh_endpoints_share(tree, service);
    struct mesh_endpoints_walk walk;
    const struct mesh_endpoint *endpoint = mesh_endpoints_first(&walk, tree, service);
    uint64_t point = 0;
    for (size_t i = 0; i < num; i++) {
        assert_non_null(endpoint);
        assert_ptr_equal(endpoint->workload, expected[i]);
        for (uint32_t j = 0; j < expected[i]->capacity; j++)
            assert_ptr_equal(mesh_endpoints_at(tree, service, &share, point++)->workload,
                             expected[i]);
        endpoint = mesh_endpoints_next(&walk);
    }
    assert_null(endpoint);
    assert_int_equal(share.weight, point);
}

static void lookups_find_what_looking_at_all_would(void **state)
{
    (void)state;
    struct mesh_model model = {0};
    struct mesh_snapshot *snapshot = NULL;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct mesh_builder *builder = mesh_builder_new(snapshot);
        for (unsigned i = 0; i < 60; i++)
            mesh_model_change(&model, builder);
        mesh_snapshot_unref(snapshot);
        snapshot = fixture_build(builder);
        struct all all;
        list_all(&all, &model, snapshot);
        check_workloads(&all);
        check_services(&all);
        check_hostnames(&all);
        for (size_t i = 0; i < all.num_services; i++)
            check_endpoints(&all, all.services[i]);
    }
    mesh_snapshot_unref(snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookups_find_what_looking_at_all_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
