/* The address of a gRPC server as configuration has it: what to connect to, and how. Pure. */
#ifndef REMORA_GRPC_TARGET_H
#define REMORA_GRPC_TARGET_H

#include "addr.h"
#include "err.h"

enum grpc_target_kind {
    GRPC_TARGET_TLS,  /* "host:port" */
    GRPC_TARGET_TCP,  /* "tcp://ip:port" */
    GRPC_TARGET_UNIX, /* "unix:///absolute/path" */
};

struct grpc_target {
    enum grpc_target_kind kind;
    char *host;       /* TLS: a name or an address, without brackets */
    uint16_t port;    /* TLS */
    struct addr addr; /* TCP */
    char *path;       /* UNIX */
};

/*
 * 0, or -1 with *err (ERR_INVALID names the address; ERR_NOMEM) and *target empty. "unix:/path" is
 * taken, too, as gRPC's own names have it.
 */
int grpc_target_parse(struct grpc_target *target, const char *address, struct err *err);

/* NULL and a zeroed struct are ignored. */
void grpc_target_done(struct grpc_target *target);

/* What stands in :authority; lent by `target` or `address`, which it was parsed from. */
const char *grpc_target_authority(const struct grpc_target *target, const char *address);

#endif
