#include "ca_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a file that is open, so that nobody can exchange it after the check. */
static int check_owner_and_mode(const struct stat *stat, const char *name, struct err *err)
{
    if (!S_ISREG(stat->st_mode))
        return err_set(err, ERR_DENIED, "%s is not a regular file", name);
    if (stat->st_uid != geteuid() && stat->st_uid != 0)
        return err_set(err, ERR_DENIED, "%s belongs to user %u, not to us", name, stat->st_uid);
    if (stat->st_mode & 077)
        return err_set(err, ERR_DENIED, "%s holds a private key and has mode %04o; make it 0600",
                       name, stat->st_mode & 07777);
    return 0;
}

/* `text` has room for one byte more than is taken, so that a longer file shows. */
static ptrdiff_t read_all(int fd, char *text, size_t size)
{
    size_t len = 0;
    while (len < size) {
        ssize_t got = read(fd, text + len, size - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        len += (size_t)got;
    }
    return (ptrdiff_t)len;
}

static char *read_text(int fd, const char *name, struct err *err)
{
    char *text = malloc(CA_FILE_MAX + 1);
    if (text == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    ptrdiff_t len = read_all(fd, text, CA_FILE_MAX + 1);
    int sys = errno;
    text[len < 0 ? 0 : len > CA_FILE_MAX ? CA_FILE_MAX : len] = '\0';
    if (len >= 0 && len <= CA_FILE_MAX)
        return text;
    if (len < 0)
        err_set_sys(err, sys, "%s", name);
    else
        err_set(err, ERR_LIMIT, "%s has more than %d bytes", name, CA_FILE_MAX);
    ca_file_free(text);
    return NULL;
}

char *ca_file_read(int dir_fd, const char *name, bool secret, struct err *err)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        if (errno == ENOENT)
            err_set(err, ERR_NOT_FOUND, "%s does not exist", name);
        else
            err_set_sys(err, errno, "%s", name);
        return NULL;
    }
    struct stat stat;
    char *text = NULL;
    if (fstat(fd, &stat) < 0)
        err_set_sys(err, errno, "%s", name);
    else if (!secret || check_owner_and_mode(&stat, name, err) == 0)
        text = read_text(fd, name, err);
    close(fd);
    return text;
}

void ca_file_free(char *text)
{
    if (text == NULL)
        return;
    explicit_bzero(text, strlen(text));
    free(text);
}

static int write_all(int fd, const char *text)
{
    for (size_t len = strlen(text); len > 0;) {
        ssize_t put = write(fd, text, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        text += put;
        len -= (size_t)put;
    }
    return 0;
}

/* A hard link gives the finished file its name only if nothing has it; a rename would replace. */
static int publish(int dir_fd, const char *draft, const char *name)
{
    if (linkat(dir_fd, draft, dir_fd, name, 0) < 0)
        return -1;
    return fsync(dir_fd);
}

int ca_file_create(int dir_fd, const char *name, const char *text, bool secret, struct err *err)
{
    char draft[64];
    snprintf(draft, sizeof(draft), ".%s.new", name);
    /* Left over by a crash; the directory is locked, so nobody is writing it. */
    unlinkat(dir_fd, draft, 0);
    int fd = openat(dir_fd, draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set_sys(err, errno, "%s cannot be made", name);
    int result = 0;
    if (write_all(fd, text) < 0 || fchmod(fd, secret ? 0600 : 0644) < 0 || fsync(fd) < 0 ||
        publish(dir_fd, draft, name) < 0)
        result = err_set_sys(err, errno, "%s cannot be made", name);
    close(fd);
    unlinkat(dir_fd, draft, 0);
    return result;
}
