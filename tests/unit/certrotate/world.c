#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "fake_timer.h"

static void on_identity(void *owner, struct identity *identity)
{
    struct world *world = owner;
    identity_unref(world->identity);
    world->identity = identity == NULL ? NULL : identity_ref(identity);
    world->num_identities += identity != NULL;
    world->num_losses += identity == NULL;
    if (world->free_in_callback) {
        rotation_free(world->rotation);
        world->rotation = NULL;
    }
}

static void on_failure(void *owner, const struct err *err, uint64_t retry_ms)
{
    struct world *world = owner;
    world->num_failures++;
    world->last_err = *err;
    world->last_retry_ms = retry_ms;
    if (world->free_in_callback) {
        rotation_free(world->rotation);
        world->rotation = NULL;
    }
}

static void on_trouble(void *owner, const struct err *err)
{
    struct world *world = owner;
    world->num_troubles++;
    world->last_trouble = *err;
}

static uint64_t no_random(void)
{
    return 0;
}

void world_open(struct world *world, bool wants_csr, const char *uri)
{
    static const struct rotation_handler HANDLER = {on_identity, on_failure, on_trouble};
    const struct rotation_options options = {
        .identity_uri = uri,
        .aliases = world->aliases,
        .num_aliases = world->num_aliases,
        .crl_strict = world->crl_strict,
        .wall_ms = fake_timer_wall,
        .random = no_random,
    };
    world->source = scripted_new(wants_csr);
    world->source->base.speaks_for_trust_domain = world->speaks_for_trust_domain;
    world->source->freed = &world->source_freed;
    struct err err = {0};
    world->rotation = rotation_new(NULL, &world->source->base, &options, &HANDLER, world, &err);
    if (world->rotation == NULL)
        fail_msg("%s", err.message);
    rotation_start(world->rotation);
}

int world_make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    fake_timer_wall_ms = clock_wall_ms() / 1000 * 1000;
    const struct cert_spec root = {.common_name = "root",
                                   .is_ca = true,
                                   .not_before_ms = fake_timer_wall_ms - 100 * (int64_t)HOUR,
                                   .not_after_ms = fake_timer_wall_ms + 1000 * (int64_t)HOUR};
    world->root = cert_builder_make(NULL, &root);
    world->next_root = cert_builder_make(NULL, &root);
    *state = world;
    return 0;
}

int world_free(void **state)
{
    struct world *world = *state;
    rotation_free(world->rotation);
    identity_unref(world->identity);
    cert_builder_free(world->root);
    cert_builder_free(world->next_root);
    bool is_clean = world->source_freed && fake_timer_num() == 0;
    free(world);
    return is_clean ? 0 : -1;
}

void world_answer_csr(struct world *world, const struct cert_built *root, int64_t life_ms)
{
    world_answer_csr_by(world, root, root, life_ms);
}

void world_answer_csr_by(struct world *world, const struct cert_built *issuer,
                         const struct cert_built *root, int64_t life_ms)
{
    struct cert_built *answer =
        cert_builder_answer(issuer, world->source->csr,
                            &(struct cert_spec){.uris = {WORLD_ID},
                                                .not_before_ms = fake_timer_wall_ms - 120 * S,
                                                .not_after_ms = fake_timer_wall_ms + life_ms});
    scripted_answer_pem(world->source, NULL, cert_builder_chain_pem(answer),
                        cert_builder_pem(root));
    cert_builder_free(answer);
}

struct rotation_status world_status(const struct world *world)
{
    struct rotation_status status;
    rotation_status_get(world->rotation, &status);
    return status;
}

void world_run_to_fetch(struct world *world)
{
    unsigned before = world->source->num_fetches;
    for (int i = 0; i < 100000 && world->source->num_fetches == before; i++)
        assert_true(fake_timer_fire_next());
    assert_int_equal(world->source->num_fetches, before + 1);
}
