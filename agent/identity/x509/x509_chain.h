/*
 * The certificates that somebody presented, read. Private to identity.
 */
#ifndef REMORA_X509_CHAIN_H
#define REMORA_X509_CHAIN_H

#include <openssl/base.h>
#include <openssl/pool.h>
#include <openssl/x509.h>

#include "err.h"
#include "reason.h"

/*
 * Reads all of `chain` (DER, leaf first), of which there may be CERT_CHAIN_MAX of at most
 * CERT_DER_MAX bytes. Returns a stack in the same order that the caller frees with
 * sk_X509_pop_free; or NULL with *reason, CERT_MALFORMED or NO_MEMORY, and *err.
 */
STACK_OF(X509) *x509_chain_parse(const STACK_OF(CRYPTO_BUFFER) *chain, enum reason *reason,
                                 struct err *err);

#endif
