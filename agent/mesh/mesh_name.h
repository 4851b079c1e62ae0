/* Names of things as the control plane knows them, made out of what the agent has at hand. Pure. */
#ifndef REMORA_MESH_NAME_H
#define REMORA_MESH_NAME_H

#include "mesh.h"

enum {
    /* Bytes of the longest name that can be asked for, with its NUL: a workload's uid. */
    MESH_NAME_TEXT_MAX = MESH_UID_MAX + 1,
};

/*
 * Writes "<network>/<ip>", the name of a workload or service by its address, to `out`
 * (MESH_NAME_TEXT_MAX bytes) and returns `out`. `network` has at most MESH_NAME_MAX bytes.
 */
const char *mesh_name_of_address(const char *network, const struct ip *ip, char *out);

/*
 * Writes "<namespace>/<name>", the key of a service (by its host name) or policy, to `out` (MESH_KEY_MAX + 1 bytes) and returns
 * `out`. Each of the two has at most MESH_NAME_MAX bytes, or is NULL.
 */
const char *mesh_name_of_key(const char *namespace_, const char *name, char *out);

#endif
