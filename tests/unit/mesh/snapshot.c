/* Lookups in a snapshot: which of several objects answers, and that strangers are not found. */
#include "mesh_fixture.h"
#include "mesh_snapshot.h"
#include "mesh_spiffe.h"

#include <stdio.h>

static void a_workload_is_found_by_network_and_address_only(void **state)
{
    (void)state;
    struct mesh_builder *builder = mesh_builder_new(NULL);
    const struct mesh_workload here = {.uid = "here",
                                       IPS(fixture_ip("10.0.0.1"), fixture_ip("fd00::1"))};
    const struct mesh_workload there = {
        .uid = "there", .network = "west", IPS(fixture_ip("10.0.0.1"))};
    const struct mesh_workload host = {
        .uid = "host", .network_mode = MESH_NETWORK_HOST, IPS(fixture_ip("10.0.0.2"))};
    fixture_add_workload(builder, &here);
    fixture_add_workload(builder, &there);
    fixture_add_workload(builder, &host);
    struct mesh_snapshot *snapshot = fixture_build(builder);
    const struct {
        const char *network;
        const char *ip;
        const char *uid;
    } rows[] = {
        {"", "10.0.0.1", "here"},      {"", "fd00::1", "here"},    {"", "::ffff:10.0.0.1", "here"},
        {"west", "10.0.0.1", "there"}, {"east", "10.0.0.1", NULL}, {"", "10.0.0.2", NULL},
        {"", "10.0.0.3", NULL},        {"", "::1", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ip ip = fixture_ip(rows[i].ip);
        const struct mesh_workload *found =
            mesh_snapshot_workload_by_ip(snapshot, rows[i].network, &ip);
        assert_string_equal(found == NULL ? "" : found->uid,
                            rows[i].uid == NULL ? "" : rows[i].uid);
    }
    assert_string_equal(mesh_snapshot_workload_by_uid(snapshot, "host")->uid, "host");
    assert_null(mesh_snapshot_workload_by_uid(snapshot, "hos"));
    mesh_snapshot_unref(snapshot);
}

static void of_workloads_with_one_address_a_pod_with_hbone_comes_first(void **state)
{
    (void)state;
    /* In the order of precedence; each is looked up with those before it left out. */
    static const struct {
        const char *uid;
        enum mesh_tunnel tunnel;
    } rows[] = {
        {"c//Pod/ns/a", MESH_TUNNEL_HBONE},
        {"c//v1/Pod/ns/b", MESH_TUNNEL_NONE},
        {"c/networking.istio.io/WorkloadEntry/ns/c", MESH_TUNNEL_HBONE},
        {"c/networking.istio.io/WorkloadEntry/ns/d", MESH_TUNNEL_NONE},
        {"c/networking.istio.io/WorkloadEntry/ns/added-later", MESH_TUNNEL_NONE},
    };
    const size_t num = sizeof(rows) / sizeof(rows[0]);
    struct ip ip = fixture_ip("10.0.0.1");
    for (size_t first = 0; first < num; first++) {
        struct mesh_builder *builder = mesh_builder_new(NULL);
        /* Added the other way round, but for the last two, whose order decides. */
        for (size_t i = num - 1; i-- > first;) {
            const struct mesh_workload workload = {
                .uid = rows[i].uid, .tunnel = rows[i].tunnel, IPS(ip)};
            fixture_add_workload(builder, &workload);
        }
        const struct mesh_workload last = {.uid = rows[num - 1].uid, IPS(ip)};
        fixture_add_workload(builder, &last);
        struct mesh_snapshot *snapshot = fixture_build(builder);
        assert_string_equal(mesh_snapshot_workload_by_ip(snapshot, "", &ip)->uid, rows[first].uid);
        mesh_snapshot_unref(snapshot);
    }
}

static void the_own_workload_is_found_by_name_namespace_and_account(void **state)
{
    (void)state;
    struct mesh_builder *builder = mesh_builder_new(NULL);
    const struct mesh_workload a = {
        .uid = "1", .name = "web", .namespace_ = "shop", .service_account = "a"};
    const struct mesh_workload b = {
        .uid = "2", .name = "web", .namespace_ = "shop", .service_account = "b"};
    const struct mesh_workload other = {.uid = "3", .name = "web", .namespace_ = "pay"};
    fixture_add_workload(builder, &a);
    fixture_add_workload(builder, &b);
    fixture_add_workload(builder, &other);
    struct mesh_snapshot *snapshot = fixture_build(builder);
    assert_string_equal(mesh_snapshot_workload_by_name(snapshot, "shop", "web", "a")->uid, "1");
    assert_string_equal(mesh_snapshot_workload_by_name(snapshot, "shop", "web", "b")->uid, "2");
    assert_string_equal(mesh_snapshot_workload_by_name(snapshot, "pay", "web", NULL)->uid, "3");
    assert_string_equal(mesh_snapshot_workload_by_name(snapshot, "pay", "web", "")->uid, "3");
    assert_null(mesh_snapshot_workload_by_name(snapshot, "shop", "web", "c"));
    assert_null(mesh_snapshot_workload_by_name(snapshot, "shop", "we", "a"));
    mesh_snapshot_unref(snapshot);
}

struct candidate {
    const char *namespace_;
    bool canonical;
    enum mesh_visibility visibility;
    const char *vip;  /* NULL: none */
    const char *cidr; /* NULL: none */
};

static void add_candidate(struct mesh_builder *builder, const struct candidate *candidate, size_t i)
{
    char hostname[16];
    struct mesh_network_address vip = {.network = ""};
    struct mesh_network_cidr cidr = {.network = ""};
    snprintf(hostname, sizeof(hostname), "h%zu", i);
    struct mesh_service service = {.namespace_ = candidate->namespace_,
                                   .hostname = hostname,
                                   .canonical = candidate->canonical,
                                   .visibility = candidate->visibility};
    if (candidate->vip != NULL) {
        vip.ip = fixture_ip(candidate->vip);
        service.vips = &vip;
        service.num_vips = 1;
    }
    if (candidate->cidr != NULL) {
        assert_int_equal(cidr_parse(&cidr.cidr, candidate->cidr, NULL), 0);
        service.cidr_vips = &cidr;
        service.num_cidr_vips = 1;
    }
    fixture_add_service(builder, &service);
}

static void of_services_at_one_address_the_clients_own_comes_first(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct candidate candidates[3];
        const char *hostname; /* that a client in "shop" gets for 10.1.0.1; NULL: none */
    } rows[] = {
        {"the first added",
         {{.namespace_ = "b", .vip = "10.1.0.1"}, {.namespace_ = "a", .vip = "10.1.0.1"}},
         "h0"},
        {"canonical beats first",
         {{.namespace_ = "a", .vip = "10.1.0.1"},
          {.namespace_ = "b", .canonical = true, .vip = "10.1.0.1"}},
         "h1"},
        {"own namespace beats canonical",
         {{.namespace_ = "a", .canonical = true, .vip = "10.1.0.1"},
          {.namespace_ = "shop", .vip = "10.1.0.1"}},
         "h1"},
        {"what is not visible is not there",
         {{.namespace_ = "a", .visibility = MESH_NAMESPACE, .vip = "10.1.0.1"}},
         NULL},
        {"the invisible hides nothing",
         {{.namespace_ = "a", .visibility = MESH_NAMESPACE, .vip = "10.1.0.1"},
          {.namespace_ = "b", .cidr = "10.0.0.0/8"}},
         "h1"},
        {"visible to its own namespace",
         {{.namespace_ = "shop", .visibility = MESH_NAMESPACE, .vip = "10.1.0.1"}},
         "h0"},
        {"exact beats CIDR",
         {{.namespace_ = "shop", .cidr = "10.1.0.1/32"}, {.namespace_ = "a", .vip = "10.1.0.1"}},
         "h1"},
        {"the longer prefix",
         {{.namespace_ = "a", .cidr = "10.0.0.0/8"}, {.namespace_ = "a", .cidr = "10.1.0.0/16"}},
         "h1"},
        {"own namespace beats the longer prefix",
         {{.namespace_ = "a", .cidr = "10.1.0.0/24"}, {.namespace_ = "shop", .cidr = "10.0.0.0/8"}},
         "h1"},
        {"prefix beats canonical",
         {{.namespace_ = "a", .canonical = true, .cidr = "10.0.0.0/8"},
          {.namespace_ = "a", .cidr = "10.1.0.0/16"}},
         "h1"},
        {"canonical among equal prefixes",
         {{.namespace_ = "a", .cidr = "10.0.0.0/8"},
          {.namespace_ = "b", .canonical = true, .cidr = "10.0.0.0/8"}},
         "h1"},
        {"outside of the CIDR", {{.namespace_ = "a", .cidr = "10.2.0.0/16"}}, NULL},
    };
    struct ip ip = fixture_ip("10.1.0.1");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mesh_builder *builder = mesh_builder_new(NULL);
        for (size_t j = 0; j < 3 && rows[i].candidates[j].namespace_ != NULL; j++)
            add_candidate(builder, &rows[i].candidates[j], j);
        struct mesh_snapshot *snapshot = fixture_build(builder);
        const struct mesh_service *found = mesh_snapshot_service_by_vip(snapshot, "", &ip, "shop");
        if (strcmp(found == NULL ? "" : found->hostname,
                   rows[i].hostname == NULL ? "" : rows[i].hostname) != 0)
            fail_msg("%s: found %s", rows[i].name, found == NULL ? "nothing" : found->hostname);
        assert_null(mesh_snapshot_service_by_vip(snapshot, "west", &ip, "shop"));
        mesh_snapshot_unref(snapshot);
    }
}

