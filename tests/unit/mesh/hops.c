/* mesh_decide where others stand in between: waypoints, the gateways of other networks, and host names instead of addresses. */
#include <stdio.h>

#include "mesh_decide.h"
#include "mesh_fixture.h"
#include "mesh_hop.h"

static struct mesh_gateway by_address(const char *network, const char *ip)
{
    return (struct mesh_gateway){.kind = MESH_GATEWAY_ADDRESS,
                                 .network = network,
                                 .ip = fixture_ip(ip),
                                 .hbone_mtls_port = 15008};
}

static struct mesh_gateway by_hostname(const char *hostname, uint16_t port)
{
    return (struct mesh_gateway){.kind = MESH_GATEWAY_HOSTNAME,
                                 .namespace_ = "infra",
                                 .hostname = hostname,
                                 .hbone_mtls_port = port};
}

#define WORKLOAD(uid_)                                                                             \
    .uid = uid_, .name = uid_, .namespace_ = "shop", .service_account = uid_,                      \
    .tunnel = MESH_TUNNEL_HBONE, .capacity = 1

static void add_clients_and_backends(struct mesh_builder *builder)
{
    const struct mesh_workload workloads[] = {
        {WORKLOAD("client"), IPS(fixture_ip("10.0.0.1"))},
        {WORKLOAD("backend"), IPS(fixture_ip("10.0.0.2")),
         SERVICES({"shop/plain", NULL, 0}, {"shop/by-address", NULL, 0}, {"shop/by-name", NULL, 0},
                  {"shop/weighted", NULL, 0}, {"shop/weightless", NULL, 0},
                  {"shop/mixed", NULL, 0}),
         .waypoint = by_address("", "10.0.0.11")},
        {WORKLOAD("named-waypoint"), IPS(fixture_ip("10.0.0.3")),
         .waypoint = by_hostname("wp", 15008)},
        {WORKLOAD("vip-waypoint"), IPS(fixture_ip("10.0.0.4")),
         .waypoint = by_address("", "10.2.0.1")},
        {WORKLOAD("lost"), IPS(fixture_ip("10.0.0.5")), .waypoint = by_hostname("nobody", 15008)},
        {WORKLOAD("behind-far-waypoint"), IPS(fixture_ip("10.0.0.6")),
         .waypoint = by_hostname("far-wp", 15008)},
    };
    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
        fixture_add_workload(builder, &workloads[i]);
}

static void add_waypoints(struct mesh_builder *builder)
{
    const struct mesh_port own[] = {{15008, 15018, MESH_APP_UNKNOWN}};
    const struct mesh_workload workloads[] = {
        {WORKLOAD("wp-1"), IPS(fixture_ip("10.0.0.11")), SERVICES({"infra/wp", NULL, 0})},
        {WORKLOAD("wp-2"), IPS(fixture_ip("10.0.0.12")), SERVICES({"infra/wp", own, 1})},
        {WORKLOAD("wp-other"), IPS(fixture_ip("10.0.0.13")), SERVICES({"infra/other", NULL, 0})},
        {WORKLOAD("sandwich"), IPS(fixture_ip("10.0.0.14")),
         SERVICES({"infra/portless", NULL, 0}, {"infra/mixed", NULL, 0}),
         .application_tunnel = {.present = true, .protocol = MESH_APP_TUNNEL_PROXY}},
        {WORKLOAD("no-sandwich"), IPS(fixture_ip("10.0.0.15")), SERVICES({"infra/mixed", NULL, 0})},
        {WORKLOAD("wp-name"), .hostname = "wp.example.com", SERVICES({"infra/wp-by-dns", NULL, 0})},
        {WORKLOAD("wp-far"), .network = "west", IPS(fixture_ip("10.0.0.16")),
         .network_gateway = by_hostname("gw", 15009), SERVICES({"infra/far-wp", NULL, 0})},
    };
    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
        fixture_add_workload(builder, &workloads[i]);
}

