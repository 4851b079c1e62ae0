/*
 * The mesh in the making: the present snapshot, and what has changed since. Turns resources into
 * changes; what is held, asked for and needed is known elsewhere. No I/O, no clock, no log.
 */
#ifndef REMORA_XDS_MESH_H
#define REMORA_XDS_MESH_H

#include <stdbool.h>

#include "err.h"
#include "mesh_builder.h"
#include "mesh_snapshot.h"
#include "xds_delta.h"

/* Zeroed is not valid: xds_mesh_init. Members are for reading. */
struct xds_mesh {
    struct mesh_snapshot *snapshot; /* NULL before the first */
    struct mesh_builder *builder;   /* NULL: nothing has changed */
    bool on_demand;
    bool starting_over;
    bool failed; /* out of memory: changes are lost */
};

void xds_mesh_init(struct xds_mesh *mesh, bool on_demand);
void xds_mesh_done(struct xds_mesh *mesh);

/*
 * Decodes a resource and puts it. 0; or -1 with the reason for a NACK; or 1 with the reason, and the
 * policy's stand-in is put. ERR_NOMEM sets failed, too.
 */
int xds_mesh_put(struct xds_mesh *mesh, const struct xds_resource *resource, struct err *err);

/* What has this name is no more. */
void xds_mesh_remove(struct xds_mesh *mesh, enum xds_type type, const char *name);

/* The interest's name is answered, or no longer. */
void xds_mesh_put_answered(struct xds_mesh *mesh, struct mesh_interest *interest);
void xds_mesh_remove_answered(struct xds_mesh *mesh, const char *name);

bool xds_mesh_is_changed(const struct xds_mesh *mesh);

/* Makes the changes the present snapshot. 0, or -1 with ERR_NOMEM: the snapshot is as it was, and
 * the changes are lost, so that xds_mesh_start_over has to follow. */
int xds_mesh_build(struct xds_mesh *mesh, struct mesh_warnings *warnings, struct err *err);

/* Everything will be put again; the present snapshot stays until then. */
void xds_mesh_start_over(struct xds_mesh *mesh);

#endif
