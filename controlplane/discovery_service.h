/*
 * AggregatedDiscoveryService/DeltaAggregatedResources on top of a discovery_table: asks the token
 * table who calls, keeps a discovery_client for each stream, carries messages between the two, and
 * logs who came, what was refused, and by whom. One loop's.
 */
#ifndef REMORA_DISCOVERY_SERVICE_H
#define REMORA_DISCOVERY_SERVICE_H

#include <sys/queue.h>

#include "discovery_table.h"
#include "grpc_server.h"
#include "rate_limit.h"
#include "token_table.h"

struct discovery_stream;

struct discovery_service {
    struct discovery_table *table;    /* counted here */
    const struct token_table *tokens; /* lent */
    struct rate_limit refusals;       /* of log lines; anybody can cause a refusal */
    struct rate_limit nacks;          /* as well */
    LIST_HEAD(, discovery_stream) streams;
    unsigned num_streams;
};

/* What the method needs: its path, its functions; the service is the owner. */
extern const struct grpc_server_streaming discovery_service_streaming;

/* Takes a reference to `table`. */
void discovery_service_init(struct discovery_service *service, struct discovery_table *table,
                            const struct token_table *tokens);

/* Tells every client what is different. Takes a reference to `table`. */
void discovery_service_set_table(struct discovery_service *service, struct discovery_table *table);

/*
 * Lent until the next ones. Streams whose token does not stand for the same identity any more are ended with UNAUTHENTICATED: a
 * token that is taken away is of no use from then on, and a client whose token was renewed comes back with the new one.
 */
void discovery_service_set_tokens(struct discovery_service *service,
                                  const struct token_table *tokens);

/* The server, and with it every stream, is gone already. A zeroed service is ignored. */
void discovery_service_done(struct discovery_service *service);

#endif
