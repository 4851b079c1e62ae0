#include "mesh_warnings.h"

#include <stdarg.h>
#include <stdio.h>

void mesh_warnings_add(struct mesh_warnings *warnings, const char *format, ...)
{
    if (warnings == NULL)
        return;
    if (warnings->num < MESH_WARNINGS_KEPT) {
        va_list args;
        va_start(args, format);
        vsnprintf(warnings->kept[warnings->num], MESH_WARNING_MAX, format, args);
        va_end(args);
    }
    warnings->num++;
}

void mesh_warnings_merge(struct mesh_warnings *warnings, const struct mesh_warnings *more)
{
    if (warnings == NULL)
        return;
    size_t kept = more->num < MESH_WARNINGS_KEPT ? more->num : MESH_WARNINGS_KEPT;
    for (size_t i = 0; i < kept; i++)
        mesh_warnings_add(warnings, "%s", more->kept[i]);
    warnings->num += more->num - kept;
}
