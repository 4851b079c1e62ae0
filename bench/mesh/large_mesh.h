/*
 * A made-up mesh of any size whose objects look like those that istiod sends: pods of deployments with one address, one service
 * with one port each, names of usual length; and one service of which many pods are endpoints.
 */
#ifndef REMORA_BENCH_LARGE_MESH_H
#define REMORA_BENCH_LARGE_MESH_H

#include "mesh_builder.h"

struct large_mesh {
    unsigned num_workloads;
    unsigned num_services;  /* besides the large one */
    unsigned num_endpoints; /* of the large service: the first workloads */
};

/* Workload `i`, in its `version`: each version has another capacity. An `i` beyond the mesh's size is another pod of it. */
int large_mesh_put_workload(const struct large_mesh *mesh, struct mesh_builder *builder, unsigned i,
                            unsigned version, struct err *err);

/* Takes the workload out. */
void large_mesh_remove_workload(const struct large_mesh *mesh, struct mesh_builder *builder,
                                unsigned i);

/* Service `i`; the one after the last is the large one. Each version has another health policy. */
int large_mesh_put_service(const struct large_mesh *mesh, struct mesh_builder *builder, unsigned i,
                           unsigned version, struct err *err);

/* The addresses of a workload and a service, and a name by which a snapshot knows the workload; `uid` has LARGE_MESH_TEXT bytes. */
enum { LARGE_MESH_TEXT = 128 };
struct ip large_mesh_workload_ip(unsigned i);
struct ip large_mesh_service_ip(unsigned i);
const char *large_mesh_uid(const struct large_mesh *mesh, unsigned i, char *uid);

#endif
