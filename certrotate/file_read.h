/* Whole files of certificates, keys and revocation lists, that somebody else keeps fresh. */
#ifndef REMORA_FILE_READ_H
#define REMORA_FILE_READ_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

/*
 * Reads a regular file of at most `max` bytes. The caller gives the result to file_read_free, which
 * clears it. NULL: *err is ERR_NOT_FOUND, ERR_SYSTEM, ERR_INVALID (no regular file), ERR_LIMIT or
 * ERR_NOMEM; each names the file.
 */
uint8_t *file_read(const char *path, size_t max, size_t *len, struct err *err);

/*
 * The same of any kind of file, "-" for standard input, to its end: waits for whoever writes into a
 * pipe, and is for programs that have nothing else to do meanwhile.
 */
uint8_t *file_read_any(const char *path, size_t max, size_t *len, struct err *err);

/* NULL is ignored. */
void file_read_free(uint8_t *bytes, size_t len);

#endif
