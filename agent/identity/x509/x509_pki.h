/*
 * All rules of a PKI that is not SPIFFE's, in their documented order (peer_cert.h). Private to
 * identity.
 */
#ifndef REMORA_X509_PKI_H
#define REMORA_X509_PKI_H

#include <openssl/base.h>
#include <openssl/pool.h>
#include <stdint.h>

#include "cert_rules.h"
#include "err.h"
#include "pki.h"
#include "reason.h"
#include "trust.h"
#include "x509_principal.h"

struct x509_pki_check {
    const STACK_OF(CRYPTO_BUFFER) *chain; /* DER, leaf first */
    const struct pki *pki;
    const struct trust *trust; /* revocation lists, and whose trust domains are taken */
    int64_t now_ms;
};

struct x509_pki_facts {
    struct x509_principal principal;     /* its id is the caller's to give to spiffe_id_done */
    char common_name[PRINCIPAL_MAX + 1]; /* "": none */
    int64_t not_before_ms;               /* of the whole path */
    int64_t not_after_ms;
    char serial[CERT_SERIAL_TEXT_MAX];
    char fingerprint[CERT_FINGERPRINT_TEXT];
};

/*
 * keyUsage of the leaf, and extended key usage of all of a path, leaf first, but its last, the root. 0,
 * or -1 with *err: the reason is then CERT_KEY_USAGE.
 */
int x509_pki_check_usage(const STACK_OF(X509) *path, enum pki_peer peer, struct err *err);

/* 0 and *facts, or -1 with *reason and *err and nothing to free. */
int x509_pki_verify(const struct x509_pki_check *check, struct x509_pki_facts *facts,
                    enum reason *reason, struct err *err);

#endif
