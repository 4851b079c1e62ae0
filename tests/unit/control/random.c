/*
 * Long sequences made at random, with what is under way delivered whenever it pleases: changes at the
 * server, questions, drops, streams that end in between. Whatever happened, once everything is said
 * client and server agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "recorder.h"

enum { SEEDS = 300, STEPS = 400, PODS = 12, SERVICES = 3, ADDRESSES = 16 };

struct world {
    struct istiod *istiod;
    struct istiod_stream *stream;
    struct recorder client;
    bool wildcard;
    bool wanted[ADDRESSES + SERVICES + SERVICES + PODS];
    uint64_t seed;
};

static uint32_t below(struct world *world, uint32_t num)
{
    world->seed = world->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((world->seed >> 33) % num);
}

static const char *address_of(uint32_t at, char *out)
{
    snprintf(out, 32, "10.0.0.%u", at + 1);
    return out;
}

/* Names that may be asked for: pods' addresses, services' addresses, services, pods. */
static const char *question(uint32_t at, char *out)
{
    if (at < ADDRESSES)
        snprintf(out, 32, "/10.0.0.%u", at + 1);
    else if (at < ADDRESSES + SERVICES)
        snprintf(out, 32, "/10.1.0.%u", at - ADDRESSES + 1);
    else if (at < ADDRESSES + 2 * SERVICES)
        snprintf(out, 32, "shop/s%u", at - ADDRESSES - SERVICES);
    else
        snprintf(out, 32, "pod-%u", at - ADDRESSES - 2 * SERVICES);
    return out;
}

enum { QUESTIONS = ADDRESSES + 2 * SERVICES + PODS };

/* A pod is an endpoint of one service for ever, so that what it needs is known by its name. */
static const char *service_of(const char *name)
{
    static char service[32];
    unsigned pod;
    if (sscanf(name, "pod-%u", &pod) != 1 || pod % 4 == 3)
        return NULL;
    snprintf(service, sizeof(service), "shop/s%u", pod % 4);
    return service;
}

static void change_server(struct world *world)
{
    char name[32];
    char ip[32];
    uint32_t pod = below(world, PODS);
    uint32_t service = below(world, SERVICES);
    switch (below(world, 6)) {
    case 0:
    case 1:
        snprintf(name, sizeof(name), "pod-%u", pod);
        istiod_put_workload(world->istiod, name, address_of(below(world, ADDRESSES), ip),
                            service_of(name));
        break;
    case 2:
        snprintf(name, sizeof(name), "pod-%u", pod);
        istiod_remove(world->istiod, XDS_ADDRESS, name);
        break;
    case 3:
        snprintf(name, sizeof(name), "shop/s%u", service);
        snprintf(ip, sizeof(ip), "10.1.0.%u", service + 1);
        istiod_put_service(world->istiod, name, ip);
        break;
    case 4:
        snprintf(name, sizeof(name), "shop/s%u", service);
        istiod_remove(world->istiod, XDS_ADDRESS, name);
        break;
    default:
        snprintf(name, sizeof(name), "shop/p%u", service);
        if (below(world, 2) == 0)
            istiod_put_policy(world->istiod, name, below(world, 2) == 0);
        else
            istiod_remove(world->istiod, XDS_AUTHORIZATION, name);
        break;
    }
}

static void reconnect(struct world *world)
{
    if (world->stream != NULL)
        istiod_stream_free(world->stream);
    world->stream = istiod_stream_new(world->istiod);
    xds_delta_start(world->client.delta);
}

static void ask(struct world *world)
{
    char name[32];
    uint32_t at = below(world, QUESTIONS);
    question(at, name);
    if (world->wildcard)
        return;
    if (world->wanted[at])
        recorder_unsubscribe(&world->client, name);
    else
        recorder_subscribe(&world->client, name);
    world->wanted[at] = !world->wanted[at];
}

static void step(struct world *world)
{
    char name[32];
    uint32_t what = below(world, 100);
    if (what < 20)
        change_server(world);
    else if (what < 35)
        istiod_push(world->stream);
    else if (what < 45)
        ask(world);
    else if (what < 50)
        xds_delta_ask_again(world->client.delta, question(below(world, QUESTIONS), name));
    else if (what < 53 && !world->wildcard)
        recorder_sweep(&world->client, service_of);
    else if (what < 54)
        reconnect(world);
    else if (what < 77)
        recorder_send_one(&world->client, world->stream);
    else
        recorder_receive_one(&world->client, world->stream);
}

