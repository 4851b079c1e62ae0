/*
 * One immutable state of the mesh, with its indexes. Made by mesh_builder, shared by threads
 * through references; what it lends lives as long as the caller's reference. Snapshots made one out
 * of another share what is the same in both. A lookup costs the logarithm of the mesh's size; where
 * networks (CIDR addresses) come into it, that for each prefix length in use.
 */
#ifndef REMORA_MESH_SNAPSHOT_H
#define REMORA_MESH_SNAPSHOT_H

#include "mesh.h"
#include "mesh_interest.h"

struct mesh_snapshot;

/* Takes another reference and returns `snapshot`. Thread-safe. */
struct mesh_snapshot *mesh_snapshot_ref(struct mesh_snapshot *snapshot);

/* Gives a reference back; the last one frees. Thread-safe. NULL is ignored. */
void mesh_snapshot_unref(struct mesh_snapshot *snapshot);

/* The lookups below return NULL for what is not known. */
const struct mesh_workload *mesh_snapshot_workload_by_uid(const struct mesh_snapshot *snapshot,
                                                          const char *uid);

/*
 * By address. Of several workloads with one address a pod with HBONE comes first, then a pod, then
 * HBONE, then the rest in the order they were added; one that is replaced keeps its place. Workloads
 * on the host's network are not found: their address is the node's.
 */
const struct mesh_workload *mesh_snapshot_workload_by_ip(const struct mesh_snapshot *snapshot,
                                                         const char *network, const struct ip *ip);

/* The agent's own workload. All three have to match; `service_account` "" or NULL stands for
 * "default". */
const struct mesh_workload *mesh_snapshot_workload_by_name(const struct mesh_snapshot *snapshot,
                                                           const char *namespace_, const char *name,
                                                           const char *service_account);

/* `key` is "namespace/hostname". */
const struct mesh_service *mesh_snapshot_service(const struct mesh_snapshot *snapshot,
                                                 const char *key);

/*
 * The service at an address as a client in `client_namespace` sees it: services visible to other
 * namespaces only are left out; an exact address beats a CIDR; then the client's own namespace, the
 * longer prefix, the canonical service, the first added.
 */
const struct mesh_service *mesh_snapshot_service_by_vip(const struct mesh_snapshot *snapshot,
                                                        const char *network, const struct ip *ip,
                                                        const char *client_namespace);

/* By host name alone; of several: the one in `client_namespace`, else the canonical one, else the
 * first added. */
const struct mesh_service *mesh_snapshot_service_by_hostname(const struct mesh_snapshot *snapshot,
                                                             const char *hostname,
                                                             const char *client_namespace);

/* `key` is "namespace/name". */
const struct mesh_policy *mesh_snapshot_policy(const struct mesh_snapshot *snapshot,
                                               const char *key);

/* Whether any workload is an endpoint of the service, known or not, healthy or not. */
bool mesh_snapshot_has_endpoint(const struct mesh_snapshot *snapshot, const char *service_key);

/* Whether the policies of both are surely the same: one was made out of the other, and none was
 * changed. */
bool mesh_snapshot_shares_policies(const struct mesh_snapshot *snapshot,
                                   const struct mesh_snapshot *other);

/*
 * The port on which `workload` serves the service's port: the endpoint's own map, else the
 * service's. 0: the workload is not an endpoint of the service or the port is not known.
 */
uint16_t mesh_snapshot_target_port(const struct mesh_service *service,
                                   const struct mesh_workload *workload, uint16_t service_port);

/* True when anything is at the address, whoever may see it: a workload, or a service by an exact
 * address. */
bool mesh_snapshot_knows_address(const struct mesh_snapshot *snapshot, const char *network,
                                 const struct ip *ip);

/*
 * True when the snapshot is not the whole mesh: of what it does not know, the control plane can be
 * asked, unless the name is among the answered.
 */
bool mesh_snapshot_is_on_demand(const struct mesh_snapshot *snapshot);

/* The interest in a name that the control plane has answered, whether there is such a thing or not;
 * NULL: it has not. Lent. */
struct mesh_interest *mesh_snapshot_answered(const struct mesh_snapshot *snapshot,
                                             const char *name);

struct mesh_counts {
    size_t workloads;
    size_t services;
    size_t policies;
    size_t answered;
};

struct mesh_counts mesh_snapshot_counts(const struct mesh_snapshot *snapshot);

/* Gets each object in turn; false ends the walk. */
typedef bool mesh_snapshot_on_workload(void *owner, const struct mesh_workload *workload);
typedef bool mesh_snapshot_on_service(void *owner, const struct mesh_service *service);
typedef bool mesh_snapshot_on_policy(void *owner, const struct mesh_policy *policy);
typedef bool mesh_snapshot_on_answered(void *owner, struct mesh_interest *interest);

/* Everything, for dumps: workloads in the order of their uids, services and policies of their keys,
 * interests of their names, as strcmp orders them. */
void mesh_snapshot_each_workload(const struct mesh_snapshot *snapshot,
                                 mesh_snapshot_on_workload *on_workload, void *owner);
void mesh_snapshot_each_service(const struct mesh_snapshot *snapshot,
                                mesh_snapshot_on_service *on_service, void *owner);
void mesh_snapshot_each_policy(const struct mesh_snapshot *snapshot,
                               mesh_snapshot_on_policy *on_policy, void *owner);
void mesh_snapshot_each_answered(const struct mesh_snapshot *snapshot,
                                 mesh_snapshot_on_answered *on_answered, void *owner);

#endif
