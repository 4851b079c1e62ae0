/*
 * An identity as PEM files for programs that do their own TLS, replaced as one set.
 *
 *   DIR/tls.crt -> ..data/tls.crt      what programs are configured with
 *   DIR/tls.key -> ..data/tls.key
 *   DIR/ca.crt  -> ..data/ca.crt
 *   DIR/..data  -> ..version-7         replaced in one step: the moment of the change
 *   DIR/..version-7/                   a set, complete before ..data leads to it, and never changed
 *   DIR/..version-6/                   the set before, for a reader in the middle of it
 *
 * as Kubernetes lays out a mounted Secret, which certificate watchers know. A reader that opens the
 * directory ..data once and reads from there has one set, always; one that opens the three paths
 * one after the other has it too, unless the change falls in between, of which the reload that
 * follows cures it; the combined file cannot be had in halves at all.
 *
 * Not for: choosing what to write (rotation does), telling the program (action.h).
 */
#ifndef REMORA_CERT_OUTPUT_H
#define REMORA_CERT_OUTPUT_H

#include <stdbool.h>
#include <sys/types.h>

#include "err.h"
#include "identity.h"

struct cert_output;

/* Names of files, without a slash and not beginning with a dot; "" for one that is not wanted. */
struct cert_output_names {
    const char *chain;     /* leaf and intermediates */
    const char *key;       /* PKCS#8 */
    const char *bundle;    /* roots of our own trust domain */
    const char *combined;  /* key, leaf and intermediates */
    const char *federated; /* roots of all other trust domains, which a file cannot keep apart */
    const char *crl;       /* every revocation list */
};

struct cert_output_options {
    const char *dir;  /* made, with the rights that its readers need, when it does not exist */
    bool memory_only; /* DIR has to be on tmpfs */
    struct cert_output_names names;
    mode_t mode;     /* of files without a key */
    mode_t key_mode; /* of files with the key */
    bool has_uid;    /* owner and group of files, as in private_file.h */
    bool has_gid;
    uid_t uid;
    gid_t gid;
};

/*
 * Opens (and makes) the directory; changes nothing in it. NULL: *err is ERR_INVALID (a name, or one
 * that is taken by a file that is not ours), or as private_file_open_dir.
 */
struct cert_output *cert_output_new(const struct cert_output_options *options, struct err *err);

/*
 * Replaces the set. A file of which there is nothing to write (no revocation list) is not in it,
 * and the set then has no such path. -1 with *err, which names the file: the former set is in place
 * as it was.
 */
int cert_output_write(struct cert_output *output, const struct identity *identity, struct err *err);

/* Leaves the files. NULL is ignored. */
void cert_output_free(struct cert_output *output);

#endif
