/*
 * Certificates from files that somebody else keeps fresh (cert-manager, spiffe-helper, a mounted
 * Secret): PEM for chain, key and roots, watched for every kind of change, including Kubernetes'
 * symlink swaps.
 *
 * The file of roots is the whole of what its owner trusts: a root that is taken out of it is not
 * trusted any more. Whoever rotates a root has both in it for a while.
 *
 * The three files are not replaced in one step everywhere, so a fetch may read a new chain with an
 * old key. That is told as any other candidate that does not pass: the machine keeps what it has
 * and tries again.
 */
#ifndef REMORA_FILE_SOURCE_H
#define REMORA_FILE_SOURCE_H

#include "cert_source.h"
#include "err.h"
#include "net_loop.h"

enum {
    FILE_SOURCE_MAX = 1 << 20,       /* bytes of one file; a large bundle has a hundred thousand */
    FILE_SOURCE_POLL_MS = 10 * 1000, /* for filesystems that do not notify */
};

struct file_source_paths {
    const char *cert_file; /* chain, leaf first */
    const char *key_file;
    const char *roots_file;
};

/*
 * Watches the three paths (copied), which need not exist yet. NULL: *err when watching is not
 * possible. Free with cert_source_free before the loop. Fetches fail with ERR_NOT_FOUND,
 * ERR_SYSTEM, ERR_LIMIT or ERR_NOMEM, naming the file.
 */
struct cert_source *file_source_new(struct net_loop *loop, const struct file_source_paths *paths,
                                    struct err *err);

#endif
