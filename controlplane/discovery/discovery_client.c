#include "discovery_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct discovery_client {
    struct discovery_table *table;  /* of which the client is being told, or has been */
    struct discovery_table *latest; /* of which it will be */
    uint64_t num_responses;
    struct discovery_subscription subscriptions[DISCOVERY_NUM_TYPES];
};

struct discovery_client *discovery_client_new(struct discovery_table *table)
{
    struct discovery_client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return NULL;
    client->table = discovery_table_ref(table);
    client->latest = discovery_table_ref(table);
    for (enum discovery_type type = 0; type < DISCOVERY_NUM_TYPES; type++)
        client->subscriptions[type].type = type;
    return client;
}

void discovery_client_free(struct discovery_client *client)
{
    if (client == NULL)
        return;
    for (enum discovery_type type = 0; type < DISCOVERY_NUM_TYPES; type++)
        discovery_subscription_done(&client->subscriptions[type]);
    discovery_table_unref(client->table);
    discovery_table_unref(client->latest);
    free(client);
}

void discovery_client_set_table(struct discovery_client *client, struct discovery_table *table)
{
    discovery_table_unref(client->latest);
    client->latest = discovery_table_ref(table);
}

/* -------------------------------------------------------------------------------- requests -- */

/* An older nonce acknowledges nothing any more. */
static void acknowledge(struct discovery_subscription *subscription,
                        const struct discovery_request *request, struct discovery_outcome *outcome)
{
    if (request->nonce[0] == '\0' || strcmp(request->nonce, subscription->outstanding) != 0)
        return;
    subscription->outstanding[0] = '\0';
    outcome->nacked = request->is_nack;
    outcome->acked = !request->is_nack;
}

int discovery_client_request(struct discovery_client *client,
                             const struct discovery_request *request,
                             struct discovery_outcome *outcome, struct err *err)
{
    *outcome = (struct discovery_outcome){0};
    outcome->known = discovery_type_parse(request->type_url, &outcome->type) == 0;
    if (!outcome->known)
        return 0;
    struct discovery_subscription *subscription = &client->subscriptions[outcome->type];
    acknowledge(subscription, request, outcome);
    return discovery_subscription_request(subscription, request, err);
}

/* ------------------------------------------------------------------------------- responses -- */

static bool is_drained(const struct discovery_subscription *subscription)
{
    return discovery_push_num_resources(&subscription->push) == 0 &&
           discovery_push_num_removed(&subscription->push) == 0;
}

static bool is_idle(const struct discovery_subscription *subscription)
{
    return is_drained(subscription) && subscription->outstanding[0] == '\0';
}

/* Once everything of one table is told and acknowledged, the next one begins: of those in between
 * nothing is kept. */
static void begin_latest(struct discovery_client *client)
{
    if (client->table == client->latest)
        return;
    for (enum discovery_type type = 0; type < DISCOVERY_NUM_TYPES; type++)
        if (!is_idle(&client->subscriptions[type]))
            return;
    discovery_table_unref(client->table);
    client->table = discovery_table_ref(client->latest);
    for (enum discovery_type type = 0; type < DISCOVERY_NUM_TYPES; type++)
        client->subscriptions[type].changed = true;
}

static int compare(struct discovery_client *client)
{
    for (enum discovery_type type = 0; type < DISCOVERY_NUM_TYPES; type++) {
        struct discovery_subscription *subscription = &client->subscriptions[type];
        if (is_idle(subscription) && discovery_subscription_is_due(subscription) &&
            discovery_subscription_compare(subscription, client->table) < 0)
            return -1;
    }
    return 0;
}

static int write_response(struct discovery_client *client,
                          struct discovery_subscription *subscription, bool resources, bool removed,
                          struct buf *out, struct discovery_told *told)
{
    struct discovery_response response = {
        .type = subscription->type,
        .version = discovery_table_version(client->table),
        .nonce = subscription->outstanding,
    };
    snprintf(subscription->outstanding, sizeof(subscription->outstanding), "%" PRIu64,
             ++client->num_responses);
    if (resources)
        response.resources = discovery_push_take(&subscription->push, DISCOVERY_RESPONSE_MAX,
                                                 &response.num_resources);
    if (removed)
        response.removed = discovery_push_take_removed(&subscription->push, DISCOVERY_RESPONSE_MAX,
                                                       &response.num_removed);
    subscription->owes_answer = false;
    *told = (struct discovery_told){.type = subscription->type,
                                    .num_resources = response.num_resources,
                                    .num_removed = response.num_removed};
    int result = discovery_message_write(out, &response);
    if (is_drained(subscription))
        discovery_push_reset(&subscription->push);
    return result < 0 ? -1 : 1;
}

int discovery_client_next(struct discovery_client *client, struct buf *out,
                          struct discovery_told *told)
{
    struct discovery_subscription *policies = &client->subscriptions[DISCOVERY_AUTHORIZATION];
    struct discovery_subscription *addresses = &client->subscriptions[DISCOVERY_ADDRESS];
    begin_latest(client);
    if (compare(client) < 0)
        return -1;
    bool policies_free = policies->outstanding[0] == '\0';
    bool addresses_free = addresses->outstanding[0] == '\0';
    bool new_policies = discovery_push_num_resources(&policies->push) > 0;

    if (policies_free && (new_policies || policies->owes_answer))
        return write_response(client, policies, true, is_drained(addresses), out, told);
    if (addresses_free && !new_policies && (!is_drained(addresses) || addresses->owes_answer))
        return write_response(client, addresses, true, true, out, told);
    if (policies_free && is_drained(addresses) && !is_drained(policies))
        return write_response(client, policies, false, true, out, told);
    return 0;
}
