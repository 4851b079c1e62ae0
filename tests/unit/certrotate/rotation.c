#include "rotation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cert_builder.h"
#include "clock.h"
#include "fake_timer.h"
#include "rotation_plan.h"

static const char ID[] = "spiffe://td/ns/a/sa/b";

enum { S = 1000, HOUR = 3600 * S };

/* -------------------------------------------------------------------- a source that does as told -- */

struct scripted {
    struct cert_source base;
    cert_source_done *done; /* of the fetch that runs */
    void *owner;
    char *csr;
    bool refuses_to_start;
    unsigned num_fetches, num_cancels;
    bool *freed;
};

static int scripted_start(struct cert_source *base, const char *csr_pem, cert_source_done *done,
                          void *owner, struct err *err)
{
    struct scripted *source = (struct scripted *)base;
    assert_null(source->done);
    assert_int_equal(csr_pem != NULL, base->wants_csr);
    source->num_fetches++;
    if (source->refuses_to_start)
        return err_set(err, ERR_SYSTEM, "no descriptor");
    source->done = done;
    source->owner = owner;
    free(source->csr);
    source->csr = csr_pem == NULL ? NULL : strdup(csr_pem);
    return 0;
}

static void scripted_cancel(struct cert_source *base)
{
    struct scripted *source = (struct scripted *)base;
    source->num_cancels += source->done != NULL;
    source->done = NULL;
}

static void scripted_free(struct cert_source *base)
{
    struct scripted *source = (struct scripted *)base;
    if (source->freed != NULL)
        *source->freed = true;
    free(source->csr);
    free(source);
}

static struct scripted *scripted_new(bool wants_csr)
{
    static const struct cert_source_ops OPS = {scripted_start, scripted_cancel, scripted_free};
    struct scripted *source = calloc(1, sizeof(*source));
    assert_non_null(source);
    source->base.ops = &OPS;
    source->base.name = "script";
    source->base.wants_csr = wants_csr;
    return source;
}

static void answer_with(struct scripted *source, const struct cert_fetched *fetched,
                        const struct err *err)
{
    cert_source_done *done = source->done;
    assert_non_null(done);
    source->done = NULL;
    done(source->owner, fetched, err);
}

static void answer_err(struct scripted *source, enum err_kind kind)
{
    struct err err;
    err_set(&err, kind, "scripted");
    answer_with(source, NULL, &err);
}

static void answer_pem(struct scripted *source, const char *key, const char *chain,
                       const char *roots)
{
    const struct cert_fetched fetched = {
        .chain_pem = chain,
        .chain_pem_len = strlen(chain),
        .roots_pem = roots,
        .roots_pem_len = strlen(roots),
        .key_pem = key,
        .key_pem_len = key == NULL ? 0 : strlen(key),
    };
    answer_with(source, &fetched, NULL);
}

/* ---------------------------------------------------------------------------------------- a world -- */

struct world {
    struct cert_built *root, *next_root;
    struct scripted *source;
    struct rotation *rotation;
    bool source_freed;
    /* What the handlers saw. */
    struct identity *identity; /* referenced; NULL: none, or none any more */
    unsigned num_identities, num_losses, num_failures;
    struct err last_err;
    uint64_t last_retry_ms;
    bool free_in_callback;
};

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

static uint64_t no_random(void)
{
    return 0;
}

static void world_open(struct world *world, bool wants_csr, const char *uri)
{
    static const struct rotation_handler HANDLER = {on_identity, on_failure};
    const struct rotation_options options = {
        .identity_uri = uri, .wall_ms = fake_timer_wall, .random = no_random};
    world->source = scripted_new(wants_csr);
    world->source->freed = &world->source_freed;
    struct err err = {0};
    world->rotation = rotation_new(NULL, &world->source->base, &options, &HANDLER, world, &err);
    if (world->rotation == NULL)
        fail_msg("%s", err.message);
    rotation_start(world->rotation);
}

static int make_world(void **state)
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

static int free_world(void **state)
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

/* A certificate for `life_ms` from now, issued by `root` for the request that runs. */
static void answer_csr(struct world *world, const struct cert_built *root, int64_t life_ms)
{
    struct cert_built *answer =
        cert_builder_answer(root, world->source->csr,
                            &(struct cert_spec){.uris = {ID},
                                                .not_before_ms = fake_timer_wall_ms - 120 * S,
                                                .not_after_ms = fake_timer_wall_ms + life_ms});
    answer_pem(world->source, NULL, cert_builder_chain_pem(answer), cert_builder_pem(root));
    cert_builder_free(answer);
}

