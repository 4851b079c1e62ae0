/*
 * Certificates as this CA makes them, and the facts of one. Private to ca.
 */
#ifndef REMORA_CA_CERT_H
#define REMORA_CA_CERT_H

#include <openssl/base.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ca_name.h"
#include "err.h"

enum ca_cert_use {
    CA_CERT_ROOT,
    CA_CERT_INTERMEDIATE, /* may issue leaves, no further CA */
    CA_CERT_WORKLOAD,     /* an X.509-SVID: name is its SPIFFE ID */
    CA_CERT_SERVER,       /* for a TLS server: name is a DNS name or an IP address */
    CA_CERT_ORDERED,      /* for what `subject` says; name is for messages */
};

/* Of CA_CERT_ORDERED: whom it is for. */
struct ca_cert_subject {
    X509_NAME *name;             /* NULL: the subject is empty */
    const struct ca_name *names; /* alternative names; none are none, where there is a name */
    size_t num_names;
    bool is_server, is_client;
};

struct ca_cert_plan {
    enum ca_cert_use use;
    const char *name;     /* of a CA: its common name, 64 bytes at most; else see above. ASCII */
    int64_t not_before_s; /* wall clock, seconds since 1970 */
    int64_t not_after_s;
    EVP_PKEY *key; /* the subject's; its public half is enough unless the certificate is a root */
    X509 *issuer;  /* NULL for a root, which signs itself */
    EVP_PKEY *issuer_key;                  /* NULL for a root */
    const struct ca_cert_subject *subject; /* of CA_CERT_ORDERED */
};

/*
 * Makes and signs: version 3, random serial of 128 bits, and the extensions of RFC 5280 and
 * X.509-SVID: a leaf has no subject (unless it is ordered with one) and a critical subject alternative name (not
 * critical beside a subject), critical keyUsage
 * (digitalSignature; keyEncipherment too for RSA), critical basicConstraints, EKU (serverAuth and
 * clientAuth for a workload), key identifiers. The caller frees. NULL: *err is ERR_NOMEM.
 */
X509 *ca_cert_make(const struct ca_cert_plan *plan, struct err *err);

/* PEM with its NUL; the caller frees it with free(). NULL: *err is ERR_NOMEM. */
char *ca_cert_to_pem(X509 *cert, struct err *err);

/* All certificates of `pem`, at least one and at most `max`; the caller frees the stack with
 * sk_X509_pop_free. NULL: *err is ERR_INVALID or ERR_NOMEM. */
STACK_OF(X509) *ca_cert_read_pem(const char *pem, size_t pem_len, size_t max, struct err *err);

/* Both in seconds since 1970. 0, or -1 with *err (ERR_INVALID). */
int ca_cert_times(const X509 *cert, int64_t *not_before_s, int64_t *not_after_s, struct err *err);

/* Whether it may issue: basicConstraints cA and, if there is a keyUsage, keyCertSign. */
int ca_cert_check_is_ca(X509 *cert, struct err *err);

/* Hex of the serial number, lower case; `out` has CERT_SERIAL_TEXT_MAX bytes. Returns `out`. */
const char *ca_cert_serial(const X509 *cert, char *out);

enum { CA_CERT_FINGERPRINT_TEXT = 65 }; /* hex of a SHA-256 and its NUL */

/* SHA-256 of the DER in hex; `out` has CA_CERT_FINGERPRINT_TEXT bytes. Returns `out`. */
const char *ca_cert_fingerprint(const X509 *cert, char *out);

#endif
