/* Builders with a base: what replaces what, what a refused object leaves, what is warned of, and running out of memory. */
#include "mesh_decide.h"
#include "mesh_digest.h"
#include "mesh_fixture.h"
#include "mesh_model.h"

#include <stdlib.h>

/* ------------------------------------------------------------------- failing allocations -- */

/* Counts down; the allocation at 0 fails, and all after it. Negative: none fails. */
static int allocations_left = -1;

static bool may_allocate(void)
{
    if (allocations_left < 0)
        return true;
    if (allocations_left == 0)
        return false;
    allocations_left--;
    return true;
}

void *__real_malloc(size_t len);
void *__real_calloc(size_t num, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t num, size_t len);

void *__wrap_malloc(size_t len)
{
    return may_allocate() ? __real_malloc(len) : NULL;
}

void *__wrap_calloc(size_t num, size_t len)
{
    return may_allocate() ? __real_calloc(num, len) : NULL;
}

/* ------------------------------------------------------------------------------ fixture -- */

static void put_workload(struct mesh_builder *builder, const struct mesh_workload *workload)
{
    struct err err = {0};
    if (mesh_builder_put_workload(builder, workload, &err) < 0)
        fail_msg("%s", err.message);
}

static void put_service(struct mesh_builder *builder, const struct mesh_service *service)
{
    struct err err = {0};
    if (mesh_builder_put_service(builder, service, &err) < 0)
        fail_msg("%s", err.message);
}

/* One of each, and an endpoint whose service nobody has described. */
static struct mesh_snapshot *small_mesh(void)
{
    struct err err = {0};
    struct mesh_builder *builder = mesh_builder_new(NULL);
    const struct mesh_workload w = {.uid = "w", .capacity = 1, SERVICES({"a/s", NULL, 0})};
    const struct mesh_workload early = {.uid = "early", SERVICES({"a/late", NULL, 0})};
    const struct mesh_service s = {.namespace_ = "a", .hostname = "s"};
    const struct mesh_policy p = {.namespace_ = "a", .name = "p"};
    fixture_add_workload(builder, &w);
    fixture_add_workload(builder, &early);
    fixture_add_service(builder, &s);
    assert_int_equal(mesh_builder_add_policy(builder, &p, &err), 0);
    return fixture_build(builder);
}

/* -------------------------------------------------------------------------------- tests -- */

static void what_is_not_touched_is_shared(void **state)
{
    (void)state;
    struct mesh_snapshot *base = small_mesh();
    struct mesh_builder *builder = mesh_builder_new(base);
    const struct mesh_workload other = {.uid = "other"};
    put_workload(builder, &other);
    struct mesh_snapshot *next = fixture_build(builder);
    assert_ptr_equal(mesh_snapshot_workload_by_uid(next, "w"),
                     mesh_snapshot_workload_by_uid(base, "w"));
    assert_ptr_equal(mesh_snapshot_service(next, "a/s"), mesh_snapshot_service(base, "a/s"));
    assert_ptr_equal(mesh_snapshot_policy(next, "a/p"), mesh_snapshot_policy(base, "a/p"));
    assert_null(mesh_snapshot_workload_by_uid(base, "other"));
    mesh_snapshot_unref(base);
    assert_string_equal(mesh_snapshot_workload_by_uid(next, "w")->uid, "w");
    mesh_snapshot_unref(next);
}

