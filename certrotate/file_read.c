#include "file_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How much there was, or -1 with *err. */
static ptrdiff_t read_all(int fd, const char *path, uint8_t *bytes, size_t size, struct err *err)
{
    size_t len = 0;
    while (len < size) {
        ssize_t more = read(fd, bytes + len, size - len);
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            return err_set_sys(err, errno, "%s", path);
        /* It was cut meanwhile: what there is will not pass, and the watch tells of the rest. */
        if (more == 0)
            break;
        len += (size_t)more;
    }
    return (ptrdiff_t)len;
}

static uint8_t *read_open(int fd, const char *path, size_t max, size_t *len, struct err *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0) {
        err_set_sys(err, errno, "%s", path);
        return NULL;
    }
    if (!S_ISREG(status.st_mode)) {
        err_set(err, ERR_INVALID, "%s: not a regular file", path);
        return NULL;
    }
    if ((uintmax_t)status.st_size > max) {
        err_set(err, ERR_LIMIT, "%s: %ju bytes, and at most %zu are allowed", path,
                (uintmax_t)status.st_size, max);
        return NULL;
    }
    size_t size = (size_t)status.st_size;
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL) {
        err_set(err, ERR_NOMEM, "%s: out of memory", path);
        return NULL;
    }
    ptrdiff_t result = read_all(fd, path, bytes, size, err);
    if (result < 0) {
        file_read_free(bytes, size);
        return NULL;
    }
    *len = (size_t)result;
    return bytes;
}

uint8_t *file_read(const char *path, size_t max, size_t *len, struct err *err)
{
    /* Not blocking: a FIFO by that name must not stop the control loop. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        err_set(err, ERR_NOT_FOUND, "%s: there is no such file", path);
        return NULL;
    }
    if (fd < 0) {
        err_set_sys(err, errno, "%s", path);
        return NULL;
    }
    uint8_t *bytes = read_open(fd, path, max, len, err);
    close(fd);
    return bytes;
}

/* NULL: *err. */
static uint8_t *read_stream(int fd, const char *name, size_t max, size_t *len, struct err *err)
{
    uint8_t *bytes = malloc(max + 1);
    if (bytes == NULL) {
        err_set(err, ERR_NOMEM, "%s: out of memory", name);
        return NULL;
    }
    ptrdiff_t result = read_all(fd, name, bytes, max + 1, err);
    if (result > (ptrdiff_t)max)
        result = err_set(err, ERR_LIMIT, "%s: more than the %zu bytes that are allowed", name, max);
    if (result < 0) {
        file_read_free(bytes, max + 1);
        return NULL;
    }
    *len = (size_t)result;
    return bytes;
}

uint8_t *file_read_any(const char *path, size_t max, size_t *len, struct err *err)
{
    if (strcmp(path, "-") == 0)
        return read_stream(STDIN_FILENO, "standard input", max, len, err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT)
            err_set(err, ERR_NOT_FOUND, "%s: there is no such file", path);
        else
            err_set_sys(err, errno, "%s", path);
        return NULL;
    }
    uint8_t *bytes = read_stream(fd, path, max, len, err);
    close(fd);
    return bytes;
}

void file_read_free(uint8_t *bytes, size_t len)
{
    if (bytes != NULL)
        explicit_bzero(bytes, len);
    free(bytes);
}
