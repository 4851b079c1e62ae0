/*
 * Trust that comes from files, whatever the certificates' source: bundles of federated trust domains
 * and revocation lists. Every file is watched for itself; a new content that cannot be read, or with which there are more than
 * CRL_SET_MAX lists in all, is told, and what was before stays in force.
 */
#ifndef REMORA_TRUST_FILES_H
#define REMORA_TRUST_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "crl_set.h"
#include "err.h"
#include "net_loop.h"
#include "trust_extras.h"

enum {
    TRUST_FILES_MAX = 2 * TRUST_EXTRAS_MAX, /* of both kinds together */
    TRUST_FILES_BUNDLE_MAX = 1 << 20,       /* bytes */
    TRUST_FILES_CRL_MAX = 2 * CRL_DER_MAX,  /* PEM is longer than DER */
    TRUST_FILES_POLL_MS = 10 * 1000,        /* for filesystems that do not notify */
};

struct trust_files;

struct trust_files_handler {
    /* What is trusted by the files now, lent; later, on the loop. */
    void (*on_extras)(void *owner, const struct trust_extras *extras);
    /* A file cannot be read or used; *err lent, names it. */
    void (*on_trouble)(void *owner, const struct err *err);
};

/* Reads nothing yet. NULL: *err is ERR_NOMEM. */
struct trust_files *trust_files_new(struct net_loop *loop,
                                    const struct trust_files_handler *handler, void *owner,
                                    struct err *err);

/*
 * Adds a PEM file with the roots of `trust_domain`, or one with revocation lists (PEM or DER). The
 * file need not exist yet. 0, or -1 with *err (ERR_INVALID: two files for one trust domain, or not a
 * trust domain; ERR_LIMIT; ERR_NOMEM; or it cannot be watched). Before trust_files_start.
 */
int trust_files_add_bundle(struct trust_files *files, const char *trust_domain, const char *path,
                           struct err *err);
int trust_files_add_crl(struct trust_files *files, const char *path, struct err *err);

/* Reads all, on the loop, and calls on_extras; again whenever one has changed. Once. */
void trust_files_start(struct trust_files *files);

/* Every file of revocation lists has been read well once, and there was room for all: nothing is missing of what is revoked. */
bool trust_files_has_all_crls(const struct trust_files *files);

/* Files that could not be used when they were last looked at. */
size_t trust_files_num_unusable(const struct trust_files *files);

/* No callback afterwards. NULL is ignored. */
void trust_files_free(struct trust_files *files);

#endif
