#include "mesh_workloads.h"

#include <string.h>

#include "mesh_endpoints.h"

/* ------------------------------------------------------------------------------- by uid -- */

static int compare_uid(const void *uid, const void *item)
{
    const struct mesh_workload_object *object = item;
    return strcmp(uid, object->workload.uid);
}

static int compare_uids(const void *left, const void *right)
{
    const struct mesh_workload_object *object = left;
    return compare_uid(object->workload.uid, right);
}

static const struct mesh_tree_kind by_uid = {
    .compare = compare_uids,
    .ref = mesh_object_ref,
    .unref = mesh_object_unref,
};

/* ----------------------------------------------------------------------- by their order -- */

static int compare_sequences(const void *left, const void *right)
{
    const struct mesh_workload_object *a = left;
    const struct mesh_workload_object *b = right;
    return (a->object.sequence > b->object.sequence) - (a->object.sequence < b->object.sequence);
}

const struct mesh_tree_kind mesh_workloads_touched = {
    .compare = compare_sequences,
    .ref = mesh_object_ref,
    .unref = mesh_object_unref,
};

/* ------------------------------------------------------------------------------ by name -- */

struct name_key {
    const char *namespace_;
    const char *name;
    const char *service_account;
};

static int compare_name(const void *key, const void *item)
{
    const struct name_key *wanted = key;
    const struct mesh_workload *workload = &((const struct mesh_workload_object *)item)->workload;
    int order = strcmp(wanted->namespace_, workload->namespace_);
    if (order == 0)
        order = strcmp(wanted->name, workload->name);
    return order != 0 ? order : strcmp(wanted->service_account, workload->service_account);
}

static int compare_names(const void *left, const void *right)
{
    const struct mesh_workload *workload = &((const struct mesh_workload_object *)left)->workload;
    const struct name_key key = {workload->namespace_, workload->name, workload->service_account};
    int order = compare_name(&key, right);
    return order != 0 ? order : compare_sequences(left, right);
}

static const struct mesh_tree_kind by_name = {.compare = compare_names};

/* --------------------------------------------------------------------------- by address -- */

struct ip_key {
    const char *network;
    const struct ip *ip;
};

static int compare_ip(const void *key, const void *item)
{
    const struct ip_key *wanted = key;
    const struct mesh_workload_place *place = item;
    int order = ip_compare(wanted->ip, &place->ip);
    return order != 0 ? order : strcmp(wanted->network, place->workload->network);
}

/*
 * A pod's own entry beats what a WorkloadEntry says of the same address, HBONE beats plain. istiod's uid of a pod is
 * "<cluster>//Pod/<namespace>/<name>", in newer ones "<cluster>//v1/Pod/...".
 */
static unsigned rank_of(const struct mesh_workload *workload)
{
    bool pod =
        strstr(workload->uid, "//Pod/") != NULL || strstr(workload->uid, "//v1/Pod/") != NULL;
    bool hbone = workload->tunnel == MESH_TUNNEL_HBONE;
    return (pod ? 0U : 2U) + (hbone ? 0U : 1U);
}

/* Of two places of one workload with one address, that which stands first in its object is less. */
static int compare_places(const void *left, const void *right)
{
    const struct mesh_workload_place *a = left;
    const struct mesh_workload_place *b = right;
    const struct ip_key key = {a->workload->network, &a->ip};
    int order = compare_ip(&key, b);
    if (order != 0)
        return order;
    unsigned rank = rank_of(a->workload);
    unsigned other_rank = rank_of(b->workload);
    if (rank != other_rank)
        return rank < other_rank ? -1 : 1;
    uint64_t sequence = mesh_object_of_workload(a->workload)->sequence;
    uint64_t other_sequence = mesh_object_of_workload(b->workload)->sequence;
    if (sequence != other_sequence)
        return sequence < other_sequence ? -1 : 1;
    return (a > b) - (a < b);
}

