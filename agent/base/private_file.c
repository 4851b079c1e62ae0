#include "private_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

struct private_dir {
    int fd;
    char *path;
};

enum {
    TEMPORARY_NAME_MAX = 256, /* one for each file: a crash's is used anew by the next write */
    FORMER_MAX = 1024 * 1024, /* bytes of what is looked at before it is replaced */
};

/* --------------------------------------------------------------------------------- directory -- */

static int check_owner(const char *path, const struct stat *status, struct err *err)
{
    if (status->st_uid != geteuid())
        return err_set(err, ERR_DENIED, "%s: it belongs to user %u, not to this one (%u)", path,
                       (unsigned)status->st_uid, (unsigned)geteuid());
    return 0;
}

static int check_medium(const char *path, int fd, struct err *err)
{
    struct statfs medium;
    if (fstatfs(fd, &medium) < 0)
        return err_set_sys(err, errno, "%s", path);
    if (medium.f_type != TMPFS_MAGIC && medium.f_type != RAMFS_MAGIC)
        return err_set(err, ERR_INVALID,
                       "%s: it is not in memory (tmpfs); a disk would keep what is written to it",
                       path);
    return 0;
}

static int check_dir(const char *path, int fd, bool memory_only, struct err *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return err_set_sys(err, errno, "%s", path);
    if (check_owner(path, &status, err) < 0)
        return -1;
    if (status.st_mode & (S_IWGRP | S_IWOTH))
        return err_set(err, ERR_DENIED, "%s: others may write to it (mode %04o)", path,
                       (unsigned)(status.st_mode & 07777));
    return memory_only ? check_medium(path, fd, err) : 0;
}

static int open_dir(const char *path, struct err *err)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return err_set_sys(err, errno, "%s: it does not exist and cannot be made", path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    if (errno == ENOTDIR || errno == ELOOP)
        return err_set(err, ERR_INVALID, "%s: it is not a directory (a link to one does not do)",
                       path);
    return err_set_sys(err, errno, "%s", path);
}

struct private_dir *private_file_open_dir(const char *path, bool memory_only, struct err *err)
{
    struct private_dir *dir = calloc(1, sizeof(*dir));
    if (dir == NULL) {
        err_set(err, ERR_NOMEM, "%s: out of memory", path);
        return NULL;
    }
    dir->fd = -1;
    dir->path = strdup(path);
    if (dir->path == NULL) {
        err_set(err, ERR_NOMEM, "%s: out of memory", path);
        goto fail;
    }
    dir->fd = open_dir(path, err);
    if (dir->fd < 0 || check_dir(path, dir->fd, memory_only, err) < 0)
        goto fail;
    return dir;

fail:
    private_file_close_dir(dir);
    return NULL;
}

void private_file_close_dir(struct private_dir *dir)
{
    if (dir == NULL)
        return;
    if (dir->fd >= 0)
        close(dir->fd);
    free(dir->path);
    free(dir);
}

const char *private_file_dir_path(const struct private_dir *dir)
{
    return dir->path;
}

static void check_name(const char *name)
{
    assert(name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL);
}

/* ----------------------------------------------------------------------------------- writing -- */

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, bytes, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        bytes += written;
        len -= (size_t)written;
    }
    return 0;
}

/* The owner first: a change of it clears bits of the mode. Before the first byte: what is in the
 * file was never readable by anyone else. */
static int set_rights(int fd, const struct private_file_rights *rights)
{
    uid_t uid = rights->has_uid ? rights->uid : (uid_t)-1;
    gid_t gid = rights->has_gid ? rights->gid : (gid_t)-1;
    if ((rights->has_uid || rights->has_gid) && fchown(fd, uid, gid) < 0)
        return -1;
    return fchmod(fd, rights->mode);
}

/* 0, or -1 with errno and nothing left behind. */
static int write_temporary(struct private_dir *dir, const char *name,
                           const struct private_file_rights *rights, const void *bytes, size_t len)
{
    if (unlinkat(dir->fd, name, 0) < 0 && errno != ENOENT)
        return -1;
    int fd = openat(dir->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    rights->mode & (S_IRUSR | S_IWUSR));
    if (fd < 0)
        return -1;
    int result = set_rights(fd, rights);
    if (result == 0)
        result = write_all(fd, bytes, len);
    if (result == 0)
        result = fsync(fd);
    int sys = errno;
    if (close(fd) < 0 && result == 0) {
        result = -1;
        sys = errno;
    }
    if (result < 0)
        unlinkat(dir->fd, name, 0);
    errno = sys;
    return result;
}

int private_file_write(struct private_dir *dir, const char *name,
                       const struct private_file_rights *rights, const void *bytes, size_t len,
                       struct err *err)
{
    char temporary[TEMPORARY_NAME_MAX];
    check_name(name);
    if (snprintf(temporary, sizeof(temporary), ".%s.new", name) >= (int)sizeof(temporary))
        return err_set_sys(err, ENAMETOOLONG, "%s/%s", dir->path, name);
    if (write_temporary(dir, temporary, rights, bytes, len) < 0)
        return err_set_sys(err, errno, "%s/%s: cannot be written", dir->path, name);
    if (renameat(dir->fd, temporary, dir->fd, name) < 0) {
        int sys = errno;
        unlinkat(dir->fd, temporary, 0);
        return err_set_sys(err, sys, "%s/%s: cannot be replaced", dir->path, name);
    }
    /* The new content is in place whatever this says; it only makes the name outlive a crash. */
    fsync(dir->fd);
    return 0;
}