static void add_far(struct mesh_builder *builder)
{
    const struct mesh_workload workloads[] = {
        {WORKLOAD("far"), .network = "west", .network_gateway = by_hostname("gw", 15009),
         SERVICES({"shop/far", NULL, 0}, {"shop/far-portless", NULL, 0},
                  {"shop/far-unsigned", NULL, 0})},
        {WORKLOAD("far-by-address"), .network = "west", IPS(fixture_ip("10.0.0.2")),
         .network_gateway = by_address("west", "192.0.2.1"),
         SERVICES({"shop/far-by-address", NULL, 0})},
        {WORKLOAD("far-alone"), .network = "west", IPS(fixture_ip("10.0.0.7")),
         SERVICES({"shop/far-alone", NULL, 0})},
        {WORKLOAD("far-lost"), .network = "west", IPS(fixture_ip("10.0.0.7")),
         .network_gateway = by_hostname("nowhere", 15008), SERVICES({"shop/far-lost", NULL, 0})},
        {.uid = "far-clear",
         .name = "far-clear",
         .namespace_ = "shop",
         .capacity = 1,
         .network = "west",
         IPS(fixture_ip("10.0.0.7")),
         .network_gateway = by_hostname("gw", 15009),
         SERVICES({"shop/far-clear", NULL, 0})},
        {WORKLOAD("gw-1"), IPS(fixture_ip("10.0.0.21")), SERVICES({"infra/gw", NULL, 0})},
        {WORKLOAD("gw-2"), IPS(fixture_ip("10.0.0.22")), SERVICES({"infra/gw", NULL, 0})},
        {WORKLOAD("gw-west"), .network = "west", IPS(fixture_ip("192.0.2.1"))},
        {WORKLOAD("dns"), .hostname = "db.example.com",
         SERVICES({"shop/dns", NULL, 0}, {"shop/dns6", NULL, 0})},
        {.uid = "dns-clear",
         .name = "dns-clear",
         .namespace_ = "shop",
         .capacity = 1,
         .hostname = "clear.example.com",
         SERVICES({"shop/dns-clear", NULL, 0})},
    };
    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
        fixture_add_workload(builder, &workloads[i]);
}

#define SERVICE(name_, ip_)                                                                        \
    .name = name_, .namespace_ = "shop", .hostname = name_, VIPS({"", fixture_ip(ip_)}),           \
    PORTS({80, 8080, MESH_APP_UNKNOWN})
#define INFRA(name_, ip_, port_)                                                                   \
    .name = name_, .namespace_ = "infra", .hostname = name_, VIPS({"", fixture_ip(ip_)}),          \
    PORTS({port_, port_, MESH_APP_UNKNOWN})
#define SANS(...)                                                                                  \
    .subject_alt_names = (const char *[]){__VA_ARGS__},                                            \
    .num_subject_alt_names = FIXTURE_COUNT(const char *, __VA_ARGS__)

static const char wp_san[] = "spiffe://cluster.local/ns/infra/sa/wp";
static const char gw_san[] = "spiffe://cluster.local/ns/infra/sa/gw";
static const char far_san[] = "spiffe://cluster.local/ns/shop/sa/far-app";

