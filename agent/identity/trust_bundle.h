/*
 * The roots of one trust domain. Immutable and shared between threads by reference count.
 */
#ifndef REMORA_TRUST_BUNDLE_H
#define REMORA_TRUST_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cert_bytes.h"
#include "err.h"

enum {
    TRUST_BUNDLE_ROOTS_MAX = 64, /* a bundle in the middle of two root rotations has four */
};

struct trust_bundle;

/*
 * From certificates, PEM or DER. `trust_domain` NULL: they are of none (a PKI that is not SPIFFE's),
 * and its name is "". Every one must be a CA certificate; the error names which is not ("trust bundle: certificate 3 of 4 is not a CA").
 * Duplicates count once. None at all, any other PEM block, and a block that cannot be read are
 * errors: half a bundle is not a bundle. Expired roots are kept, they verify nothing. NULL: *err is
 * ERR_INVALID, ERR_LIMIT or ERR_NOMEM.
 */
struct trust_bundle *trust_bundle_new(const char *trust_domain, const struct cert_bytes *certs,
                                      struct err *err);

/* The same from PEM text. */
struct trust_bundle *trust_bundle_new_pem(const char *trust_domain, const char *pem, size_t pem_len,
                                          struct err *err);

/*
 * `newer` with those roots of `older` that it lacks and that have not expired at now_ms: what is
 * trusted while roots are rotated. Both must be of one trust domain (asserted). Returns a new
 * reference, which is `newer` itself when nothing is to be added. NULL: *err is ERR_NOMEM, or
 * ERR_LIMIT.
 */
struct trust_bundle *trust_bundle_merge(struct trust_bundle *newer,
                                        const struct trust_bundle *older, int64_t now_ms,
                                        struct err *err);

struct trust_bundle *trust_bundle_ref(struct trust_bundle *bundle); /* returns `bundle` */
void trust_bundle_unref(struct trust_bundle *bundle);               /* NULL is ignored */

const char *trust_bundle_trust_domain(const struct trust_bundle *bundle);
size_t trust_bundle_num_roots(const struct trust_bundle *bundle);

/* When root number `index` ends, wall clock. */
int64_t trust_bundle_not_after_ms(const struct trust_bundle *bundle, size_t index);

/* The DER of root number `index`, lent until the last unref. */
const uint8_t *trust_bundle_der(const struct trust_bundle *bundle, size_t index, size_t *len);

/* The moment at which the first of its roots ends, wall clock. */
int64_t trust_bundle_first_end_ms(const struct trust_bundle *bundle);

/* The same roots; the names of the trust domains are not compared. */
bool trust_bundle_is_same(const struct trust_bundle *a, const struct trust_bundle *b);

/* True when every root of `part` is in `whole`. */
bool trust_bundle_contains(const struct trust_bundle *whole, const struct trust_bundle *part);

#endif
