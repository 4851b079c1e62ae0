#include "mesh_name.h"

#include <stdio.h>

const char *mesh_name_of_address(const char *network, const struct ip *ip, char *out)
{
    char text[ADDR_TEXT_MAX];
    snprintf(out, MESH_NAME_TEXT_MAX, "%.*s/%s", MESH_NAME_MAX, network, ip_format(ip, text));
    return out;
}

const char *mesh_name_of_key(const char *namespace_, const char *name, char *out)
{
    snprintf(out, MESH_KEY_MAX + 1, "%.*s/%.*s", MESH_NAME_MAX,
             namespace_ == NULL ? "" : namespace_, MESH_NAME_MAX, name == NULL ? "" : name);
    return out;
}
