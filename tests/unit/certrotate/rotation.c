#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_timer.h"
#include "rotation_plan.h"
#include "world.h"

static void the_first_certificate_is_fetched_and_published(void **state)
{
    struct world *world = *state;
    world_open(world, true, WORLD_ID);
    assert_int_equal(world->source->num_fetches, 0); /* nothing from inside start */
    world_run_to_fetch(world);
    assert_false(world_status(world).valid);
    world_answer_csr(world, world->root, HOUR);
    assert_int_equal(world->num_identities, 1);
    assert_int_equal(identity_epoch(world->identity), 1);
    assert_string_equal(identity_id(world->identity)->uri, WORLD_ID);
    struct rotation_status status = world_status(world);
    assert_true(status.valid);
    assert_int_equal(status.epoch, 1);
    assert_int_equal(status.not_after_ms, fake_timer_wall_ms + HOUR);
    assert_int_equal(status.renew_at_ms, fake_timer_wall_ms + HOUR / 2);
    assert_int_equal(status.next_attempt_ms, status.renew_at_ms);
    assert_int_equal(status.last_success_ms, fake_timer_wall_ms);
    assert_int_equal(status.attempts[ROTATION_OK], 1);
}

static void it_is_renewed_at_half_life_with_a_new_key(void **state)
{
    struct world *world = *state;
    world_open(world, true, WORLD_ID);
    world_run_to_fetch(world);
    world_answer_csr(world, world->root, HOUR);
    char *first_csr = strdup(world->source->csr);
    char first_serial[CERT_SERIAL_TEXT_MAX];
    strcpy(first_serial, svid_serial(identity_svid(world->identity)));
    int64_t from_ms = fake_timer_wall_ms;
    world_run_to_fetch(world);
    assert_int_equal(fake_timer_wall_ms - from_ms, HOUR / 2);
    assert_string_not_equal(first_csr, world->source->csr);
    world_answer_csr(world, world->root, HOUR);
    assert_int_equal(world->num_identities, 2);
    assert_int_equal(identity_epoch(world->identity), 2);
    assert_string_not_equal(svid_serial(identity_svid(world->identity)), first_serial);
    assert_int_equal(world->num_losses, 0);
    free(first_csr);
}

static void failures_are_retried_with_back_off_for_ever(void **state)
{
    struct world *world = *state;
    world_open(world, true, WORLD_ID);
    static const uint64_t WAITS[] = {800, 1600, 3200, 6400, 12800, 25600, 51200, 102400, 120000};
    for (unsigned i = 0; i < 40; i++) {
        world_run_to_fetch(world);
        scripted_answer_err(world->source, ERR_SYSTEM);
        assert_int_equal(world->num_failures, i + 1);
        assert_int_equal(world->last_retry_ms, WAITS[i < 8 ? i : 8]);
    }
    assert_int_equal(world_status(world).num_failures, 40);
    assert_int_equal(world_status(world).attempts[ROTATION_UNREACHABLE], 40);
    world_run_to_fetch(world);
    world_answer_csr(world, world->root, HOUR);
    assert_int_equal(world->num_identities, 1);
    assert_int_equal(world_status(world).num_failures, 0);
}

