/*
 * From a leaf to a root: RFC 5280, section 6, and the checks on every certificate of the way.
 * Private to identity.
 */
#ifndef REMORA_X509_PATH_H
#define REMORA_X509_PATH_H

#include <openssl/base.h>
#include <openssl/x509.h>
#include <stdint.h>

#include "err.h"
#include "reason.h"
#include "trust_bundle.h"

/*
 * The way from chain[0] to a root of `bundle`, through other certificates of `chain`, whose order
 * does not matter: signatures, CA marks, key usage of issuers, path lengths (the root's too), name
 * constraints, but not the time. Every root of the bundle that could be meant is tried on its own, because a rotated
 * root often keeps its name: among several ways one that is valid at now_ms is preferred. Returns a
 * stack from leaf to root that the caller frees with sk_X509_pop_free, or NULL with *err (ERR_TLS
 * or ERR_NOMEM).
 */
STACK_OF(X509) *x509_path_find(STACK_OF(X509) *chain, const struct trust_bundle *bundle,
                               int64_t now_ms, struct err *err);

enum { X509_PATH_WHICH_MAX = 128 };

/* "the certificate", "the intermediate '/CN=x'", "the root '/O=y'". Returns `out`. */
const char *x509_path_describe(const STACK_OF(X509) *path, size_t index, char *out, size_t size);

/* Keys and signatures below the root. 0, or -1 with *err: the reason is then CERT_WEAK. */
int x509_path_check_strength(const STACK_OF(X509) *path, struct err *err);

/*
 * Whether every certificate below the root may be used for `wanted`, one of XKU_SSL_SERVER and
 * XKU_SSL_CLIENT. 0, or -1 with *err: the reason is then CERT_KEY_USAGE.
 */
int x509_path_check_extended_key_usage(const STACK_OF(X509) *path, uint32_t wanted,
                                       struct err *err);

/*
 * 0 and the time in which the whole path is valid; or -1 with *reason CERT_MALFORMED,
 * CERT_NOT_YET_VALID or CERT_EXPIRED, and *err saying which certificate and by how much.
 */
int x509_path_check_time(const STACK_OF(X509) *path, int64_t now_ms, int64_t *not_before_ms,
                         int64_t *not_after_ms, enum reason *reason, struct err *err);

#endif