static struct rotation_status status_of(const struct world *world)
{
    struct rotation_status status;
    rotation_status_get(world->rotation, &status);
    return status;
}

/* Fires timers until a fetch runs. */
static void run_to_fetch(struct world *world)
{
    unsigned before = world->source->num_fetches;
    for (int i = 0; i < 100000 && world->source->num_fetches == before; i++)
        assert_true(fake_timer_fire_next());
    assert_int_equal(world->source->num_fetches, before + 1);
}

static size_t num_roots(const struct identity *identity)
{
    size_t num;
    return trust_bundle_num_roots(identity_bundles(identity, &num)[0]);
}

/* -------------------------------------------------------------------------------------- CA sources -- */

static void the_first_certificate_is_fetched_and_published(void **state)
{
    struct world *world = *state;
    world_open(world, true, ID);
    assert_int_equal(world->source->num_fetches, 0); /* nothing from inside start */
    run_to_fetch(world);
    assert_false(status_of(world).valid);
    answer_csr(world, world->root, HOUR);
    assert_int_equal(world->num_identities, 1);
    assert_int_equal(identity_epoch(world->identity), 1);
    assert_string_equal(identity_id(world->identity)->uri, ID);
    struct rotation_status status = status_of(world);
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
    world_open(world, true, ID);
    run_to_fetch(world);
    answer_csr(world, world->root, HOUR);
    char *first_csr = strdup(world->source->csr);
    char first_serial[CERT_SERIAL_TEXT_MAX];
    strcpy(first_serial, svid_serial(identity_svid(world->identity)));
    int64_t from_ms = fake_timer_wall_ms;
    run_to_fetch(world);
    assert_int_equal(fake_timer_wall_ms - from_ms, HOUR / 2);
    assert_string_not_equal(first_csr, world->source->csr);
    answer_csr(world, world->root, HOUR);
    assert_int_equal(world->num_identities, 2);
    assert_int_equal(identity_epoch(world->identity), 2);
    assert_string_not_equal(svid_serial(identity_svid(world->identity)), first_serial);
    assert_int_equal(world->num_losses, 0);
    free(first_csr);
}

static void failures_are_retried_with_back_off_for_ever(void **state)
{
    struct world *world = *state;
    world_open(world, true, ID);
    static const uint64_t WAITS[] = {800, 1600, 3200, 6400, 12800, 25600, 51200, 102400, 120000};
    for (unsigned i = 0; i < 40; i++) {
        run_to_fetch(world);
        answer_err(world->source, ERR_SYSTEM);
        assert_int_equal(world->num_failures, i + 1);
        assert_int_equal(world->last_retry_ms, WAITS[i < 8 ? i : 8]);
    }
    assert_int_equal(status_of(world).num_failures, 40);
    assert_int_equal(status_of(world).attempts[ROTATION_UNREACHABLE], 40);
    run_to_fetch(world);
    answer_csr(world, world->root, HOUR);
    assert_int_equal(world->num_identities, 1);
    assert_int_equal(status_of(world).num_failures, 0);
}

