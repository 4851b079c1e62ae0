/*
 * The protocols that one side speaks (ALPN, RFC 7301). Private to tls.
 */
#ifndef REMORA_TLS_ALPN_H
#define REMORA_TLS_ALPN_H

#include <openssl/base.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "tls_conn.h"

/* Zeroed: ALPN is not negotiated. */
struct tls_alpn {
    uint8_t *list; /* in the form of the wire */
    size_t list_len;
    char **names; /* the same as texts */
    size_t num;
};

/* Copies. 0, or -1 with *err (ERR_INVALID, ERR_LIMIT, ERR_NOMEM). */
int tls_alpn_init(struct tls_alpn *alpn, const char *const *protocols, size_t num, struct err *err);
void tls_alpn_done(struct tls_alpn *alpn);

/*
 * A client offers them all; a server takes the first that the client offers, too, and refuses one
 * that offers others. `alpn` must outlive `ctx`. 0, or -1 with BoringSSL's error queue filled.
 */
int tls_alpn_use(const struct tls_alpn *alpn, SSL_CTX *ctx, enum tls_role role);

/* What was agreed on, lent by `alpn`; "": nothing. */
const char *tls_alpn_selected(const struct tls_alpn *alpn, const SSL *ssl);

#endif
