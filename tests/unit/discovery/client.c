/* One stream, as a machine: which response follows which request and which table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "discovery_client.h"
#include "discovery_fixture.h"
#include "envoy/service/discovery/v3/discovery.pb-c.h"

#define END           ((struct discovery_resource *)NULL)
#define ADDRESS       "type.googleapis.com/istio.workload.Address"
#define AUTHORIZATION "type.googleapis.com/istio.security.Authorization"

typedef Envoy__Service__Discovery__V3__DeltaDiscoveryResponse response;

/* --------------------------------------------------------------------------------- the other side -- */

struct names {
    const char *values[16]; /* ends with NULL */
};

#define NAMES(...) ((struct names){{__VA_ARGS__}})
#define NONE       ((struct names){{NULL}})

static size_t num_names(const struct names *names)
{
    size_t num = 0;
    while (names->values[num] != NULL)
        num++;
    return num;
}

static struct discovery_outcome ask(struct discovery_client *client, const char *type,
                                    struct names subscribe, struct names unsubscribe,
                                    const char *nonce)
{
    struct err err = {0};
    struct discovery_outcome outcome;
    const struct discovery_request request = {
        .type_url = type,
        .subscribe = subscribe.values,
        .num_subscribe = num_names(&subscribe),
        .unsubscribe = unsubscribe.values,
        .num_unsubscribe = num_names(&unsubscribe),
        .nonce = nonce,
        .nack_reason = "",
    };
    assert_int_equal(discovery_client_request(client, &request, &outcome, &err), 0);
    return outcome;
}

static char last_nonce[DISCOVERY_NONCE_MAX];

