/*
 * The key exchange groups that this BoringSSL has, in our order of preference. Private to tls.
 */
#ifndef REMORA_TLS_LIBRARY_GROUPS_H
#define REMORA_TLS_LIBRARY_GROUPS_H

#include <openssl/base.h>

/* 0, or -1 with BoringSSL's error queue filled. */
int tls_library_groups_set(SSL_CTX *ctx);

/* The group of a finished handshake in static storage; "" when there is none. */
const char *tls_library_group_name(const SSL *ssl);

#endif
