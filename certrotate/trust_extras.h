/*
 * What is trusted beside the roots of our own trust domain: the bundles of federated ones, and what
 * was revoked. Comes with certificates from a source, or from files (trust_files.h), or both.
 */
#ifndef REMORA_TRUST_EXTRAS_H
#define REMORA_TRUST_EXTRAS_H

#include <stdbool.h>
#include <stddef.h>

#include "cert_source.h"
#include "crl_set.h"
#include "err.h"
#include "trust_bundle.h"

enum { TRUST_EXTRAS_MAX = 64 }; /* federated trust domains; a mesh has a handful */

/* Owns its references. Zeroed: nothing. */
struct trust_extras {
    struct trust_bundle *bundles[TRUST_EXTRAS_MAX];
    size_t num_bundles;
    struct crl_set *crls; /* NULL: none */
};

/* Drops what it holds and empties it. */
void trust_extras_done(struct trust_extras *extras);

/* References to the same. */
void trust_extras_copy(struct trust_extras *to, const struct trust_extras *from);

bool trust_extras_is_same(const struct trust_extras *a, const struct trust_extras *b);

/* The bundle of a trust domain, lent, or NULL. */
struct trust_bundle *trust_extras_find(const struct trust_extras *extras, const char *trust_domain);

/*
 * Reads what a fetch brought for an identity of `own_domain` into *extras. What of it cannot be read
 * does not hold up a certificate: its place is taken by what `former` has for it. Returns how many
 * parts those are, with *err saying what is wrong with the first; or -1 with *err when that may not
 * be, because revocation lists are unreadable, `former` has none and `crl_strict` is set. In that
 * case *extras is empty. Trust domains for which there is no room are such parts, too, and left out;
 * of too many lists, when `former` has none, there are as many as there is room for.
 */
int trust_extras_read(struct trust_extras *extras, const struct cert_fetched *fetched,
                      const char *own_domain, const struct trust_extras *former, bool crl_strict,
                      struct err *err);

/*
 * Both together. Where both have a bundle of one trust domain, the one of `first` counts; bundles of
 * `own_domain` are left out. 0, or -1 with *err and an empty *extras.
 */
int trust_extras_merge(struct trust_extras *extras, const struct trust_extras *first,
                       const struct trust_extras *second, const char *own_domain, struct err *err);

/*
 * The same for what must not fail because both together are too much: trust domains for which there
 * is no room, the last of `second`, are left out, and revocation lists that are too many are those
 * of `former_crls` instead. Without such (NULL) as many as there is room for, those of `first`
 * first; but when `crl_strict` is set it fails. Returns in how many ways it is less than both
 * together, with *err about one; or -1 with *err and an empty *extras.
 */
int trust_extras_merge_fitting(struct trust_extras *extras, const struct trust_extras *first,
                               const struct trust_extras *second, const char *own_domain,
                               struct crl_set *former_crls, bool crl_strict, struct err *err);

#endif
