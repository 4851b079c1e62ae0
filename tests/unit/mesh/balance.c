/* The choice among a service's endpoints: exact shares, counted over the whole space of random numbers. */
#include "mesh_balance.h"
#include "mesh_fixture.h"

enum { MAX_ENDPOINTS = 6 };

struct endpoint {
    const char *ip;
    uint32_t capacity;
    const char *zone;
    const char *node;
    const char *network;
    uint16_t own_port; /* 0: the service's */
    bool unhealthy;
    bool tunnel;  /* HBONE */
    bool gateway; /* of its network */
    const char *region;
    const char *subzone;
    const char *cluster;
};

static const char gateway_ip[] = "10.9.9.9";

static struct mesh_gateway at_gateway(void)
{
    return (struct mesh_gateway){
        .kind = MESH_GATEWAY_ADDRESS, .ip = fixture_ip(gateway_ip), .hbone_mtls_port = 15008};
}

/* A client in zone z1 on node n1, and one service at 10.1.0.1:80 with the endpoints. */
static struct mesh_snapshot *mesh_of(const struct mesh_service *options,
                                     const struct endpoint *endpoints, size_t num)
{
    struct mesh_builder *builder = mesh_builder_new(NULL);
    assert_non_null(builder);
    const struct mesh_workload client = {.uid = "client",
                                         .name = "client",
                                         .namespace_ = "shop",
                                         .node = "n1",
                                         .cluster_id = "c1",
                                         .locality = {.region = "r", .zone = "z1", .subzone = "s1"},
                                         .capacity = 1};
    fixture_add_workload(builder, &client);
    const struct mesh_workload gateway = {.uid = "gateway",
                                          .name = "gateway",
                                          .namespace_ = "infra",
                                          .tunnel = MESH_TUNNEL_HBONE,
                                          .capacity = 1,
                                          IPS(fixture_ip(gateway_ip))};
    fixture_add_workload(builder, &gateway);
    struct mesh_service service = *options;
    service.namespace_ = "shop";
    service.hostname = "s";
    const struct mesh_network_address vip = {"", fixture_ip("10.1.0.1")};
    const struct mesh_port port = {80, 8080, MESH_APP_UNKNOWN};
    service.vips = &vip;
    service.num_vips = 1;
    service.ports = &port;
    service.num_ports = 1;
    fixture_add_service(builder, &service);
    for (size_t i = 0; i < num; i++) {
        const struct mesh_port own = {80, endpoints[i].own_port, MESH_APP_UNKNOWN};
        const struct mesh_membership membership = {"shop/s", &own,
                                                   endpoints[i].own_port == 0 ? 0 : 1};
        const struct ip ip = fixture_ip(endpoints[i].ip);
        const struct mesh_workload workload = {
            .uid = endpoints[i].ip,
            .namespace_ = "shop",
            .capacity = endpoints[i].capacity,
            .ips = &ip,
            .num_ips = 1,
            .node = endpoints[i].node,
            .network = endpoints[i].network,
            .unhealthy = endpoints[i].unhealthy,
            .tunnel = endpoints[i].tunnel ? MESH_TUNNEL_HBONE : MESH_TUNNEL_NONE,
            .cluster_id = endpoints[i].cluster,
            .network_gateway = endpoints[i].gateway ? at_gateway() : (struct mesh_gateway){0},
            .locality = {.region = endpoints[i].region != NULL ? endpoints[i].region : "r",
                         .zone = endpoints[i].zone,
                         .subzone = endpoints[i].subzone},
            .services = &membership,
            .num_services = 1};
        fixture_add_workload(builder, &workload);
    }
    return fixture_build(builder);
}

/* How often each endpoint is picked when every random number below `space` comes once. Misses count in [num]. */
static void count(const struct mesh_snapshot *snapshot, const struct endpoint *endpoints,
                  size_t num, uint64_t space, const struct addr *tried, size_t num_tried,
                  unsigned *counts)
{
    const struct mesh_service *service = mesh_snapshot_service(snapshot, "shop/s");
    memset(counts, 0, (num + 1) * sizeof(*counts));
    for (uint64_t random = 0; random < space; random++) {
        const struct mesh_request request = {.source =
                                                 mesh_snapshot_workload_by_uid(snapshot, "client"),
                                             .network = "",
                                             .destination = fixture_addr("10.1.0.1:80"),
                                             .random = random,
                                             .tried = tried,
                                             .num_tried = num_tried};
        struct mesh_pick pick = mesh_balance_pick(snapshot, service, &request);
        size_t i = 0;
        while (i < num && (pick.endpoint == NULL ||
                           strcmp(pick.endpoint->workload->uid, endpoints[i].ip) != 0))
            i++;
        counts[i]++;
    }
}

