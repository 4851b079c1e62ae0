/*
 * Host names to addresses, by the system's resolver (getaddrinfo on a thread of libuv's pool). For
 * the control loop; the data path asks net_names, which remembers.
 */
#ifndef REMORA_NET_RESOLVE_H
#define REMORA_NET_RESOLVE_H

#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "err.h"
#include "net_loop.h"

enum {
    NET_RESOLVE_MAX = 8, /* addresses of one name that are told; more are left out */
};

struct net_resolve;

/*
 * How it ended: at least one address, each with the port that was asked for, in the resolver's
 * order of preference (RFC 6724), no two alike, lent; and err NULL. Or num_addrs 0 and *err lent:
 * ERR_NOT_FOUND (there is no such name, or it has no address), ERR_TIMEOUT (the resolver got no
 * answer), ERR_NOMEM, ERR_SYSTEM.
 */
typedef void net_resolve_done(void *owner, const struct addr *addrs, size_t num_addrs,
                              const struct err *err);

/*
 * Starts to look `host` up; an address literal is its own answer. `host` is copied. NULL (with
 * *err) when it could not start; `done` is then not called. Else `done` is called once, later, and
 * the request frees itself. How long it takes at most is the resolver's configuration, so the
 * caller has a timer of its own.
 */
struct net_resolve *net_resolve_start(struct net_loop *loop, const char *host, uint16_t port,
                                      net_resolve_done *done, void *owner, struct err *err);

/*
 * Not after `done`, which will not be called. A request that a thread has begun goes on unseen
 * until the resolver gives up, and net_loop_free waits for it. NULL is ignored.
 */
void net_resolve_cancel(struct net_resolve *resolve);

#endif
