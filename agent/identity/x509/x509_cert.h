/*
 * Single facts of one certificate. Private to identity.
 */
#ifndef REMORA_X509_CERT_H
#define REMORA_X509_CERT_H

#include <openssl/base.h>
#include <openssl/pool.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cert_rules.h"
#include "err.h"

/*
 * Parses; the caller frees. NULL when it is not a certificate (or out of memory). Leaves no error
 * in BoringSSL's queue.
 */
X509 *x509_cert_parse(CRYPTO_BUFFER *der);

/* Start and end of validity in ms, wall clock. -1 when either cannot be read. */
int x509_cert_times(const X509 *cert, int64_t *not_before_ms, int64_t *not_after_ms);

/* Seconds since 1970 in ms. -1 when it cannot be read. */
int x509_cert_time_ms(const ASN1_TIME *time, int64_t *ms);

/* Both write text and NUL. */
void x509_cert_serial(const X509 *cert, char out[CERT_SERIAL_TEXT_MAX]);
void x509_cert_fingerprint(const uint8_t *der, size_t der_len, char out[CERT_FINGERPRINT_TEXT]);

/* The subject for a message, cut to `size`; what is not printable is escaped. Returns `out`. */
const char *x509_cert_subject(const X509 *cert, char *out, size_t size);

/* True when the extensions that BoringSSL understands can all be read. */
bool x509_cert_is_readable(X509 *cert);

/* basicConstraints with cA true. */
bool x509_cert_is_ca(X509 *cert);

/* 0 when the public key is one that we accept, -1 with *err naming key and limit. */
int x509_cert_check_key(X509 *cert, struct err *err);

/* 0 when the algorithm by which it was signed is one that we accept, -1 with *err naming it. */
int x509_cert_check_signature_algorithm(const X509 *cert, struct err *err);

#endif