static void a_key_that_the_base_has_is_taken_for_what_is_added(void **state)
{
    (void)state;
    struct err err = {0};
    struct mesh_snapshot *base = small_mesh();
    struct mesh_builder *builder = mesh_builder_new(base);
    const struct mesh_workload w = {.uid = "w", .name = "again"};
    assert_int_equal(mesh_builder_add_workload(builder, &w, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    mesh_builder_remove_workload(builder, "w");
    assert_int_equal(mesh_builder_add_workload(builder, &w, &err), 0);
    struct mesh_snapshot *next = fixture_build(builder);
    assert_string_equal(mesh_snapshot_workload_by_uid(next, "w")->name, "again");
    mesh_snapshot_unref(base);
    mesh_snapshot_unref(next);
}

static void what_is_refused_leaves_the_builder_as_it_was(void **state)
{
    (void)state;
    struct mesh_snapshot *base = small_mesh();
    struct mesh_builder *builder = mesh_builder_new(base);
    const struct ip nothing = {0};
    const struct mesh_network_cidr cidr = {"", {{.family = IP_V4}, 33}};
    const struct mesh_workload workloads[] = {
        {.uid = "w", .name = "changed", .ips = &nothing, .num_ips = 1}, {.uid = ""}};
    const struct mesh_service services[] = {
        {.namespace_ = "a", .hostname = "s", .name = "changed", .num_vips = MESH_ADDRESSES_MAX + 1},
        {.namespace_ = "a", .hostname = "s", .cidr_vips = &cidr, .num_cidr_vips = 1}};
    const struct mesh_policy policy = {
        .namespace_ = "a", .name = "p", .num_rules = MESH_RULES_MAX + 1};
    for (size_t i = 0; i < 2; i++) {
        struct err err = {0};
        assert_int_equal(mesh_builder_put_workload(builder, &workloads[i], &err), -1);
        assert_int_equal(err.kind, ERR_INVALID);
        assert_int_equal(mesh_builder_put_service(builder, &services[i], &err), -1);
        assert_int_equal(err.kind, i == 0 ? ERR_LIMIT : ERR_INVALID);
        assert_int_equal(mesh_builder_put_policy(builder, &policy, &err), -1);
        assert_int_equal(err.kind, ERR_LIMIT);
    }
    const struct mesh_workload good = {.uid = "good"};
    put_workload(builder, &good);
    struct mesh_snapshot *next = fixture_build(builder);
    assert_string_equal(mesh_snapshot_workload_by_uid(next, "w")->name, "");
    assert_ptr_equal(mesh_snapshot_service(next, "a/s"), mesh_snapshot_service(base, "a/s"));
    assert_ptr_equal(mesh_snapshot_policy(next, "a/p"), mesh_snapshot_policy(base, "a/p"));
    assert_non_null(mesh_snapshot_workload_by_uid(next, "good"));
    mesh_snapshot_unref(base);
    mesh_snapshot_unref(next);
}

static void removing_what_is_not_there_is_nothing(void **state)
{
    (void)state;
    struct mesh_snapshot *base = small_mesh();
    struct mesh_builder *builder = mesh_builder_new(base);
    mesh_builder_remove_workload(builder, "nobody");
    mesh_builder_remove_service(builder, "a/nothing");
    mesh_builder_remove_policy(builder, "a/nothing");
    mesh_builder_remove_answered(builder, "a/nothing");
    struct mesh_snapshot *next = fixture_build(builder);
    struct mesh_counts counts = mesh_snapshot_counts(next);
    assert_int_equal(counts.workloads, 2);
    assert_int_equal(counts.services + counts.policies, 2);
    mesh_snapshot_unref(base);
    mesh_snapshot_unref(next);
}

/* Whether a draw among the service's endpoints finds the workload. */
static bool is_chosen(const struct mesh_snapshot *snapshot, const char *key)
{
    const struct mesh_workload client = {.network = "", .namespace_ = "a"};
    const struct mesh_service *service = mesh_snapshot_service(snapshot, key);
    struct mesh_decision decision;
    const struct mesh_request request = {
        .source = &client, .network = "", .destination = {service->vips[0].ip, 80}};
    mesh_decide(snapshot, &request, &decision);
    return decision.kind == MESH_PASSTHROUGH;
}

static struct mesh_snapshot *with_service(struct mesh_snapshot *base,
                                          enum mesh_health_policy health_policy)
{
    const struct mesh_service late = {.namespace_ = "a",
                                      .hostname = "late",
                                      VIPS({"", {IP_V4, {10, 1, 0, 1}}}),
                                      PORTS({80, 8080, MESH_APP_UNKNOWN}),
                                      .load_balancing = {.health_policy = health_policy}};
    struct mesh_builder *builder = mesh_builder_new(base);
    put_service(builder, &late);
    mesh_snapshot_unref(base);
    return fixture_build(builder);
}

static void a_service_finds_the_endpoints_that_came_before_it(void **state)
{
    (void)state;
    struct mesh_builder *builder = mesh_builder_new(NULL);
    const struct mesh_workload early = {.uid = "early",
                                        .capacity = 1,
                                        .unhealthy = true,
                                        IPS({IP_V4, {10, 0, 0, 1}}),
                                        SERVICES({"a/late", NULL, 0})};
    put_workload(builder, &early);
    struct mesh_snapshot *snapshot = with_service(fixture_build(builder), MESH_ALLOW_ALL);
    assert_true(is_chosen(snapshot, "a/late"));
    snapshot = with_service(snapshot, MESH_ONLY_HEALTHY);
    assert_false(is_chosen(snapshot, "a/late"));
    builder = mesh_builder_new(snapshot);
    mesh_builder_remove_service(builder, "a/late");
    mesh_snapshot_unref(snapshot);
    snapshot = with_service(fixture_build(builder), MESH_ALLOW_ALL);
    assert_true(is_chosen(snapshot, "a/late"));
    mesh_snapshot_unref(snapshot);
}

static void only_what_an_update_touches_is_warned_of(void **state)
{
    (void)state;
    struct err err = {0};
    struct mesh_snapshot *base = small_mesh();
    const struct mesh_workload lost = {.uid = "lost", SERVICES({"a/gone", NULL, 0})};
    for (int on_demand = 0; on_demand < 2; on_demand++) {
        struct mesh_warnings warnings = {0};
        struct mesh_builder *builder = mesh_builder_new(base);
        mesh_builder_set_on_demand(builder, on_demand);
        put_workload(builder, &lost);
        put_workload(builder, &lost);
        struct mesh_snapshot *next = mesh_builder_build(builder, &warnings, &err);
        assert_int_equal(warnings.num, on_demand ? 0 : 1);
        if (!on_demand)
            assert_string_equal(
                warnings.kept[0],
                "workload \"lost\" is an endpoint of \"a/gone\", which nothing describes");
        mesh_snapshot_unref(next);
        mesh_builder_free(builder);
    }
    struct mesh_warnings warnings = {0};
    struct mesh_builder *builder = mesh_builder_new(base);
    put_workload(builder, &lost);
    mesh_builder_remove_workload(builder, "lost");
    mesh_snapshot_unref(mesh_builder_build(builder, &warnings, &err));
    assert_int_equal(warnings.num, 0);
    mesh_builder_free(builder);
    mesh_snapshot_unref(base);
}

/* ----------------------------------------------------------------- running out of memory -- */

/* A change of each kind. NULL: out of memory, said wherever it can be. */
static struct mesh_snapshot *change_everything(struct mesh_snapshot *base,
                                               struct mesh_interest *interest, struct err *err)
{
    const struct mesh_workload workload = {
        .uid = "w", IPS({IP_V4, {10, 0, 0, 1}}), SERVICES({"a/s", NULL, 0}, {"a/late", NULL, 0})};
    const struct mesh_service service = {
        .namespace_ = "shop", .hostname = "h0", VIPS({"", {IP_V4, {10, 1, 0, 1}}})};
    const struct mesh_policy policy = {.namespace_ = "shop", .name = "p0"};
    struct mesh_snapshot *next = NULL;
    char key[MODEL_UID_BYTES];
    struct mesh_builder *builder = mesh_builder_new(base);
    if (builder == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    int result = mesh_builder_put_workload(builder, &workload, err);
    result |= mesh_builder_put_service(builder, &service, err);
    result |= mesh_builder_put_policy(builder, &policy, err);
    for (unsigned i = 0; i < MODEL_WORKLOADS; i += 9)
        mesh_builder_remove_workload(builder, mesh_model_uid(i, key));
    mesh_builder_remove_service(builder, mesh_model_service_key(1, key));
    mesh_builder_remove_policy(builder, mesh_model_policy_key(1, key));
    mesh_builder_put_answered(builder, interest);
    mesh_builder_remove_answered(builder, mesh_model_answered_name(1, key));
    next = mesh_builder_build(builder, NULL, err);
    assert_true(next == NULL || result == 0);
    mesh_builder_free(builder);
    return next;
}

static void running_out_of_memory_in_an_update_leaves_its_base_alone(void **state)
{
    (void)state;
    struct mesh_model model = {0};
    struct mesh_builder *builder = mesh_builder_new(NULL);
    for (unsigned i = 0; i < 500; i++)
        mesh_model_change(&model, builder);
    struct mesh_snapshot *base = fixture_build(builder);
    struct mesh_interest *interest = mesh_interest_new("/10.0.0.1");
    struct mesh_digest before = mesh_digest_of(base);
    struct mesh_snapshot *next = NULL;
    int allowed = 0;
    while (next == NULL) {
        struct err err = {0};
        allocations_left = allowed;
        next = change_everything(base, interest, &err);
        allocations_left = -1;
        if (next == NULL)
            assert_int_equal(err.kind, ERR_NOMEM);
        struct mesh_digest after = mesh_digest_of(base);
        assert_memory_equal(&before, &after, sizeof(before));
        assert_true(allowed++ < 2000);
    }
    assert_true(allowed > 25);
    mesh_snapshot_unref(base);
    mesh_snapshot_unref(next);
    mesh_interest_unref(interest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_touched_is_shared),
        cmocka_unit_test(a_key_that_the_base_has_is_taken_for_what_is_added),
        cmocka_unit_test(what_is_refused_leaves_the_builder_as_it_was),
        cmocka_unit_test(removing_what_is_not_there_is_nothing),
        cmocka_unit_test(a_service_finds_the_endpoints_that_came_before_it),
        cmocka_unit_test(only_what_an_update_touches_is_warned_of),
        cmocka_unit_test(running_out_of_memory_in_an_update_leaves_its_base_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
