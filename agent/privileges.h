/*
 * Being unprivileged: the agent needs no capability and no root, so it gives up all of it before its
 * first thread, socket and key, and closes the ways to read its memory.
 */
#ifndef REMORA_PRIVILEGES_H
#define REMORA_PRIVILEGES_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/* -1 with *err (ERR_DENIED) when the program runs as root and may not. */
int privileges_check_user(bool allow_root, struct err *err);

/*
 * Empties every capability set of this thread (and so of all that it makes): ambient, inheritable,
 * permitted, effective, and the bounding set where the kernel lets us; no gain by exec; no core
 * dumps, no ptrace by others of this user. 0, or -1 with *err when capabilities remain: going on
 * with them would be a lie.
 */
int privileges_drop(struct err *err);

/* Raises the soft limit of open descriptors to the hard one, since each session takes two. Returns
 * the limit in force. */
uint64_t privileges_raise_descriptors(void);

#endif
