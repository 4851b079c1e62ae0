/*
 * A password of a person's, from a file or from the terminal. Never from the command line, which
 * everybody on the machine can read, nor from the environment, which children inherit.
 */
#ifndef REMORA_PASSWORD_H
#define REMORA_PASSWORD_H

#include "err.h"

enum { PASSWORD_MAX = 1024 }; /* bytes, with the NUL */

/*
 * The first and only line of the file, without its end. The file has to be a regular one, of this
 * user or of root, without any right for group and others. 0, or -1 with *err: ERR_NOT_FOUND,
 * ERR_DENIED (owner, mode), ERR_INVALID (more lines, a NUL), ERR_LIMIT, ERR_SYSTEM. `out` is the
 * caller's to clear.
 */
int password_read_file(const char *path, char out[PASSWORD_MAX], struct err *err);

/*
 * Asks on the terminal (not on standard input) without echo, twice, and compares. A signal that
 * comes meanwhile waits until the echo is back. 0, or -1 with *err: ERR_NOT_FOUND (there is no
 * terminal), ERR_DENIED (interrupted, or an
 * empty one), ERR_INVALID (the two differ), ERR_LIMIT, ERR_SYSTEM.
 */
int password_ask(const char *what, char out[PASSWORD_MAX], struct err *err);

#endif