static int read_former(int fd, const char *path, private_file_may_replace_fn *may_replace,
                       size_t size, struct err *err)
{
    uint8_t *bytes = malloc(size);
    if (bytes == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", path);
    ssize_t len = read(fd, bytes, size);
    int result = 0;
    if (len < 0)
        result = err_set_sys(err, errno, "%s: cannot be read", path);
    else if (!may_replace(bytes, (size_t)len))
        result = err_set(err, ERR_DENIED, "%s: it holds something else; it is not replaced", path);
    private_file_free(bytes, size);
    return result;
}

static int check_former(int fd, const char *path, private_file_may_replace_fn *may_replace,
                        struct err *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return err_set_sys(err, errno, "%s", path);
    if (!S_ISREG(status.st_mode))
        return err_set(err, ERR_INVALID, "%s: it is no regular file; it is not replaced", path);
    if (status.st_size == 0)
        return 0;
    if (status.st_size > FORMER_MAX)
        return err_set(err, ERR_DENIED, "%s: it holds something else; it is not replaced", path);
    return read_former(fd, path, may_replace, (size_t)status.st_size, err);
}

/* Nobody else can write to the directory: what was seen here is what will be replaced. */
static int check_target(struct private_dir *dir, const char *name, const char *path,
                        private_file_may_replace_fn *may_replace, struct err *err)
{
    /* Not blocking: a FIFO by that name must not stop the program. */
    int fd = openat(dir->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 && (errno == ELOOP || errno == ENXIO))
        return err_set(err, ERR_INVALID, "%s: it is no regular file; it is not replaced", path);
    if (fd < 0)
        return err_set_sys(err, errno, "%s: what is there cannot be read", path);
    int result = check_former(fd, path, may_replace, err);
    close(fd);
    return result;
}

int private_file_write_path(const char *path, const struct private_file_rights *rights,
                            private_file_may_replace_fn *may_replace, const void *bytes, size_t len,
                            struct err *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    if (name[0] == '\0' || name[0] == '.')
        return err_set(err, ERR_INVALID,
                       "%s: the name of a file is expected, without a dot in front", path);
    size_t folder_len = slash == NULL ? 0 : (size_t)(slash - path);
    char *folder = slash == NULL ? strdup(".") : strndup(path, folder_len == 0 ? 1 : folder_len);
    if (folder == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    struct private_dir *dir = private_file_open_dir(folder, false, err);
    int result = dir == NULL ? -1 : check_target(dir, name, path, may_replace, err);
    if (result == 0)
        result = private_file_write(dir, name, rights, bytes, len, err);
    private_file_close_dir(dir);
    free(folder);
    return result;
}

int private_file_remove(struct private_dir *dir, const char *name, struct err *err)
{
    check_name(name);
    if (unlinkat(dir->fd, name, 0) < 0 && errno != ENOENT)
        return err_set_sys(err, errno, "%s/%s: cannot be removed", dir->path, name);
    return 0;
}

/* ----------------------------------------------------------------------------------- reading -- */

static int check_file(const char *path, const struct stat *status, size_t max, struct err *err)
{
    if (!S_ISREG(status->st_mode) || status->st_nlink != 1)
        return err_set(err, ERR_INVALID, "%s: it is not a regular file of one name", path);
    if (check_owner(path, status, err) < 0)
        return -1;
    if (status->st_mode & (S_IRWXG | S_IRWXO))
        return err_set(err, ERR_DENIED, "%s: others may read or write it (mode %04o)", path,
                       (unsigned)(status->st_mode & 07777));
    if ((uint64_t)status->st_size > max)
        return err_set(err, ERR_LIMIT, "%s: it has more than %zu bytes", path, max);
    return 0;
}

static uint8_t *read_file(int fd, const char *path, size_t max, size_t *len, struct err *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0) {
        err_set_sys(err, errno, "%s", path);
        return NULL;
    }
    if (check_file(path, &status, max, err) < 0)
        return NULL;
    size_t size = (size_t)status.st_size;
    uint8_t *bytes = malloc(size + 1); /* never of 0 bytes, for which NULL would be an answer */
    if (bytes == NULL) {
        err_set(err, ERR_NOMEM, "%s: out of memory", path);
        return NULL;
    }
    size_t done = 0;
    while (done < size) {
        ssize_t got = read(fd, bytes + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            if (got < 0)
                err_set_sys(err, errno, "%s: cannot be read", path);
            else
                err_set(err, ERR_INVALID, "%s: it was cut while it was read", path);
            private_file_free(bytes, done);
            return NULL;
        }
        done += (size_t)got;
    }
    *len = size;
    return bytes;
}

uint8_t *private_file_read(struct private_dir *dir, const char *name, size_t max, size_t *len,
                           struct err *err)
{
    check_name(name);
    char path[ERR_MESSAGE_MAX / 2];
    snprintf(path, sizeof(path), "%s/%s", dir->path, name);
    /* Not blocking: a FIFO by that name must not stop the program. */
    int fd = openat(dir->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT)
            err_set(err, ERR_NOT_FOUND, "%s: there is no such file", path);
        else if (errno == ELOOP)
            err_set(err, ERR_INVALID, "%s: it is a symbolic link", path);
        else
            err_set_sys(err, errno, "%s", path);
        return NULL;
    }
    uint8_t *bytes = read_file(fd, path, max, len, err);
    close(fd);
    return bytes;
}

void private_file_free(uint8_t *bytes, size_t len)
{
    if (bytes == NULL)
        return;
    explicit_bzero(bytes, len);
    free(bytes);
}
