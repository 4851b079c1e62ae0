/*
 * What a connection needs of its context. Private to tls.
 */
#ifndef REMORA_TLS_CONTEXT_SSL_H
#define REMORA_TLS_CONTEXT_SSL_H

#include <openssl/base.h>

#include "tls_conn.h"
#include "tls_context.h"

enum tls_context_kind { TLS_CONTEXT_MESH, TLS_CONTEXT_NAMED_CLIENT, TLS_CONTEXT_NAMED_SERVER };

enum tls_context_kind tls_context_kind(const struct tls_context *context);

/* All lent. The SSL_CTX is NULL for a role that the context does not have. */
SSL_CTX *tls_context_ssl(const struct tls_context *context, enum tls_role role);
const struct cert_rules *tls_context_rules(const struct tls_context *context);
const char *tls_context_server_name(const struct tls_context *context); /* of a named client */

#endif
