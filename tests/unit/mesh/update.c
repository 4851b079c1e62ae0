/*
 * Snapshots made by updates: equal to one made from scratch in all that can be asked, whatever the updates were, and unmoved by
 * those that come after.
 */
#include "mesh_digest.h"
#include "mesh_fixture.h"
#include "mesh_model.h"

static void check_digest(const struct mesh_snapshot *snapshot, const struct mesh_digest *expected,
                         unsigned round)
{
    struct mesh_digest digest = mesh_digest_of(snapshot);
    for (unsigned i = 0; i < DIGEST_ASPECTS; i++)
        if (digest.of[i] != expected->of[i])
            fail_msg("round %u: not the same %s", round, mesh_digest_aspect(i));
}

static struct mesh_snapshot *update(struct mesh_model *model, struct mesh_snapshot *base,
                                    unsigned num_changes)
{
    struct mesh_builder *builder = mesh_builder_new(base);
    assert_non_null(builder);
    for (unsigned i = 0; i < num_changes; i++)
        mesh_model_change(model, builder);
    return fixture_build(builder);
}

static void updates_make_what_building_from_scratch_does(void **state)
{
    (void)state;
    enum { ROUNDS = 160 };
    struct mesh_model model = {0};
    struct mesh_snapshot *snapshot = NULL;
    for (unsigned round = 0; round < ROUNDS; round++) {
        /* Small updates as of every day, and large ones. */
        struct mesh_snapshot *next =
            update(&model, snapshot, round % 25 == 0 ? 200 : mesh_model_random(6));
        mesh_snapshot_unref(snapshot);
        snapshot = next;
        struct mesh_snapshot *scratch = mesh_model_build(&model);
        struct mesh_digest expected = mesh_digest_of(scratch);
        mesh_snapshot_unref(scratch);
        check_digest(snapshot, &expected, round);
    }
    assert_true(mesh_snapshot_counts(snapshot).workloads > MODEL_WORKLOADS / 3);
    mesh_snapshot_unref(snapshot);
}

/* A tree of snapshots: each is made of any that lives, and they end in any order. */
static void a_snapshot_stays_as_it_was_whatever_is_made_of_it(void **state)
{
    (void)state;
    enum { ROUNDS = 150, LIVING = 6 };
    static struct {
        struct mesh_model model;
        struct mesh_snapshot *snapshot;
        struct mesh_digest digest;
    } living[LIVING];
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned from = mesh_model_random(LIVING);
        unsigned to = mesh_model_random(LIVING);
        struct mesh_model model = living[from].model;
        struct mesh_snapshot *snapshot = update(&model, living[from].snapshot, 40);
        if (living[to].snapshot != NULL)
            check_digest(living[to].snapshot, &living[to].digest, round);
        mesh_snapshot_unref(living[to].snapshot);
        living[to].model = model;
        living[to].snapshot = snapshot;
        living[to].digest = mesh_digest_of(snapshot);
    }
    for (unsigned i = 0; i < LIVING; i++) {
        for (unsigned j = i; j < LIVING; j++)
            if (living[j].snapshot != NULL)
                check_digest(living[j].snapshot, &living[j].digest, ROUNDS);
        mesh_snapshot_unref(living[i].snapshot);
    }
}

static void an_update_that_is_given_up_leaves_its_base_alone(void **state)
{
    (void)state;
    struct mesh_model model = {0};
    struct mesh_snapshot *snapshot = update(&model, NULL, 400);
    struct mesh_digest expected = mesh_digest_of(snapshot);
    for (unsigned round = 0; round < 20; round++) {
        struct mesh_model other = model;
        struct mesh_builder *builder = mesh_builder_new(snapshot);
        for (unsigned i = 0; i < 50; i++)
            mesh_model_change(&other, builder);
        mesh_builder_free(builder);
        check_digest(snapshot, &expected, round);
    }
    mesh_snapshot_unref(snapshot);
}

static void a_builder_may_outlive_its_base(void **state)
{
    (void)state;
    struct mesh_model model = {0};
    struct mesh_snapshot *base = update(&model, NULL, 400);
    struct mesh_builder *builder = mesh_builder_new(base);
    mesh_model_change(&model, builder);
    mesh_snapshot_unref(base);
    for (unsigned i = 0; i < 100; i++)
        mesh_model_change(&model, builder);
    struct mesh_snapshot *snapshot = fixture_build(builder);
    struct mesh_snapshot *scratch = mesh_model_build(&model);
    struct mesh_digest expected = mesh_digest_of(scratch);
    check_digest(snapshot, &expected, 0);
    mesh_snapshot_unref(scratch);
    mesh_snapshot_unref(snapshot);
}

static void what_is_taken_away_piece_by_piece_leaves_nothing(void **state)
{
    (void)state;
    struct mesh_model model = {0};
    struct mesh_snapshot *snapshot = update(&model, NULL, 600);
    struct mesh_snapshot *empty = fixture_build(mesh_builder_new(NULL));
    char key[MODEL_UID_BYTES];
    for (unsigned i = 0; i < MODEL_WORKLOADS; i++) {
        struct mesh_builder *builder = mesh_builder_new(snapshot);
        mesh_builder_remove_workload(builder, mesh_model_uid(i, key));
        mesh_builder_remove_service(builder, mesh_model_service_key(i % MODEL_SERVICES, key));
        mesh_builder_remove_policy(builder, mesh_model_policy_key(i % MODEL_POLICIES, key));
        mesh_builder_remove_answered(builder, mesh_model_answered_name(i % MODEL_NAMES, key));
        mesh_builder_set_on_demand(builder, false);
        mesh_snapshot_unref(snapshot);
        snapshot = fixture_build(builder);
    }
    struct mesh_digest expected = mesh_digest_of(empty);
    check_digest(snapshot, &expected, 0);
    mesh_snapshot_unref(empty);
    mesh_snapshot_unref(snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates_make_what_building_from_scratch_does),
        cmocka_unit_test(a_snapshot_stays_as_it_was_whatever_is_made_of_it),
        cmocka_unit_test(an_update_that_is_given_up_leaves_its_base_alone),
        cmocka_unit_test(a_builder_may_outlive_its_base),
        cmocka_unit_test(what_is_taken_away_piece_by_piece_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