static void a_host_name_prefers_the_clients_namespace_then_the_canonical_service(void **state)
{
    (void)state;
    struct mesh_builder *builder = mesh_builder_new(NULL);
    const struct mesh_service services[] = {
        {.namespace_ = "a", .hostname = "db"},
        {.namespace_ = "b", .hostname = "db", .canonical = true},
        {.namespace_ = "c", .hostname = "db"},
        {.namespace_ = "a", .hostname = "dc"},
    };
    for (size_t i = 0; i < 4; i++)
        fixture_add_service(builder, &services[i]);
    struct mesh_snapshot *snapshot = fixture_build(builder);
    assert_string_equal(mesh_snapshot_service_by_hostname(snapshot, "db", "c")->key, "c/db");
    assert_string_equal(mesh_snapshot_service_by_hostname(snapshot, "db", "x")->key, "b/db");
    assert_string_equal(mesh_snapshot_service_by_hostname(snapshot, "dc", "x")->key, "a/dc");
    assert_null(mesh_snapshot_service_by_hostname(snapshot, "da", "x"));
    assert_null(mesh_snapshot_service(snapshot, "a/d"));
    mesh_snapshot_unref(snapshot);
}

static void a_target_port_is_the_endpoints_own_else_the_services(void **state)
{
    (void)state;
    struct mesh_builder *builder = mesh_builder_new(NULL);
    const struct mesh_port own[] = {{80, 9000, MESH_APP_UNKNOWN}, {81, 0, MESH_APP_UNKNOWN}};
    const struct mesh_workload workload = {.uid = "w", SERVICES({"a/s", own, 2})};
    const struct mesh_service service = {.namespace_ = "a",
                                         .hostname = "s",
                                         PORTS({80, 8080, MESH_APP_UNKNOWN},
                                               {81, 8081, MESH_APP_UNKNOWN},
                                               {82, 0, MESH_APP_UNKNOWN})};
    const struct mesh_service other = {
        .namespace_ = "a", .hostname = "t", PORTS({80, 8080, MESH_APP_UNKNOWN})};
    fixture_add_workload(builder, &workload);
    fixture_add_service(builder, &service);
    fixture_add_service(builder, &other);
    struct mesh_snapshot *snapshot = fixture_build(builder);
    const struct mesh_workload *w = mesh_snapshot_workload_by_uid(snapshot, "w");
    const struct mesh_service *s = mesh_snapshot_service(snapshot, "a/s");
    assert_int_equal(mesh_snapshot_target_port(s, w, 80), 9000);
    assert_int_equal(mesh_snapshot_target_port(s, w, 81), 8081);
    assert_int_equal(mesh_snapshot_target_port(s, w, 82), 0);
    assert_int_equal(mesh_snapshot_target_port(s, w, 83), 0);
    assert_int_equal(mesh_snapshot_target_port(mesh_snapshot_service(snapshot, "a/t"), w, 80), 0);
    mesh_snapshot_unref(snapshot);
}

