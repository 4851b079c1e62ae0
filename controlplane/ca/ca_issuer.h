/*
 * A certificate authority in memory: a key, its certificate, the way from there to the roots, and
 * what it signs. It decides how a certificate looks and how long it lives, not who gets one (the
 * caller's token table), and keeps nothing on disk (ca_state).
 */
#ifndef REMORA_CA_ISSUER_H
#define REMORA_CA_ISSUER_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "ca_order.h"
#include "cert_rules.h"
#include "err.h"
#include "spiffe_id.h"

struct ca_issuer;

/* PEM texts, each with its NUL. */
struct ca_issuer_pem {
    const char *key;   /* not encrypted */
    const char *chain; /* the key's certificate first, then those between it and the root; NULL when
                          the key is a root's */
    const char *roots; /* what agents are to trust; several while roots are rotated */
};

/*
 * Checks everything: the key belongs to the chain's first certificate (without a chain: to one of
 * the roots), that may issue, and leads to one of the roots at now_ms (wall clock). NULL: *err is
 * ERR_INVALID or ERR_NOMEM.
 */
struct ca_issuer *ca_issuer_new(const struct ca_issuer_pem *pem, int64_t now_ms, struct err *err);

/* The key is cleared. NULL is ignored. */
void ca_issuer_free(struct ca_issuer *issuer);

/* Lifetimes of workload certificates: when none is asked for, and at most. Seconds, not 0. */
void ca_issuer_set_lifetimes(struct ca_issuer *issuer, int64_t default_s, int64_t max_s);

/* A certificate for somebody who holds the key himself. */
struct ca_issued {
    char *pem; /* the leaf alone, with its NUL */
    char serial[CERT_SERIAL_TEXT_MAX];
    int64_t not_before_ms;
    int64_t not_after_ms;
};

/* What is to be certified, by whom and when. All of it lent. */
struct ca_issue {
    const char *csr_pem;
    size_t csr_pem_len;
    const struct spiffe_id *id; /* who the sender of the request is, whatever it says */
    int64_t requested_s;        /* the lifetime that he would like; 0: the default */
    int64_t now_ms;             /* wall clock */
};

/*
 * Certifies that the request's key is the identity's, for the lifetime that ca_validity.h gives. 0
 * and *out, which the caller gives to ca_issued_done; or -1 with *err: ERR_INVALID (the request;
 * see ca_request.h), ERR_LIMIT (the CA itself has expired), ERR_NOMEM.
 */
int ca_issuer_issue(struct ca_issuer *issuer, const struct ca_issue *issue, struct ca_issued *out,
                    struct err *err);

/*
 * Whether bytes of a file are a former result of ca_issuer_sign, which a new one may take the place of:
 * PEM of a certificate that is no CA's, with more behind it maybe, but no key.
 */
bool ca_issuer_may_replace(const uint8_t *bytes, size_t len);

/*
 * Certifies what the order's lists allow of what its request asks for (ca_order_decide.h). `words`
 * gets some lines that say what was signed and what was left out. 0 and *out, which the caller gives
 * to ca_issued_done; or -1 with *err: as ca_issuer_issue, and ERR_DENIED for what is not allowed.
 */
int ca_issuer_sign(struct ca_issuer *issuer, const struct ca_order *order, struct ca_issued *out,
                   struct buf *words, struct err *err);

/* Frees and empties. NULL and an empty one are ignored. */
void ca_issued_done(struct ca_issued *issued);

/* A key and certificate for our own TLS server. */
struct ca_server_cert {
    char *key_pem;   /* cleared when freed */
    char *chain_pem; /* leaf, then what leads to the root */
    int64_t not_before_ms;
    int64_t not_after_ms;
};

/*
 * `host` is the DNS name or IP address that clients verify; ASCII. 0 and *out, which the caller
 * gives to ca_server_cert_done; or -1 with *err as above.
 */
int ca_issuer_issue_server(struct ca_issuer *issuer, const char *host, int64_t lifetime_s,
                           int64_t now_ms, struct ca_server_cert *out, struct err *err);
void ca_server_cert_done(struct ca_server_cert *cert);

/* PEM of the certificate number `index` between leaf and root, NULL past the last; lent. */
const char *ca_issuer_chain_pem(const struct ca_issuer *issuer, size_t index);

/* PEM of all roots; lent. */
const char *ca_issuer_roots_pem(const struct ca_issuer *issuer);

/* Hex of the SHA-256 of the root that the chain leads to; lent. */
const char *ca_issuer_root_fingerprint(const struct ca_issuer *issuer);

/* The earliest end on the way to the root, wall clock. */
int64_t ca_issuer_not_after_ms(const struct ca_issuer *issuer);

#endif
