/* Small files that others keep fresh: tokens, root certificates. */
#ifndef REMORA_TEXT_FILE_H
#define REMORA_TEXT_FILE_H

#include <stddef.h>

#include "err.h"

/*
 * Reads the whole file into `out`, without a NUL, and returns its length, or -1 with *err
 * (ERR_NOT_FOUND, ERR_SYSTEM, ERR_LIMIT for one that has more than `size` bytes), which names it.
 * Keeps no copy, so that secrets can be read.
 */
ptrdiff_t text_file_read(const char *path, char *out, size_t size, struct err *err);

#endif
