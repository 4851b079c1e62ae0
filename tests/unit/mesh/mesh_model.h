/*
 * A plain model of a mesh that changes: what is present, in which order it came, and a seed from which each object's content
 * follows. Snapshots that were made by updates are compared with one that is built from the model from scratch.
 */
#ifndef REMORA_TEST_MESH_MODEL_H
#define REMORA_TEST_MESH_MODEL_H

#include "mesh_builder.h"

enum {
    MODEL_WORKLOADS = 160, /* enough for trees of three levels */
    MODEL_SERVICES = 15,
    MODEL_POLICIES = 12,
    MODEL_NAMES = 20, /* that may have been asked for */
    MODEL_UID_BYTES = 64
};

struct model_object {
    bool present;
    unsigned order;
    unsigned seed;
};

struct mesh_model {
    struct model_object workloads[MODEL_WORKLOADS];
    struct model_object services[MODEL_SERVICES];
    struct model_object policies[MODEL_POLICIES];
    bool answered[MODEL_NAMES];
    bool on_demand;
    unsigned next_order;
};

/* The same random numbers each time, below `below`. */
unsigned mesh_model_random(unsigned below);

/* A random change of the model, and of the builder in the same way. */
void mesh_model_change(struct mesh_model *model, struct mesh_builder *builder);

/* The snapshot of all that the model has, made out of nothing. */
struct mesh_snapshot *mesh_model_build(const struct mesh_model *model);

/* The keys of objects, present or not; `out` has MODEL_UID_BYTES. */
const char *mesh_model_uid(unsigned i, char *out);
const char *mesh_model_service_key(unsigned i, char *out);
const char *mesh_model_policy_key(unsigned i, char *out);
const char *mesh_model_answered_name(unsigned i, char *out);

/* The small worlds that the objects live in. */
enum { MODEL_NAMESPACES = 3, MODEL_NETWORKS = 2, MODEL_IPS = 30, MODEL_HOSTNAMES = 5 };
const char *mesh_model_namespace(unsigned i);
const char *mesh_model_network(unsigned i);
struct ip mesh_model_ip(unsigned i);

#endif
