/*
 * One stream of DeltaAggregatedResources, the server's side, as a machine: requests and new tables
 * go in, responses come out, one at a time for each type until it is acknowledged. Pure: no socket,
 * no clock, no log.
 *
 * What changes while a client is slow is told in one step later: what a client costs is bounded by
 * what it has asked for. Of one table, new and changed policies are told first, then addresses,
 * then which policies are gone, so that no workload ever names a policy that the client cannot
 * know.
 */
#ifndef REMORA_DISCOVERY_CLIENT_H
#define REMORA_DISCOVERY_CLIENT_H

#include "discovery_message.h"
#include "discovery_subscription.h"
#include "discovery_table.h"
#include "err.h"

enum {
    DISCOVERY_RESPONSE_MAX = 1024 * 1024, /* bytes of resources in one response, unless a single
                                             one has more; many clients take four million */
};

struct discovery_client;

/* `table` (a reference is taken) is what the client is told of. NULL: out of memory. */
struct discovery_client *discovery_client_new(struct discovery_table *table);
void discovery_client_free(struct discovery_client *client); /* NULL is ignored */

/* From now on this one. Takes a reference. */
void discovery_client_set_table(struct discovery_client *client, struct discovery_table *table);

/* What a request was. */
struct discovery_outcome {
    bool known; /* of a type of ours; others are ignored */
    enum discovery_type type;
    bool acked;
    bool nacked; /* nack_reason of the request says why */
};

/* Takes a request. 0; or -1 with *err: ERR_LIMIT, ERR_NOMEM, and the stream is to be ended. */
int discovery_client_request(struct discovery_client *client,
                             const struct discovery_request *request,
                             struct discovery_outcome *outcome, struct err *err);

/* What was written. */
struct discovery_told {
    enum discovery_type type;
    size_t num_resources;
    size_t num_removed;
};

/* Appends the next response that is due to `out`. 1, 0 when there is none, or -1 when out of memory:
 * the stream is to be ended. */
int discovery_client_next(struct discovery_client *client, struct buf *out,
                          struct discovery_told *told);

#endif
