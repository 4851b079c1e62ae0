/*
 * Who a peer is to a policy: one text, taken from one place of its certificate. A SPIFFE ID is written without its scheme
 * ("td/ns/a/sa/b"), every other kind with its own prefix and a colon ("dns:", "email:", "cn:"). A trust domain has no colon, so no kind
 * can be taken for another.
 */
#ifndef REMORA_PRINCIPAL_H
#define REMORA_PRINCIPAL_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

enum principal_kind {
    PRINCIPAL_NONE,  /* nobody */
    PRINCIPAL_URI,   /* the one URI SAN, a SPIFFE ID: "td/path" */
    PRINCIPAL_DNS,   /* the one DNS SAN, lower case: "dns:client.example.com" */
    PRINCIPAL_EMAIL, /* the one e-mail SAN, the domain in lower case: "email:Jo@example.com" */
    PRINCIPAL_CN,    /* the subject's one common name: "cn:client" */
    PRINCIPAL_IP,    /* of servers that were verified by address only: "ip:198.18.0.1" */
    NUM_PRINCIPAL_KINDS
};

enum {
    PRINCIPAL_DNS_MAX = 253,   /* bytes (RFC 1035, 2.3.4) */
    PRINCIPAL_EMAIL_MAX = 254, /* bytes (RFC 5321, 4.5.3.1.3, without the brackets) */
    PRINCIPAL_CN_MAX = 64,     /* characters (RFC 5280, ub-common-name) */
};

/* "uri", "dns", "email", "cn", "ip", "none". Static storage. */
const char *principal_kind_name(enum principal_kind kind);

/* The kind that a client's principal may have, by the name above (not "ip", not "none"); false: there is none. */
bool principal_kind_parse(const char *name, enum principal_kind *kind);

/*
 * Checks a name of `len` bytes, which may hold anything, and writes the principal. `out` has room for PRINCIPAL_MAX + 1 bytes. Only
 * PRINCIPAL_DNS, PRINCIPAL_EMAIL and PRINCIPAL_CN (UTF-8). 0, or -1 with *err (ERR_INVALID): empty or overlong, a NUL or a control
 * character, not of the kind's alphabet, a wildcard, a trailing dot, not UTF-8, invisible or direction-changing characters, white space
 * at either end.
 */
int principal_format(enum principal_kind kind, const char *name, size_t len, char *out,
                     struct err *err);

/* Bytes of the longest principal of these three kinds, prefix included. */
enum { PRINCIPAL_MAX = 4 * PRINCIPAL_CN_MAX + 8 };

#endif
