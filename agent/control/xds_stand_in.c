#include "xds_stand_in.h"

#include <stdio.h>
#include <string.h>

#include "xds_wire.h"

/* Numbers of istio.security.Authorization. */
enum { FIELD_NAME = 1, FIELD_NAMESPACE = 2, FIELD_SCOPE = 3, FIELD_ACTION = 4, FIELD_DRY_RUN = 6 };

struct outline {
    uint64_t scope;
    uint64_t action;
    bool dry_run;
};

/* Only what every version of the message has had. */
static bool read_outline(const struct xds_resource *resource, struct xds_stand_in *stand_in,
                         struct outline *outline)
{
    struct xds_wire wire = xds_wire_of(resource->bytes, resource->len);
    struct xds_wire_field field;
    int more;
    while ((more = xds_wire_next(&wire, &field)) > 0) {
        bool ok = true;
        if (field.number == FIELD_NAME)
            ok = xds_wire_text(&field, stand_in->name, sizeof(stand_in->name));
        else if (field.number == FIELD_NAMESPACE)
            ok = xds_wire_text(&field, stand_in->namespace_, sizeof(stand_in->namespace_));
        else if (field.number == FIELD_SCOPE)
            outline->scope = field.value;
        else if (field.number == FIELD_ACTION)
            outline->action = field.value;
        else if (field.number == FIELD_DRY_RUN)
            outline->dry_run = field.value != 0;
        if (!ok)
            return false;
    }
    return more == 0;
}

static bool has_its_name(const struct xds_resource *resource, const struct xds_stand_in *stand_in)
{
    char key[2 * sizeof(stand_in->name)];
    snprintf(key, sizeof(key), "%s/%s", stand_in->namespace_, stand_in->name);
    return strcmp(key, resource->name) == 0;
}

bool xds_stand_in_for(const struct xds_resource *resource, struct xds_stand_in *stand_in)
{
    struct outline outline = {0};
    *stand_in = (struct xds_stand_in){0};
    if (!read_outline(resource, stand_in, &outline) || outline.dry_run ||
        outline.scope > MESH_POLICY_WORKLOAD_SELECTOR || !has_its_name(resource, stand_in))
        return false;
    bool is_allow = outline.action == MESH_ALLOW;
    stand_in->policy = (struct mesh_policy){
        .name = stand_in->name,
        .namespace_ = stand_in->namespace_,
        .scope = (enum mesh_policy_scope)outline.scope,
        .action = is_allow ? MESH_ALLOW : MESH_DENY,
        .rules = is_allow ? NULL : &stand_in->everything, /* a rule without clauses */
        .num_rules = is_allow ? 0 : 1,
    };
    return true;
}