static void add_services(struct mesh_builder *builder)
{
    const struct mesh_weighted_waypoint weighted[] = {{by_hostname("wp", 15008), 1},
                                                      {by_address("", "10.0.0.99"), 0},
                                                      {by_hostname("other", 15008), 3}};
    const struct mesh_weighted_waypoint nowhere[] = {{{0}, 1}};
    const struct mesh_weighted_waypoint weightless[] = {{by_hostname("other", 15008), 0}};
    const struct mesh_service services[] = {
        {SERVICE("plain", "10.1.0.1")},
        {SERVICE("by-address", "10.1.0.2"), .waypoint = by_address("", "10.0.0.11")},
        {SERVICE("by-name", "10.1.0.3"), .waypoint = by_hostname("wp", 0)},
        {SERVICE("weighted", "10.1.0.4"), .weighted_waypoints = weighted,
         .num_weighted_waypoints = 3, .waypoint = by_hostname("portless", 15008)},
        {SERVICE("weightless", "10.1.0.5"), .weighted_waypoints = weightless,
         .num_weighted_waypoints = 1, .waypoint = by_hostname("wp", 15008)},
        {SERVICE("behind-sandwich", "10.1.0.6"), .waypoint = by_hostname("portless", 15008)},
        {SERVICE("mixed", "10.1.0.7"), .waypoint = by_hostname("mixed", 15008)},
        {SERVICE("behind-nobody", "10.1.0.8"), .waypoint = by_hostname("nobody", 15008)},
        {SERVICE("behind-empty", "10.1.0.9"), .waypoint = by_hostname("empty", 15008)},
        {SERVICE("behind-dns", "10.1.0.10"), .waypoint = by_hostname("wp-by-dns", 15008)},
        {SERVICE("behind-far", "10.1.0.11"), .waypoint = by_hostname("far-wp", 15008)},
        {SERVICE("passed", "10.1.0.12"), .waypoint = by_hostname("wp", 15008),
         .load_balancing = {.mode = MESH_LB_PASSTHROUGH}},
        {SERVICE("behind-nothing", "10.1.0.13"), .weighted_waypoints = nowhere,
         .num_weighted_waypoints = 1},
        {SERVICE("far", "10.1.0.20"), SANS(far_san)},
        {SERVICE("far-by-address", "10.1.0.21"), SANS(far_san)},
        {SERVICE("far-alone", "10.1.0.22"), SANS(far_san)},
        {SERVICE("far-lost", "10.1.0.23"), SANS(far_san)},
        {SERVICE("far-clear", "10.1.0.24"), SANS(far_san)},
        {SERVICE("far-unsigned", "10.1.0.25")},
        {SERVICE("dns", "10.1.0.30")},
        {SERVICE("dns6", "10.1.0.31"), .ip_families = MESH_FAMILIES_IPV6},
        {SERVICE("dns-clear", "10.1.0.32")},
        {INFRA("wp", "10.2.0.1", 15008), SANS(wp_san)},
        {INFRA("other", "10.2.0.2", 15008)},
        {INFRA("portless", "10.2.0.3", 80)},
        {INFRA("mixed", "10.2.0.4", 80)},
        {INFRA("empty", "10.2.0.5", 15008)},
        {INFRA("wp-by-dns", "10.2.0.6", 15008)},
        {INFRA("far-wp", "10.2.0.7", 15008), SANS(wp_san)},
        {INFRA("gw", "10.2.0.8", 15009), SANS(gw_san)},
    };
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
        fixture_add_service(builder, &services[i]);
}

static struct mesh_snapshot *make(bool on_demand)
{
    struct mesh_builder *builder = mesh_builder_new(NULL);
    assert_non_null(builder);
    mesh_builder_set_on_demand(builder, on_demand);
    add_clients_and_backends(builder);
    add_waypoints(builder);
    add_far(builder);
    add_services(builder);
    return fixture_build(builder);
}

static int set_up(void **state)
{
    *state = make(false);
    return 0;
}

static int tear_down(void **state)
{
    mesh_snapshot_unref(*state);
    return 0;
}

static struct mesh_request request_of(const struct mesh_snapshot *snapshot, const char *source,
                                      const char *destination, uint64_t random)
{
    return (struct mesh_request){.source = mesh_snapshot_workload_by_uid(snapshot, source),
                                 .network = "",
                                 .destination = fixture_addr(destination),
                                 .random = random};
}

static struct mesh_decision decide_as(const struct mesh_snapshot *snapshot, const char *source,
                                      const char *destination, uint64_t random)
{
    struct mesh_decision decision;
    struct mesh_request request = request_of(snapshot, source, destination, random);
    mesh_decide(snapshot, &request, &decision);
    return decision;
}

/* What a decision comes to, in one line. */
static const char *told(const struct mesh_decision *decision)
{
    static char line[1200];
    char target[ADDR_TEXT_MAX];
    char tunnel[ADDR_TEXT_MAX];
    switch (decision->kind) {
    case MESH_PASSTHROUGH:
        snprintf(line, sizeof(line), "plain %s%s%s", addr_format(&decision->target, target),
                 decision->resolve != NULL ? " resolving " : "",
                 decision->resolve != NULL ? decision->resolve : "");
        break;
    case MESH_TUNNEL:
        snprintf(line, sizeof(line), "%s %s for %s%s%s", decision->is_nested ? "nested" : "tunnel",
                 addr_format(&decision->tunnel, tunnel), addr_format(&decision->target, target),
                 decision->resolve != NULL ? " resolving " : "",
                 decision->resolve != NULL ? decision->resolve : "");
        break;
    case MESH_ISTIO_MTLS:
        snprintf(line, sizeof(line), "istio %s", addr_format(&decision->target, target));
        break;
    case MESH_REFUSE:
        snprintf(line, sizeof(line), "refuse %s: %s", reason_name(decision->reason),
                 decision->detail);
        break;
    case MESH_ASK:
        snprintf(line, sizeof(line), "ask %s", decision->ask);
        break;
    }
    return line;
}