static void append(char *text, size_t size, const char *before, const char *name)
{
    size_t len = strlen(text);
    snprintf(text + len, size - len, "%s%s%s", len == 0 ? "" : " ", before, name);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void describe(const response *message, char *text, size_t size)
{
    const char *names[64];
    size_t num = 0;
    text[0] = '\0';
    append(text, size, "", strcmp(message->type_url, ADDRESS) == 0 ? "address:" : "policy:");
    for (size_t i = 0; i < message->n_resources && num < 64; i++)
        names[num++] = message->resources[i]->name;
    qsort(names, num, sizeof(names[0]), compare_texts);
    for (size_t i = 0; i < num; i++)
        append(text, size, "", names[i]);
    num = 0;
    for (size_t i = 0; i < message->n_removed_resources && num < 64; i++)
        names[num++] = message->removed_resources[i];
    qsort(names, num, sizeof(names[0]), compare_texts);
    for (size_t i = 0; i < num; i++)
        append(text, size, "-", names[i]);
}

/* The next response is `expected`: "address:" or "policy:", names in order, "-" before removed ones;
 * NULL: there is none. */
static void told(struct discovery_client *client, const char *expected)
{
    struct buf bytes = {0};
    struct discovery_told what;
    char text[1024];
    int result = discovery_client_next(client, &bytes, &what);
    assert_int_not_equal(result, -1);
    if (result == 0) {
        if (expected != NULL)
            fail_msg("nothing came, expected \"%s\"", expected);
        return;
    }
    response *message = envoy__service__discovery__v3__delta_discovery_response__unpack(
        NULL, buf_len(&bytes), buf_head(&bytes));
    assert_non_null(message);
    describe(message, text, sizeof(text));
    if (expected == NULL || strcmp(text, expected) != 0)
        fail_msg("came \"%s\", expected \"%s\"", text, expected == NULL ? "nothing" : expected);
    assert_int_equal(what.num_resources, message->n_resources);
    assert_int_equal(what.num_removed, message->n_removed_resources);
    snprintf(last_nonce, sizeof(last_nonce), "%s", message->nonce);
    envoy__service__discovery__v3__delta_discovery_response__free_unpacked(message, NULL);
    buf_done(&bytes);
}

static void ack(struct discovery_client *client, const char *type)
{
    assert_true(ask(client, type, NONE, NONE, last_nonce).acked);
}

/* Told and acknowledged. */
static void tells(struct discovery_client *client, const char *expected)
{
    told(client, expected);
    ack(client, strncmp(expected, "address:", 8) == 0 ? ADDRESS : AUTHORIZATION);
}

/* Takes `table`. */
static struct discovery_client *new_client(struct discovery_table *table)
{
    struct discovery_client *client = discovery_client_new(table);
    assert_non_null(client);
    discovery_table_unref(table);
    return client;
}

static void set_table(struct discovery_client *client, struct discovery_table *table)
{
    discovery_client_set_table(client, table);
    discovery_table_unref(table);
}

static struct discovery_table *two_workloads(void)
{
    return fixture_table(1, fixture_workload("a", "10.0.0.1", "ns/web", ""),
                         fixture_workload("b", "10.0.0.2", "ns/web", ""),
                         fixture_service("web", "10.1.0.1", NULL), END);
}

static struct discovery_client *on_demand_client(struct discovery_table *table)
{
    struct discovery_client *client = new_client(table);
    ask(client, ADDRESS, NAMES("*"), NAMES("*"), "");
    tells(client, "address:");
    return client;
}

/* ----------------------------------------------------------------------------------- tests -- */

static void nothing_is_told_before_it_is_asked_for(void **state)
{
    struct discovery_client *client = new_client(two_workloads());
    told(client, NULL);
    ask(client, AUTHORIZATION, NONE, NONE, "");
    told(client, "policy:"); /* the first request is always answered */
    told(client, NULL);
    discovery_client_free(client);
}

static void questions_asked_while_one_is_answered_are_answered_together(void **state)
{
    struct discovery_client *client = on_demand_client(two_workloads());
    ask(client, ADDRESS, NAMES("/10.0.0.1"), NONE, "");
    told(client, "address: a");
    ask(client, ADDRESS, NAMES("/10.0.0.2"), NONE, "");
    ask(client, ADDRESS, NAMES("/10.0.0.9"), NONE, "");
    ask(client, ADDRESS, NAMES("/10.0.0.9", "b"), NONE, "");
    told(client, NULL); /* a is not acknowledged */
    ack(client, ADDRESS);
    tells(client, "address: b -/10.0.0.9");
    told(client, NULL);
    discovery_client_free(client);
}

static void what_is_unsubscribed_before_it_is_answered_is_not_answered(void **state)
{
    struct discovery_client *client = on_demand_client(two_workloads());
    ask(client, ADDRESS, NAMES("a", "b"), NONE, "");
    ask(client, ADDRESS, NONE, NAMES("a"), "");
    tells(client, "address: b");
    told(client, NULL);
    discovery_client_free(client);
}

static void a_service_brings_its_endpoints_and_those_that_come_later(void **state)
{
    struct discovery_client *client = on_demand_client(two_workloads());
    ask(client, ADDRESS, NAMES("ns/web"), NONE, "");
    tells(client, "address: a b ns/web");
    set_table(client, fixture_table(2, fixture_workload("a", "10.0.0.1", "ns/web", ""),
                                    fixture_workload("b", "10.0.0.2", NULL, ""), /* left it */
                                    fixture_workload("c", "10.0.0.3", "ns/web", ""),
                                    fixture_service("web", "10.1.0.1", NULL), END));
    tells(client, "address: b c");
    /* What was told goes on being told, until the client does not want it any more. */
    set_table(client, fixture_table(3, fixture_workload("a", "10.0.0.1", "ns/web", ""),
                                    fixture_workload("b", "10.0.0.2", NULL, "v2"),
                                    fixture_service("web", "10.1.0.1", NULL), END));
    tells(client, "address: b -c");
    ask(client, ADDRESS, NONE, NAMES("b"), "");
    set_table(client, fixture_table(4, fixture_workload("a", "10.0.0.1", "ns/web", "v2"),
                                    fixture_service("web", "10.1.0.1", NULL), END));
    tells(client, "address: a");
    told(client, NULL);
    discovery_client_free(client);
}

static void an_address_that_is_taken_over_is_told(void **state)
{
    struct discovery_client *client = on_demand_client(two_workloads());
    ask(client, ADDRESS, NAMES("/10.0.0.1"), NONE, "");
    tells(client, "address: a");
    set_table(client, fixture_table(2, fixture_workload("heir", "10.0.0.1", NULL, ""), END));
    tells(client, "address: heir -a");
    set_table(client, fixture_table(3, END));
    tells(client, "address: -heir");
    set_table(client, two_workloads());
    tells(client, "address: a");
    discovery_client_free(client);
}

static void asking_again_brings_everything_again(void **state)
{
    struct discovery_client *client = on_demand_client(two_workloads());
    for (unsigned i = 0; i < 3; i++) {
        ask(client, ADDRESS, NAMES("/10.1.0.1", "nobody"), NONE, "");
        tells(client, "address: a b ns/web -nobody");
    }
    discovery_client_free(client);
}

static void of_changes_while_a_client_is_slow_only_the_sum_is_told(void **state)
{
    struct discovery_client *client = new_client(fixture_table(1, END));
    ask(client, ADDRESS, NONE, NONE, "");
    told(client, "address:");
    set_table(client, two_workloads());
    set_table(client, fixture_table(2, fixture_workload("a", "10.0.0.1", NULL, "x"),
                                    fixture_workload("z", "10.0.0.9", NULL, ""), END));
    set_table(client, fixture_table(3, fixture_workload("a", "10.0.0.1", NULL, "y"), END));
    told(client, NULL);
    ack(client, ADDRESS);
    tells(client, "address: a");
    told(client, NULL);
    discovery_client_free(client);
}

static void a_table_that_says_the_same_is_no_news(void **state)
{
    struct discovery_client *client = new_client(two_workloads());
    ask(client, ADDRESS, NONE, NONE, "");
    tells(client, "address: a b ns/web");
    set_table(client, two_workloads());
    told(client, NULL);
    discovery_client_free(client);
}

static void only_the_last_nonce_acknowledges(void **state)
{
    struct discovery_client *client = new_client(two_workloads());
    ask(client, ADDRESS, NONE, NONE, "");
    told(client, "address: a b ns/web");
    set_table(client, fixture_table(2, END));
    assert_false(ask(client, ADDRESS, NONE, NONE, "999").acked);
    assert_false(ask(client, AUTHORIZATION, NAMES("x"), NONE, last_nonce).acked);
    told(client, "policy: -x");
    told(client, NULL);
    discovery_client_free(client);
}

static void a_nack_is_an_acknowledgement_too(void **state)
{
    struct discovery_client *client = new_client(two_workloads());
    struct discovery_outcome outcome;
    struct err err;
    ask(client, ADDRESS, NONE, NONE, "");
    told(client, "address: a b ns/web");
    const struct discovery_request nack = {
        .type_url = ADDRESS, .nonce = last_nonce, .is_nack = true, .nack_reason = "no"};
    assert_int_equal(discovery_client_request(client, &nack, &outcome, &err), 0);
    assert_true(outcome.nacked && !outcome.acked);
    set_table(client, fixture_table(2, END));
    tells(client, "address: -a -b -ns/web");
    discovery_client_free(client);
}

static void policies_come_before_and_go_after_the_addresses_that_name_them(void **state)
{
    struct discovery_client *client =
        new_client(fixture_table(1, fixture_workload("a", "10.0.0.1", NULL, ""),
                                 fixture_policy("old", false), fixture_policy("p", false), END));
    ask(client, ADDRESS, NONE, NONE, "");
    ask(client, AUTHORIZATION, NONE, NONE, "");
    told(client, "policy: ns/old ns/p");
    ack(client, AUTHORIZATION);
    tells(client, "address: a");
    set_table(client, fixture_table(2, fixture_workload("a", "10.0.0.1", NULL, "v2"),
                                    fixture_policy("new", false), fixture_policy("p", true), END));
    told(client, "policy: ns/new ns/p");
    char nonce[DISCOVERY_NONCE_MAX];
    memcpy(nonce, last_nonce, sizeof(nonce));
    told(client, "address: a"); /* the stream keeps the order; nothing has to be acknowledged */
    told(client, NULL);
    assert_true(ask(client, AUTHORIZATION, NONE, NONE, nonce).acked);
    told(client, "policy: -ns/old");
    discovery_client_free(client);
}

static void a_star_later_makes_a_wildcard_and_back(void **state)
{
    struct discovery_client *client = on_demand_client(two_workloads());
    ask(client, ADDRESS, NAMES("b"), NONE, "");
    tells(client, "address: b");
    ask(client, ADDRESS, NAMES("*"), NONE, "");
    tells(client, "address: a ns/web"); /* b it has */
    ask(client, ADDRESS, NAMES("a"), NAMES("*"), "");
    tells(client, "address: a");
    set_table(client, fixture_table(2, END));
    tells(client, "address: -a");
    discovery_client_free(client);
}

static void a_resource_larger_than_a_response_goes_alone(void **state)
{
    char *large = malloc(DISCOVERY_RESPONSE_MAX + 1);
    assert_non_null(large);
    memset(large, 'x', DISCOVERY_RESPONSE_MAX);
    large[DISCOVERY_RESPONSE_MAX] = '\0';
    struct discovery_client *client =
        new_client(fixture_table(1, fixture_workload("a", "10.0.0.1", NULL, ""),
                                 fixture_workload("b", "10.0.0.2", NULL, large),
                                 fixture_workload("c", "10.0.0.3", NULL, ""), END));
    free(large);
    ask(client, ADDRESS, NONE, NONE, "");
    tells(client, "address: a");
    tells(client, "address: b");
    tells(client, "address: c");
    told(client, NULL);
    discovery_client_free(client);
}

static void names_are_bounded(void **state)
{
    struct err err = {0};
    struct discovery_outcome outcome;
    struct discovery_client *client = on_demand_client(two_workloads());
    const size_t num = DISCOVERY_NAMES_MAX;
    const char **names = calloc(num + 1, sizeof(names[0]));
    char *texts = calloc(num + 1, 8);
    assert_non_null(names);
    assert_non_null(texts);
    for (size_t i = 0; i <= num; i++) {
        snprintf(texts + i * 8, 8, "n%zu", i);
        names[i] = texts + i * 8;
    }
    struct discovery_request request = {.type_url = ADDRESS,
                                        .subscribe = names,
                                        .num_subscribe = num,
                                        .nonce = "",
                                        .nack_reason = ""};
    assert_int_equal(discovery_client_request(client, &request, &outcome, &err), 0);
    request.subscribe = &names[num];
    request.num_subscribe = 1;
    assert_int_equal(discovery_client_request(client, &request, &outcome, &err), -1);
    assert_int_equal(err.kind, ERR_LIMIT);
    discovery_client_free(client);
    free(names);
    free(texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_told_before_it_is_asked_for),
        cmocka_unit_test(questions_asked_while_one_is_answered_are_answered_together),
        cmocka_unit_test(what_is_unsubscribed_before_it_is_answered_is_not_answered),
        cmocka_unit_test(a_service_brings_its_endpoints_and_those_that_come_later),
        cmocka_unit_test(an_address_that_is_taken_over_is_told),
        cmocka_unit_test(asking_again_brings_everything_again),
        cmocka_unit_test(of_changes_while_a_client_is_slow_only_the_sum_is_told),
        cmocka_unit_test(a_table_that_says_the_same_is_no_news),
        cmocka_unit_test(only_the_last_nonce_acknowledges),
        cmocka_unit_test(a_nack_is_an_acknowledgement_too),
        cmocka_unit_test(policies_come_before_and_go_after_the_addresses_that_name_them),
        cmocka_unit_test(a_star_later_makes_a_wildcard_and_back),
        cmocka_unit_test(a_resource_larger_than_a_response_goes_alone),
        cmocka_unit_test(names_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
