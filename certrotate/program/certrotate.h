/*
 * remora-certrotate at work: rotation on one loop, what it brings written as files, and the
 * program that uses them told.
 */
#ifndef REMORA_CERTROTATE_H
#define REMORA_CERTROTATE_H

#include "certrotate_config.h"
#include "err.h"

/* How the program ends; the help says the same. */
enum certrotate_exit {
    CERTROTATE_DONE = 0,         /* ended by a signal, or --once has done its work */
    CERTROTATE_FAILED = 1,       /* could not start */
    CERTROTATE_USAGE = 64,       /* as sysexits.h has them: EX_USAGE */
    CERTROTATE_REJECTED = 65,    /* EX_DATAERR: what the source brought is not usable */
    CERTROTATE_UNAVAILABLE = 69, /* EX_UNAVAILABLE: the source is not to be had */
    CERTROTATE_NOT_WRITTEN = 73, /* EX_CANTCREAT: the files could not be written */
    CERTROTATE_NOT_TOLD = 75,    /* EX_TEMPFAIL: files are in place; hook or signal failed */
    CERTROTATE_DENIED = 77,      /* EX_NOPERM: the source refuses us */
};

/*
 * Runs until a signal ends it, or, with once, until the files are in place and the program was told
 * or the time for it is over. Logs. *err is filled when it could not start (CERTROTATE_FAILED).
 */
enum certrotate_exit certrotate_run(const struct certrotate_config *config, struct err *err);

#endif
