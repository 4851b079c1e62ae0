/* What a source may not say: limits, required names, impossible values. For the builder, and for those who
 * decode what a builder may get. */
#ifndef REMORA_MESH_CHECK_H
#define REMORA_MESH_CHECK_H

#include "err.h"
#include "mesh.h"

/* 0, or -1 with ERR_INVALID or ERR_LIMIT: the object, the field, and what is wrong. */
int mesh_check_workload(const struct mesh_workload *workload, struct err *err);
int mesh_check_service(const struct mesh_service *service, struct err *err);
int mesh_check_policy(const struct mesh_policy *policy, struct err *err);

#endif
