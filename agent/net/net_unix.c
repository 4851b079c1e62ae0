#include "net_unix.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net_tcp.h"

static int connect_fd(const char *path, struct err *err)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof(sa.sun_path))
        return err_set(err, ERR_LIMIT, "%s: a socket's path has at most %zu bytes", path,
                       sizeof(sa.sun_path) - 1);
    memcpy(sa.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set_sys(err, errno, "cannot make a socket");
    if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
        return fd;
    int sys = errno;
    close(fd);
    if (sys == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "cannot connect to %s: there is no such socket", path);
    return err_set_sys(err, sys, "cannot connect to %s", path);
}

struct stream *net_unix_connect(struct net_loop *loop, const char *path, struct err *err)
{
    int fd = connect_fd(path, err);
    if (fd < 0)
        return NULL;
    struct net_tcp *connection = net_tcp_from_fd(loop, fd, &(struct net_tcp_options){0}, err);
    if (connection == NULL) {
        close(fd);
        return NULL;
    }
    return net_tcp_stream(connection);
}
