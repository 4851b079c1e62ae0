/*
 * Small files of the CA's state, read and written so that neither a crash nor another user of the
 * machine can do harm. Private to ca.
 */
#ifndef REMORA_CA_FILE_H
#define REMORA_CA_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

enum {
    CA_FILE_MAX = 256 * 1024, /* bytes */
};

/*
 * Reads the whole file `name` below the directory. A secret must be a regular file of ours (or
 * root's) that nobody else can read or write. Returns its text with a NUL, which the caller gives
 * to ca_file_free, or NULL with *err: ERR_NOT_FOUND, ERR_DENIED (too open), ERR_LIMIT (too long),
 * ERR_SYSTEM, ERR_NOMEM.
 */
char *ca_file_read(int dir_fd, const char *name, bool secret, struct err *err);

/* Clears and frees. NULL is ignored. */
void ca_file_free(char *text);

/*
 * Makes the file `name`, which must not exist: mode 0600 for a secret, else 0644. It appears whole
 * or not at all, and is on the disk when this returns. 0, or -1 with *err: ERR_SYSTEM (EEXIST too).
 */
int ca_file_create(int dir_fd, const char *name, const char *text, bool secret, struct err *err);

#endif
