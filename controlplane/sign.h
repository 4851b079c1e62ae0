/*
 * `remora-controlplane sign`: a request made with openssl, signed by the control plane's CA while
 * an operator looks on. What may be certified is in ca_name.h and ca_order_decide.h.
 */
#ifndef REMORA_SIGN_H
#define REMORA_SIGN_H

#include "err.h"
#include "sign_config.h"

/* How it ended; the numbers are those of sysexits.h. */
enum sign_exit {
    SIGN_DONE = 0,
    SIGN_FAILED = 1, /* out of memory, or the CA cannot be used */
    SIGN_USAGE = 64, /* EX_USAGE */
    SIGN_BAD_REQUEST =
        65,             /* EX_DATAERR: it cannot be read, or its key or proof is not good enough */
    SIGN_NOT_READ = 66, /* EX_NOINPUT */
    SIGN_NOT_WRITTEN = 73, /* EX_CANTCREAT */
    SIGN_NOT_ALLOWED = 77, /* EX_NOPERM: it asks for what is not allowed; *err names that */
};

/* Writes the certificate, and to `words` what was signed. Anything but SIGN_DONE: *err. */
enum sign_exit sign_run(const struct sign_config *config, struct buf *words, struct err *err);

/* --help with the exit codes. 0, or -1 when out of memory. */
int sign_help(struct buf *out);

#endif
