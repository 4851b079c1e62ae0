/*
 * `remora-certrotate inspect`: a certificate as a peer in the mesh sees it. The same rules as in the
 * agent, by the same code.
 */
#ifndef REMORA_INSPECT_H
#define REMORA_INSPECT_H

#include "buf.h"
#include "err.h"
#include "inspect_config.h"

/* How it ended; the numbers are those of sysexits.h. */
enum inspect_exit {
    INSPECT_GOOD = 0,      /* it verifies; or it was shown, and nothing to judge it by was given */
    INSPECT_FAILED = 1,    /* out of memory, or the output is not to be had */
    INSPECT_USAGE = 64,    /* EX_USAGE */
    INSPECT_REFUSED = 65,  /* EX_DATAERR: a peer would refuse it, or it is none */
    INSPECT_NOT_READ = 66, /* EX_NOINPUT: a file cannot be read */
    INSPECT_UNREACHABLE = 69, /* EX_UNAVAILABLE: the address does not answer, or not with TLS */
};

/* Appends what there is to say, the verdict last. Anything but GOOD and REFUSED: *err. */
enum inspect_exit inspect_run(const struct inspect_config *config, struct buf *out,
                              struct err *err);

#endif