static void an_empty_mesh_knows_nothing(void **state)
{
    (void)state;
    struct mesh_snapshot *snapshot = fixture_build(mesh_builder_new(NULL));
    struct ip ip = fixture_ip("10.0.0.1");
    assert_null(mesh_snapshot_workload_by_ip(snapshot, "", &ip));
    assert_null(mesh_snapshot_workload_by_uid(snapshot, ""));
    assert_null(mesh_snapshot_workload_by_name(snapshot, "", "", ""));
    assert_null(mesh_snapshot_service_by_vip(snapshot, "", &ip, ""));
    assert_null(mesh_snapshot_service_by_hostname(snapshot, "", ""));
    assert_null(mesh_snapshot_policy(snapshot, ""));
    struct mesh_counts counts = mesh_snapshot_counts(snapshot);
    assert_int_equal(counts.workloads + counts.services + counts.policies + counts.answered, 0);
    mesh_snapshot_unref(snapshot);
    mesh_snapshot_unref(NULL);
}

static void a_snapshot_lives_as_long_as_its_last_reference(void **state)
{
    (void)state;
    struct mesh_snapshot *snapshot = fixture_build(mesh_builder_new(NULL));
    struct mesh_snapshot *second = mesh_snapshot_ref(snapshot);
    mesh_snapshot_unref(snapshot);
    assert_int_equal(mesh_snapshot_counts(second).workloads, 0);
    mesh_snapshot_unref(second);
}