/* Asks again as the source does for what is in use, and gives up what is not. */
static void settle(struct world *world)
{
    char name[32];
    recorder_talk(&world->client, world->stream);
    istiod_push(world->stream);
    recorder_talk(&world->client, world->stream);
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        if (world->wanted[i])
            xds_delta_ask_again(world->client.delta, question(i, name));
    }
    recorder_talk(&world->client, world->stream);
    if (!world->wildcard)
        recorder_sweep(&world->client, service_of);
    recorder_talk(&world->client, world->stream);
}

static void check_held(const struct world *world)
{
    for (size_t i = 0; i < world->client.num_held; i++) {
        const struct recorded_resource *held = &world->client.held[i];
        const char *version = istiod_version(world->istiod, held->type, held->name);
        if (version == NULL || strcmp(version, held->version) != 0)
            fail_msg("%s is held as %s, and is %s", held->name, held->version,
                     version == NULL ? "gone" : version);
    }
    assert_int_equal(world->client.num_held,
                     xds_delta_num_held(world->client.delta, XDS_ADDRESS) +
                         xds_delta_num_held(world->client.delta, XDS_AUTHORIZATION));
}

static void check_policies(const struct world *world)
{
    for (unsigned i = 0; i < SERVICES; i++) {
        char name[32];
        snprintf(name, sizeof(name), "shop/p%u", i);
        const char *held = recorder_held(&world->client, XDS_AUTHORIZATION, name);
        assert_int_equal(held != NULL,
                         istiod_version(world->istiod, XDS_AUTHORIZATION, name) != NULL);
    }
}

static void check_answers(const struct world *world)
{
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        char name[32];
        question(i, name);
        const char *answer = recorder_answer(&world->client, name);
        if (!world->wanted[i])
            assert_string_equal(answer, "?");
        else if (!istiod_resolves(world->istiod, name))
            assert_string_equal(answer, "");
        else if (answer[0] == '\0' || answer[0] == '?')
            fail_msg("%s is there, and answered \"%s\"", name, answer);
        else
            assert_non_null(recorder_held(&world->client, XDS_ADDRESS, answer));
    }
}

/* All there is in wildcard mode; on demand the endpoints of each service that is wanted. */
static void check_complete(const struct world *world)
{
    for (uint32_t i = ADDRESSES + SERVICES; i < QUESTIONS; i++) {
        char name[32];
        question(i, name);
        bool exists = istiod_version(world->istiod, XDS_ADDRESS, name) != NULL;
        const char *service = service_of(name);
        bool expected = world->wildcard ||
                        (service != NULL && xds_delta_is_needed(world->client.delta, service) &&
                         recorder_held(&world->client, XDS_ADDRESS, service) != NULL);
        if (exists && expected && recorder_held(&world->client, XDS_ADDRESS, name) == NULL)
            fail_msg("%s is missing", name);
    }
}

static void run(bool wildcard, uint64_t seed)
{
    struct world world = {.wildcard = wildcard, .seed = seed};
    world.istiod = istiod_new();
    istiod_set_chunk(world.istiod, seed % 3 == 0 ? 2 : 0);
    recorder_init(&world.client, wildcard);
    reconnect(&world);
    for (int i = 0; i < STEPS; i++)
        step(&world);
    settle(&world);
    check_held(&world);
    check_policies(&world);
    check_answers(&world);
    check_complete(&world);
    if (!wildcard) { /* and nothing is left when nothing is wanted */
        for (uint32_t i = 0; i < QUESTIONS; i++) {
            char name[32];
            if (world.wanted[i])
                recorder_unsubscribe(&world.client, question(i, name));
            world.wanted[i] = false;
        }
        settle(&world);
        assert_int_equal(xds_delta_num_held(world.client.delta, XDS_ADDRESS), 0);
        assert_int_equal(xds_delta_num_subscribed(world.client.delta), 0);
    }
    recorder_done(&world.client);
    istiod_stream_free(world.stream);
    istiod_free(world.istiod);
}

static void client_and_server_agree_in_the_end_on_demand(void **state)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(false, seed);
}

static void client_and_server_agree_in_the_end_in_wildcard_mode(void **state)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(true, seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_and_server_agree_in_the_end_on_demand),
        cmocka_unit_test(client_and_server_agree_in_the_end_in_wildcard_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
