/*
 * A certificate of our own with its key, from an SVID or from PEM. Private to tls.
 */
#ifndef REMORA_TLS_OWN_CERT_H
#define REMORA_TLS_OWN_CERT_H

#include <openssl/base.h>
#include <openssl/pool.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "svid.h"
#include "tls_context.h"

/* Zeroed: empty. */
struct tls_own_cert {
    EVP_PKEY *key;
    STACK_OF(CRYPTO_BUFFER) *chain; /* leaf first */
    int64_t not_after_ms;           /* the earliest end in the chain, wall clock */
    char **names;                   /* server names that it is for, lower case */
    size_t num_names;
};

/* All leave an empty one with *err when they return -1. */
int tls_own_cert_from_svid(struct tls_own_cert *cert, const struct svid *svid, struct err *err);
int tls_own_cert_from_pem(struct tls_own_cert *cert, const struct tls_context_cert *pem,
                          struct err *err);
void tls_own_cert_done(struct tls_own_cert *cert);

/* 0, or -1 with BoringSSL's error queue filled: the key is not the certificate's. */
int tls_own_cert_use(const struct tls_own_cert *cert, SSL_CTX *ctx);

/* Whether it is for this server name: exactly, or (`by_wildcard`) by a star in the place of the first
 * label. */
bool tls_own_cert_is_for(const struct tls_own_cert *cert, const char *server_name,
                         bool by_wildcard);

#endif
