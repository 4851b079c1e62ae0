/*
 * What is in force for a policy that cannot be understood and was never known in a form that could.
 * Nobody can say what it would have forbidden, so that to leave it out would permit too much. Pure.
 */
#ifndef REMORA_XDS_STAND_IN_H
#define REMORA_XDS_STAND_IN_H

#include <stdbool.h>

#include "mesh.h"
#include "xds_delta.h"

struct xds_stand_in {
    struct mesh_policy policy; /* points into this struct */
    struct mesh_rule everything;
    char name[MESH_KEY_MAX + 1];
    char namespace_[MESH_KEY_MAX + 1];
};

/*
 * Fills *stand_in with a policy of the resource's name and scope that permits nothing: for an ALLOW
 * one that allows nobody, otherwise one that denies everybody. False: there is none, because the
 * bytes do not say where the policy holds, are not of the resource's name, or the policy would only
 * be reported and not enforced (dry run).
 */
bool xds_stand_in_for(const struct xds_resource *resource, struct xds_stand_in *stand_in);

#endif
