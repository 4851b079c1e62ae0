#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_timer.h"
#include "world.h"

/* ----------------------------------------------------------------------------- store sources -- */

static void answer_leaf(struct world *world, const struct cert_built *leaf)
{
    scripted_answer_pem(world->source, cert_builder_key_pem(leaf), cert_builder_chain_pem(leaf),
                        cert_builder_pem(world->root));
}

static void a_store_is_fetched_when_it_says_that_it_has_changed(void **state)
{
    struct world *world = *state;
    struct cert_built *first = cert_builder_leaf(world->root, WORLD_ID);
    struct cert_built *second = cert_builder_leaf(world->root, WORLD_ID);
    world_open(world, false, NULL);
    world_run_to_fetch(world);
    answer_leaf(world, first);
    assert_int_equal(world->num_identities, 1);
    fake_timer_pass(45 * 60 * S); /* past half-life: nobody is asked */
    assert_int_equal(world->source->num_fetches, 1);

    world->source->base.on_changed(world->source->base.owner);
    world->source->base.on_changed(world->source->base.owner);
    world_run_to_fetch(world);
    answer_leaf(world, first); /* a change of nothing */
    assert_int_equal(world->num_identities, 1);
    assert_int_equal(world_status(world).attempts[ROTATION_OK], 2);

    world->source->base.on_changed(world->source->base.owner);
    world_run_to_fetch(world);
    answer_leaf(world, second);
    assert_int_equal(world->num_identities, 2);
    cert_builder_free(first);
    cert_builder_free(second);
}

static void a_change_during_a_fetch_leads_to_another(void **state)
{
    struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->root, WORLD_ID);
    world_open(world, false, WORLD_ID);
    world_run_to_fetch(world);
    world->source->base.on_changed(world->source->base.owner);
    answer_leaf(world, leaf);
    world_run_to_fetch(world);
    assert_int_equal(world->source->num_fetches, 2);
    answer_leaf(world, leaf);
    assert_int_equal(world->num_identities, 1);
    cert_builder_free(leaf);
}

static void a_half_written_set_is_retried(void **state)
{
    struct world *world = *state;
    struct cert_built *old = cert_builder_leaf(world->root, WORLD_ID);
    struct cert_built *new = cert_builder_leaf(world->root, WORLD_ID);
    world_open(world, false, NULL);
    world_run_to_fetch(world);
    answer_leaf(world, old);
    world->source->base.on_changed(world->source->base.owner);
    world_run_to_fetch(world);
    scripted_answer_pem(world->source, cert_builder_key_pem(old), cert_builder_chain_pem(new),
                        cert_builder_pem(world->root));
    assert_int_equal(world->num_failures, 1);
    assert_true(world_status(world).valid);
    world_run_to_fetch(world);
    answer_leaf(world, new);
    assert_int_equal(world->num_identities, 2);
    cert_builder_free(old);
    cert_builder_free(new);
}

static void the_first_identity_of_a_store_is_kept_to(void **state)
{
    struct world *world = *state;
    struct cert_built *ours = cert_builder_leaf(world->root, WORLD_ID);
    struct cert_built *other = cert_builder_leaf(world->root, "spiffe://td/ns/a/sa/other");
    world_open(world, false, NULL);
    assert_null(rotation_identity_uri(world->rotation));
    world_run_to_fetch(world);
    answer_leaf(world, ours);
    assert_string_equal(rotation_identity_uri(world->rotation), WORLD_ID);
    world->source->base.on_changed(world->source->base.owner);
    world_run_to_fetch(world);
    answer_leaf(world, other);
    assert_string_equal(rotation_identity_uri(world->rotation), WORLD_ID);
    assert_int_equal(world->num_identities, 1);
    assert_non_null(strstr(world->last_err.message, "we are 'spiffe://td/ns/a/sa/b'"));
    cert_builder_free(ours);
    cert_builder_free(other);
}

static void a_store_that_lets_its_certificate_end_is_asked_again_by_itself(void **state)
{
    struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->root, WORLD_ID);
    world_open(world, false, WORLD_ID);
    world_run_to_fetch(world);
    answer_leaf(world, leaf);
    while (world->num_losses == 0)
        assert_true(fake_timer_fire_next());
    world_run_to_fetch(world);
    answer_leaf(world, leaf);
    assert_int_equal(world_status(world).attempts[ROTATION_REJECTED], 1);
    cert_builder_free(leaf);
}

/* ---------------------------------------------------------------------------- life and death -- */

static void the_machine_may_be_freed_inside_its_callbacks(void **state)
{
    struct world *world = *state;
    world->free_in_callback = true;
    world_open(world, true, WORLD_ID);
    world_run_to_fetch(world);
    world_answer_csr(world, world->root, HOUR);
    assert_null(world->rotation);
    assert_true(world->source_freed);
    assert_string_equal(identity_id(world->identity)->uri, WORLD_ID);

    world->source_freed = false;
    world_open(world, true, WORLD_ID);
    world_run_to_fetch(world);
    scripted_answer_err(world->source, ERR_SYSTEM);
    assert_null(world->rotation);
    assert_true(world->source_freed);
    assert_int_equal(fake_timer_num(), 0);
}

static void freeing_cancels_a_fetch_that_runs(void **state)
{
    struct world *world = *state;
    world_open(world, true, WORLD_ID);
    world_run_to_fetch(world);
    rotation_free(world->rotation);
    world->rotation = NULL;
    assert_int_equal(fake_timer_num(), 0);
    assert_int_equal(world->num_failures + world->num_identities, 0);
}

static void a_ca_needs_a_valid_identity_to_ask_for(void **state)
{
    struct world *world = *state;
    static const struct rotation_handler HANDLER = {NULL, NULL, NULL}; /* nothing is started */
    struct scripted *source = scripted_new(true);
    source->freed = &world->source_freed;
    struct rotation_options options = {0};
    struct err err = {0};
    assert_null(rotation_new(NULL, &source->base, &options, &HANDLER, world, &err));
    assert_int_equal(err.kind, ERR_INVALID);
    options.identity_uri = "spiffe://TD/a";
    assert_null(rotation_new(NULL, &source->base, &options, &HANDLER, world, &err));
    assert_int_equal(err.kind, ERR_INVALID);
    assert_false(world->source_freed); /* not taken */
    cert_source_free(&source->base);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_store_is_fetched_when_it_says_that_it_has_changed),
        TEST(a_change_during_a_fetch_leads_to_another),
        TEST(a_half_written_set_is_retried),
        TEST(the_first_identity_of_a_store_is_kept_to),
        TEST(a_store_that_lets_its_certificate_end_is_asked_again_by_itself),
        TEST(the_machine_may_be_freed_inside_its_callbacks),
        TEST(freeing_cancels_a_fetch_that_runs),
        TEST(a_ca_needs_a_valid_identity_to_ask_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
