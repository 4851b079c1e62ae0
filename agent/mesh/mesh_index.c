#include "mesh_index.h"

#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------------- answered -- */

static int compare_name(const void *name, const void *item)
{
    return strcmp(name, mesh_interest_name(item));
}

static int compare_interests(const void *left, const void *right)
{
    return compare_name(mesh_interest_name(left), right);
}

static void ref_interest(void *item)
{
    mesh_interest_ref(item);
}

static void unref_interest(void *item)
{
    mesh_interest_unref(item);
}

static const struct mesh_tree_kind by_name = {
    .compare = compare_interests,
    .ref = ref_interest,
    .unref = unref_interest,
};

int mesh_index_put_answered(struct mesh_snapshot *snapshot, struct mesh_interest *interest)
{
    return mesh_tree_put(&snapshot->answered, &by_name, interest);
}

int mesh_index_remove_answered(struct mesh_snapshot *snapshot, const struct mesh_interest *interest)
{
    return mesh_tree_remove(&snapshot->answered, &by_name, interest);
}

struct mesh_interest *mesh_index_find_answered(const struct mesh_snapshot *snapshot,
                                               const char *name)
{
    return mesh_tree_find(&snapshot->answered, name, compare_name);
}

/* ---------------------------------------------------------------------------- the whole -- */

struct mesh_snapshot *mesh_index_copy(const struct mesh_snapshot *base)
{
    struct mesh_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (snapshot == NULL)
        return NULL;
    refcount_init(&snapshot->refcount);
    if (base == NULL)
        return snapshot;
    snapshot->on_demand = base->on_demand;
    snapshot->next_sequence = base->next_sequence;
    snapshot->workloads = mesh_workloads_copy(&base->workloads);
    snapshot->services = mesh_services_copy(&base->services);
    snapshot->policies = mesh_policies_copy(&base->policies);
    snapshot->answered = mesh_tree_copy(&base->answered);
    return snapshot;
}

void mesh_index_free(struct mesh_snapshot *snapshot)
{
    mesh_workloads_done(&snapshot->workloads);
    mesh_services_done(&snapshot->services);
    mesh_policies_done(&snapshot->policies);
    mesh_tree_done(&snapshot->answered, &by_name);
    free(snapshot);
}

/* -------------------------------------------------------------------------------- ports -- */

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
