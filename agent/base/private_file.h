/*
 * Small files that nobody else may have changed, in a directory that nobody else may write to:
 * caches of what was fetched, keys written for others to read. What is read back is as trustworthy
 * as this process's own memory, as far as the system's permissions go; what it means is the
 * caller's to check. Not for files that others keep fresh.
 */
#ifndef REMORA_PRIVATE_FILE_H
#define REMORA_PRIVATE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

/* An open directory; what happens to its path afterwards changes nothing. */
struct private_dir;

/*
 * Opens the directory, and makes it with mode 0700 when it does not exist (its parent has to). Its
 * last component may not be a symbolic link, it has to be owned by this process's user, and no
 * group and nobody else may write to it. With `memory_only` it has to be on tmpfs or ramfs, which
 * no disk remembers. NULL: *err, ERR_DENIED for an owner or mode, ERR_INVALID for what it is or is
 * on, ERR_SYSTEM or ERR_NOMEM; each names the path.
 */
struct private_dir *private_file_open_dir(const char *path, bool memory_only, struct err *err);

/* NULL is ignored. */
void private_file_close_dir(struct private_dir *dir);

/* As it was given; lent. */
const char *private_file_dir_path(const struct private_dir *dir);

/* Of a file, whole, from the moment that it has a name. */
struct private_file_rights {
    mode_t mode;  /* permission bits; 0600 for what only we read */
    bool has_uid; /* else the file is this user's */
    bool has_gid; /* else its group is the directory's way */
    uid_t uid;    /* another user's needs CAP_CHOWN */
    gid_t gid;    /* one of this process's groups, or CAP_CHOWN */
};

/*
 * Replaces a file of the directory in one step: whoever opens it gets the former content or this
 * one, whole, and after a crash too. It never has more rights than these, not for a moment. `name`
 * has no slash and does not begin with a dot (asserted). -1: *err is ERR_SYSTEM; the former file is
 * as it was.
 */
int private_file_write(struct private_dir *dir, const char *name,
                       const struct private_file_rights *rights, const void *bytes, size_t len,
                       struct err *err);

/* Whether a file with these bytes, which are whole and at least one, may be replaced. */
typedef bool private_file_may_replace_fn(const uint8_t *bytes, size_t len);

/*
 * The same by its path, whose directory is opened as by private_file_open_dir: for one file that
 * somebody asked for, and may have mistyped. What is there already is replaced when it is a regular
 * file that is empty or may_replace says yes; a link or a device never is. -1: *err as of both;
 * ERR_INVALID when the path does not end with a name, the name begins with a dot, or what is there is
 * no file; ERR_DENIED when it may not be replaced.
 */
int private_file_write_path(const char *path, const struct private_file_rights *rights,
                            private_file_may_replace_fn *may_replace, const void *bytes, size_t len,
                            struct err *err);

/*
 * Reads a file of the directory, of at most `max` bytes; it has to be a regular file with one name,
 * owned by this user, with no rights for group and others. The caller gives the result to
 * private_file_free. NULL: *err is ERR_NOT_FOUND, ERR_DENIED (owner, mode), ERR_INVALID (not a file),
 * ERR_LIMIT, ERR_SYSTEM or ERR_NOMEM; each names the file.
 */
uint8_t *private_file_read(struct private_dir *dir, const char *name, size_t max, size_t *len,
                           struct err *err);

/* Clears and frees. NULL is ignored. */
void private_file_free(uint8_t *bytes, size_t len);

/* Removes a file; none there is success. */
int private_file_remove(struct private_dir *dir, const char *name, struct err *err);

#endif
