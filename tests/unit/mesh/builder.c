/* mesh_builder: copies, defaults, what is refused, what is warned of, and running out of memory anywhere. */
#include "mesh_builder.h"
#include "mesh_fixture.h"

#include <stdio.h>
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
void *__real_realloc(void *old, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t num, size_t len);
void *__wrap_realloc(void *old, size_t len);

void *__wrap_malloc(size_t len)
{
    return may_allocate() ? __real_malloc(len) : NULL;
}

void *__wrap_calloc(size_t num, size_t len)
{
    return may_allocate() ? __real_calloc(num, len) : NULL;
}

void *__wrap_realloc(void *old, size_t len)
{
    return may_allocate() ? __real_realloc(old, len) : NULL;
}

/* --------------------------------------------------------------------------------- tests -- */

static void names_that_were_not_given_get_the_fields_defaults(void **state)
{
    (void)state;
    struct mesh_builder *builder = mesh_builder_new(NULL);
    const struct mesh_workload workload = {.uid = "w", .namespace_ = "shop"};
    fixture_add_workload(builder, &workload);
    struct mesh_snapshot *snapshot = fixture_build(builder);
    const struct mesh_workload *w = mesh_snapshot_workload_by_uid(snapshot, "w");
    assert_string_equal(w->service_account, "default");
    assert_string_equal(w->trust_domain, "cluster.local");
    assert_string_equal(w->cluster_id, "Kubernetes");
    assert_string_equal(w->network, "");
    assert_string_equal(w->locality.zone, "");
    assert_string_equal(w->waypoint.hostname, "");
    assert_string_equal(w->identity, "spiffe://cluster.local/ns/shop/sa/default");
    mesh_snapshot_unref(snapshot);
}

static void what_was_added_may_change_afterwards(void **state)
{
    (void)state;
    char uid[] = "first";
    struct ip ip = fixture_ip("10.0.0.1");
    struct mesh_builder *builder = mesh_builder_new(NULL);
    struct mesh_workload workload = {.uid = uid, .ips = &ip, .num_ips = 1};
    fixture_add_workload(builder, &workload);
    memcpy(uid, "other", sizeof(uid));
    ip = fixture_ip("10.0.0.2");
    struct mesh_snapshot *snapshot = fixture_build(builder);
    const struct mesh_workload *w = mesh_snapshot_workload_by_uid(snapshot, "first");
    assert_non_null(w);
    assert_int_equal(w->ips[0].bytes[3], 1);
    mesh_snapshot_unref(snapshot);
}

static void many_objects_keep_their_places(void **state)
{
    (void)state;
    enum { NUM = 1000 };
    struct mesh_builder *builder = mesh_builder_new(NULL);
    char uid[16];
    for (unsigned i = 0; i < NUM; i++) {
        const uint8_t bytes[] = {10, 0, (uint8_t)(i >> 8), (uint8_t)i};
        struct ip ip;
        assert_int_equal(ip_from_bytes(&ip, bytes, 4, NULL), 0);
        snprintf(uid, sizeof(uid), "w%u", i);
        const struct mesh_workload workload = {.uid = uid, .ips = &ip, .num_ips = 1};
        fixture_add_workload(builder, &workload);
    }
    struct mesh_snapshot *snapshot = fixture_build(builder);
    for (unsigned i = 0; i < NUM; i++) {
        snprintf(uid, sizeof(uid), "w%u", i);
        const struct mesh_workload *w = mesh_snapshot_workload_by_uid(snapshot, uid);
        assert_non_null(w);
        assert_ptr_equal(mesh_snapshot_workload_by_ip(snapshot, "", &w->ips[0]), w);
        assert_int_equal(w->ips[0].bytes[3], (uint8_t)i);
    }
    mesh_snapshot_unref(snapshot);
}