static void a_bad_candidate_never_replaces_a_valid_one(void **state)
{
    struct world *world = *state;
    world_open(world, true, ID);
    run_to_fetch(world);
    answer_csr(world, world->root, HOUR);
    struct identity *held = world->identity;
    const int64_t now_ms = fake_timer_wall_ms;
    const struct {
        struct cert_spec spec;
        bool is_of_next_root, is_for_own_key;
        const char *words;
    } cases[] = {
        {{.uris = {"spiffe://td/ns/a/sa/other"}}, false, false, "we are '"},
        {{.uris = {ID}, .not_after_ms = now_ms - HOUR / 2}, false, false, "expired"},
        {{.uris = {ID}, .not_before_ms = now_ms + HOUR}, false, false, "becomes valid"},
        {{.uris = {ID}}, true, false, "no valid path"},
        {{.uris = {ID}}, false, true, "key does not belong"},
        {{.uris = {ID}, .is_ca = true}, false, false, "is a CA certificate"},
        {{.dns = {"x"}}, false, false, "no URI SAN"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rotation_fetch_now(world->rotation);
        run_to_fetch(world);
        const struct cert_built *issuer = cases[i].is_of_next_root ? world->next_root : world->root;
        struct cert_built *answer =
            cases[i].is_for_own_key
                ? cert_builder_make(issuer, &cases[i].spec)
                : cert_builder_answer(issuer, world->source->csr, &cases[i].spec);
        answer_pem(world->source, NULL, cert_builder_chain_pem(answer),
                   cert_builder_pem(world->root));
        assert_int_equal(world->num_failures, i + 1);
        if (strstr(world->last_err.message, cases[i].words) == NULL)
            fail_msg("got '%s', wanted '%s'", world->last_err.message, cases[i].words);
        assert_non_null(strstr(world->last_err.message, "from script is not usable"));
        assert_ptr_equal(world->identity, held);
        cert_builder_free(answer);
    }
    assert_int_equal(status_of(world).attempts[ROTATION_REJECTED],
                     sizeof(cases) / sizeof(cases[0]));
    assert_true(status_of(world).valid);
    assert_int_equal(world->num_identities, 1);
}

static void unreadable_roots_are_rejected(void **state)
{
    struct world *world = *state;
    world_open(world, true, ID);
    run_to_fetch(world);
    struct cert_built *answer =
        cert_builder_answer(world->root, world->source->csr, &(struct cert_spec){.uris = {ID}});
    answer_pem(world->source, NULL, cert_builder_chain_pem(answer), "");
    assert_non_null(strstr(world->last_err.message, "trust bundle: no certificate in it"));
    assert_int_equal(world->num_identities, 0);
    cert_builder_free(answer);
}

static void expiry_without_success_publishes_no_identity_and_recovers(void **state)
{
    struct world *world = *state;
    world_open(world, true, ID);
    run_to_fetch(world);
    answer_csr(world, world->root, 600 * S);
    const int64_t end_ms = fake_timer_wall_ms + 600 * S;
    unsigned num_late_attempts = 0;
    while (world->num_losses == 0) {
        assert_true(fake_timer_fire_next());
        if (world->source->done == NULL)
            continue;
        num_late_attempts += end_ms - fake_timer_wall_ms < 60 * S;
        answer_err(world->source, ERR_DENIED);
    }
    assert_null(world->identity);
    assert_int_equal(fake_timer_wall_ms, end_ms + 1000);
    assert_true(num_late_attempts >= 3); /* the last minute is not slept through */
    assert_false(status_of(world).valid);
    assert_true(status_of(world).attempts[ROTATION_DENIED] > 0);

    run_to_fetch(world);
    answer_csr(world, world->root, HOUR);
    assert_int_equal(identity_epoch(world->identity), 2);
    assert_int_equal(world->num_losses, 1);
}

static void a_suspend_past_the_end_is_noticed_at_the_first_wake_up(void **state)
{
    struct world *world = *state;
    world_open(world, true, ID);
    run_to_fetch(world);
    answer_csr(world, world->root, HOUR);
    fake_timer_step(72 * HOUR);
    assert_true(fake_timer_next_ms() <= ROTATION_WAKE_MAX_MS);
    assert_true(fake_timer_fire_next());
    assert_int_equal(world->num_losses, 1);
    run_to_fetch(world);
    assert_int_equal(fake_timer_next_ms() <= ROTATION_FETCH_TIMEOUT_MS, 1);
    answer_csr(world, world->root, HOUR);
    assert_int_equal(world->num_identities, 2);
}

static void a_clock_that_steps_forward_past_half_life_renews_and_back_does_not_drop(void **state)
{
    struct world *world = *state;
    world_open(world, true, ID);
    run_to_fetch(world);
    answer_csr(world, world->root, HOUR);
    fake_timer_step(40 * 60 * S);
    assert_true(fake_timer_fire_next());
    assert_int_equal(world->source->num_fetches, 2);
    answer_csr(world, world->root, HOUR);

    fake_timer_step(-24 * (int64_t)HOUR);
    assert_true(fake_timer_fire_next());
    assert_int_equal(world->source->num_fetches, 3);
    /* The CA's clock is right, and so its certificate is not valid yet on ours. */
    struct cert_built *answer =
        cert_builder_answer(world->root, world->source->csr,
                            &(struct cert_spec){.uris = {ID},
                                                .not_before_ms = fake_timer_wall_ms + 24 * HOUR,
                                                .not_after_ms = fake_timer_wall_ms + 25 * HOUR});
    answer_pem(world->source, NULL, cert_builder_chain_pem(answer), cert_builder_pem(world->root));
    assert_int_equal(world->num_failures, 1);
    assert_true(status_of(world).valid);
    assert_int_equal(world->num_losses, 0);
    cert_builder_free(answer);
}

static void a_fetch_that_takes_too_long_is_cancelled(void **state)
{
    struct world *world = *state;
    world_open(world, true, ID);
    run_to_fetch(world);
    fake_timer_pass(ROTATION_FETCH_TIMEOUT_MS);
    assert_int_equal(world->source->num_cancels, 1);
    assert_int_equal(world->num_failures, 1);
    assert_int_equal(world->last_err.kind, ERR_TIMEOUT);
    run_to_fetch(world);
    answer_csr(world, world->root, HOUR);
    assert_int_equal(world->num_identities, 1);
}

static void a_source_that_cannot_even_start_is_a_failure(void **state)
{
    struct world *world = *state;
    world_open(world, true, ID);
    world->source->refuses_to_start = true;
    run_to_fetch(world);
    assert_int_equal(world->num_failures, 1);
    world->source->refuses_to_start = false;
    run_to_fetch(world);
    answer_csr(world, world->root, HOUR);
    assert_int_equal(world->num_identities, 1);
}

static void each_kind_of_failure_has_its_outcome(void **state)
{
    struct world *world = *state;
    world_open(world, true, ID);
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
        uint64_t before = status_of(world).attempts[CASES[i].outcome];
        run_to_fetch(world);
        answer_err(world->source, CASES[i].kind);
        assert_int_equal(status_of(world).attempts[CASES[i].outcome], before + 1);
    }
    assert_string_equal(rotation_outcome_name(ROTATION_OK), "ok");
    assert_string_equal(rotation_outcome_name(ROTATION_FAILED), "failed");
}

