/*
 * One immutable state of the mesh, with its indexes. Made by mesh_builder, shared by threads
 * through references; what it lends lives as long as the caller's reference.
 */
#ifndef REMORA_MESH_SNAPSHOT_H
#define REMORA_MESH_SNAPSHOT_H

#include "mesh.h"

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
 * HBONE, then the rest in the order they were added. Workloads on the host's network are not found:
 * their address is the node's.
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

/*
 * The port on which `workload` serves the service's port: the endpoint's own map, else the
 * service's. 0: the workload is not an endpoint of the service or the port is not known.
 */
uint16_t mesh_snapshot_target_port(const struct mesh_service *service,
                                   const struct mesh_workload *workload, uint16_t service_port);

/* Everything, for dumps, in the order it was added; `num` is set to the length. */
const struct mesh_workload *mesh_snapshot_workloads(const struct mesh_snapshot *snapshot,
                                                    size_t *num);
const struct mesh_service *mesh_snapshot_services(const struct mesh_snapshot *snapshot,
                                                  size_t *num);
const struct mesh_policy *mesh_snapshot_policies(const struct mesh_snapshot *snapshot, size_t *num);

#endif
