/*
 * All X.509-SVID rules in their documented order (peer_cert.h), for a peer's chain and for our own
 * alike. Private to identity.
 */
#ifndef REMORA_X509_SVID_H
#define REMORA_X509_SVID_H

#include <openssl/base.h>
#include <openssl/pool.h>
#include <stddef.h>
#include <stdint.h>

#include "cert_rules.h"
#include "err.h"
#include "reason.h"
#include "spiffe_id.h"
#include "trust.h"

struct x509_svid_check {
    const STACK_OF(CRYPTO_BUFFER) *chain; /* DER, leaf first */
    const struct trust *trust;
    const struct cert_rules *rules;
    int64_t now_ms;
};

struct x509_svid_facts {
    struct spiffe_id id;   /* the caller's to give to spiffe_id_done */
    int64_t not_before_ms; /* of the whole path */
    int64_t not_after_ms;
    char serial[CERT_SERIAL_TEXT_MAX];
    char fingerprint[CERT_FINGERPRINT_TEXT];
};

/* 0 and *facts, or -1 with *reason and *err and nothing to free. */
int x509_svid_verify(const struct x509_svid_check *check, struct x509_svid_facts *facts,
                     enum reason *reason, struct err *err);

#endif
