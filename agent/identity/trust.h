/*
 * Whom we trust, as one value: a bundle of roots for each trust domain, other names of our own one,
 * and what has been revoked. A plain view that owns nothing; who keeps it says for how long.
 *
 * A peer is verified against the bundle of the trust domain that its certificate claims and against
 * no other. An alias is another name of our own trust domain (it was renamed, or two meshes became
 * one): who claims it is verified against our own bundle. A federated trust domain has a bundle of
 * its own and is never the same as ours.
 */
#ifndef REMORA_TRUST_H
#define REMORA_TRUST_H

#include <stdbool.h>
#include <stddef.h>

#include "crl_set.h"
#include "trust_bundle.h"

/* Zeroed: nobody is trusted. */
struct trust {
    struct trust_bundle *const *bundles; /* the first is our own; no two of one trust domain */
    size_t num_bundles;
    const char *const *aliases; /* of the first bundle's trust domain; none names a bundle */
    size_t num_aliases;
    struct crl_set *crls; /* NULL: none */
    /* A revocation list that has expired: true refuses what its issuer has issued, false goes on
     * using it. */
    bool crl_strict;
};

/* The bundle of this trust domain, lent; NULL: nobody of it is trusted. */
struct trust_bundle *trust_find_bundle(const struct trust *trust, const char *trust_domain);

/* Whether this is our own trust domain, by whatever name. */
bool trust_is_own_domain(const struct trust *trust, const char *trust_domain);

/* Whether two SPIFFE IDs (URIs) name the same workload: aliases of our trust domain are equal to
 * it. */
bool trust_is_same_id(const struct trust *trust, const char *uri, const char *other_uri);

/* Whether both accept the same peers at any moment. */
bool trust_is_same(const struct trust *a, const struct trust *b);

#endif
