#include "mesh_snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "mesh_index.h"

struct mesh_snapshot *mesh_snapshot_ref(struct mesh_snapshot *snapshot)
{
    refcount_get(&snapshot->refcount);
    return snapshot;
}

void mesh_snapshot_unref(struct mesh_snapshot *snapshot)
{
    if (snapshot == NULL || !refcount_put(&snapshot->refcount))
        return;
    free(snapshot->workloads);
    free(snapshot->services);
    free(snapshot->policies);
    mesh_arena_done(&snapshot->arena);
    free(snapshot);
}

/* ---------------------------------------------------------------------------- workloads -- */

static int compare_uid(const void *key, const void *item)
{
    const struct mesh_workload *const *workload = item;
    return strcmp(key, (*workload)->uid);
}

const struct mesh_workload *mesh_snapshot_workload_by_uid(const struct mesh_snapshot *snapshot,
                                                          const char *uid)
{
    size_t i = mesh_index_lower_bound(snapshot->workloads_by_uid, snapshot->num_workloads,
                                      sizeof(const struct mesh_workload *), uid, compare_uid);
    if (i == snapshot->num_workloads || strcmp(snapshot->workloads_by_uid[i]->uid, uid) != 0)
        return NULL;
    return snapshot->workloads_by_uid[i];
}

struct place {
    const char *network;
    const struct ip *ip;
};

static int compare_workload_place(const void *key, const void *item)
{
    const struct place *place = key;
    const struct mesh_workload_at *at = item;
    return mesh_index_compare_ip(place->network, place->ip, at->network, &at->ip);
}

const struct mesh_workload *mesh_snapshot_workload_by_ip(const struct mesh_snapshot *snapshot,
                                                         const char *network, const struct ip *ip)
{
    struct place place = {.network = network, .ip = ip};
    size_t num = snapshot->num_workloads_by_ip;
    size_t i =
        mesh_index_lower_bound(snapshot->workloads_by_ip, num, sizeof(*snapshot->workloads_by_ip),
                               &place, compare_workload_place);
    if (i == num || compare_workload_place(&place, &snapshot->workloads_by_ip[i]) != 0)
        return NULL;
    return snapshot->workloads_by_ip[i].workload;
}

struct workload_name {
    const char *namespace_;
    const char *name;
};

static int compare_workload_name(const void *key, const void *item)
{
    const struct workload_name *wanted = key;
    const struct mesh_workload *const *workload = item;
    int order = strcmp(wanted->namespace_, (*workload)->namespace_);
    return order != 0 ? order : strcmp(wanted->name, (*workload)->name);
}

const struct mesh_workload *mesh_snapshot_workload_by_name(const struct mesh_snapshot *snapshot,
                                                           const char *namespace_, const char *name,
                                                           const char *service_account)
{
    const char *account =
        service_account == NULL || service_account[0] == '\0' ? "default" : service_account;
    struct workload_name wanted = {.namespace_ = namespace_, .name = name};
    size_t i = mesh_index_lower_bound(snapshot->workloads_by_name, snapshot->num_workloads,
                                      sizeof(const struct mesh_workload *), &wanted,
                                      compare_workload_name);
    for (; i < snapshot->num_workloads; i++) {
        if (compare_workload_name(&wanted, &snapshot->workloads_by_name[i]) != 0)
            return NULL;
        if (strcmp(snapshot->workloads_by_name[i]->service_account, account) == 0)
            return snapshot->workloads_by_name[i];
    }
    return NULL;
}

/* ----------------------------------------------------------------------------- services -- */

static int compare_service_key(const void *key, const void *item)
{
    const struct mesh_service *const *service = item;
    return strcmp(key, (*service)->key);
}

const struct mesh_service *mesh_snapshot_service(const struct mesh_snapshot *snapshot,
                                                 const char *key)
{
    size_t i =
        mesh_index_lower_bound(snapshot->services_by_key, snapshot->num_services,
                               sizeof(const struct mesh_service *), key, compare_service_key);
    if (i == snapshot->num_services || strcmp(snapshot->services_by_key[i]->key, key) != 0)
        return NULL;
    return snapshot->services_by_key[i];
}

/*
 * Of services that answer to one address or name: how well one fits a client, more is better, -1 for one that it may not see.
 * The client's own namespace first, then the longer prefix, then the canonical service.
 */
static int fitness(const struct mesh_service *service, unsigned prefix_len,
                   const char *client_namespace)
{
    bool same = strcmp(service->namespace_, client_namespace) == 0;
    if (service->visibility == MESH_NAMESPACE && !same)
        return -1;
    return (same ? 1024 : 0) + (int)prefix_len * 2 + (service->canonical ? 1 : 0);
}

struct choice {
    const struct mesh_service *service;
    int fitness;
};

/* Takes the candidate if it fits better than what is chosen; the first of equals stays. */
static void consider(struct choice *choice, const struct mesh_service *candidate,
                     unsigned prefix_len, const char *client_namespace)
{
    int fit = fitness(candidate, prefix_len, client_namespace);
    if (fit >= 0 && (choice->service == NULL || fit > choice->fitness))
        *choice = (struct choice){.service = candidate, .fitness = fit};
}

static int compare_service_place(const void *key, const void *item)
{
    const struct place *place = key;
    const struct mesh_service_at *at = item;
    return mesh_index_compare_ip(place->network, place->ip, at->network, &at->ip);
}

