/*
 * Certificate revocation lists (RFC 5280, 5): read once, then looked up in O(log n). Immutable,
 * shared between threads by reference count.
 *
 * A list says nothing about certificates of other issuers, and an issuer without a list has revoked
 * nothing. Read is what a complete list may contain; what would need more than looking up serial
 * numbers (delta lists, indirect lists, critical extensions that nobody here knows) is an error when
 * it is read, never a list that is half understood.
 */
#ifndef REMORA_CRL_SET_H
#define REMORA_CRL_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cert_bytes.h"
#include "err.h"

enum {
    CRL_SET_MAX = 64,               /* lists; one for each issuer, and some that have expired */
    CRL_DER_MAX = 32 * 1024 * 1024, /* bytes of one; a hundred thousand entries have four million */
    CRL_ISSUER_TEXT_MAX = 96,
};

struct crl_set;

/*
 * Reads all lists of all `num` texts; an empty one holds none. Whether a list is signed by its issuer is
 * seen when a certificate of that issuer is judged. NULL: *err (ERR_INVALID, ERR_LIMIT or ERR_NOMEM)
 * that says which list and what about it.
 */
struct crl_set *crl_set_new(const struct cert_bytes *texts, size_t num, struct err *err);

/* The lists of both (NULL: none), each once. A new reference. NULL: *err (ERR_NOMEM, ERR_LIMIT). */
struct crl_set *crl_set_merge(struct crl_set *a, struct crl_set *b, struct err *err);

/* The same, but where they are too many the last of `b` are left out. NULL: *err (ERR_NOMEM). */
struct crl_set *crl_set_merge_fitting(struct crl_set *a, struct crl_set *b, struct err *err);

struct crl_set *crl_set_ref(struct crl_set *set); /* returns `set` */
void crl_set_unref(struct crl_set *set);          /* NULL is ignored */

/* Byte for byte; NULL is an empty set. */
bool crl_set_is_same(const struct crl_set *a, const struct crl_set *b);

/* Of a list, for messages and metrics. */
struct crl_info {
    char issuer[CRL_ISSUER_TEXT_MAX]; /* its name, printable */
    int64_t this_update_ms;           /* wall clock */
    int64_t next_update_ms;           /* INT64_MAX: it does not say */
    size_t num_revoked;
};

size_t crl_set_num(const struct crl_set *set); /* NULL: 0 */
void crl_set_info(const struct crl_set *set, size_t index, struct crl_info *info);

/* A list as it came, in DER, lent until the last unref. */
const uint8_t *crl_set_der(const struct crl_set *set, size_t index, size_t *len);

#endif
