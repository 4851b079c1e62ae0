/*
 * `remora-certrotate export`: a certificate and its key as one file that browsers import.
 */
#ifndef REMORA_EXPORT_H
#define REMORA_EXPORT_H

#include "buf.h"
#include "err.h"
#include "export_config.h"

/* How it ended; the numbers are those of sysexits.h. */
enum export_exit {
    EXPORT_DONE = 0,
    EXPORT_FAILED = 1,       /* out of memory */
    EXPORT_USAGE = 64,       /* EX_USAGE */
    EXPORT_BAD_INPUT = 65,   /* EX_DATAERR: the key is of another certificate; a bad password */
    EXPORT_NOT_READ = 66,    /* EX_NOINPUT: a file cannot be read, no password is to be had */
    EXPORT_NOT_WRITTEN = 73, /* EX_CANTCREAT */
};

/* Writes the file, and appends what was written, in words. Anything but EXPORT_DONE: *err. */
enum export_exit export_run(const struct export_config *config, struct buf *words, struct err *err);

#endif
