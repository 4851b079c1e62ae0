/* A listening socket for the HTTP server. */
#ifndef REMORA_HTTP_LISTEN_H
#define REMORA_HTTP_LISTEN_H

#include "addr.h"
#include "err.h"

/* Non-blocking; [::] takes IPv4 too, and is 0.0.0.0 where the kernel has no IPv6. Sets *bound.
 * The descriptor, or -1 with *err that names the address. */
int http_listen_open(const struct addr *at, struct addr *bound, struct err *err);

#endif
