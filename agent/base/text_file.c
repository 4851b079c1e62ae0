#include "text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* One byte past `size` is tried, so that a longer file shows. */
static ptrdiff_t read_all(int fd, char *out, size_t size)
{
    size_t len = 0;
    for (;;) {
        char extra;
        ssize_t got = len < size ? read(fd, out + len, size - len) : read(fd, &extra, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -1 : (ptrdiff_t)len;
        len += (size_t)got;
        if (len > size)
            return (ptrdiff_t)len;
    }
}

ptrdiff_t text_file_read(const char *path, char *out, size_t size, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? err_set(err, ERR_NOT_FOUND, "%s does not exist", path)
                               : err_set_sys(err, errno, "%s cannot be read", path);
    ptrdiff_t len = read_all(fd, out, size);
    int sys = errno;
    close(fd);
    if (len < 0)
        return err_set_sys(err, sys, "%s cannot be read", path);
    if ((size_t)len > size)
        return err_set(err, ERR_LIMIT, "%s has more than %zu bytes", path, size);
    return len;
}
