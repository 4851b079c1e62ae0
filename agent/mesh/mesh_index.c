#include "mesh_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mesh_warnings.h"

size_t mesh_index_lower_bound(const void *items, size_t num, size_t size, const void *key,
                              mesh_index_compare *compare)
{
    size_t low = 0;
    size_t high = num;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(key, (const unsigned char *)items + middle * size) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int mesh_index_compare_ip(const char *network, const struct ip *ip, const char *other_network,
                          const struct ip *other_ip)
{
    int order = ip_compare(ip, other_ip);
    return order != 0 ? order : strcmp(network, other_network);
}

const struct mesh_endpoints *mesh_index_endpoints(const struct mesh_snapshot *snapshot,
                                                  const struct mesh_service *service)
{
    size_t i = (size_t)(service - snapshot->services);
    assert(i < snapshot->num_services);
    return &snapshot->endpoints[i];
}

static uint16_t find_port(const struct mesh_port *ports, size_t num, uint16_t service_port)
{
    for (size_t i = 0; i < num; i++)
        if (ports[i].service_port == service_port)
            return ports[i].target_port;
    return 0;
}

uint16_t mesh_index_target_port(const struct mesh_service *service,
                                const struct mesh_membership *membership, uint16_t service_port)
{
    uint16_t port = find_port(membership->ports, membership->num_ports, service_port);
    return port != 0 ? port : find_port(service->ports, service->num_ports, service_port);
}

static void sort(void *items, size_t num, size_t size, int (*compare)(const void *, const void *))
{
    if (num > 1)
        qsort(items, num, size, compare);
}

/* qsort is not stable. Objects of one kind stand in one array in the order they were added, so their addresses break ties. */
static int compare_added(const void *a, const void *b)
{
    return (a > b) - (a < b);
}

/* ---------------------------------------------------------------------------- workloads -- */

static int compare_uids(const void *a, const void *b)
{
    const struct mesh_workload *const *left = a;
    const struct mesh_workload *const *right = b;
    return strcmp((*left)->uid, (*right)->uid);
}

static int compare_workload_names(const void *a, const void *b)
{
    const struct mesh_workload *const *left = a;
    const struct mesh_workload *const *right = b;
    int order = strcmp((*left)->namespace_, (*right)->namespace_);
    if (order == 0)
        order = strcmp((*left)->name, (*right)->name);
    return order != 0 ? order : compare_added(*left, *right);
}

static int compare_workload_addresses(const void *a, const void *b)
{
    const struct mesh_workload_at *left = a;
    const struct mesh_workload_at *right = b;
    int order = mesh_index_compare_ip(left->network, &left->ip, right->network, &right->ip);
    if (order == 0)
        order = (left->rank > right->rank) - (left->rank < right->rank);
    return order != 0 ? order : compare_added(left->workload, right->workload);
}

/*
 * A pod's own entry beats what a WorkloadEntry says of the same address, HBONE beats plain. istiod's uid of a pod is
 * "<cluster>//Pod/<namespace>/<name>", in newer ones "<cluster>//v1/Pod/...".
 */
static unsigned address_rank(const struct mesh_workload *workload)
{
    bool pod =
        strstr(workload->uid, "//Pod/") != NULL || strstr(workload->uid, "//v1/Pod/") != NULL;
    bool hbone = workload->tunnel == MESH_TUNNEL_HBONE;
    return (pod ? 0U : 2U) + (hbone ? 0U : 1U);
}

static size_t count_addresses(const struct mesh_snapshot *snapshot)
{
    size_t num = 0;
    for (size_t i = 0; i < snapshot->num_workloads; i++)
        if (snapshot->workloads[i].network_mode != MESH_NETWORK_HOST)
            num += snapshot->workloads[i].num_ips;
    return num;
}

static void index_addresses(struct mesh_snapshot *snapshot)
{
    size_t num = count_addresses(snapshot);
    snapshot->workloads_by_ip =
        mesh_arena_array(&snapshot->arena, num, sizeof(*snapshot->workloads_by_ip));
    if (snapshot->workloads_by_ip == NULL)
        return;
    struct mesh_workload_at *next = snapshot->workloads_by_ip;
    for (size_t i = 0; i < snapshot->num_workloads; i++) {
        const struct mesh_workload *workload = &snapshot->workloads[i];
        if (workload->network_mode == MESH_NETWORK_HOST)
            continue;
        for (size_t j = 0; j < workload->num_ips; j++)
            *next++ = (struct mesh_workload_at){.network = workload->network,
                                                .ip = workload->ips[j],
                                                .rank = address_rank(workload),
                                                .workload = workload};
    }
    snapshot->num_workloads_by_ip = num;
    sort(snapshot->workloads_by_ip, num, sizeof(*snapshot->workloads_by_ip),
         compare_workload_addresses);
}

static const struct mesh_workload **refer_workloads(struct mesh_snapshot *snapshot,
                                                    int (*compare)(const void *, const void *))
{
    size_t num = snapshot->num_workloads;
    const struct mesh_workload **refs =
        mesh_arena_array(&snapshot->arena, num, sizeof(const struct mesh_workload *));
    for (size_t i = 0; refs != NULL && i < num; i++)
        refs[i] = &snapshot->workloads[i];
    if (refs != NULL)
        sort(refs, num, sizeof(const struct mesh_workload *), compare);
    return refs;
}

static int index_workloads(struct mesh_snapshot *snapshot, struct err *err)
{
    snapshot->workloads_by_uid = refer_workloads(snapshot, compare_uids);
    snapshot->workloads_by_name = refer_workloads(snapshot, compare_workload_names);
    index_addresses(snapshot);
    if (mesh_arena_failed(&snapshot->arena))
        return err_set(err, ERR_NOMEM, "out of memory for the index of workloads");
    for (size_t i = 1; i < snapshot->num_workloads; i++)
        if (compare_uids(&snapshot->workloads_by_uid[i - 1], &snapshot->workloads_by_uid[i]) == 0)
            return err_set(err, ERR_INVALID, "two workloads have the uid \"%s\"",
                           snapshot->workloads_by_uid[i]->uid);
    return 0;
}

/* ----------------------------------------------------------------------------- services -- */

static int compare_service_keys(const void *a, const void *b)
{
    const struct mesh_service *const *left = a;
    const struct mesh_service *const *right = b;
    return strcmp((*left)->key, (*right)->key);
}

static int compare_hostnames(const void *a, const void *b)
{
    const struct mesh_service *const *left = a;
    const struct mesh_service *const *right = b;
    int order = strcmp((*left)->hostname, (*right)->hostname);
    return order != 0 ? order : compare_added(*left, *right);
}

static int compare_vips(const void *a, const void *b)
{
    const struct mesh_service_at *left = a;
    const struct mesh_service_at *right = b;
    int order = mesh_index_compare_ip(left->network, &left->ip, right->network, &right->ip);
    return order != 0 ? order : compare_added(left->service, right->service);
}

static void index_vips(struct mesh_snapshot *snapshot)
{
    size_t num = 0;
    for (size_t i = 0; i < snapshot->num_services; i++)
        num += snapshot->services[i].num_vips;
    snapshot->services_by_vip =
        mesh_arena_array(&snapshot->arena, num, sizeof(*snapshot->services_by_vip));
    if (snapshot->services_by_vip == NULL)
        return;
    struct mesh_service_at *next = snapshot->services_by_vip;
    for (size_t i = 0; i < snapshot->num_services; i++) {
        const struct mesh_service *service = &snapshot->services[i];
        for (size_t j = 0; j < service->num_vips; j++)
            *next++ = (struct mesh_service_at){
                .network = service->vips[j].network, .ip = service->vips[j].ip, .service = service};
    }
    snapshot->num_services_by_vip = num;
    sort(snapshot->services_by_vip, num, sizeof(*snapshot->services_by_vip), compare_vips);
}

static void index_cidrs(struct mesh_snapshot *snapshot)
{
    size_t num = 0;
    for (size_t i = 0; i < snapshot->num_services; i++)
        num += snapshot->services[i].num_cidr_vips > 0;
    snapshot->services_with_cidrs =
        mesh_arena_array(&snapshot->arena, num, sizeof(const struct mesh_service *));
    if (snapshot->services_with_cidrs == NULL)
        return;
    for (size_t i = 0; i < snapshot->num_services; i++)
        if (snapshot->services[i].num_cidr_vips > 0)
            snapshot->services_with_cidrs[snapshot->num_services_with_cidrs++] =
                &snapshot->services[i];
}

static const struct mesh_service **refer_services(struct mesh_snapshot *snapshot,
                                                  int (*compare)(const void *, const void *))
{
    size_t num = snapshot->num_services;
    const struct mesh_service **refs =
        mesh_arena_array(&snapshot->arena, num, sizeof(const struct mesh_service *));
    for (size_t i = 0; refs != NULL && i < num; i++)
        refs[i] = &snapshot->services[i];
    if (refs != NULL)
        sort(refs, num, sizeof(const struct mesh_service *), compare);
    return refs;
}

static int index_services(struct mesh_snapshot *snapshot, struct err *err)
{
    snapshot->services_by_key = refer_services(snapshot, compare_service_keys);
    snapshot->services_by_hostname = refer_services(snapshot, compare_hostnames);
    index_vips(snapshot);
    index_cidrs(snapshot);
    if (mesh_arena_failed(&snapshot->arena))
        return err_set(err, ERR_NOMEM, "out of memory for the index of services");
    for (size_t i = 1; i < snapshot->num_services; i++)
        if (compare_service_keys(&snapshot->services_by_key[i - 1],
                                 &snapshot->services_by_key[i]) == 0)
            return err_set(err, ERR_INVALID, "two services are named \"%s\"",
                           snapshot->services_by_key[i]->key);
    return 0;
}

/* ---------------------------------------------------------------------------- endpoints -- */

static bool is_usable(const struct mesh_service *service, const struct mesh_workload *workload)
{
    if (workload->capacity == 0)
        return false;
    return !workload->unhealthy || service->load_balancing.health_policy == MESH_ALLOW_ALL;
}

static void add_endpoint(struct mesh_snapshot *snapshot, const struct mesh_service *service,
                         const struct mesh_workload *workload,
                         const struct mesh_membership *membership)
{
    struct mesh_endpoints *endpoints = &snapshot->endpoints[service - snapshot->services];
    struct mesh_endpoint *endpoint = &endpoints->items[endpoints->num++];
    endpoint->workload = workload;
    endpoint->membership = membership;
    endpoint->weight_before = endpoints->weight;
    endpoints->weight += workload->capacity;
}

typedef void membership_visit(struct mesh_snapshot *snapshot, const struct mesh_service *service,
                              const struct mesh_workload *workload,
                              const struct mesh_membership *membership);

static void count_endpoint(struct mesh_snapshot *snapshot, const struct mesh_service *service,
                           const struct mesh_workload *workload,
                           const struct mesh_membership *membership)
{
    (void)workload;
    (void)membership;
    snapshot->endpoints[service - snapshot->services].num++;
}

static void visit_memberships(struct mesh_snapshot *snapshot, membership_visit *visit,
                              struct mesh_warnings *warnings)
{
    for (size_t i = 0; i < snapshot->num_workloads; i++) {
        const struct mesh_workload *workload = &snapshot->workloads[i];
        for (size_t j = 0; j < workload->num_services; j++) {
            const struct mesh_membership *membership = &workload->services[j];
            const struct mesh_service *service =
                mesh_snapshot_service(snapshot, membership->service);
            if (service == NULL)
                mesh_warnings_add(
                    warnings, "workload \"%s\" is an endpoint of \"%s\", which nothing describes",
                    workload->uid, membership->service);
            else if (is_usable(service, workload))
                visit(snapshot, service, workload, membership);
        }
    }
}

static int index_endpoints(struct mesh_snapshot *snapshot, struct mesh_warnings *warnings,
                           struct err *err)
{
    snapshot->endpoints =
        mesh_arena_array(&snapshot->arena, snapshot->num_services, sizeof(*snapshot->endpoints));
    if (mesh_arena_failed(&snapshot->arena))
        return err_set(err, ERR_NOMEM, "out of memory for the index of endpoints");
    visit_memberships(snapshot, count_endpoint, warnings);
    for (size_t i = 0; i < snapshot->num_services; i++) {
        struct mesh_endpoints *endpoints = &snapshot->endpoints[i];
        endpoints->items =
            mesh_arena_array(&snapshot->arena, endpoints->num, sizeof(*endpoints->items));
        endpoints->num = 0;
    }
    if (!mesh_arena_failed(&snapshot->arena))
        visit_memberships(snapshot, add_endpoint, NULL);
    if (mesh_arena_failed(&snapshot->arena))
        return err_set(err, ERR_NOMEM, "out of memory for the endpoints");
    return 0;
}

/* ----------------------------------------------------------------------------- policies -- */

static int compare_policy_keys(const void *a, const void *b)
{
    const struct mesh_policy *const *left = a;
    const struct mesh_policy *const *right = b;
    return strcmp((*left)->key, (*right)->key);
}

static int compare_policy_namespaces(const void *a, const void *b)
{
    const struct mesh_policy *const *left = a;
    const struct mesh_policy *const *right = b;
    int order = strcmp((*left)->namespace_, (*right)->namespace_);
    return order != 0 ? order : compare_added(*left, *right);
}

/* References to the policies of one scope. They share the upper bound of all policies: there are few. */
static const struct mesh_policy **refer_policies(struct mesh_snapshot *snapshot,
                                                 enum mesh_policy_scope scope, size_t *num_refs)
{
    const struct mesh_policy **refs = mesh_arena_array(&snapshot->arena, snapshot->num_policies,
                                                       sizeof(const struct mesh_policy *));
    for (size_t i = 0; refs != NULL && i < snapshot->num_policies; i++)
        if (snapshot->policies[i].scope == scope)
            refs[(*num_refs)++] = &snapshot->policies[i];
    return refs;
}

static void warn_unknown_policies(const struct mesh_snapshot *snapshot,
                                  struct mesh_warnings *warnings)
{
    for (size_t i = 0; i < snapshot->num_workloads; i++) {
        const struct mesh_workload *workload = &snapshot->workloads[i];
        for (size_t j = 0; j < workload->num_authorization_policies; j++)
            if (mesh_snapshot_policy(snapshot, workload->authorization_policies[j]) == NULL)
                mesh_warnings_add(warnings,
                                  "workload \"%s\" lists the policy \"%s\", which nothing "
                                  "describes: all connections to "
                                  "it are refused",
                                  workload->uid, workload->authorization_policies[j]);
    }
}

static int index_policies(struct mesh_snapshot *snapshot, struct mesh_warnings *warnings,
                          struct err *err)
{
    size_t num = snapshot->num_policies;
    snapshot->policies_by_key =
        mesh_arena_array(&snapshot->arena, num, sizeof(const struct mesh_policy *));
    snapshot->global_policies =
        refer_policies(snapshot, MESH_POLICY_GLOBAL, &snapshot->num_global_policies);
    snapshot->namespace_policies =
        refer_policies(snapshot, MESH_POLICY_NAMESPACE, &snapshot->num_namespace_policies);
    if (mesh_arena_failed(&snapshot->arena))
        return err_set(err, ERR_NOMEM, "out of memory for the index of policies");
    for (size_t i = 0; i < num; i++)
        snapshot->policies_by_key[i] = &snapshot->policies[i];
    sort(snapshot->policies_by_key, num, sizeof(const struct mesh_policy *), compare_policy_keys);
    sort(snapshot->namespace_policies, snapshot->num_namespace_policies,
         sizeof(const struct mesh_policy *), compare_policy_namespaces);
    for (size_t i = 1; i < num; i++)
        if (compare_policy_keys(&snapshot->policies_by_key[i - 1], &snapshot->policies_by_key[i]) ==
            0)
            return err_set(err, ERR_INVALID, "two policies are named \"%s\"",
                           snapshot->policies_by_key[i]->key);
    warn_unknown_policies(snapshot, warnings);
    return 0;
}

int mesh_index_build(struct mesh_snapshot *snapshot, struct mesh_warnings *warnings,
                     struct err *err)
{
    if (index_workloads(snapshot, err) < 0 || index_services(snapshot, err) < 0)
        return -1;
    if (index_policies(snapshot, warnings, err) < 0)
        return -1;
    return index_endpoints(snapshot, warnings, err);
}
