/* mesh_decide: where a connection goes, in a small mesh that has one of each. */
#include "mesh_decide.h"
#include "mesh_fixture.h"

static const char service_san[] = "spiffe://cluster.local/ns/shop/sa/extra";

static struct mesh_gateway waypoint_at(const char *address)
{
    return (struct mesh_gateway){
        .kind = MESH_GATEWAY_ADDRESS, .ip = fixture_ip(address), .hbone_mtls_port = 15008};
}

static void add_workloads(struct mesh_builder *builder)
{
    const struct mesh_port map[] = {{80, 8081, MESH_APP_UNKNOWN}};
    const struct mesh_workload workloads[] = {
        {.uid = "client",
         .name = "client",
         .namespace_ = "shop",
         .tunnel = MESH_TUNNEL_HBONE,
         .capacity = 1,
         IPS(fixture_ip("10.0.0.1"))},
        {.uid = "hbone",
         .name = "hbone",
         .namespace_ = "shop",
         .service_account = "backend",
         .tunnel = MESH_TUNNEL_HBONE,
         .capacity = 1,
         IPS(fixture_ip("10.0.0.2"), fixture_ip("fd00::2")),
         SERVICES({"shop/backend", NULL, 0}, {"shop/mapped", map, 1}, {"shop/v6only", NULL, 0},
                  {"shop/sans", NULL, 0}, {"shop/waypointed", NULL, 0}, {"shop/weighted", NULL, 0},
                  {"shop/hidden", NULL, 0}, {"shop/dual", NULL, 0})},
        {.uid = "plain",
         .name = "plain",
         .namespace_ = "shop",
         .capacity = 1,
         IPS(fixture_ip("10.0.0.3")),
         SERVICES({"shop/plain", NULL, 0}, {"shop/legacy-mixed", NULL, 0})},
        {.uid = "legacy",
         .name = "legacy",
         .namespace_ = "shop",
         .service_account = "old",
         .tunnel = MESH_TUNNEL_LEGACY_ISTIO_MTLS,
         .capacity = 1,
         IPS(fixture_ip("10.0.0.4")),
         SERVICES({"shop/legacy", NULL, 0}, {"shop/legacy-mixed", NULL, 0})},
        {.uid = "legacy-nameless",
         .name = "legacy-nameless",
         .namespace_ = "",
         .tunnel = MESH_TUNNEL_LEGACY_ISTIO_MTLS,
         .capacity = 1,
         IPS(fixture_ip("10.0.0.10"))},
        {.uid = "legacy-dns",
         .name = "legacy-dns",
         .namespace_ = "shop",
         .hostname = "old.example.com",
         .tunnel = MESH_TUNNEL_LEGACY_ISTIO_MTLS,
         .capacity = 1,
         SERVICES({"shop/legacy-dns", NULL, 0})},
        {.uid = "waypointed",
         .name = "waypointed",
         .namespace_ = "shop",
         .tunnel = MESH_TUNNEL_HBONE,
         .capacity = 1,
         IPS(fixture_ip("10.0.0.5")),
         .waypoint = waypoint_at("10.0.0.99")},
        {.uid = "nameless",
         .name = "nameless",
         .namespace_ = "",
         .tunnel = MESH_TUNNEL_HBONE,
         .capacity = 1,
         IPS(fixture_ip("10.0.0.6"))},
        {.uid = "far",
         .name = "far",
         .namespace_ = "shop",
         .network = "west",
         .tunnel = MESH_TUNNEL_HBONE,
         .capacity = 1,
         IPS(fixture_ip("10.0.0.7")),
         .network_gateway = waypoint_at("10.0.0.98"),
         SERVICES({"shop/far", NULL, 0})},
        {.uid = "dns",
         .name = "dns",
         .namespace_ = "shop",
         .hostname = "db.example.com",
         .capacity = 1,
         SERVICES({"shop/dns", NULL, 0})},
        {.uid = "host",
         .name = "host",
         .namespace_ = "shop",
         .capacity = 1,
         .network_mode = MESH_NETWORK_HOST,
         IPS(fixture_ip("10.0.0.8")),
         SERVICES({"shop/host", NULL, 0})},
        {.uid = "sick",
         .name = "sick",
         .namespace_ = "shop",
         .tunnel = MESH_TUNNEL_HBONE,
         .capacity = 1,
         .unhealthy = true,
         IPS(fixture_ip("10.0.0.9")),
         SERVICES({"shop/sick", NULL, 0}, {"shop/tolerant", NULL, 0})},
        {.uid = "through",
         .name = "through",
         .namespace_ = "shop",
         .tunnel = MESH_TUNNEL_HBONE,
         .capacity = 1,
         IPS(fixture_ip("10.1.0.21"))},
    };
    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
        fixture_add_workload(builder, &workloads[i]);
}

