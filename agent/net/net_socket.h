/* Descriptors of TCP sockets before libuv has them: making, options, addresses. */
#ifndef REMORA_NET_SOCKET_H
#define REMORA_NET_SOCKET_H

#include "addr.h"
#include "err.h"
#include "net_tcp.h"

/* A TCP socket for addresses of `family`, non-blocking, closed on exec. -1: see *err. */
int net_socket_new(enum ip_family family, struct err *err);

/* Sets TCP_NODELAY and what *options asks for. A socket that is not TCP (socketpair) is left as it
 * is. -1: see *err. */
int net_socket_set_options(int fd, const struct net_tcp_options *options, struct err *err);

/* The socket's own address and the other end's; {0} where it has none (socketpair). */
struct addr net_socket_local(int fd);
struct addr net_socket_peer(int fd);

/* Makes the coming close() send RST instead of FIN. */
void net_socket_set_reset_on_close(int fd);

#endif
