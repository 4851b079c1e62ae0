/*
 * SPIFFE IDs: parsing by the rules of the SPIFFE ID specification, section 2, and building Istio's
 * form. An ID is compared by its bytes: there is one spelling of each. No certificates here.
 */
#ifndef REMORA_SPIFFE_ID_H
#define REMORA_SPIFFE_ID_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

enum {
    SPIFFE_ID_MAX = 2048,          /* bytes of a whole ID (SPIFFE ID 2.3) */
    SPIFFE_TRUST_DOMAIN_MAX = 255, /* bytes (SPIFFE ID 2.1) */
};

/* A valid ID. Zeroed is an empty one that owns nothing. All strings live in one allocation that the
 * ID owns. */
struct spiffe_id {
    char *uri;             /* "spiffe://td/path" */
    const char *principal; /* the same without the scheme: what Istio's policies call a principal */
    const char *trust_domain;
    const char *path; /* with its leading slash; "" for the ID of a trust domain itself */
    const char *ns;   /* of /ns/<ns>/sa/<sa>; NULL for any other path */
    const char *sa;
};

/*
 * Parses `len` bytes, which may hold anything. 0 and a filled *id that the caller gives to
 * spiffe_id_done, or -1 with *err (ERR_INVALID naming what is wrong and where, or ERR_NOMEM) and an
 * empty *id. A path is not required here; that a workload has one is an X.509-SVID rule.
 */
int spiffe_id_parse(struct spiffe_id *id, const char *text, size_t len, struct err *err);

/* spiffe://<trust_domain>/ns/<ns>/sa/<sa>; each part is checked as by spiffe_id_parse. */
int spiffe_id_format(struct spiffe_id *id, const char *trust_domain, const char *ns, const char *sa,
                     struct err *err);

/* Checks a trust domain's name alone: 0, or -1 with *err (ERR_INVALID). */
int spiffe_id_check_trust_domain(const char *text, size_t len, struct err *err);

int spiffe_id_copy(struct spiffe_id *to, const struct spiffe_id *from, struct err *err);
bool spiffe_id_equal(const struct spiffe_id *a, const struct spiffe_id *b);

/* Frees what the ID owns and empties it. An empty ID and NULL are ignored. */
void spiffe_id_done(struct spiffe_id *id);

#endif