static void a_bad_candidate_never_replaces_a_valid_one(void **state)
{
    struct world *world = *state;
    world_open(world, true, WORLD_ID);
    world_run_to_fetch(world);
    world_answer_csr(world, world->root, HOUR);
    struct identity *held = world->identity;
    const int64_t now_ms = fake_timer_wall_ms;
    const struct {
        struct cert_spec spec;
        bool is_of_next_root, is_for_own_key;
        const char *words;
    } cases[] = {
        {{.uris = {"spiffe://td/ns/a/sa/other"}}, false, false, "we are '"},
        {{.uris = {WORLD_ID}, .not_after_ms = now_ms - HOUR / 2}, false, false, "expired"},
        {{.uris = {WORLD_ID}, .not_before_ms = now_ms + HOUR}, false, false, "becomes valid"},
        {{.uris = {WORLD_ID}}, true, false, "no valid path"},
        {{.uris = {WORLD_ID}}, false, true, "key does not belong"},
        {{.uris = {WORLD_ID}, .is_ca = true}, false, false, "is a CA certificate"},
        {{.dns = {"x"}}, false, false, "no URI SAN"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rotation_fetch_now(world->rotation);
        world_run_to_fetch(world);
        const struct cert_built *issuer = cases[i].is_of_next_root ? world->next_root : world->root;
        struct cert_built *answer =
            cases[i].is_for_own_key
                ? cert_builder_make(issuer, &cases[i].spec)
                : cert_builder_answer(issuer, world->source->csr, &cases[i].spec);
        scripted_answer_pem(world->source, NULL, cert_builder_chain_pem(answer),
                            cert_builder_pem(world->root));
        assert_int_equal(world->num_failures, i + 1);
        if (strstr(world->last_err.message, cases[i].words) == NULL)
            fail_msg("got '%s', wanted '%s'", world->last_err.message, cases[i].words);
        assert_non_null(strstr(world->last_err.message, "from script is not usable"));
        assert_ptr_equal(world->identity, held);
        cert_builder_free(answer);
    }
    assert_int_equal(world_status(world).attempts[ROTATION_REJECTED],
                     sizeof(cases) / sizeof(cases[0]));
    assert_true(world_status(world).valid);
    assert_int_equal(world->num_identities, 1);
}

static void unreadable_roots_are_rejected(void **state)
{
    struct world *world = *state;
    world_open(world, true, WORLD_ID);
    world_run_to_fetch(world);
    struct cert_built *answer = cert_builder_answer(world->root, world->source->csr,
                                                    &(struct cert_spec){.uris = {WORLD_ID}});
    scripted_answer_pem(world->source, NULL, cert_builder_chain_pem(answer), "");
    assert_non_null(strstr(world->last_err.message, "trust bundle: no certificate in it"));
    assert_int_equal(world->num_identities, 0);
    cert_builder_free(answer);
}

static void expiry_without_success_publishes_no_identity_and_recovers(void **state)
{
    struct world *world = *state;
    world_open(world, true, WORLD_ID);
    world_run_to_fetch(world);
    world_answer_csr(world, world->root, 600 * S);
    const int64_t end_ms = fake_timer_wall_ms + 600 * S;
    unsigned num_late_attempts = 0;
    while (world->num_losses == 0) {
        assert_true(fake_timer_fire_next());
        if (world->source->done == NULL)
            continue;
        num_late_attempts += end_ms - fake_timer_wall_ms < 60 * S;
        scripted_answer_err(world->source, ERR_DENIED);
    }
    assert_null(world->identity);
    assert_int_equal(fake_timer_wall_ms, end_ms + 1000);
    assert_true(num_late_attempts >= 3); /* the last minute is not slept through */
    assert_false(world_status(world).valid);
    assert_true(world_status(world).attempts[ROTATION_DENIED] > 0);

    world_run_to_fetch(world);
    world_answer_csr(world, world->root, HOUR);
    assert_int_equal(identity_epoch(world->identity), 2);
    assert_int_equal(world->num_losses, 1);
}

static void after_expiry_it_asks_at_once_and_then_as_after_a_start(void **state)
{
    struct world *world = *state;
    world_open(world, true, WORLD_ID);
    world_run_to_fetch(world);
    world_answer_csr(world, world->root, 600 * S);
    while (world->num_losses == 0) {
        assert_true(fake_timer_fire_next());
        if (world->source->done != NULL)
            scripted_answer_err(world->source, ERR_SYSTEM);
    }
    const int64_t loss_ms = fake_timer_wall_ms;
    unsigned num_failures = world_status(world).num_failures;
    assert_true(num_failures > 3);
    world_run_to_fetch(world);
    assert_in_range(fake_timer_wall_ms, loss_ms, loss_ms + 1);
    static const uint64_t WAITS[] = {800, 1600, 3200};
    for (size_t i = 0; i < sizeof(WAITS) / sizeof(WAITS[0]); i++) {
        scripted_answer_err(world->source, ERR_SYSTEM);
        assert_int_equal(world->last_retry_ms, WAITS[i]);
        world_run_to_fetch(world);
    }
    assert_int_equal(world_status(world).num_failures, num_failures + 3);
    world_answer_csr(world, world->root, HOUR);
}

static void a_suspend_past_the_end_is_noticed_at_the_first_wake_up(void **state)
{
    struct world *world = *state;
    world_open(world, true, WORLD_ID);
    world_run_to_fetch(world);
    world_answer_csr(world, world->root, HOUR);
    fake_timer_step(72 * HOUR);
    assert_true(fake_timer_next_ms() <= ROTATION_WAKE_MAX_MS);
    assert_true(fake_timer_fire_next());
    assert_int_equal(world->num_losses, 1);
    world_run_to_fetch(world);
    assert_int_equal(fake_timer_next_ms() <= ROTATION_FETCH_TIMEOUT_MS, 1);
    world_answer_csr(world, world->root, HOUR);
    assert_int_equal(world->num_identities, 2);
}

static void a_clock_that_steps_forward_past_half_life_renews_and_back_does_not_drop(void **state)
{
    struct world *world = *state;
    world_open(world, true, WORLD_ID);
    world_run_to_fetch(world);
    world_answer_csr(world, world->root, HOUR);
    fake_timer_step(40 * 60 * S);
    assert_true(fake_timer_fire_next());
    assert_int_equal(world->source->num_fetches, 2);
    world_answer_csr(world, world->root, HOUR);

    fake_timer_step(-24 * (int64_t)HOUR);
    assert_true(fake_timer_fire_next());
    assert_int_equal(world->source->num_fetches, 3);
    /* The CA's clock is right, and so its certificate is not valid yet on ours. */
    struct cert_built *answer =
        cert_builder_answer(world->root, world->source->csr,
                            &(struct cert_spec){.uris = {WORLD_ID},
                                                .not_before_ms = fake_timer_wall_ms + 24 * HOUR,
                                                .not_after_ms = fake_timer_wall_ms + 25 * HOUR});
    scripted_answer_pem(world->source, NULL, cert_builder_chain_pem(answer),
                        cert_builder_pem(world->root));
    assert_int_equal(world->num_failures, 1);
    assert_true(world_status(world).valid);
    assert_int_equal(world->num_losses, 0);
    cert_builder_free(answer);
}

static void a_fetch_that_takes_too_long_is_cancelled(void **state)
{
    struct world *world = *state;
    world_open(world, true, WORLD_ID);
    world_run_to_fetch(world);
    fake_timer_pass(ROTATION_FETCH_TIMEOUT_MS);
    assert_int_equal(world->source->num_cancels, 1);
    assert_int_equal(world->num_failures, 1);
    assert_int_equal(world->last_err.kind, ERR_TIMEOUT);
    world_run_to_fetch(world);
    world_answer_csr(world, world->root, HOUR);
    assert_int_equal(world->num_identities, 1);
}

static void a_source_that_cannot_even_start_is_a_failure(void **state)
{
    struct world *world = *state;
    world_open(world, true, WORLD_ID);
    world->source->refuses_to_start = true;
    world_run_to_fetch(world);
    assert_int_equal(world->num_failures, 1);
    world->source->refuses_to_start = false;
    world_run_to_fetch(world);
    world_answer_csr(world, world->root, HOUR);
    assert_int_equal(world->num_identities, 1);
}

static void each_kind_of_failure_has_its_outcome(void **state)
{
    struct world *world = *state;
    world_open(world, true, WORLD_ID);
    static const struct {
        enum err_kind kind;
        enum rotation_outcome outcome;
    } CASES[] = {
        {ERR_SYSTEM, ROTATION_UNREACHABLE}, {ERR_TIMEOUT, ROTATION_UNREACHABLE},
        {ERR_TLS, ROTATION_UNREACHABLE},    {ERR_NOT_FOUND, ROTATION_UNREACHABLE},
        {ERR_DENIED, ROTATION_DENIED},      {ERR_PROTOCOL, ROTATION_FAILED},
        {ERR_INVALID, ROTATION_FAILED},     {ERR_NOMEM, ROTATION_FAILED},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint64_t before = world_status(world).attempts[CASES[i].outcome];
        world_run_to_fetch(world);
        scripted_answer_err(world->source, CASES[i].kind);
        assert_int_equal(world_status(world).attempts[CASES[i].outcome], before + 1);
    }
    assert_string_equal(rotation_outcome_name(ROTATION_OK), "ok");
    assert_string_equal(rotation_outcome_name(ROTATION_FAILED), "failed");
}

/* ------------------------------------------------------------------------------------- roots -- */

static size_t num_roots(const struct identity *identity)
{
    return trust_bundle_num_roots(identity_trust(identity)->bundles[0]);
}

static void old_roots_are_trusted_beside_new_ones_until_the_old_certificate_would_end(void **state)
{
    struct world *world = *state;
    world_open(world, true, WORLD_ID);
    world_run_to_fetch(world);
    world_answer_csr(world, world->root, 1000 * S);
    const int64_t overlap_end_ms = fake_timer_wall_ms + 1000 * S;
    world_run_to_fetch(world);
    world_answer_csr(world, world->next_root, 3000 * S);
    assert_int_equal(num_roots(world->identity), 2);
    unsigned num_identities = world->num_identities;
    while (num_roots(world->identity) == 2)
        assert_true(fake_timer_fire_next());
    assert_int_equal(world->num_identities, num_identities + 1);
    assert_int_equal(identity_epoch(world->identity), num_identities + 1);
    assert_true(fake_timer_wall_ms >= overlap_end_ms);
    assert_true(fake_timer_wall_ms <= overlap_end_ms + ROTATION_WAKE_MAX_MS);
}

static void the_overlap_survives_further_renewals(void **state)
{
    struct world *world = *state;
    world_open(world, true, WORLD_ID);
    world_run_to_fetch(world);
    world_answer_csr(world, world->root, 1000 * S);
    world_run_to_fetch(world);
    world_answer_csr(world, world->next_root, 100 * S);
    world_run_to_fetch(world);
    world_answer_csr(world, world->next_root, 100 * S);
    assert_int_equal(num_roots(world->identity), 2);
    fake_timer_step(600 * S);
    assert_true(fake_timer_fire_next());
    world_run_to_fetch(world);
    world_answer_csr(world, world->next_root, 100 * S);
    assert_int_equal(num_roots(world->identity), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_certificate_is_fetched_and_published),
        TEST(it_is_renewed_at_half_life_with_a_new_key),
        TEST(failures_are_retried_with_back_off_for_ever),
        TEST(a_bad_candidate_never_replaces_a_valid_one),
        TEST(unreadable_roots_are_rejected),
        TEST(expiry_without_success_publishes_no_identity_and_recovers),
        TEST(after_expiry_it_asks_at_once_and_then_as_after_a_start),
        TEST(a_suspend_past_the_end_is_noticed_at_the_first_wake_up),
        TEST(a_clock_that_steps_forward_past_half_life_renews_and_back_does_not_drop),
        TEST(a_fetch_that_takes_too_long_is_cancelled),
        TEST(a_source_that_cannot_even_start_is_a_failure),
        TEST(each_kind_of_failure_has_its_outcome),
        TEST(old_roots_are_trusted_beside_new_ones_until_the_old_certificate_would_end),
        TEST(the_overlap_survives_further_renewals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