static void assert_told(const struct mesh_decision *decision, const char *expected)
{
    assert_string_equal(told(decision), expected);
}

static void each_way_leads_through_whoever_stands_in_it(void **state)
{
    const struct {
        const char *source;
        const char *to;
        const char *told;
    } rows[] = {
        /* a workload's waypoint counts when its own address is asked for, a service's for the service */
        {"client", "10.0.0.2:8080", "tunnel 10.0.0.11:15008 for 10.0.0.2:8080"},
        {"client", "10.1.0.1:80", "tunnel 10.0.0.2:15008 for 10.0.0.2:8080"},
        {"client", "10.1.0.2:80", "tunnel 10.0.0.11:15008 for 10.1.0.2:80"},
        {"client", "10.1.0.2:81", "tunnel 10.0.0.11:15008 for 10.1.0.2:81"},
        {"client", "10.1.0.12:80", NULL}, /* a waypoint before what is passed through, too */
        /* weights of 0 leave the choice to the plain one */
        {"client", "10.1.0.5:80", NULL},
        /* the waypoint itself goes on directly, whichever way it is named */
        {"wp-1", "10.0.0.2:8080", "tunnel 10.0.0.2:15008 for 10.0.0.2:8080"},
        {"wp-2", "10.0.0.2:8080", "tunnel 10.0.0.11:15008 for 10.0.0.2:8080"},
        {"wp-1", "10.1.0.2:80", "tunnel 10.0.0.2:15008 for 10.0.0.2:8080"},
        {"wp-2", "10.1.0.3:80", "tunnel 10.0.0.2:15008 for 10.0.0.2:8080"},
        {"wp-2", "10.0.0.3:80", "tunnel 10.0.0.3:15008 for 10.0.0.3:80"},
        {"wp-1", "10.0.0.4:80", "tunnel 10.0.0.4:15008 for 10.0.0.4:80"},
        {"wp-other", "10.1.0.4:80", "tunnel 10.0.0.2:15008 for 10.0.0.2:8080"},
        {"sandwich", "10.1.0.4:80", "tunnel 10.0.0.2:15008 for 10.0.0.2:8080"},
        /* a pod behind an agent needs no port in the service of waypoints; another does */
        {"client", "10.1.0.6:80", "tunnel 10.0.0.14:15008 for 10.1.0.6:80"},
        {"client", "10.1.0.7:80", "tunnel 10.0.0.14:15008 for 10.1.0.7:80"},
        /* never past a waypoint */
        {"client", "10.0.0.5:80",
         "refuse waypoint_unknown: the waypoint \"infra/nobody\" is not known"},
        {"client", "10.1.0.8:80",
         "refuse waypoint_unknown: the waypoint \"infra/nobody\" is not known"},
        {"client", "10.1.0.9:80",
         "refuse no_healthy_endpoint: the waypoint \"infra/empty\" has no endpoint that can be "
         "reached"},
        {"client", "10.1.0.10:80", "tunnel -:15008 for 10.1.0.10:80 resolving wp.example.com"},
        {"client", "10.0.0.6:80",
         "refuse unsupported_destination: in another network only services can be reached, not a "
         "workload by its address"},
        /* other networks */
        {"client", "10.1.0.21:80", "nested 192.0.2.1:15008 for 10.1.0.21:80"},
        {"client", "10.1.0.22:80",
         "refuse gateway_unknown: the endpoint is in another network and has no network gateway"},
        {"client", "10.1.0.23:80",
         "refuse gateway_unknown: the endpoint is in another network, whose gateway discovery does "
         "not know"},
        {"client", "10.1.0.24:80",
         "refuse unsupported_destination: the endpoint is in another network and does not speak "
         "HBONE"},
        {"client", "10.1.0.25:80",
         "refuse no_expected_identity: the endpoint is in another network, and the service does "
         "not "
         "say who answers for it there (subject alternative names)"},
        {"client", "10.1.0.20:81", "refuse no_healthy_endpoint: "},
        /* host names */
        {"client", "10.1.0.30:80", "tunnel -:15008 for -:8080 resolving db.example.com"},
        {"client", "10.1.0.32:80", "plain -:8080 resolving clear.example.com"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mesh_decision decision = decide_as(*state, rows[i].source, rows[i].to, i);
        print_message("%s to %s: %s\n", rows[i].source, rows[i].to, told(&decision));
        if (rows[i].told != NULL)
            assert_told(&decision, rows[i].told);
        else
            assert_true(decision.kind == MESH_TUNNEL &&
                        strncmp(decision.workload->uid, "wp-", 3) == 0);
    }
}

/* How often each workload is decided for, of `num` random numbers. */
static unsigned share_of(const struct mesh_snapshot *snapshot, const char *to, unsigned num,
                         const char *uid)
{
    unsigned count = 0;
    for (unsigned random = 0; random < num; random++) {
        struct mesh_decision decision = decide_as(snapshot, "client", to, random);
        assert_int_equal(decision.kind, MESH_TUNNEL);
        count += strcmp(decision.workload->uid, uid) == 0;
    }
    return count;
}

static void waypoints_are_drawn_by_weight_and_their_endpoints_by_capacity(void **state)
{
    assert_int_equal(share_of(*state, "10.1.0.4:80", 4000, "wp-other"), 3000);
    unsigned first = share_of(*state, "10.1.0.4:80", 4000, "wp-1");
    assert_in_range(first, 400, 600); /* half of the other 1000 */
    assert_int_equal(first + share_of(*state, "10.1.0.4:80", 4000, "wp-2"), 1000);
    assert_int_equal(share_of(*state, "10.1.0.5:80", 100, "wp-other"), 0);
    unsigned far = share_of(*state, "10.1.0.20:80", 1000, "gw-1");
    assert_in_range(far, 400, 600);
}

static void an_endpoint_of_a_waypoint_may_map_the_port(void **state)
{
    for (unsigned random = 0; random < 50; random++) {
        struct mesh_decision decision = decide_as(*state, "client", "10.0.0.3:80", random);
        bool mapped = strcmp(decision.workload->uid, "wp-2") == 0;
        assert_int_equal(decision.tunnel.port, mapped ? 15018 : 15008);
    }
}

/* Decides again and again, each attempt failing, until there is a refusal; returns how many ways there were. */
static unsigned count_ways(const struct mesh_snapshot *snapshot, const char *to, uint64_t random,
                           struct mesh_decision *last)
{
    struct addr tried[MESH_TRIED_MAX];
    struct mesh_request request = request_of(snapshot, "client", to, random);
    request.tried = tried;
    for (;;) {
        mesh_decide(snapshot, &request, last);
        if (last->kind == MESH_REFUSE)
            return (unsigned)request.num_tried;
        assert_true(request.num_tried < MESH_TRIED_MAX);
        tried[request.num_tried++] = last->attempt;
        request.only_tunnels = request.only_tunnels || last->kind == MESH_TUNNEL;
        request.random = request.random * 31 + 7;
    }
}

static void another_endpoint_of_the_waypoint_or_gateway_is_tried_and_nothing_else(void **state)
{
    const struct {
        const char *to;
        unsigned ways;
    } rows[] = {
        {"10.0.0.2:8080", 1}, /* a waypoint given as a workload's address */
        {"10.0.0.3:80", 2},   /* as a service's name */
        {"10.0.0.4:80", 2},   /* as a service's address */
        {"10.1.0.4:80", 3},   /* weighted: two and one, and not the plain one */
        {"10.1.0.20:80", 2},  /* a network's gateways */
        {"10.1.0.21:80", 1},  /* one given as an address */
        {"10.1.0.10:80", 1},  /* a waypoint that only has a host name */
        {"10.1.0.30:80", 1},  /* so an endpoint */
        {"10.1.0.11:80", 2},  /* a waypoint in another network */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (uint64_t random = 0; random < 20; random++) {
            struct mesh_decision last;
            print_message("%s\n", rows[i].to);
            assert_int_equal(count_ways(*state, rows[i].to, random, &last), rows[i].ways);
            assert_int_equal(last.reason, REASON_NO_HEALTHY_ENDPOINT);
        }
    }
}

static bool is_expected(const struct mesh_decision *decision, const char *identity)
{
    for (size_t i = 0; i < decision->num_identities; i++)
        if (strcmp(decision->identities[i], identity) == 0)
            return true;
    return false;
}

static void a_waypoint_has_to_be_itself_or_whom_its_service_names(void **state)
{
    struct mesh_decision decision = decide_as(*state, "client", "10.1.0.2:80", 0);
    assert_int_equal(decision.num_identities, 1 + 1 * (decision.num_identities == 2));
    assert_true(is_expected(&decision, "spiffe://cluster.local/ns/shop/sa/wp-1"));
    decision = decide_as(*state, "client", "10.1.0.3:80", 0);
    assert_int_equal(decision.num_identities, 2);
    assert_true(is_expected(&decision, wp_san));
    assert_false(is_expected(&decision, "spiffe://cluster.local/ns/shop/sa/backend"));
}

static void the_gateway_and_who_is_behind_it_are_expected_apart(void **state)
{
    struct mesh_decision decision = decide_as(*state, "client", "10.1.0.20:80", 0);
    assert_true(decision.is_nested);
    assert_int_equal(decision.tunnel.port, 15009);
    assert_int_equal(decision.num_identities, 2);
    assert_true(is_expected(&decision, gw_san));
    assert_false(is_expected(&decision, far_san));
    assert_int_equal(decision.num_inner_identities, 1);
    assert_string_equal(decision.inner_identities[0], far_san);
    assert_string_equal(decision.service->hostname, "far");
    assert_int_equal(decision.target.port, 80);
    /* Behind a waypoint in another network it is the waypoint who answers. */
    decision = decide_as(*state, "client", "10.1.0.11:80", 0);
    assert_true(decision.is_nested);
    assert_int_equal(decision.num_inner_identities, 1);
    assert_string_equal(decision.inner_identities[0], wp_san);
}

static void addresses_of_a_name_are_chosen_by_family_and_never_the_pods_own(void **state)
{
    const struct {
        const char *to;
        const char *ips[3];
        const char *chosen; /* NULL: none */
    } rows[] = {
        {"10.1.0.30:80", {"192.0.2.7"}, "tunnel 192.0.2.7:15008 for 192.0.2.7:8080"},
        {"10.1.0.30:80", {"fd00::7", "192.0.2.7"}, "tunnel 192.0.2.7:15008 for 192.0.2.7:8080"},
        {"10.1.0.30:80", {"fd00::7"}, "tunnel [fd00::7]:15008 for [fd00::7]:8080"},
        {"10.1.0.31:80", {"192.0.2.7", "fd00::7"}, "tunnel [fd00::7]:15008 for [fd00::7]:8080"},
        {"10.1.0.31:80", {"192.0.2.7"}, NULL},
        {"10.1.0.32:80", {"127.0.0.1", "192.0.2.7"}, "plain 192.0.2.7:8080"},
        {"10.1.0.32:80", {"127.0.0.1", "::1", "0.0.0.0"}, NULL},
        {"10.1.0.10:80", {"192.0.2.9"}, "tunnel 192.0.2.9:15008 for 10.1.0.10:80"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ip ips[3];
        size_t num = 0;
        for (; num < 3 && rows[i].ips[num] != NULL; num++)
            ips[num] = fixture_ip(rows[i].ips[num]);
        struct mesh_request request = request_of(*state, "client", rows[i].to, i);
        struct mesh_decision decision;
        mesh_decide(*state, &request, &decision);
        assert_non_null(decision.resolve);
        bool found = mesh_decide_resolved(&decision, &request, ips, num);
        assert_int_equal(found, rows[i].chosen != NULL);
        decision.resolve = NULL;
        if (found)
            assert_told(&decision, rows[i].chosen);
    }
}

static void all_addresses_of_a_name_that_fit_get_their_share(void **state)
{
    const struct ip ips[] = {fixture_ip("192.0.2.1"), fixture_ip("fd00::1"),
                             fixture_ip("192.0.2.2"), fixture_ip("192.0.2.3")};
    unsigned counts[4] = {0};
    for (uint64_t random = 0; random < 300; random++) {
        struct mesh_request request = request_of(*state, "client", "10.1.0.32:80", random);
        struct mesh_decision decision;
        mesh_decide(*state, &request, &decision);
        assert_true(mesh_decide_resolved(&decision, &request, ips, 4));
        for (size_t i = 0; i < 4; i++)
            counts[i] += ip_equal(&decision.target.ip, &ips[i]);
    }
    const unsigned expected[] = {100, 0, 100, 100};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(counts[i], expected[i]);
}

static void nothing_in_clear_follows_a_tunnel_to_a_name(void **state)
{
    struct mesh_request request = request_of(*state, "client", "10.1.0.32:80", 0);
    struct mesh_decision decision;
    request.only_tunnels = true;
    mesh_decide(*state, &request, &decision);
    assert_int_equal(decision.reason, REASON_NO_HEALTHY_ENDPOINT);
}

static void who_stands_in_between_is_asked_for_before_it_is_given_up(void **state)
{
    (void)state;
    struct mesh_snapshot *snapshot = make(true);
    const struct {
        const char *to;
        const char *told;
    } rows[] = {
        {"10.0.0.5:80", "ask infra/nobody"},
        {"10.1.0.8:80", "ask infra/nobody"},
        {"10.1.0.23:80", "ask infra/nowhere"},
        {"10.1.0.13:80", "refuse waypoint_unknown: the waypoint \"/\" is not known"},
        {"10.1.0.9:80", "refuse no_healthy_endpoint: the waypoint \"infra/empty\" has no endpoint "
                        "that can be reached"},
        {"10.1.0.3:80", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mesh_decision decision = decide_as(snapshot, "client", rows[i].to, 0);
        if (rows[i].told != NULL)
            assert_told(&decision, rows[i].told);
        else
            assert_int_equal(decision.kind, MESH_TUNNEL);
    }
    mesh_snapshot_unref(snapshot);
}

static void one_that_was_asked_for_in_vain_is_unknown(void **state)
{
    (void)state;
    struct mesh_snapshot *base = make(true);
    struct mesh_builder *builder = mesh_builder_new(base);
    struct mesh_interest *interest = mesh_interest_new("infra/nobody");
    assert_non_null(interest);
    mesh_builder_put_answered(builder, interest);
    struct mesh_snapshot *snapshot = fixture_build(builder);
    struct mesh_decision decision = decide_as(snapshot, "client", "10.0.0.5:80", 0);
    assert_told(&decision, "refuse waypoint_unknown: the waypoint \"infra/nobody\" is not known");
    assert_int_equal(decision.num_used, 0); /* it is of no use to know that */
    mesh_interest_unref(interest);
    mesh_snapshot_unref(snapshot);
    mesh_snapshot_unref(base);
}

static void names_that_a_decision_rests_on_are_told(void **state)
{
    (void)state;
    static const char *const names[] = {"/10.1.0.11", "infra/far-wp", "infra/gw"};
    struct mesh_snapshot *base = make(true);
    struct mesh_builder *builder = mesh_builder_new(base);
    struct mesh_interest *interests[3];
    for (size_t i = 0; i < 3; i++) {
        interests[i] = mesh_interest_new(names[i]);
        mesh_builder_put_answered(builder, interests[i]);
    }
    struct mesh_snapshot *snapshot = fixture_build(builder);
    struct mesh_decision decision = decide_as(snapshot, "client", "10.1.0.11:80", 0);
    assert_true(decision.is_nested);
    assert_int_equal(decision.num_used, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(decision.used[i], interests[i]);
        mesh_interest_unref(interests[i]);
    }
    mesh_snapshot_unref(snapshot);
    mesh_snapshot_unref(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_way_leads_through_whoever_stands_in_it),
        cmocka_unit_test(waypoints_are_drawn_by_weight_and_their_endpoints_by_capacity),
        cmocka_unit_test(an_endpoint_of_a_waypoint_may_map_the_port),
        cmocka_unit_test(another_endpoint_of_the_waypoint_or_gateway_is_tried_and_nothing_else),
        cmocka_unit_test(a_waypoint_has_to_be_itself_or_whom_its_service_names),
        cmocka_unit_test(the_gateway_and_who_is_behind_it_are_expected_apart),
        cmocka_unit_test(addresses_of_a_name_are_chosen_by_family_and_never_the_pods_own),
        cmocka_unit_test(all_addresses_of_a_name_that_fit_get_their_share),
        cmocka_unit_test(nothing_in_clear_follows_a_tunnel_to_a_name),
        cmocka_unit_test(who_stands_in_between_is_asked_for_before_it_is_given_up),
        cmocka_unit_test(one_that_was_asked_for_in_vain_is_unknown),
        cmocka_unit_test(names_that_a_decision_rests_on_are_told),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