static void what_a_source_may_not_say_is_refused_by_name(void **state)
{
    (void)state;
    char long_name[MESH_NAME_MAX + 2];
    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    const struct ip nothing = {0};
    const struct ip unspecified = fixture_ip("0.0.0.0");
    const struct mesh_port zero = {0, 80, MESH_APP_UNKNOWN};
    const struct {
        struct mesh_workload workload;
        enum err_kind kind;
        const char *message;
    } rows[] = {
        {{.uid = ""}, ERR_INVALID, "a workload has no uid"},
        {{.uid = "w", .name = long_name},
         ERR_LIMIT,
         "workload \"w\": name is longer than 253 bytes"},
        {{.uid = "w", .locality = {.zone = long_name}},
         ERR_LIMIT,
         "workload \"w\": zone is longer than 253 bytes"},
        {{.uid = "w", .ips = &nothing, .num_ips = 1},
         ERR_INVALID,
         "workload \"w\": an address is no IP address"},
        {{.uid = "w", .ips = &unspecified, .num_ips = 1},
         ERR_INVALID,
         "workload \"w\": an address is the unspecified address"},
        {{.uid = "w", .num_ips = MESH_ADDRESSES_MAX + 1},
         ERR_LIMIT,
         "workload \"w\": addresses has 65 entries, more than 64"},
        {{.uid = "w", SERVICES({"", NULL, 0})},
         ERR_INVALID,
         "workload \"w\": the name of a service is missing"},
        {{.uid = "w", SERVICES({"a/b", &zero, 1})},
         ERR_INVALID,
         "workload \"w\": service \"a/b\": a service port is 0"},
        {{.uid = "w", .waypoint = {.kind = MESH_GATEWAY_HOSTNAME}},
         ERR_INVALID,
         "workload \"w\": waypoint is missing"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        struct mesh_builder *builder = mesh_builder_new(NULL);
        assert_int_equal(mesh_builder_add_workload(builder, &rows[i].workload, &err), -1);
        assert_string_equal(err.message, rows[i].message);
        assert_int_equal(err.kind, rows[i].kind);
        mesh_builder_free(builder);
    }
}

static void services_and_policies_need_a_name(void **state)
{
    (void)state;
    struct err err = {0};
    struct mesh_builder *builder = mesh_builder_new(NULL);
    const struct mesh_service service = {.namespace_ = "a"};
    assert_int_equal(mesh_builder_add_service(builder, &service, &err), -1);
    assert_string_equal(err.message, "a service has no host name");
    const struct mesh_policy policy = {.namespace_ = "a"};
    assert_int_equal(mesh_builder_add_policy(builder, &policy, &err), -1);
    assert_string_equal(err.message, "a policy has no name");
    mesh_builder_free(builder);
}

/* 0: workload, 1: service, 2: policy, of one and the same key each. */
static int add_one(struct mesh_builder *builder, size_t kind, struct err *err)
{
    const struct mesh_workload workload = {.uid = "w"};
    const struct mesh_service service = {.namespace_ = "a", .hostname = "s"};
    const struct mesh_policy policy = {.namespace_ = "a", .name = "p"};
    if (kind == 0)
        return mesh_builder_add_workload(builder, &workload, err);
    if (kind == 1)
        return mesh_builder_add_service(builder, &service, err);
    return mesh_builder_add_policy(builder, &policy, err);
}

static void one_key_for_two_objects_is_an_error_in_what_is_added(void **state)
{
    (void)state;
    static const char *const messages[] = {"two workloads have the uid \"w\"",
                                           "two services are named \"a/s\"",
                                           "two policies are named \"a/p\""};
    for (size_t i = 0; i < 3; i++) {
        struct err err = {0};
        struct mesh_builder *builder = mesh_builder_new(NULL);
        assert_int_equal(add_one(builder, i, &err), 0);
        assert_int_equal(add_one(builder, i, &err), -1);
        assert_string_equal(err.message, messages[i]);
        assert_int_equal(err.kind, ERR_INVALID);
        struct mesh_snapshot *snapshot = fixture_build(builder);
        struct mesh_counts counts = mesh_snapshot_counts(snapshot);
        assert_int_equal(counts.workloads + counts.services + counts.policies, 1);
        mesh_snapshot_unref(snapshot);
    }
}

static void what_does_not_fit_together_is_warned_of(void **state)
{
    (void)state;
    struct err err = {0};
    struct mesh_warnings warnings = {0};
    struct mesh_builder *builder = mesh_builder_new(NULL);
    const char *sans[] = {"cluster.local/ns/a/sa/b"};
    const char *policies[] = {"a/gone"};
    const struct mesh_pattern unset = {MESH_PATTERN_UNSET, NULL};
    const struct mesh_match match = {.principals = {&unset, 1}};
    const struct mesh_clause clause = {&match, 1};
    const struct mesh_rule rule = {&clause, 1};
    const struct mesh_workload workload = {.uid = "w",
                                           .namespace_ = "a b",
                                           .tunnel = MESH_TUNNEL_HBONE,
                                           SERVICES({"a/gone", NULL, 0}),
                                           .authorization_policies = policies,
                                           .num_authorization_policies = 1};
    const struct mesh_service service = {
        .namespace_ = "a", .hostname = "s", .subject_alt_names = sans, .num_subject_alt_names = 1};
    const struct mesh_policy policy = {
        .namespace_ = "a", .name = "p", .rules = &rule, .num_rules = 1};
    fixture_add_workload(builder, &workload);
    fixture_add_service(builder, &service);
    assert_int_equal(mesh_builder_add_policy(builder, &policy, &err), 0);
    struct mesh_snapshot *snapshot = mesh_builder_build(builder, &warnings, &err);
    assert_non_null(snapshot);
    static const char *const expected[] = {
        "workload \"w\" has no valid identity: \"spiffe://cluster.local/ns/a b/sa/default\" is no "
        "SPIFFE ID",
        "service \"a/s\": the subject alternative name \"cluster.local/ns/a/sa/b\" is no SPIFFE ID",
        "policy \"a/p\" has patterns of an unknown kind; they are ignored",
        "workload \"w\" lists the policy \"a/gone\", which nothing describes: all connections to "
        "it are refused",
        "workload \"w\" is an endpoint of \"a/gone\", which nothing describes",
    };
    assert_int_equal(warnings.num, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(warnings.kept[i], expected[i]);
    assert_int_equal(mesh_snapshot_service(snapshot, "a/s")->num_subject_alt_names, 0);
    mesh_snapshot_unref(snapshot);
    mesh_builder_free(builder);
}

static void warnings_beyond_those_kept_are_counted(void **state)
{
    (void)state;
    struct err err = {0};
    struct mesh_warnings warnings = {0};
    struct mesh_builder *builder = mesh_builder_new(NULL);
    char uid[16];
    for (unsigned i = 0; i < 3 * MESH_WARNINGS_KEPT; i++) {
        snprintf(uid, sizeof(uid), "w%u", i);
        const struct mesh_workload workload = {.uid = uid, SERVICES({"a/gone", NULL, 0})};
        fixture_add_workload(builder, &workload);
    }
    struct mesh_snapshot *snapshot = mesh_builder_build(builder, &warnings, &err);
    assert_int_equal(warnings.num, 3 * MESH_WARNINGS_KEPT);
    assert_non_null(strstr(warnings.kept[MESH_WARNINGS_KEPT - 1], "w15"));
    mesh_snapshot_unref(snapshot);
    mesh_builder_free(builder);
}

/* Everything that allocates, once. NULL: out of memory. */
static struct mesh_snapshot *build_one_of_each(struct err *err)
{
    struct ip ip = {.family = IP_V4, .bytes = {10, 0, 0, 1}};
    const char *sans[] = {"spiffe://td/a"};
    const char *policies[] = {"a/p"};
    const struct mesh_port port = {80, 8080, MESH_APP_UNKNOWN};
    const struct mesh_network_address vip = {"net", ip};
    const struct mesh_network_cidr cidr = {"net", {ip, 32}};
    const struct mesh_weighted_waypoint waypoint = {
        {.kind = MESH_GATEWAY_ADDRESS, .network = "net", .ip = ip}, 1};
    const struct mesh_pattern pattern = {MESH_EXACT, "x"};
    const struct mesh_account account = {"a", "b"};
    const uint16_t port_value = 80;
    const struct mesh_match match = {.principals = {&pattern, 1},
                                     .service_accounts = {&account, 1},
                                     .source_ips = {&cidr.cidr, 1},
                                     .destination_ports = {&port_value, 1}};
    const struct mesh_clause clause = {&match, 1};
    const struct mesh_rule rule = {&clause, 1};
    const struct mesh_workload workload = {.uid = "w",
                                           .name = "w",
                                           .namespace_ = "a",
                                           .capacity = 1,
                                           IPS(ip),
                                           SERVICES({"a/s", &port, 1}),
                                           .authorization_policies = policies,
                                           .num_authorization_policies = 1};
    const struct mesh_service service = {.namespace_ = "a",
                                         .hostname = "s",
                                         .vips = &vip,
                                         .num_vips = 1,
                                         .cidr_vips = &cidr,
                                         .num_cidr_vips = 1,
                                         .ports = &port,
                                         .num_ports = 1,
                                         .weighted_waypoints = &waypoint,
                                         .num_weighted_waypoints = 1,
                                         .subject_alt_names = sans,
                                         .num_subject_alt_names = 1};
    const struct mesh_policy policy = {
        .namespace_ = "a", .name = "p", .rules = &rule, .num_rules = 1};
    struct mesh_snapshot *snapshot = NULL;
    struct mesh_builder *builder = mesh_builder_new(NULL);
    if (builder == NULL)
        err_set(err, ERR_NOMEM, "out of memory");
    else if (mesh_builder_add_workload(builder, &workload, err) == 0 &&
             mesh_builder_add_service(builder, &service, err) == 0 &&
             mesh_builder_add_policy(builder, &policy, err) == 0)
        snapshot = mesh_builder_build(builder, NULL, err);
    mesh_builder_free(builder);
    return snapshot;
}

static void running_out_of_memory_anywhere_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    struct mesh_snapshot *snapshot = NULL;
    int allowed = 0;
    while (snapshot == NULL) {
        struct err err = {0};
        allocations_left = allowed;
        snapshot = build_one_of_each(&err);
        allocations_left = -1;
        if (snapshot == NULL)
            assert_int_equal(err.kind, ERR_NOMEM);
        assert_true(allowed++ < 1000);
    }
    assert_true(allowed > 5);
    mesh_snapshot_unref(snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_were_not_given_get_the_fields_defaults),
        cmocka_unit_test(what_was_added_may_change_afterwards),
        cmocka_unit_test(many_objects_keep_their_places),
        cmocka_unit_test(what_a_source_may_not_say_is_refused_by_name),
        cmocka_unit_test(services_and_policies_need_a_name),
        cmocka_unit_test(one_key_for_two_objects_is_an_error_in_what_is_added),
        cmocka_unit_test(what_does_not_fit_together_is_warned_of),
        cmocka_unit_test(warnings_beyond_those_kept_are_counted),
        cmocka_unit_test(running_out_of_memory_anywhere_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
