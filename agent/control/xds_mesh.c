#include "xds_mesh.h"

#include <string.h>

#include "wds.h"
#include "xds_stand_in.h"

void xds_mesh_init(struct xds_mesh *mesh, bool on_demand)
{
    *mesh = (struct xds_mesh){.on_demand = on_demand, .starting_over = true};
}

void xds_mesh_done(struct xds_mesh *mesh)
{
    mesh_builder_free(mesh->builder);
    mesh_snapshot_unref(mesh->snapshot);
    *mesh = (struct xds_mesh){0};
}

/* NULL when out of memory. */
static struct mesh_builder *change(struct xds_mesh *mesh)
{
    if (mesh->builder != NULL)
        return mesh->builder;
    mesh->builder = mesh_builder_new(mesh->starting_over ? NULL : mesh->snapshot);
    if (mesh->builder == NULL)
        mesh->failed = true;
    else if (mesh->starting_over)
        mesh_builder_set_on_demand(mesh->builder, mesh->on_demand);
    mesh->starting_over = mesh->starting_over && mesh->builder == NULL;
    return mesh->builder;
}

/* A uid may look like a service's key; one name is one resource. */
static int put_object(struct mesh_builder *builder, const struct wds_object *object,
                      const char *name, struct err *err)
{
    if (wds_object_policy(object) != NULL)
        return mesh_builder_put_policy(builder, wds_object_policy(object), err);
    if (wds_object_workload(object) != NULL) {
        if (mesh_builder_put_workload(builder, wds_object_workload(object), err) < 0)
            return -1;
        mesh_builder_remove_service(builder, name);
        return 0;
    }
    if (mesh_builder_put_service(builder, wds_object_service(object), err) < 0)
        return -1;
    mesh_builder_remove_workload(builder, name);
    return 0;
}

static int put_decoded(struct xds_mesh *mesh, const struct wds_object *object, const char *name,
                       struct err *err)
{
    struct mesh_builder *builder = change(mesh);
    if (strcmp(wds_object_name(object), name) != 0)
        return err_set(err, ERR_INVALID, "is %s by its content, which is another name",
                       wds_object_name(object));
    if (builder == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    return put_object(builder, object, name, err);
}

/* Only where nothing is in force by that name. */
static bool put_stand_in(struct xds_mesh *mesh, const struct xds_resource *resource)
{
    struct xds_stand_in stand_in;
    struct mesh_builder *builder = change(mesh);
    struct err ignored;
    if (resource->type != XDS_AUTHORIZATION || resource->is_held || builder == NULL ||
        !xds_stand_in_for(resource, &stand_in))
        return false;
    return mesh_builder_put_policy(builder, &stand_in.policy, &ignored) == 0;
}

int xds_mesh_put(struct xds_mesh *mesh, const struct xds_resource *resource, struct err *err)
{
    struct wds_object *object = resource->type == XDS_ADDRESS
                                    ? wds_decode_address(resource->bytes, resource->len, err)
                                    : wds_decode_authorization(resource->bytes, resource->len, err);
    int result = object == NULL ? -1 : put_decoded(mesh, object, resource->name, err);
    wds_object_free(object);
    if (result == 0)
        return 0;
    if (err->kind == ERR_NOMEM)
        mesh->failed = true;
    else if (put_stand_in(mesh, resource))
        return 1;
    return -1;
}

void xds_mesh_remove(struct xds_mesh *mesh, enum xds_type type, const char *name)
{
    struct mesh_builder *builder = change(mesh);
    if (builder == NULL)
        return;
    if (type == XDS_AUTHORIZATION) {
        mesh_builder_remove_policy(builder, name);
        return;
    }
    mesh_builder_remove_workload(builder, name);
    mesh_builder_remove_service(builder, name);
}

void xds_mesh_put_answered(struct xds_mesh *mesh, struct mesh_interest *interest)
{
    struct mesh_builder *builder = change(mesh);
    if (builder != NULL)
        mesh_builder_put_answered(builder, interest);
}

void xds_mesh_remove_answered(struct xds_mesh *mesh, const char *name)
{
    struct mesh_builder *builder = change(mesh);
    if (builder != NULL)
        mesh_builder_remove_answered(builder, name);
}

bool xds_mesh_is_changed(const struct xds_mesh *mesh)
{
    return mesh->builder != NULL || mesh->failed;
}

int xds_mesh_build(struct xds_mesh *mesh, struct mesh_warnings *warnings, struct err *err)
{
    struct mesh_snapshot *snapshot = NULL;
    if (!mesh->failed && change(mesh) != NULL)
        snapshot = mesh_builder_build(mesh->builder, warnings, err);
    mesh_builder_free(mesh->builder);
    mesh->builder = NULL;
    if (snapshot == NULL) {
        mesh->failed = true;
        return err_set(err, ERR_NOMEM, "discovery: out of memory");
    }
    mesh_snapshot_unref(mesh->snapshot);
    mesh->snapshot = snapshot;
    return 0;
}

void xds_mesh_start_over(struct xds_mesh *mesh)
{
    mesh_builder_free(mesh->builder);
    mesh->builder = NULL;
    mesh->starting_over = true;
    mesh->failed = false;
}
