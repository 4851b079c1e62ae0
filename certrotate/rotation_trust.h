/*
 * Whom an identity of the rotation machine is to trust: the roots that its source brings, former
 * ones beside them for a while, and what comes besides. Private to the machine.
 */
#ifndef REMORA_ROTATION_TRUST_H
#define REMORA_ROTATION_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "identity.h"
#include "trust_extras.h"

/* Former roots that are trusted beside those of the source, and until when. */
struct rotation_overlap {
    struct trust_bundle *former; /* NULL: none */
    int64_t until_ms;
};

/* Owns what it holds. Zeroed: nothing. */
struct rotation_trust {
    struct trust_bundle *roots; /* as the source gave them last */
    struct rotation_overlap overlap;
    struct trust_extras brought; /* by the source, last */
    struct trust_extras set;     /* by the machine's owner */
    struct crl_set *crls;        /* of the identity held last; NULL: none */
    char **aliases;
    size_t num_aliases;
    bool crl_strict;
};

/* Copies the aliases. 0, or -1 with *err (ERR_NOMEM); rotation_trust_done is due in both cases. */
int rotation_trust_init(struct rotation_trust *trust, const char *const *aliases,
                        size_t num_aliases, bool crl_strict, struct err *err);
void rotation_trust_done(struct rotation_trust *trust);

/*
 * What the overlap becomes when the source brings `roots` while a certificate is held until
 * held_until_ms; lent.
 */
struct rotation_overlap rotation_trust_overlap(const struct rotation_trust *trust,
                                               const struct trust_bundle *roots,
                                               int64_t held_until_ms, int64_t now_ms);

/* Takes references. */
void rotation_trust_set_roots(struct rotation_trust *trust, struct trust_bundle *roots,
                              const struct rotation_overlap *overlap);

/* Takes a reference to the revocation lists (NULL: none) of the identity that is held now. */
void rotation_trust_set_crls(struct rotation_trust *trust, struct crl_set *crls);

/* What an identity is made of beside what `trust` has; all lent. */
struct rotation_parts {
    struct svid *svid;
    struct trust_bundle *roots;
    const struct rotation_overlap *overlap;
    const struct trust_extras *brought;
};

/*
 * An identity that trusts these roots, this overlap, and both kinds of extras; an alias of our trust
 * domain is never another one, whoever has a bundle for it. What of both kinds together is too much
 * is an error when `trouble` is NULL; else there is less of them, as trust_extras_merge_fitting says,
 * and *trouble, which was ERR_NONE, tells of it. NULL: *err.
 */
struct identity *rotation_trust_make_identity(const struct rotation_trust *trust,
                                              const struct rotation_parts *parts, uint64_t epoch,
                                              int64_t now_ms, struct err *trouble, struct err *err);

#endif
