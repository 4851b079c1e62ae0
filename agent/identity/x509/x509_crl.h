/*
 * One certificate revocation list. Private to identity.
 */
#ifndef REMORA_X509_CRL_H
#define REMORA_X509_CRL_H

#include <openssl/base.h>
#include <openssl/pool.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crl_set.h"
#include "err.h"
#include "reason.h"

struct x509_crl;

/* Takes a reference to `der`. NULL: *err says what is wrong with it. */
struct x509_crl *x509_crl_new(CRYPTO_BUFFER *der, struct err *err);

struct x509_crl *x509_crl_ref(struct x509_crl *crl);
void x509_crl_unref(struct x509_crl *crl);

bool x509_crl_is_same(const struct x509_crl *a, const struct x509_crl *b);
void x509_crl_info(const struct x509_crl *crl, struct crl_info *info);
const uint8_t *x509_crl_der(const struct x509_crl *crl, size_t *len); /* lent */

/*
 * Whether `issuer` signed this list: by name, then by signature, which is verified once for a key.
 * 1: yes, 0: no, -1: not to be known, out of memory. That the issuer's key usage permits cRLSign is not asked: a list that its key has signed is its
 * word, and to ignore it would be the more dangerous mistake.
 */
int x509_crl_is_issued_by(struct x509_crl *crl, X509 *issuer);

/* When it begins and when the next one is due (INT64_MAX: it does not say), wall clock. */
void x509_crl_times(const struct x509_crl *crl, int64_t *this_update_ms, int64_t *next_update_ms);

/* 1: it is on the list, 0: it is not, -1: out of memory. */
int x509_crl_has(const struct x509_crl *crl, const X509 *cert);

/*
 * What the lists of a set (NULL: none) say of a path, leaf to root. 0, or -1 with *reason
 * (CERT_REVOKED, if `strict` CRL_EXPIRED, and NO_MEMORY: whom nobody could look up is not let in)
 * and *err.
 */
int crl_set_check_path(const struct crl_set *set, const STACK_OF(X509) *path, bool strict,
                       int64_t now_ms, enum reason *reason, struct err *err);

#endif
