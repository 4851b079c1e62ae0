#include "net_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

int net_socket_new(enum ip_family family, struct err *err)
{
    int fd =
        socket(family == IP_V4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set_sys(err, errno, "cannot make a socket");
    return fd;
}

static int set_tcp(int fd, int option, uint32_t value, const char *name, struct err *err)
{
    int number = value > INT32_MAX ? INT32_MAX : (int)value;
    if (setsockopt(fd, IPPROTO_TCP, option, &number, sizeof(number)) < 0)
        return err_set_sys(err, errno, "cannot set %s to %d", name, number);
    return 0;
}

static int set_keepalive(int fd, const struct net_tcp_options *options, struct err *err)
{
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0)
        return err_set_sys(err, errno, "cannot set SO_KEEPALIVE");
    if (set_tcp(fd, TCP_KEEPIDLE, options->keepalive_idle_s, "TCP_KEEPIDLE", err) < 0)
        return -1;
    if (options->keepalive_interval_s > 0 &&
        set_tcp(fd, TCP_KEEPINTVL, options->keepalive_interval_s, "TCP_KEEPINTVL", err) < 0)
        return -1;
    if (options->keepalive_count > 0 &&
        set_tcp(fd, TCP_KEEPCNT, options->keepalive_count, "TCP_KEEPCNT", err) < 0)
        return -1;
    return 0;
}

static bool is_tcp(int fd)
{
    int protocol;
    socklen_t len = sizeof(protocol);
    return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 && protocol == IPPROTO_TCP;
}

int net_socket_set_options(int fd, const struct net_tcp_options *options, struct err *err)
{
    if (!is_tcp(fd))
        return 0;
    if (set_tcp(fd, TCP_NODELAY, 1, "TCP_NODELAY", err) < 0)
        return -1;
    if (options->keepalive_idle_s > 0 && set_keepalive(fd, options, err) < 0)
        return -1;
    if (options->user_timeout_ms > 0 &&
        set_tcp(fd, TCP_USER_TIMEOUT, options->user_timeout_ms, "TCP_USER_TIMEOUT", err) < 0)
        return -1;
    return 0;
}

struct addr net_socket_local(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    struct addr addr;
    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ||
        addr_from_sockaddr(&addr, (const struct sockaddr *)&sa, NULL) < 0)
        return (struct addr){0};
    return addr;
}

struct addr net_socket_peer(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    struct addr addr;
    if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0 ||
        addr_from_sockaddr(&addr, (const struct sockaddr *)&sa, NULL) < 0)
        return (struct addr){0};
    return addr;
}

void net_socket_set_reset_on_close(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}
