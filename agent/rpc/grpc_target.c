#include "grpc_target.h"

#include <stdlib.h>
#include <string.h>

#include "host_port.h"

/* What follows the prefix, or NULL. */
static const char *after(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

static int parse_unix(struct grpc_target *target, const char *path, struct err *err)
{
    target->kind = GRPC_TARGET_UNIX;
    if (path[0] != '/')
        return err_set(err, ERR_INVALID, "a Unix socket needs an absolute path: unix:///path");
    target->path = strdup(path);
    return target->path == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

static int parse_tcp(struct grpc_target *target, const char *text, struct err *err)
{
    target->kind = GRPC_TARGET_TCP;
    if (addr_parse(&target->addr, text, NULL) < 0 || target->addr.port == 0)
        return err_set(err, ERR_INVALID, "tcp://ip:port is expected");
    return 0;
}

static int parse(struct grpc_target *target, const char *address, struct err *err)
{
    const char *rest;
    if ((rest = after(address, "unix://")) != NULL || (rest = after(address, "unix:")) != NULL)
        return parse_unix(target, rest, err);
    if ((rest = after(address, "tcp://")) != NULL)
        return parse_tcp(target, rest, err);
    target->kind = GRPC_TARGET_TLS;
    return host_port_parse(address, &target->host, &target->port, err);
}

int grpc_target_parse(struct grpc_target *target, const char *address, struct err *err)
{
    *target = (struct grpc_target){0};
    if (parse(target, address, err) < 0) {
        grpc_target_done(target);
        return err_prefix(err, "address \"%s\"", address);
    }
    return 0;
}

void grpc_target_done(struct grpc_target *target)
{
    if (target == NULL)
        return;
    free(target->host);
    free(target->path);
    *target = (struct grpc_target){0};
}

const char *grpc_target_authority(const struct grpc_target *target, const char *address)
{
    switch (target->kind) {
    case GRPC_TARGET_UNIX:
        return "localhost";
    case GRPC_TARGET_TCP:
        return after(address, "tcp://");
    case GRPC_TARGET_TLS:
        break;
    }
    return address;
}