static const struct mesh_tree_kind by_ip = {.compare = compare_places};

/* ----------------------------------------------------------------------------- changing -- */

struct mesh_workloads mesh_workloads_copy(const struct mesh_workloads *workloads)
{
    return (struct mesh_workloads){.by_uid = mesh_tree_copy(&workloads->by_uid),
                                   .by_name = mesh_tree_copy(&workloads->by_name),
                                   .by_ip = mesh_tree_copy(&workloads->by_ip),
                                   .endpoints = mesh_tree_copy(&workloads->endpoints)};
}

void mesh_workloads_done(struct mesh_workloads *workloads)
{
    mesh_tree_done(&workloads->endpoints, &mesh_endpoints_kind);
    mesh_tree_done(&workloads->by_ip, &by_ip);
    mesh_tree_done(&workloads->by_name, &by_name);
    mesh_tree_done(&workloads->by_uid, &by_uid);
}

/* The other trees do not own: an object comes into them after, and leaves them before, the tree that does. */
static int add_entries(struct mesh_workloads *workloads, struct mesh_workload_object *object)
{
    if (mesh_tree_put(&workloads->by_name, &by_name, object) < 0)
        return -1;
    for (size_t i = 0; i < object->num_places; i++)
        if (mesh_tree_put(&workloads->by_ip, &by_ip, &object->places[i]) < 0)
            return -1;
    for (size_t i = 0; i < object->workload.num_services; i++)
        if (mesh_tree_put(&workloads->endpoints, &mesh_endpoints_kind, &object->endpoints[i]) < 0)
            return -1;
    return 0;
}

static int remove_entries(struct mesh_workloads *workloads,
                          const struct mesh_workload_object *object)
{
    if (mesh_tree_remove(&workloads->by_name, &by_name, object) < 0)
        return -1;
    for (size_t i = 0; i < object->num_places; i++)
        if (mesh_tree_remove(&workloads->by_ip, &by_ip, &object->places[i]) < 0)
            return -1;
    for (size_t i = 0; i < object->workload.num_services; i++)
        if (mesh_tree_remove(&workloads->endpoints, &mesh_endpoints_kind, &object->endpoints[i]) <
            0)
            return -1;
    return 0;
}

int mesh_workloads_put(struct mesh_workloads *workloads, struct mesh_workload_object *object)
{
    const struct mesh_workload_object *before =
        mesh_workloads_find(workloads, object->workload.uid);
    if (before != NULL && remove_entries(workloads, before) < 0)
        return -1;
    if (mesh_tree_put(&workloads->by_uid, &by_uid, object) < 0)
        return -1;
    return add_entries(workloads, object);
}

int mesh_workloads_remove(struct mesh_workloads *workloads, struct mesh_workload_object *object)
{
    if (remove_entries(workloads, object) < 0)
        return -1;
    return mesh_tree_remove(&workloads->by_uid, &by_uid, object);
}

/* ------------------------------------------------------------------------------ looking -- */

struct mesh_workload_object *mesh_workloads_find(const struct mesh_workloads *workloads,
                                                 const char *uid)
{
    return mesh_tree_find(&workloads->by_uid, uid, compare_uid);
}

const struct mesh_workload *mesh_workloads_at(const struct mesh_workloads *workloads,
                                              const char *network, const struct ip *ip)
{
    const struct ip_key key = {network, ip};
    const struct mesh_workload_place *place = mesh_tree_find(&workloads->by_ip, &key, compare_ip);
    return place == NULL ? NULL : place->workload;
}

const struct mesh_workload *mesh_workloads_named(const struct mesh_workloads *workloads,
                                                 const char *namespace_, const char *name,
                                                 const char *service_account)
{
    const struct name_key key = {namespace_, name, service_account};
    const struct mesh_workload_object *object =
        mesh_tree_find(&workloads->by_name, &key, compare_name);
    return object == NULL ? NULL : &object->workload;
}