/* ------------------------------------------------------------------------------------------- roots -- */

static void old_roots_are_trusted_beside_new_ones_until_the_old_certificate_would_end(void **state)
{
    struct world *world = *state;
    world_open(world, true, ID);
    run_to_fetch(world);
    answer_csr(world, world->root, 1000 * S);
    const int64_t overlap_end_ms = fake_timer_wall_ms + 1000 * S;
    run_to_fetch(world);
    answer_csr(world, world->next_root, 3000 * S);
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
    world_open(world, true, ID);
    run_to_fetch(world);
    answer_csr(world, world->root, 1000 * S);
    run_to_fetch(world);
    answer_csr(world, world->next_root, 100 * S);
    run_to_fetch(world);
    answer_csr(world, world->next_root, 100 * S);
    assert_int_equal(num_roots(world->identity), 2);
    fake_timer_step(600 * S);
    assert_true(fake_timer_fire_next());
    run_to_fetch(world);
    answer_csr(world, world->next_root, 100 * S);
    assert_int_equal(num_roots(world->identity), 1);
}

/* ----------------------------------------------------------------------------------- store sources -- */

static void answer_leaf(struct world *world, const struct cert_built *leaf)
{
    answer_pem(world->source, cert_builder_key_pem(leaf), cert_builder_chain_pem(leaf),
               cert_builder_pem(world->root));
}

static void a_store_is_fetched_when_it_says_that_it_has_changed(void **state)
{
    struct world *world = *state;
    struct cert_built *first = cert_builder_leaf(world->root, ID);
    struct cert_built *second = cert_builder_leaf(world->root, ID);
    world_open(world, false, NULL);
    run_to_fetch(world);
    answer_leaf(world, first);
    assert_int_equal(world->num_identities, 1);
    fake_timer_pass(45 * 60 * S); /* past half-life: nobody is asked */
    assert_int_equal(world->source->num_fetches, 1);

    world->source->base.on_changed(world->source->base.owner);
    world->source->base.on_changed(world->source->base.owner);
    run_to_fetch(world);
    answer_leaf(world, first); /* a change of nothing */
    assert_int_equal(world->num_identities, 1);
    assert_int_equal(status_of(world).attempts[ROTATION_OK], 2);

    world->source->base.on_changed(world->source->base.owner);
    run_to_fetch(world);
    answer_leaf(world, second);
    assert_int_equal(world->num_identities, 2);
    cert_builder_free(first);
    cert_builder_free(second);
}

static void a_change_during_a_fetch_leads_to_another(void **state)
{
    struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->root, ID);
    world_open(world, false, ID);
    run_to_fetch(world);
    world->source->base.on_changed(world->source->base.owner);
    answer_leaf(world, leaf);
    run_to_fetch(world);
    assert_int_equal(world->source->num_fetches, 2);
    answer_leaf(world, leaf);
    assert_int_equal(world->num_identities, 1);
    cert_builder_free(leaf);
}

