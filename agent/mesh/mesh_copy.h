/* Deep copies into an arena, with the defaults of the field applied. Private to mesh. */
#ifndef REMORA_MESH_COPY_H
#define REMORA_MESH_COPY_H

#include "mesh.h"
#include "mesh_arena.h"
#include "mesh_builder.h"

/* Whether a copy is complete is known from mesh_arena_failed(). What is dropped or cannot be used adds to `warnings`. */
void mesh_copy_workload(struct mesh_arena *arena, const struct mesh_workload *from,
                        struct mesh_workload *to, struct mesh_warnings *warnings);
void mesh_copy_service(struct mesh_arena *arena, const struct mesh_service *from,
                       struct mesh_service *to, struct mesh_warnings *warnings);
void mesh_copy_policy(struct mesh_arena *arena, const struct mesh_policy *from,
                      struct mesh_policy *to, struct mesh_warnings *warnings);

#endif
