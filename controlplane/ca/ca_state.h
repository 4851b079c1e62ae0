/*
 * The CA on disk: a directory that is made with a new root at the first start and loaded at every
 * later one.
 *
 *   root.pem        what agents trust; readable by all
 *   root-key.pem    mode 0600; may be absent (kept elsewhere) when an intermediate is there
 *   issuer.pem      the intermediate, if there is one, and what is between it and the root
 *   issuer-key.pem  mode 0600
 *
 * Nothing that exists is ever replaced: what does not fit together is refused, and the operator
 * decides. Of a pair the key is written first, so a key that is alone is what a crash has left, and
 * its certificate is made then.
 */
#ifndef REMORA_CA_STATE_H
#define REMORA_CA_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "ca_issuer.h"
#include "err.h"

#define CA_STATE_ROOT_FILE "root.pem"

struct ca_state_options {
    const char *dir;        /* made if it is missing; must not be writable by others */
    bool with_intermediate; /* make one if there is none; one that is there is always used */
    bool only_existing;     /* nothing is made; what is missing is an error */
    int64_t now_ms;         /* wall clock */
};

/*
 * Opens, making what is missing. Only one process at a time gets in. *created says whether a root
 * was made. NULL: *err (ERR_DENIED too open, ERR_INVALID does not fit together or has expired,
 * ERR_SYSTEM, ERR_NOMEM) names the file.
 */
struct ca_issuer *ca_state_open(const struct ca_state_options *options, bool *created,
                                struct err *err);

/* A CA that was made elsewhere, by openssl for example. */
struct ca_state_files {
    const char *cert; /* PEM: the CA's certificate first; what lies between it and the root, and the
                         root itself, follow. A certificate that names itself as its issuer is a root */
    const char *key;  /* PEM, not encrypted; as in the directory, nobody else may read it */
    int64_t now_ms;   /* wall clock */
};

/* Loads it; changes nothing. NULL: *err as above. */
struct ca_issuer *ca_state_load(const struct ca_state_files *files, struct err *err);

#endif
