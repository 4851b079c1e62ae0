#include "endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool parse_port(const char *text, in_port_t *port)
{
    char *end;

    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value == 0 || value > 65535)
        return false;
    *port = htons((uint16_t)value);
    return true;
}

bool endpoint_parse(struct endpoint *endpoint, const char *text)
{
    char host[INET6_ADDRSTRLEN + 2];
    const char *colon = strrchr(text, ':');
    struct sockaddr_in *v4 = (struct sockaddr_in *)&endpoint->addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&endpoint->addr;

    memset(endpoint, 0, sizeof(*endpoint));
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        return false;
    size_t host_len = (size_t)(colon - text);
    memcpy(host, text, host_len);
    host[host_len] = '\0';
    if (host_len > 2 && host[0] == '[' && host[host_len - 1] == ']') {
        host[host_len - 1] = '\0';
        v6->sin6_family = AF_INET6;
        endpoint->addr_len = sizeof(*v6);
        return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1 &&
               parse_port(colon + 1, &v6->sin6_port);
    }
    v4->sin_family = AF_INET;
    endpoint->addr_len = sizeof(*v4);
    return inet_pton(AF_INET, host, &v4->sin_addr) == 1 && parse_port(colon + 1, &v4->sin_port);
}

static void set_nodelay(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int close_keeping_errno(int fd)
{
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

int endpoint_listen(const struct endpoint *endpoint)
{
    int on = 1;
    int fd = socket(endpoint->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (const struct sockaddr *)&endpoint->addr, endpoint->addr_len) != 0 ||
        listen(fd, INT_MAX) != 0)
        return close_keeping_errno(fd);
    return fd;
}

int endpoint_connect(const struct endpoint *endpoint)
{
    int fd = socket(endpoint->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    set_nodelay(fd);
    if (connect(fd, (const struct sockaddr *)&endpoint->addr, endpoint->addr_len) != 0 &&
        errno != EINPROGRESS)
        return close_keeping_errno(fd);
    return fd;
}

int endpoint_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0)
        set_nodelay(fd);
    return fd;
}