static const struct mesh_service *service_by_cidr(const struct mesh_snapshot *snapshot,
                                                  const char *network, const struct ip *ip,
                                                  const char *client_namespace)
{
    struct choice choice = {0};
    for (size_t i = 0; i < snapshot->num_services_with_cidrs; i++) {
        const struct mesh_service *service = snapshot->services_with_cidrs[i];
        for (size_t j = 0; j < service->num_cidr_vips; j++) {
            const struct mesh_network_cidr *vip = &service->cidr_vips[j];
            if (strcmp(vip->network, network) == 0 && cidr_contains(&vip->cidr, ip))
                consider(&choice, service, vip->cidr.prefix_len, client_namespace);
        }
    }
    return choice.service;
}

const struct mesh_service *mesh_snapshot_service_by_vip(const struct mesh_snapshot *snapshot,
                                                        const char *network, const struct ip *ip,
                                                        const char *client_namespace)
{
    struct place place = {.network = network, .ip = ip};
    struct choice choice = {0};
    size_t num = snapshot->num_services_by_vip;
    size_t i =
        mesh_index_lower_bound(snapshot->services_by_vip, num, sizeof(*snapshot->services_by_vip),
                               &place, compare_service_place);
    for (; i < num && compare_service_place(&place, &snapshot->services_by_vip[i]) == 0; i++)
        consider(&choice, snapshot->services_by_vip[i].service, 0, client_namespace);
    if (choice.service != NULL)
        return choice.service;
    return service_by_cidr(snapshot, network, ip, client_namespace);
}

static int compare_hostname(const void *key, const void *item)
{
    const struct mesh_service *const *service = item;
    return strcmp(key, (*service)->hostname);
}

const struct mesh_service *mesh_snapshot_service_by_hostname(const struct mesh_snapshot *snapshot,
                                                             const char *hostname,
                                                             const char *client_namespace)
{
    struct choice choice = {0};
    size_t num = snapshot->num_services;
    size_t i =
        mesh_index_lower_bound(snapshot->services_by_hostname, num,
                               sizeof(const struct mesh_service *), hostname, compare_hostname);
    for (; i < num && compare_hostname(hostname, &snapshot->services_by_hostname[i]) == 0; i++)
        consider(&choice, snapshot->services_by_hostname[i], 0, client_namespace);
    return choice.service;
}

uint16_t mesh_snapshot_target_port(const struct mesh_service *service,
                                   const struct mesh_workload *workload, uint16_t service_port)
{
    for (size_t i = 0; i < workload->num_services; i++)
        if (strcmp(workload->services[i].service, service->key) == 0)
            return mesh_index_target_port(service, &workload->services[i], service_port);
    return 0;
}

/* ----------------------------------------------------------------------------- policies -- */

static int compare_policy_key(const void *key, const void *item)
{
    const struct mesh_policy *const *policy = item;
    return strcmp(key, (*policy)->key);
}

const struct mesh_policy *mesh_snapshot_policy(const struct mesh_snapshot *snapshot,
                                               const char *key)
{
    size_t i = mesh_index_lower_bound(snapshot->policies_by_key, snapshot->num_policies,
                                      sizeof(const struct mesh_policy *), key, compare_policy_key);
    if (i == snapshot->num_policies || strcmp(snapshot->policies_by_key[i]->key, key) != 0)
        return NULL;
    return snapshot->policies_by_key[i];
}

/* --------------------------------------------------------------------------- everything -- */

struct mesh_counts mesh_snapshot_counts(const struct mesh_snapshot *snapshot)
{
    return (struct mesh_counts){.workloads = snapshot->num_workloads,
                                .services = snapshot->num_services,
                                .policies = snapshot->num_policies};
}

void mesh_snapshot_each_workload(const struct mesh_snapshot *snapshot,
                                 mesh_snapshot_on_workload *on_workload, void *owner)
{
    for (size_t i = 0; i < snapshot->num_workloads; i++)
        if (!on_workload(owner, snapshot->workloads_by_uid[i]))
            return;
}

void mesh_snapshot_each_service(const struct mesh_snapshot *snapshot,
                                mesh_snapshot_on_service *on_service, void *owner)
{
    for (size_t i = 0; i < snapshot->num_services; i++)
        if (!on_service(owner, snapshot->services_by_key[i]))
            return;
}

void mesh_snapshot_each_policy(const struct mesh_snapshot *snapshot,
                               mesh_snapshot_on_policy *on_policy, void *owner)
{
    for (size_t i = 0; i < snapshot->num_policies; i++)
        if (!on_policy(owner, snapshot->policies_by_key[i]))
            return;
}

void mesh_snapshot_each_answered(const struct mesh_snapshot *snapshot,
                                 mesh_snapshot_on_answered *on_answered, void *owner)
{
}

bool mesh_snapshot_knows_address(const struct mesh_snapshot *snapshot, const char *network,
                                 const struct ip *ip)
{
    return mesh_snapshot_workload_by_ip(snapshot, network, ip) != NULL;
}

bool mesh_snapshot_is_on_demand(const struct mesh_snapshot *snapshot)
{
    return false;
}

struct mesh_interest *mesh_snapshot_answered(const struct mesh_snapshot *snapshot, const char *name)
{
    return NULL;
}
