/*
 * The control plane's own TLS certificate: issued by its own CA, kept fresh in memory, never on
 * disk.
 */
#ifndef REMORA_SERVER_IDENTITY_H
#define REMORA_SERVER_IDENTITY_H

#include <stdint.h>

#include "ca_issuer.h"
#include "err.h"
#include "net_loop.h"
#include "tls_context.h"

struct server_identity;

struct server_identity_options {
    const char *host; /* what clients verify */
    uint64_t lifetime_ms;
    /* The certificate was renewed: the context that goes with it, lent. */
    void (*on_renewed)(void *owner, struct tls_context *context);
    void *owner;
};

/*
 * Issues the first certificate, and from then on one in the middle of the life of each. `issuer` is
 * lent until server_identity_free. When a renewal fails, that is logged and tried again at the next
 * look at the clock. NULL: see *err.
 */
struct server_identity *server_identity_new(struct net_loop *loop, struct ca_issuer *issuer,
                                            const struct server_identity_options *options,
                                            struct err *err);

/* NULL is ignored. */
void server_identity_free(struct server_identity *identity);

/* What is in force; lent. */
struct tls_context *server_identity_context(const struct server_identity *identity);

#endif
