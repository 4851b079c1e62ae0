#include "mesh_snapshot.h"

#include <string.h>

#include "mesh_endpoints.h"
#include "mesh_index.h"

struct mesh_snapshot *mesh_snapshot_ref(struct mesh_snapshot *snapshot)
{
    refcount_get(&snapshot->refcount);
    return snapshot;
}

void mesh_snapshot_unref(struct mesh_snapshot *snapshot)
{
    if (snapshot != NULL && refcount_put(&snapshot->refcount))
        mesh_index_free(snapshot);
}

/* ---------------------------------------------------------------------------- workloads -- */

const struct mesh_workload *mesh_snapshot_workload_by_uid(const struct mesh_snapshot *snapshot,
                                                          const char *uid)
{
    const struct mesh_workload_object *object = mesh_workloads_find(&snapshot->workloads, uid);
    return object == NULL ? NULL : &object->workload;
}

const struct mesh_workload *mesh_snapshot_workload_by_ip(const struct mesh_snapshot *snapshot,
                                                         const char *network, const struct ip *ip)
{
    return mesh_workloads_at(&snapshot->workloads, network, ip);
}

const struct mesh_workload *mesh_snapshot_workload_by_name(const struct mesh_snapshot *snapshot,
                                                           const char *namespace_, const char *name,
                                                           const char *service_account)
{
    const char *account =
        service_account == NULL || service_account[0] == '\0' ? "default" : service_account;
    return mesh_workloads_named(&snapshot->workloads, namespace_, name, account);
}

/* ----------------------------------------------------------------------------- services -- */

const struct mesh_service *mesh_snapshot_service(const struct mesh_snapshot *snapshot,
                                                 const char *key)
{
    const struct mesh_service_object *object = mesh_services_find(&snapshot->services, key);
    return object == NULL ? NULL : &object->service;
}

const struct mesh_service *mesh_snapshot_service_by_vip(const struct mesh_snapshot *snapshot,
                                                        const char *network, const struct ip *ip,
                                                        const char *client_namespace)
{
    return mesh_services_at(&snapshot->services, network, ip, client_namespace);
}

const struct mesh_service *mesh_snapshot_service_by_hostname(const struct mesh_snapshot *snapshot,
                                                             const char *hostname,
                                                             const char *client_namespace)
{
    return mesh_services_named(&snapshot->services, hostname, client_namespace);
}

uint16_t mesh_snapshot_target_port(const struct mesh_service *service,
                                   const struct mesh_workload *workload, uint16_t service_port)
{
    for (size_t i = 0; i < workload->num_services; i++)
        if (strcmp(workload->services[i].service, service->key) == 0)
            return mesh_index_target_port(service, &workload->services[i], service_port);
    return 0;
}

bool mesh_snapshot_has_endpoint(const struct mesh_snapshot *snapshot, const char *service_key)
{
    return mesh_endpoints_any(&snapshot->workloads.endpoints, service_key);
}

/* ----------------------------------------------------------------------------- policies -- */

const struct mesh_policy *mesh_snapshot_policy(const struct mesh_snapshot *snapshot,
                                               const char *key)
{
    const struct mesh_policy_object *object = mesh_policies_find(&snapshot->policies, key);
    return object == NULL ? NULL : &object->policy;
}

bool mesh_snapshot_shares_policies(const struct mesh_snapshot *snapshot,
                                   const struct mesh_snapshot *other)
{
    return snapshot->policies.by_key.root == other->policies.by_key.root;
}

/* ---------------------------------------------------------------------------- on demand -- */

bool mesh_snapshot_knows_address(const struct mesh_snapshot *snapshot, const char *network,
                                 const struct ip *ip)
{
    return mesh_workloads_at(&snapshot->workloads, network, ip) != NULL ||
           mesh_services_know(&snapshot->services, network, ip);
}

bool mesh_snapshot_is_on_demand(const struct mesh_snapshot *snapshot)
{
    return snapshot->on_demand;
}

struct mesh_interest *mesh_snapshot_answered(const struct mesh_snapshot *snapshot, const char *name)
{
    return mesh_index_find_answered(snapshot, name);
}

/* --------------------------------------------------------------------------- everything -- */

struct mesh_counts mesh_snapshot_counts(const struct mesh_snapshot *snapshot)
{
    return (struct mesh_counts){.workloads = snapshot->workloads.by_uid.num,
                                .services = snapshot->services.by_key.num,
                                .policies = snapshot->policies.by_key.num,
                                .answered = snapshot->answered.num};
}

void mesh_snapshot_each_workload(const struct mesh_snapshot *snapshot,
                                 mesh_snapshot_on_workload *on_workload, void *owner)
{
    struct mesh_tree_walk walk;
    const struct mesh_workload_object *object =
        mesh_tree_seek(&walk, &snapshot->workloads.by_uid, NULL, NULL);
    while (object != NULL && on_workload(owner, &object->workload))
        object = mesh_tree_next(&walk);
}

void mesh_snapshot_each_service(const struct mesh_snapshot *snapshot,
                                mesh_snapshot_on_service *on_service, void *owner)
{
    struct mesh_tree_walk walk;
    const struct mesh_service_object *object =
        mesh_tree_seek(&walk, &snapshot->services.by_key, NULL, NULL);
    while (object != NULL && on_service(owner, &object->service))
        object = mesh_tree_next(&walk);
}

void mesh_snapshot_each_policy(const struct mesh_snapshot *snapshot,
                               mesh_snapshot_on_policy *on_policy, void *owner)
{
    struct mesh_tree_walk walk;
    const struct mesh_policy_object *object =
        mesh_tree_seek(&walk, &snapshot->policies.by_key, NULL, NULL);
    while (object != NULL && on_policy(owner, &object->policy))
        object = mesh_tree_next(&walk);
}

void mesh_snapshot_each_answered(const struct mesh_snapshot *snapshot,
                                 mesh_snapshot_on_answered *on_answered, void *owner)
{
    struct mesh_tree_walk walk;
    struct mesh_interest *interest = mesh_tree_seek(&walk, &snapshot->answered, NULL, NULL);
    while (interest != NULL && on_answered(owner, interest))
        interest = mesh_tree_next(&walk);
}
