/*
 * The addresses of host names for the data path: net_resolve with a short memory. Many who want one
 * name at once make one lookup; what was found, and that nothing was found, is kept for a few
 * seconds, so that a burst of connections is not a burst of lookups. The resolver's own time to
 * live is not known here (getaddrinfo does not tell), which is why the memory is short.
 */
#ifndef REMORA_NET_NAMES_H
#define REMORA_NET_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "err.h"
#include "net_loop.h"

enum {
    NET_NAMES_MAX = 256,          /* names that are remembered; workloads without address are few */
    NET_NAMES_KEEP_MS = 5 * 1000, /* what was found: well below usual times to live */
    NET_NAMES_KEEP_FAILURE_MS = 1 * 1000, /* that nothing was: no longer than a client's retry */
};

struct net_names;
struct net_names_wait;

/*
 * How it ended: at least one address, no two alike, lent, and err NULL; or num_ips 0 and *err lent:
 * what net_resolve says, or ERR_TIMEOUT.
 */
typedef void net_names_done(void *owner, const struct ip *ips, size_t num_ips,
                            const struct err *err);

/* `loop` outlives it. NULL: out of memory. */
struct net_names *net_names_new(struct net_loop *loop);

/* No wait may be under way. NULL is ignored. */
void net_names_free(struct net_names *names);

/*
 * Asks for the addresses of `host`, which is copied. `done` is called once, later, after at most
 * `timeout_ms`, unless the wait is cancelled. NULL: see *err; ERR_LIMIT when as many names as are
 * remembered are being looked up.
 */
struct net_names_wait *net_names_find(struct net_names *names, const char *host,
                                      uint64_t timeout_ms, net_names_done *done, void *owner,
                                      struct err *err);

/* Not after `done`, which will not be called. The lookup goes on for the others. NULL is ignored. */
void net_names_cancel(struct net_names_wait *wait);

#endif
