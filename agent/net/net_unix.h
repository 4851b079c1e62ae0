/* Connections to Unix sockets, as streams like any other. */
#ifndef REMORA_NET_UNIX_H
#define REMORA_NET_UNIX_H

#include "err.h"
#include "net_loop.h"
#include "stream.h"

/*
 * Connects to the stream socket at `path` (absolute), which the kernel does at once or not at all.
 * The stream is the caller's to close. NULL: *err names the path: ERR_NOT_FOUND (nothing is there),
 * ERR_LIMIT (the path is longer than a socket's address holds), or ERR_SYSTEM (ECONNREFUSED: nobody
 * listens; EAGAIN: who listens has its queue full; EACCES ...).
 */
struct stream *net_unix_connect(struct net_loop *loop, const char *path, struct err *err);

#endif