static void a_half_written_set_is_retried(void **state)
{
    struct world *world = *state;
    struct cert_built *old = cert_builder_leaf(world->root, ID);
    struct cert_built *new = cert_builder_leaf(world->root, ID);
    world_open(world, false, NULL);
    run_to_fetch(world);
    answer_leaf(world, old);
    world->source->base.on_changed(world->source->base.owner);
    run_to_fetch(world);
    answer_pem(world->source, cert_builder_key_pem(old), cert_builder_chain_pem(new),
               cert_builder_pem(world->root));
    assert_int_equal(world->num_failures, 1);
    assert_true(status_of(world).valid);
    run_to_fetch(world);
    answer_leaf(world, new);
    assert_int_equal(world->num_identities, 2);
    cert_builder_free(old);
    cert_builder_free(new);
}

static void the_first_identity_of_a_store_is_kept_to(void **state)
{
    struct world *world = *state;
    struct cert_built *ours = cert_builder_leaf(world->root, ID);
    struct cert_built *other = cert_builder_leaf(world->root, "spiffe://td/ns/a/sa/other");
    world_open(world, false, NULL);
    run_to_fetch(world);
    answer_leaf(world, ours);
    world->source->base.on_changed(world->source->base.owner);
    run_to_fetch(world);
    answer_leaf(world, other);
    assert_int_equal(world->num_identities, 1);
    assert_non_null(strstr(world->last_err.message, "we are 'spiffe://td/ns/a/sa/b'"));
    cert_builder_free(ours);
    cert_builder_free(other);
}

static void a_store_that_lets_its_certificate_end_is_asked_again_by_itself(void **state)
{
    struct world *world = *state;
    struct cert_built *leaf = cert_builder_leaf(world->root, ID);
    world_open(world, false, ID);
    run_to_fetch(world);
    answer_leaf(world, leaf);
    while (world->num_losses == 0)
        assert_true(fake_timer_fire_next());
    run_to_fetch(world);
    answer_leaf(world, leaf);
    assert_int_equal(status_of(world).attempts[ROTATION_REJECTED], 1);
    cert_builder_free(leaf);
}

/* ----------------------------------------------------------------------------------- life and death -- */

static void the_machine_may_be_freed_inside_its_callbacks(void **state)
{
    struct world *world = *state;
    world->free_in_callback = true;
    world_open(world, true, ID);
    run_to_fetch(world);
    answer_csr(world, world->root, HOUR);
    assert_null(world->rotation);
    assert_true(world->source_freed);
    assert_string_equal(identity_id(world->identity)->uri, ID);

    world->source_freed = false;
    world_open(world, true, ID);
    run_to_fetch(world);
    answer_err(world->source, ERR_SYSTEM);
    assert_null(world->rotation);
    assert_true(world->source_freed);
    assert_int_equal(fake_timer_num(), 0);
}

static void freeing_cancels_a_fetch_that_runs(void **state)
{
    struct world *world = *state;
    world_open(world, true, ID);
    run_to_fetch(world);
    rotation_free(world->rotation);
    world->rotation = NULL;
    assert_int_equal(fake_timer_num(), 0);
    assert_int_equal(world->num_failures + world->num_identities, 0);
}

static void a_ca_needs_a_valid_identity_to_ask_for(void **state)
{
    struct world *world = *state;
    static const struct rotation_handler HANDLER = {on_identity, on_failure};
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, free_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_certificate_is_fetched_and_published),
        TEST(it_is_renewed_at_half_life_with_a_new_key),
        TEST(failures_are_retried_with_back_off_for_ever),
        TEST(a_bad_candidate_never_replaces_a_valid_one),
        TEST(unreadable_roots_are_rejected),
        TEST(expiry_without_success_publishes_no_identity_and_recovers),
        TEST(a_suspend_past_the_end_is_noticed_at_the_first_wake_up),
        TEST(a_clock_that_steps_forward_past_half_life_renews_and_back_does_not_drop),
        TEST(a_fetch_that_takes_too_long_is_cancelled),
        TEST(a_source_that_cannot_even_start_is_a_failure),
        TEST(each_kind_of_failure_has_its_outcome),
        TEST(old_roots_are_trusted_beside_new_ones_until_the_old_certificate_would_end),
        TEST(the_overlap_survives_further_renewals),
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