#define SERVICE(name_, ip_)                                                                        \
    .name = name_, .namespace_ = "shop", .hostname = name_, VIPS({"", fixture_ip(ip_)}),           \
    PORTS({80, 8080, MESH_APP_UNKNOWN})

static void add_services(struct mesh_builder *builder)
{
    const char *sans[] = {service_san, "not a SPIFFE ID"};
    const struct mesh_weighted_waypoint weighted[] = {{waypoint_at("10.0.0.99"), 5}};
    const struct mesh_service services[] = {
        {SERVICE("backend", "10.1.0.1")},
        {SERVICE("mapped", "10.1.0.2")},
        {SERVICE("plain", "10.1.0.3")},
        {SERVICE("legacy", "10.1.0.4")},
        {SERVICE("far", "10.1.0.5")},
        {SERVICE("dns", "10.1.0.6")},
        {SERVICE("host", "10.1.0.7")},
        {SERVICE("sick", "10.1.0.8")},
        {SERVICE("tolerant", "10.1.0.9"), .load_balancing = {.health_policy = MESH_ALLOW_ALL}},
        {SERVICE("v6only", "10.1.0.10"), .ip_families = MESH_FAMILIES_IPV6},
        {SERVICE("sans", "10.1.0.11"), .subject_alt_names = sans, .num_subject_alt_names = 2},
        {SERVICE("waypointed", "10.1.0.12"), .waypoint = waypoint_at("10.0.0.99")},
        {SERVICE("weighted", "10.1.0.13"), .weighted_waypoints = weighted,
         .num_weighted_waypoints = 1},
        {SERVICE("hidden", "10.1.0.14"), .visibility = MESH_NAMESPACE},
        {SERVICE("legacy-dns", "10.1.0.15"), .ip_families = MESH_FAMILIES_IPV6},
        {SERVICE("legacy-mixed", "10.1.0.16"), .subject_alt_names = sans,
         .num_subject_alt_names = 2},
        {SERVICE("passed", "10.1.0.20"), .load_balancing = {.mode = MESH_LB_PASSTHROUGH}},
        {SERVICE("passed-known", "10.1.0.21"), .load_balancing = {.mode = MESH_LB_PASSTHROUGH}},
        {SERVICE("empty", "10.1.0.22")},
        {SERVICE("dual", "fd00:1::1")},
    };
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
        fixture_add_service(builder, &services[i]);
}

static int set_up(void **state)
{
    struct mesh_builder *builder = mesh_builder_new(NULL);
    assert_non_null(builder);
    add_workloads(builder);
    add_services(builder);
    *state = fixture_build(builder);
    return 0;
}

static int tear_down(void **state)
{
    mesh_snapshot_unref(*state);
    return 0;
}

static struct mesh_decision decide(const struct mesh_snapshot *snapshot, const char *destination,
                                   bool refuse_unknown)
{
    struct mesh_decision decision;
    struct mesh_request request = {.source = mesh_snapshot_workload_by_uid(snapshot, "client"),
                                   .network = "",
                                   .destination = fixture_addr(destination),
                                   .refuse_unknown = refuse_unknown};
    mesh_decide(snapshot, &request, &decision);
    return decision;
}

