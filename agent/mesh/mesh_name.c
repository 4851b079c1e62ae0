#include "mesh_name.h"

#include <stdio.h>

const char *mesh_name_of_address(const char *network, const struct ip *ip, char *out)
{
    char text[ADDR_TEXT_MAX];
    snprintf(out, MESH_NAME_TEXT_MAX, "%.*s/%s", MESH_NAME_MAX, network, ip_format(ip, text));
    return out;
}
