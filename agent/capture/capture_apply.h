/*
 * Brings the capture table into the kernel, removes it and reads it back, in the calling thread's
 * network namespace. Needs CAP_NET_ADMIN there. Each change is one netlink transaction: it happens
 * as a whole or not at all.
 */
#ifndef REMORA_CAPTURE_APPLY_H
#define REMORA_CAPTURE_APPLY_H

#include <stdbool.h>

#include "buf.h"
#include "err.h"

/*
 * Puts the table that `ruleset` defines (capture_ruleset_write) in the place of the one that is
 * there, if any; its counters start at 0. Redirected connections live on. On failure what was there
 * stays. Errors: ERR_DENIED (no CAP_NET_ADMIN), ERR_NOMEM, ERR_SYSTEM with nftables' words and, where
 * the cause can be told, what to do about it.
 */
int capture_apply_replace(const struct buf *ruleset, struct err *err);

/*
 * Removes the table; that there is none is success. Redirected connections break, since nothing
 * translates their addresses any more. Errors as above.
 */
int capture_apply_remove(struct err *err);

/* Appends the table as the kernel has it, counters included. ERR_NOT_FOUND when there is none, and
 * as above. */
int capture_apply_list(struct buf *out, struct err *err);

#endif
