#include "http_listen.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/in.h>

enum { BACKLOG = 64 };

/* The descriptor, or -1 with errno. */
static int open_at(const struct addr *at)
{
    struct sockaddr_storage sockaddr;
    socklen_t len = addr_to_sockaddr(at, &sockaddr);
    int fd = socket(sockaddr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    int off = 0;
    bool dual = at->ip.family == IP_V6 && ip_is_unspecified(&at->ip);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (dual && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0) ||
        bind(fd, (const struct sockaddr *)&sockaddr, len) < 0 || listen(fd, BACKLOG) < 0) {
        int sys = errno;
        close(fd);
        errno = sys;
        return -1;
    }
    return fd;
}

static bool is_without_ipv6(int sys)
{
    return sys == EAFNOSUPPORT || sys == EADDRNOTAVAIL || sys == EPROTONOSUPPORT;
}

int http_listen_open(const struct addr *at, struct addr *bound, struct err *err)
{
    int fd = open_at(at);
    if (fd < 0 && at->ip.family == IP_V6 && ip_is_unspecified(&at->ip) && is_without_ipv6(errno)) {
        struct addr v4 = {.ip = {.family = IP_V4}, .port = at->port};
        fd = open_at(&v4);
    }
    char text[ADDR_TEXT_MAX];
    if (fd < 0)
        return err_set_sys(err, errno, "cannot listen on %s", addr_format(at, text));
    struct sockaddr_storage sockaddr;
    socklen_t len = sizeof(sockaddr);
    if (getsockname(fd, (struct sockaddr *)&sockaddr, &len) < 0) {
        err_set_sys(err, errno, "listener on %s", addr_format(at, text));
        close(fd);
        return -1;
    }
    if (addr_from_sockaddr(bound, (const struct sockaddr *)&sockaddr, err) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}