static void each_endpoint_gets_its_exact_share(void **state)
{
    (void)state;
    const struct {
        const char *name;
        struct mesh_service service;
        struct endpoint endpoints[MAX_ENDPOINTS];
        size_t num;
        uint64_t space; /* a multiple of what the draws divide by */
        unsigned counts[MAX_ENDPOINTS + 1];
    } rows[] = {
        {"equal capacities",
         {0},
         {{.ip = "10.0.0.1", .capacity = 1},
          {.ip = "10.0.0.2", .capacity = 1},
          {.ip = "10.0.0.3", .capacity = 1}},
         3,
         3,
         {1, 1, 1}},
        {"shares are capacities",
         {0},
         {{.ip = "10.0.0.1", .capacity = 1},
          {.ip = "10.0.0.2", .capacity = 5},
          {.ip = "10.0.0.3", .capacity = 4}},
         3,
         10,
         {1, 5, 4}},
        {"no capacity, no connection",
         {0},
         {{.ip = "10.0.0.1", .capacity = 0}, {.ip = "10.0.0.2", .capacity = 2}},
         2,
         2,
         {0, 2}},
        {"nothing but zeroes", {0}, {{.ip = "10.0.0.1", .capacity = 0}}, 1, 4, {0, 4}},
        {"the unhealthy are left out",
         {0},
         {{.ip = "10.0.0.1", .capacity = 9, .unhealthy = true}, {.ip = "10.0.0.2", .capacity = 1}},
         2,
         5,
         {0, 5}},
        {"another network's endpoints leave their share to the rest",
         {0},
         {{.ip = "10.0.0.1", .capacity = 2},
          {.ip = "10.0.0.2", .capacity = 3, .network = "west"},
          {.ip = "10.0.0.3", .capacity = 1}},
         3,
         18,
         {12, 0, 6}},
        {"a family that no address has",
         {.ip_families = MESH_FAMILIES_IPV6},
         {{.ip = "10.0.0.1", .capacity = 2}, {.ip = "fd00::1", .capacity = 1}},
         2,
         3,
         {0, 3}},
        {"failover: all that rank best, and only they",
         {.load_balancing = {.preferences = {MESH_SCOPE_REGION, MESH_SCOPE_ZONE, MESH_SCOPE_NODE},
                             .num_preferences = 3,
                             .mode = MESH_LB_FAILOVER}},
         {{.ip = "10.0.0.1", .capacity = 1, .zone = "z1", .node = "n2"},
          {.ip = "10.0.0.2", .capacity = 3, .zone = "z1", .node = "n3"},
          {.ip = "10.0.0.3", .capacity = 7, .zone = "z2", .node = "n1"}},
         3,
         4,
         {1, 3, 0}},
        {"failover: a later match does not count without the earlier",
         {.load_balancing = {.preferences = {MESH_SCOPE_ZONE, MESH_SCOPE_NODE},
                             .num_preferences = 2,
                             .mode = MESH_LB_FAILOVER}},
         {{.ip = "10.0.0.1", .capacity = 1, .zone = "z2", .node = "n1"},
          {.ip = "10.0.0.2", .capacity = 1, .zone = "z3", .node = "n9"}},
         2,
         2,
         {1, 1}},
        {"strict: all preferences or nothing",
         {.load_balancing = {.preferences = {MESH_SCOPE_ZONE, MESH_SCOPE_NODE},
                             .num_preferences = 2,
                             .mode = MESH_LB_STRICT}},
         {{.ip = "10.0.0.1", .capacity = 1, .zone = "z1", .node = "n2"},
          {.ip = "10.0.0.2", .capacity = 1, .zone = "z1", .node = "n1"}},
         2,
         2,
         {0, 2}},
        {"strict: nobody fits",
         {.load_balancing = {.preferences = {MESH_SCOPE_ZONE},
                             .num_preferences = 1,
                             .mode = MESH_LB_STRICT}},
         {{.ip = "10.0.0.1", .capacity = 1, .zone = "z9"}},
         1,
         2,
         {0, 2}},
        {"strict without preferences is no restriction",
         {.load_balancing = {.mode = MESH_LB_STRICT}},
         {{.ip = "10.0.0.1", .capacity = 1}, {.ip = "10.0.0.2", .capacity = 1}},
         2,
         2,
         {1, 1}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned counts[MAX_ENDPOINTS + 1];
        struct mesh_snapshot *snapshot = mesh_of(&rows[i].service, rows[i].endpoints, rows[i].num);
        count(snapshot, rows[i].endpoints, rows[i].num, rows[i].space, NULL, 0, counts);
        print_message("%s\n", rows[i].name);
        for (size_t j = 0; j <= rows[i].num; j++)
            assert_int_equal(counts[j], rows[i].counts[j]);
        mesh_snapshot_unref(snapshot);
    }
}

#define SIGNED                                                                                     \
    .subject_alt_names = (const char *[]){"spiffe://cluster.local/ns/shop/sa/s"},                  \
    .num_subject_alt_names = 1

static void endpoints_of_other_networks_count_when_there_is_a_way_to_them(void **state)
{
    (void)state;
    const struct mesh_service any = {SIGNED};
    const struct mesh_service unsigned_ = {0};
    const struct mesh_service strict = {
        SIGNED, .load_balancing = {.preferences = {MESH_SCOPE_NETWORK, MESH_SCOPE_ZONE},
                                   .num_preferences = 2,
                                   .mode = MESH_LB_STRICT}};
    const struct mesh_service network_first = {
        SIGNED,
        .load_balancing = {.preferences = {MESH_SCOPE_NETWORK, MESH_SCOPE_REGION, MESH_SCOPE_ZONE},
                           .num_preferences = 3,
                           .mode = MESH_LB_FAILOVER}};
    const struct mesh_service network_last = {
        SIGNED, .load_balancing = {.preferences = {MESH_SCOPE_ZONE, MESH_SCOPE_NETWORK},
                                   .num_preferences = 2,
                                   .mode = MESH_LB_FAILOVER}};
#define NEAR(ip_, ...)                                                                             \
    {                                                                                              \
        .ip = ip_, .capacity = 1, .tunnel = true, __VA_ARGS__                                      \
    }
#define FAR(ip_, ...)                                                                              \
    {                                                                                              \
        .ip = ip_, .capacity = 1, .tunnel = true, .network = "west", .gateway = true, __VA_ARGS__  \
    }
    const struct {
        const char *name;
        const struct mesh_service *service;
        struct endpoint endpoints[3];
        unsigned counts[3]; /* of 6 random numbers */
    } rows[] = {
        {"no ranking: by capacity",
         &any,
         {NEAR("10.0.0.1"), FAR("10.0.0.2"), FAR("10.0.0.3")},
         {2, 2, 2}},
        {"nobody answers for them",
         &unsigned_,
         {NEAR("10.0.0.1"), FAR("10.0.0.2"), FAR("10.0.0.3")},
         {6, 0, 0}},
        {"no gateway, no HBONE",
         &any,
         {NEAR("10.0.0.1"),
          {.ip = "10.0.0.2", .capacity = 1, .tunnel = true, .network = "west"},
          {.ip = "10.0.0.3", .capacity = 1, .network = "west", .gateway = true}},
         {6, 0, 0}},
        {"strict is about the network, too",
         &strict,
         {NEAR("10.0.0.1", .zone = "z2"), FAR("10.0.0.2", .zone = "z1"),
          NEAR("10.0.0.3", .zone = "z1")},
         {0, 0, 6}},
        {"our own network beats the same region",
         &network_first,
         {NEAR("10.0.0.1", .zone = "z2"), FAR("10.0.0.2", .zone = "z9"),
          FAR("10.0.0.3", .region = "r9", .zone = "z1")},
         {6, 0, 0}},
        {"a far one that meets all the rest is as good as a near one that meets nothing",
         &network_first,
         {NEAR("10.0.0.1", .region = "r9"), FAR("10.0.0.2", .zone = "z1"),
          FAR("10.0.0.3", .zone = "z2")},
         {3, 3, 0}},
        {"far ones compete by the rest",
         &network_first,
         {FAR("10.0.0.1", .region = "r9"), FAR("10.0.0.2", .zone = "z2"),
          FAR("10.0.0.3", .zone = "z1")},
         {0, 0, 6}},
        {"a NETWORK that does not lead is a preference like any other",
         &network_last,
         {NEAR("10.0.0.1", .zone = "z2"), FAR("10.0.0.2", .zone = "z1"),
          FAR("10.0.0.3", .zone = "z2")},
         {0, 6, 0}},
    };
#undef NEAR
#undef FAR
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned counts[4];
        struct mesh_snapshot *snapshot = mesh_of(rows[i].service, rows[i].endpoints, 3);
        count(snapshot, rows[i].endpoints, 3, 6 * 3, NULL, 0, counts);
        print_message("%s\n", rows[i].name);
        for (size_t j = 0; j < 3; j++)
            assert_int_equal(counts[j], 3 * rows[i].counts[j]);
        mesh_snapshot_unref(snapshot);
    }
}

