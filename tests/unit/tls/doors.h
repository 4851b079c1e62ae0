/*
 * The doors of applications and the clients that come to them, for tests: certificates of a private
 * CA and contexts made of them.
 */
#ifndef REMORA_TLS_TEST_DOORS_H
#define REMORA_TLS_TEST_DOORS_H

#include "pair.h"

/* A certificate and its key as a context wants them. */
struct tls_context_cert door_cert(const struct cert_built *leaf);
struct cert_bytes door_roots(const struct cert_built *root);

/* An identity of this leaf that trusts this root; the caller unrefs. */
struct identity *door_identity(const struct cert_built *leaf, const struct cert_built *root);

/* These fail the test when the context cannot be made. The caller unrefs. */
struct tls_context *door_server(const struct tls_app_server *server);
struct tls_context *door_origin(const struct tls_origin *origin);

/* A connection at this moment. */
struct tls_conn *door_conn(struct tls_context *context, enum tls_role role, int64_t now_ms);

/* Makes both ends and carries their bytes until neither has any. The caller says pair_done. */
void door_connect(struct pair *pair, struct tls_context *client, struct tls_context *server,
                  int64_t now_ms);

#endif