static void text_is_told_to_be_a_spiffe_id_or_not(void **state)
{
    (void)state;
    char long_domain[9 + 256 + 3];
    memset(long_domain, 'a', sizeof(long_domain));
    memcpy(long_domain, "spiffe://", 9);
    memcpy(long_domain + 9 + 256, "/x", 3);
    static const char *const good[] = {"spiffe://td/a", "spiffe://cluster.local/ns/a/sa/b",
                                       "spiffe://1.2.3.4/A-z_0.9", "spiffe://td/.../a"};
    static const char *const bad[] = {"",
                                      "spiffe://",
                                      "spiffe:///a",
                                      "spiffe://td",
                                      "spiffe://td/",
                                      "spiffe://td/a/",
                                      "spiffe://td//a",
                                      "spiffe://td/./a",
                                      "spiffe://td/..",
                                      "spiffe://TD/a",
                                      "spiffe://td:1/a",
                                      "spiffe://u@td/a",
                                      "spiffe://td/a%20b",
                                      "spiffe://td/a?b",
                                      "spiffe://td/a b",
                                      "https://td/a",
                                      "SPIFFE://td/a",
                                      "td/ns/a/sa/b"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!mesh_spiffe_valid(good[i]))
            fail_msg("%s is one", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (mesh_spiffe_valid(bad[i]))
            fail_msg("%s is none", bad[i]);
    assert_false(mesh_spiffe_valid(long_domain));
    memmove(long_domain + 9, long_domain + 10, 258);
    assert_true(mesh_spiffe_valid(long_domain));
}

/* What live sessions are authorized again by. */
static void policies_are_shared_until_one_of_them_changes(void **state)
{
    const struct mesh_workload workload = {.uid = "a", .name = "a", .namespace_ = "shop"};
    struct mesh_policy policy = {
        .name = "p", .namespace_ = "shop", .scope = MESH_POLICY_NAMESPACE, .action = MESH_ALLOW};
    struct mesh_snapshot *made[3] = {NULL};
    for (size_t i = 0; i < 3; i++) {
        struct err err = {0};
        struct mesh_builder *builder = mesh_builder_new(i == 0 ? NULL : made[i - 1]);
        assert_non_null(builder);
        policy.name = i == 0 ? "p" : "q";
        if (i == 1)
            assert_int_equal(mesh_builder_add_workload(builder, &workload, &err), 0);
        else
            assert_int_equal(mesh_builder_add_policy(builder, &policy, &err), 0);
        made[i] = mesh_builder_build(builder, NULL, &err);
        assert_non_null(made[i]);
        mesh_builder_free(builder);
    }
    assert_true(mesh_snapshot_shares_policies(made[0], made[1]));
    assert_false(mesh_snapshot_shares_policies(made[1], made[2]));
    for (size_t i = 0; i < 3; i++)
        mesh_snapshot_unref(made[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_workload_is_found_by_network_and_address_only),
        cmocka_unit_test(of_workloads_with_one_address_a_pod_with_hbone_comes_first),
        cmocka_unit_test(the_own_workload_is_found_by_name_namespace_and_account),
        cmocka_unit_test(of_services_at_one_address_the_clients_own_comes_first),
        cmocka_unit_test(a_host_name_prefers_the_clients_namespace_then_the_canonical_service),
        cmocka_unit_test(a_target_port_is_the_endpoints_own_else_the_services),
        cmocka_unit_test(policies_are_shared_until_one_of_them_changes),
        cmocka_unit_test(an_empty_mesh_knows_nothing),
        cmocka_unit_test(a_snapshot_lives_as_long_as_its_last_reference),
        cmocka_unit_test(text_is_told_to_be_a_spiffe_id_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
