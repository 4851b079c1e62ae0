/*
 * The kinds of contexts: each fills an empty one of its kind. All return 0, or -1 with *err and a
 * context that only needs to be released. Private to tls.
 */
#ifndef REMORA_TLS_KINDS_H
#define REMORA_TLS_KINDS_H

#include "tls_context_ssl.h"

/* Both roles, by the one ALPN protocol. */
int tls_mesh_configure(struct tls_context *context, struct identity *identity,
                       const struct cert_rules *rules, const char *alpn, struct err *err);

int tls_app_server_configure(struct tls_context *context, const struct tls_app_server *server,
                             struct err *err);

int tls_origin_configure(struct tls_context *context, const struct tls_origin *origin,
                         struct err *err);

int tls_named_configure_client(struct tls_context *context, const char *roots_pem,
                               size_t roots_pem_len, const char *server_name, struct err *err);
int tls_named_configure_server(struct tls_context *context, const char *key_pem, size_t key_pem_len,
                               const char *chain_pem, size_t chain_pem_len, struct err *err);

#endif
