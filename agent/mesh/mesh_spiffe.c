#include "mesh_spiffe.h"

#include <stddef.h>
#include <string.h>

#include "mesh.h"

enum { TRUST_DOMAIN_MAX = 255 }; /* bytes, SPIFFE-ID 2.3 */

static const char scheme[] = "spiffe://";
static const char domain_bytes[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
static const char path_bytes[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

/* The path without its first slash: segments that are not empty and neither "." nor "..". */
static bool path_valid(const char *path)
{
    for (;;) {
        size_t len = strspn(path, path_bytes);
        bool dots = (len == 1 && path[0] == '.') || (len == 2 && path[0] == '.' && path[1] == '.');
        if (len == 0 || dots)
            return false;
        if (path[len] == '\0')
            return true;
        if (path[len] != '/')
            return false;
        path += len + 1;
    }
}

bool mesh_spiffe_valid(const char *text)
{
    if (strnlen(text, MESH_IDENTITY_MAX + 1) > MESH_IDENTITY_MAX)
        return false;
    if (strncmp(text, scheme, sizeof(scheme) - 1) != 0)
        return false;
    const char *domain = text + sizeof(scheme) - 1;
    size_t len = strspn(domain, domain_bytes);
    if (len == 0 || len > TRUST_DOMAIN_MAX || domain[len] != '/')
        return false;
    return path_valid(domain + len + 1);
}
