/*
 * What one client wants to know of one type, what it knows, and what it has therefore to be told.
 * Pure: tables and requests go in, a push comes out.
 *
 * A client that names nothing gets everything (wildcard). One that names things gets these, with
 * the endpoints of services; whatever it was told counts as named, so that it goes on being told
 * until it unsubscribes from that name. A zeroed subscription wants nothing.
 */
#ifndef REMORA_DISCOVERY_SUBSCRIPTION_H
#define REMORA_DISCOVERY_SUBSCRIPTION_H

#include <stdbool.h>

#include "discovery_message.h"
#include "discovery_names.h"
#include "discovery_push.h"
#include "discovery_table.h"

enum {
    DISCOVERY_NAMES_MAX = 65536, /* that a client may ask for; who talks to more wants everything */
    DISCOVERY_HELD_MAX = 4 * DISCOVERY_NAMES_MAX, /* that it may say it holds: with endpoints */
};

struct discovery_subscription {
    enum discovery_type type;
    bool active; /* the client has spoken of this type */
    bool wildcard;
    bool changed;     /* it is to be compared with the table */
    bool owes_answer; /* even if there is nothing to tell */

    struct discovery_names names; /* with wildcard: only until the first comparison, what is held */
    size_t num_asked;
    size_t num_pending;
    struct discovery_table *told; /* with wildcard: what the client holds; NULL: see names */

    struct discovery_push push;
    char outstanding[DISCOVERY_NONCE_MAX]; /* nonce of the response that is not acknowledged; "" */
};

/*
 * Takes a request's names. Its nonce is the client's (discovery_client.h). 0, or -1 with *err:
 * ERR_LIMIT (too many or too long names), ERR_NOMEM.
 */
int discovery_subscription_request(struct discovery_subscription *subscription,
                                   const struct discovery_request *request, struct err *err);

/*
 * Fills the push, which must be empty, with what the client has to be told so that it knows what
 * `table` says: answers to what it asked, and, when `changed`, everything that is different. 0, or
 * -1 when out of memory.
 */
int discovery_subscription_compare(struct discovery_subscription *subscription,
                                   struct discovery_table *table);

/* True when discovery_subscription_compare has something to do. */
bool discovery_subscription_is_due(const struct discovery_subscription *subscription);

void discovery_subscription_done(struct discovery_subscription *subscription);

#endif