static void each_scope_compares_what_it_is_named_after(void **state)
{
    (void)state;
    const struct {
        enum mesh_scope scope;
        struct endpoint same;
        struct endpoint other;
    } rows[] = {
        {MESH_SCOPE_REGION, {.region = "r"}, {.region = "r9"}},
        {MESH_SCOPE_ZONE, {.zone = "z1"}, {.zone = "z9"}},
        {MESH_SCOPE_SUBZONE, {.subzone = "s1"}, {.subzone = "s9"}},
        {MESH_SCOPE_NODE, {.node = "n1"}, {.node = "n9"}},
        {MESH_SCOPE_CLUSTER, {.cluster = "c1"}, {.cluster = "c9"}},
        {MESH_SCOPE_NETWORK, {.network = ""}, {.network = "west", .gateway = true}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (enum mesh_lb_mode mode = MESH_LB_UNSPECIFIED; mode <= MESH_LB_FAILOVER; mode++) {
            struct endpoint endpoints[] = {rows[i].other, rows[i].same};
            endpoints[0].ip = "10.0.0.1";
            endpoints[1].ip = "10.0.0.2";
            for (size_t j = 0; j < 2; j++) {
                endpoints[j].capacity = 1;
                endpoints[j].tunnel = true;
            }
            /* A second preference that both meet, for a leading NETWORK counts only beside others. */
            const struct mesh_service service = {
                SIGNED,
                .load_balancing = {.preferences = {rows[i].scope, MESH_SCOPE_REGION},
                                   .num_preferences = rows[i].scope == MESH_SCOPE_NETWORK ? 2 : 1,
                                   .mode = mode}};
            unsigned counts[3];
            struct mesh_snapshot *snapshot = mesh_of(&service, endpoints, 2);
            count(snapshot, endpoints, 2, 8, NULL, 0, counts);
            assert_int_equal(counts[0], mode == MESH_LB_UNSPECIFIED ? 4 : 0);
            assert_int_equal(counts[1], mode == MESH_LB_UNSPECIFIED ? 4 : 8);
            mesh_snapshot_unref(snapshot);
        }
    }
}

static void what_was_tried_is_not_chosen_and_its_share_goes_to_the_rest(void **state)
{
    (void)state;
    const struct endpoint endpoints[] = {{.ip = "10.0.0.1", .capacity = 1},
                                         {.ip = "10.0.0.2", .capacity = 2},
                                         {.ip = "10.0.0.3", .capacity = 3}};
    const struct mesh_service service = {0};
    struct mesh_snapshot *snapshot = mesh_of(&service, endpoints, 3);
    const struct addr tried[] = {fixture_addr("10.0.0.3:8080"), fixture_addr("10.0.0.1:8080"),
                                 fixture_addr("10.0.0.2:8080")};
    unsigned counts[4];
    /* 6 points of the first draw times 3 of the second; half of the first hits the tried one. */
    count(snapshot, endpoints, 3, 18, tried, 1, counts);
    assert_int_equal(counts[0], 6);
    assert_int_equal(counts[1], 12);
    assert_int_equal(counts[2], 0);
    count(snapshot, endpoints, 3, 12, tried, 2, counts);
    assert_int_equal(counts[1], 12);
    count(snapshot, endpoints, 3, 12, tried, 3, counts);
    assert_int_equal(counts[3], 12);
    mesh_snapshot_unref(snapshot);
}

static void failover_goes_to_the_next_rank_when_the_best_was_tried(void **state)
{
    (void)state;
    const struct endpoint endpoints[] = {{.ip = "10.0.0.1", .capacity = 1, .zone = "z1"},
                                         {.ip = "10.0.0.2", .capacity = 1, .zone = "z2"}};
    const struct mesh_service service = {.load_balancing = {.preferences = {MESH_SCOPE_ZONE},
                                                            .num_preferences = 1,
                                                            .mode = MESH_LB_FAILOVER}};
    struct mesh_snapshot *snapshot = mesh_of(&service, endpoints, 2);
    const struct addr tried[] = {fixture_addr("10.0.0.1:8080")};
    unsigned counts[3];
    count(snapshot, endpoints, 2, 4, NULL, 0, counts);
    assert_int_equal(counts[0], 4);
    count(snapshot, endpoints, 2, 4, tried, 1, counts);
    assert_int_equal(counts[1], 4);
    mesh_snapshot_unref(snapshot);
}

static void what_began_as_a_tunnel_does_not_go_to_an_endpoint_in_clear(void **state)
{
    (void)state;
    const struct endpoint endpoints[] = {{.ip = "10.0.0.1", .capacity = 1, .tunnel = true},
                                         {.ip = "10.0.0.2", .capacity = 5},
                                         {.ip = "10.0.0.3", .capacity = 1, .tunnel = true}};
    const struct mesh_service service = {0};
    struct mesh_snapshot *snapshot = mesh_of(&service, endpoints, 3);
    const struct addr tried[] = {fixture_addr("10.0.0.1:8080"), fixture_addr("10.0.0.3:8080")};
    struct mesh_request request = {.source = mesh_snapshot_workload_by_uid(snapshot, "client"),
                                   .network = "",
                                   .destination = fixture_addr("10.1.0.1:80"),
                                   .tried = tried,
                                   .num_tried = 1,
                                   .only_tunnels = true};
    struct mesh_decision decision;
    for (request.random = 0; request.random < 100; request.random++) {
        mesh_decide(snapshot, &request, &decision);
        assert_int_equal(decision.kind, MESH_TUNNEL);
        assert_string_equal(decision.workload->uid, "10.0.0.3");
    }
    request.num_tried = 2;
    mesh_decide(snapshot, &request, &decision);
    assert_int_equal(decision.kind, MESH_REFUSE);
    assert_int_equal(decision.reason, REASON_NO_HEALTHY_ENDPOINT);
    request.only_tunnels = false;
    mesh_decide(snapshot, &request, &decision);
    assert_int_equal(decision.kind, MESH_PASSTHROUGH);
    mesh_snapshot_unref(snapshot);
}

static void the_largest_capacities_do_not_overflow(void **state)
{
    (void)state;
    const struct endpoint endpoints[] = {{.ip = "10.0.0.1", .capacity = UINT32_MAX},
                                         {.ip = "10.0.0.2", .capacity = UINT32_MAX},
                                         {.ip = "10.0.0.3", .capacity = UINT32_MAX}};
    const struct mesh_service service = {0};
    struct mesh_snapshot *snapshot = mesh_of(&service, endpoints, 3);
    const struct {
        uint64_t random;
        const char *uid;
    } rows[] = {
        {0, "10.0.0.1"},
        {(uint64_t)UINT32_MAX - 1, "10.0.0.1"},
        {UINT32_MAX, "10.0.0.2"},
        {2 * (uint64_t)UINT32_MAX, "10.0.0.3"},
        {3 * (uint64_t)UINT32_MAX - 1, "10.0.0.3"},
        {3 * (uint64_t)UINT32_MAX, "10.0.0.1"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct mesh_request request = {.source =
                                                 mesh_snapshot_workload_by_uid(snapshot, "client"),
                                             .network = "",
                                             .destination = fixture_addr("10.1.0.1:80"),
                                             .random = rows[i].random};
        struct mesh_pick pick =
            mesh_balance_pick(snapshot, mesh_snapshot_service(snapshot, "shop/s"), &request);
        assert_string_equal(pick.endpoint->workload->uid, rows[i].uid);
    }
    mesh_snapshot_unref(snapshot);
}

static void an_endpoints_own_port_beats_the_services(void **state)
{
    (void)state;
    const struct endpoint endpoints[] = {{.ip = "10.0.0.1", .capacity = 1, .own_port = 9999}};
    const struct mesh_service service = {0};
    struct mesh_snapshot *snapshot = mesh_of(&service, endpoints, 1);
    const struct mesh_request request = {.source =
                                             mesh_snapshot_workload_by_uid(snapshot, "client"),
                                         .network = "",
                                         .destination = fixture_addr("10.1.0.1:80")};
    struct mesh_pick pick =
        mesh_balance_pick(snapshot, mesh_snapshot_service(snapshot, "shop/s"), &request);
    assert_int_equal(pick.target.port, 9999);
    mesh_snapshot_unref(snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_endpoint_gets_its_exact_share),
        cmocka_unit_test(endpoints_of_other_networks_count_when_there_is_a_way_to_them),
        cmocka_unit_test(each_scope_compares_what_it_is_named_after),
        cmocka_unit_test(what_was_tried_is_not_chosen_and_its_share_goes_to_the_rest),
        cmocka_unit_test(failover_goes_to_the_next_rank_when_the_best_was_tried),
        cmocka_unit_test(what_began_as_a_tunnel_does_not_go_to_an_endpoint_in_clear),
        cmocka_unit_test(the_largest_capacities_do_not_overflow),
        cmocka_unit_test(an_endpoints_own_port_beats_the_services),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