static void each_kind_of_destination_is_reached_as_discovery_says(void **state)
{
    const struct {
        const char *to;
        enum mesh_decision_kind kind;
        enum reason reason;
        const char *target;
        const char *tunnel;
        const char *workload;
        const char *service;
    } rows[] = {
        /* by the workload's own address */
        {"10.0.0.2:8080", MESH_TUNNEL, REASON_DONE, "10.0.0.2:8080", "10.0.0.2:15008", "hbone",
         NULL},
        {"[fd00::2]:8080", MESH_TUNNEL, REASON_DONE, "[fd00::2]:8080", "[fd00::2]:15008", "hbone",
         NULL},
        {"10.0.0.3:25", MESH_PASSTHROUGH, REASON_DONE, "10.0.0.3:25", NULL, "plain", NULL},
        {"10.0.0.4:80", MESH_ISTIO_MTLS, REASON_DONE, "10.0.0.4:80", NULL, "legacy", NULL},
        {"10.0.0.10:80", MESH_REFUSE, REASON_NO_EXPECTED_IDENTITY, NULL, NULL, "legacy-nameless",
         NULL},
        {"10.0.0.5:80", MESH_REFUSE, REASON_WAYPOINT_UNKNOWN, NULL, NULL, "waypointed", NULL},
        {"10.0.0.6:80", MESH_REFUSE, REASON_NO_EXPECTED_IDENTITY, NULL, NULL, "nameless", NULL},
        {"10.0.0.9:80", MESH_TUNNEL, REASON_DONE, "10.0.0.9:80", "10.0.0.9:15008", "sick", NULL},
        /* not ours to know: another network's address, the node's address, nobody's */
        {"10.0.0.7:80", MESH_PASSTHROUGH, REASON_DONE, "10.0.0.7:80", NULL, NULL, NULL},
        {"10.0.0.8:80", MESH_PASSTHROUGH, REASON_DONE, "10.0.0.8:80", NULL, NULL, NULL},
        {"93.184.216.34:443", MESH_PASSTHROUGH, REASON_DONE, "93.184.216.34:443", NULL, NULL, NULL},
        /* by a service's address */
        {"10.1.0.1:80", MESH_TUNNEL, REASON_DONE, "10.0.0.2:8080", "10.0.0.2:15008", "hbone",
         "shop/backend"},
        {"10.1.0.1:81", MESH_REFUSE, REASON_NO_HEALTHY_ENDPOINT, NULL, NULL, NULL, "shop/backend"},
        {"10.1.0.2:80", MESH_TUNNEL, REASON_DONE, "10.0.0.2:8081", "10.0.0.2:15008", "hbone",
         "shop/mapped"},
        {"10.1.0.3:80", MESH_PASSTHROUGH, REASON_DONE, "10.0.0.3:8080", NULL, "plain",
         "shop/plain"},
        {"10.1.0.4:80", MESH_ISTIO_MTLS, REASON_DONE, "10.0.0.4:8080", NULL, "legacy",
         "shop/legacy"},
        {"10.1.0.15:80", MESH_ISTIO_MTLS, REASON_DONE, NULL, NULL, "legacy-dns", "shop/legacy-dns"},
        {"10.1.0.5:80", MESH_REFUSE, REASON_NO_EXPECTED_IDENTITY, NULL, NULL, NULL, "shop/far"},
        {"10.1.0.6:80", MESH_PASSTHROUGH, REASON_DONE, NULL, NULL, "dns", "shop/dns"},
        {"10.1.0.7:80", MESH_PASSTHROUGH, REASON_DONE, "10.0.0.8:8080", NULL, "host", "shop/host"},
        {"10.1.0.8:80", MESH_REFUSE, REASON_NO_HEALTHY_ENDPOINT, NULL, NULL, NULL, "shop/sick"},
        {"10.1.0.9:80", MESH_TUNNEL, REASON_DONE, "10.0.0.9:8080", "10.0.0.9:15008", "sick",
         "shop/tolerant"},
        {"[fd00:1::1]:80", MESH_TUNNEL, REASON_DONE, "[fd00::2]:8080", "[fd00::2]:15008", "hbone",
         "shop/dual"},
        {"10.1.0.10:80", MESH_TUNNEL, REASON_DONE, "[fd00::2]:8080", "[fd00::2]:15008", "hbone",
         "shop/v6only"},
        {"10.1.0.12:80", MESH_REFUSE, REASON_WAYPOINT_UNKNOWN, NULL, NULL, NULL, "shop/waypointed"},
        {"10.1.0.13:80", MESH_REFUSE, REASON_WAYPOINT_UNKNOWN, NULL, NULL, NULL, "shop/weighted"},
        {"10.1.0.14:80", MESH_TUNNEL, REASON_DONE, "10.0.0.2:8080", "10.0.0.2:15008", "hbone",
         "shop/hidden"},
        {"10.1.0.20:80", MESH_PASSTHROUGH, REASON_DONE, "10.1.0.20:80", NULL, NULL, "shop/passed"},
        {"10.1.0.21:80", MESH_TUNNEL, REASON_DONE, "10.1.0.21:80", "10.1.0.21:15008", "through",
         "shop/passed-known"},
        {"10.1.0.22:80", MESH_REFUSE, REASON_NO_HEALTHY_ENDPOINT, NULL, NULL, NULL, "shop/empty"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[ADDR_TEXT_MAX];
        struct mesh_decision decision = decide(*state, rows[i].to, false);
        print_message("%s\n", rows[i].to);
        assert_int_equal(decision.kind, rows[i].kind);
        assert_int_equal(decision.reason, rows[i].reason);
        assert_string_equal(decision.workload == NULL ? "" : decision.workload->uid,
                            rows[i].workload == NULL ? "" : rows[i].workload);
        assert_string_equal(decision.service == NULL ? "" : decision.service->key,
                            rows[i].service == NULL ? "" : rows[i].service);
        if (rows[i].target != NULL)
            assert_string_equal(addr_format(&decision.target, text), rows[i].target);
        if (rows[i].tunnel != NULL)
            assert_string_equal(addr_format(&decision.tunnel, text), rows[i].tunnel);
        assert_int_equal(decision.num_identities > 0,
                         decision.kind == MESH_TUNNEL || decision.kind == MESH_ISTIO_MTLS);
    }
}

static void unknown_addresses_are_refused_where_only_the_registry_counts(void **state)
{
    struct mesh_decision decision = decide(*state, "93.184.216.34:443", true);
    assert_int_equal(decision.kind, MESH_REFUSE);
    assert_int_equal(decision.reason, REASON_UNKNOWN_DESTINATION);
    /* What is known is not unknown: a service that is passed through, a workload without tunnel. */
    assert_int_equal(decide(*state, "10.1.0.20:80", true).kind, MESH_PASSTHROUGH);
    assert_int_equal(decide(*state, "10.0.0.3:25", true).kind, MESH_PASSTHROUGH);
}

static void the_peer_must_be_the_workload_or_whom_the_service_names(void **state)
{
    struct mesh_decision decision = decide(*state, "10.0.0.2:1", false);
    assert_int_equal(decision.num_identities, 1);
    assert_string_equal(decision.identities[0], "spiffe://cluster.local/ns/shop/sa/backend");

    decision = decide(*state, "10.1.0.11:80", false);
    assert_int_equal(decision.num_identities, 2);
    assert_string_equal(decision.identities[0], "spiffe://cluster.local/ns/shop/sa/backend");
    assert_string_equal(decision.identities[1], service_san);
}

static void an_endpoint_with_istios_mutual_tls_proves_who_it_is_like_any_other(void **state)
{
    struct mesh_decision decision = decide(*state, "10.0.0.4:80", false);
    assert_int_equal(decision.num_identities, 1);
    assert_string_equal(decision.identities[0], "spiffe://cluster.local/ns/shop/sa/old");
    assert_true(mesh_decide_leads(&decision));
    assert_null(decision.resolve);
}

/* One endpoint is of Istio's, the other without any protection. */
static void what_was_to_be_istios_mutual_tls_never_goes_in_clear_later(void **state)
{
    const struct addr tried = fixture_addr("10.0.0.4:8080");
    struct mesh_request request = {.source = mesh_snapshot_workload_by_uid(*state, "client"),
                                   .network = "",
                                   .destination = fixture_addr("10.1.0.16:80")};
    struct mesh_decision decision;
    bool seen[2] = {false, false};
    for (request.random = 0; request.random < 64; request.random++) {
        mesh_decide(*state, &request, &decision);
        assert_true(decision.kind == MESH_ISTIO_MTLS || decision.kind == MESH_PASSTHROUGH);
        seen[decision.kind == MESH_ISTIO_MTLS] = true;
        if (decision.kind == MESH_ISTIO_MTLS) {
            assert_int_equal(decision.num_identities, 2);
            assert_string_equal(decision.identities[1], service_san);
        }
    }
    assert_true(seen[0] && seen[1]);
    request.only_tunnels = true;
    mesh_decide(*state, &request, &decision);
    assert_int_equal(decision.kind, MESH_ISTIO_MTLS);
    request.tried = &tried;
    request.num_tried = 1;
    mesh_decide(*state, &request, &decision);
    assert_int_equal(decision.kind, MESH_REFUSE);
    assert_int_equal(decision.reason, REASON_NO_HEALTHY_ENDPOINT);
}

static void a_host_name_of_istios_mutual_tls_is_resolved_for_the_target_itself(void **state)
{
    struct mesh_decision decision = decide(*state, "10.1.0.15:80", false);
    const struct mesh_request request = {.destination = fixture_addr("10.1.0.15:80")};
    const struct ip ips[] = {fixture_ip("198.18.0.1"), fixture_ip("fd00::1")};
    assert_string_equal(decision.resolve, "old.example.com");
    assert_true(mesh_decide_resolved(&decision, &request, ips, 2));
    const struct addr target = fixture_addr("[fd00::1]:8080");
    assert_true(addr_equal(&decision.target, &target));
    assert_int_equal(decision.kind, MESH_ISTIO_MTLS);
    assert_string_equal(decision.identities[0], "spiffe://cluster.local/ns/shop/sa/default");
}

static void nothing_leaves_before_the_own_workload_is_known(void **state)
{
    struct mesh_decision decision;
    struct mesh_request request = {.network = "", .destination = fixture_addr("93.184.216.34:443")};
    mesh_decide(*state, &request, &decision);
    assert_int_equal(decision.kind, MESH_REFUSE);
    assert_int_equal(decision.reason, REASON_UNKNOWN_LOCAL_WORKLOAD);
}

static void another_namespace_does_not_see_a_service_of_its_namespace_only(void **state)
{
    struct mesh_decision decision;
    struct mesh_workload stranger = *mesh_snapshot_workload_by_uid(*state, "client");
    stranger.namespace_ = "elsewhere";
    struct mesh_request request = {.source = &stranger,
                                   .network = "",
                                   .destination = fixture_addr("10.1.0.14:80"),
                                   .refuse_unknown = true};
    mesh_decide(*state, &request, &decision);
    assert_int_equal(decision.reason, REASON_UNKNOWN_DESTINATION);
}

static void the_only_way_is_not_tried_twice(void **state)
{
    static const char *const destinations[] = {"10.0.0.2:8080", "10.1.0.1:80", "93.184.216.34:443"};
    for (size_t i = 0; i < 3; i++) {
        struct mesh_decision decision = decide(*state, destinations[i], false);
        struct addr tried = decision.target;
        struct mesh_request request = {.source = mesh_snapshot_workload_by_uid(*state, "client"),
                                       .network = "",
                                       .destination = fixture_addr(destinations[i]),
                                       .tried = &tried,
                                       .num_tried = 1};
        mesh_decide(*state, &request, &decision);
        assert_int_equal(decision.kind, MESH_REFUSE);
        assert_int_equal(decision.reason, REASON_NO_HEALTHY_ENDPOINT);
    }
}

static void a_connection_does_not_try_endpoints_without_end(void **state)
{
    struct addr tried[MESH_TRIED_MAX + 1] = {{{0}, 0}};
    struct mesh_decision decision;
    struct mesh_request request = {.source = mesh_snapshot_workload_by_uid(*state, "client"),
                                   .network = "",
                                   .destination = fixture_addr("10.1.0.1:80"),
                                   .tried = tried,
                                   .num_tried = MESH_TRIED_MAX + 1};
    mesh_decide(*state, &request, &decision);
    assert_int_equal(decision.reason, REASON_LIMIT);
    request.num_tried--;
    mesh_decide(*state, &request, &decision);
    assert_int_equal(decision.kind, MESH_TUNNEL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_destination_is_reached_as_discovery_says),
        cmocka_unit_test(unknown_addresses_are_refused_where_only_the_registry_counts),
        cmocka_unit_test(the_peer_must_be_the_workload_or_whom_the_service_names),
        cmocka_unit_test(an_endpoint_with_istios_mutual_tls_proves_who_it_is_like_any_other),
        cmocka_unit_test(what_was_to_be_istios_mutual_tls_never_goes_in_clear_later),
        cmocka_unit_test(a_host_name_of_istios_mutual_tls_is_resolved_for_the_target_itself),
        cmocka_unit_test(nothing_leaves_before_the_own_workload_is_known),
        cmocka_unit_test(another_namespace_does_not_see_a_service_of_its_namespace_only),
        cmocka_unit_test(the_only_way_is_not_tried_twice),
        cmocka_unit_test(a_connection_does_not_try_endpoints_without_end),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
