/* mesh_inbound: where a CONNECT that came in leads. */
#include <stdio.h>

#include "mesh_fixture.h"
#include "mesh_inbound.h"

static struct mesh_gateway by_address(const char *ip)
{
    return (struct mesh_gateway){
        .kind = MESH_GATEWAY_ADDRESS, .ip = fixture_ip(ip), .hbone_mtls_port = 15008};
}

static struct mesh_gateway by_hostname(const char *hostname)
{
    return (struct mesh_gateway){.kind = MESH_GATEWAY_HOSTNAME,
                                 .namespace_ = "shop",
                                 .hostname = hostname,
                                 .hbone_mtls_port = 15008};
}

#define WORKLOAD(uid_, ip_)                                                                        \
    .uid = uid_, .name = uid_, .namespace_ = "shop", .tunnel = MESH_TUNNEL_HBONE, .capacity = 1,   \
    IPS(fixture_ip(ip_))

static void add_workloads(struct mesh_builder *builder)
{
    const struct mesh_port map[] = {{80, 8081, MESH_APP_UNKNOWN}};
    const struct mesh_workload workloads[] = {
        {WORKLOAD("server", "10.0.0.1"),
         SERVICES({"shop/web", NULL, 0}, {"shop/mapped", map, 1}, {"other/web", map, 1})},
        {WORKLOAD("waypoint", "10.0.0.2"), SERVICES({"shop/wp", NULL, 0})},
        {WORKLOAD("sandwich", "10.0.0.3"), SERVICES({"shop/web", NULL, 0}),
         .application_tunnel = {.present = true, .protocol = MESH_APP_TUNNEL_PROXY, .port = 15088}},
        {WORKLOAD("portless", "fd00::4"),
         .application_tunnel = {.present = true, .protocol = MESH_APP_TUNNEL_PROXY}},
        {WORKLOAD("unwrapped", "10.0.0.5"),
         .application_tunnel = {.present = true, .protocol = MESH_APP_TUNNEL_NONE, .port = 9000}},
        {WORKLOAD("behind", "10.0.0.6"), .waypoint = by_address("10.0.0.2")},
        {WORKLOAD("elsewhere", "10.0.0.7")},
    };
    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
        fixture_add_workload(builder, &workloads[i]);
}

#define SERVICE(ns_, name_, ip_)                                                                   \
    .name = name_, .namespace_ = ns_, .hostname = name_, VIPS({"", fixture_ip(ip_)}),              \
    PORTS({80, 8080, MESH_APP_UNKNOWN})

static int set_up(void **state)
{
    struct mesh_builder *builder = mesh_builder_new(NULL);
    const struct mesh_weighted_waypoint weighted[] = {{by_hostname("wp"), 0}};
    const struct mesh_service services[] = {
        {SERVICE("other", "web", "10.1.0.1")},
        {SERVICE("shop", "web", "10.1.0.2")},
        {SERVICE("shop", "mapped", "10.1.0.3")},
        {SERVICE("shop", "wp", "10.1.0.4")},
        {SERVICE("shop", "behind-name", "10.1.0.5"), .waypoint = by_hostname("wp")},
        {SERVICE("shop", "behind-vip", "10.1.0.6"), .waypoint = by_address("10.1.0.4")},
        {SERVICE("shop", "behind-weighted", "10.1.0.7"), .weighted_waypoints = weighted,
         .num_weighted_waypoints = 1},
        {SERVICE("shop", "not-behind", "10.1.0.8"), .waypoint = by_address("10.0.0.7")},
    };
    assert_non_null(builder);
    add_workloads(builder);
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
        fixture_add_service(builder, &services[i]);
    *state = fixture_build(builder);
    return 0;
}

static int tear_down(void **state)
{
    mesh_snapshot_unref(*state);
    return 0;
}

static struct mesh_landing land(const struct mesh_snapshot *snapshot, const char *uid,
                                const char *address, const char *ip, const char *host,
                                uint16_t port)
{
    struct mesh_landing landing;
    struct mesh_arrival arrival = {
        .local = uid != NULL ? mesh_snapshot_workload_by_uid(snapshot, uid) : NULL,
        .network = "",
        .address = fixture_ip(address),
        .host = host != NULL ? host : "",
        .port = port,
    };
    if (ip != NULL)
        arrival.ip = fixture_ip(ip);
    mesh_inbound_land(snapshot, &arrival, &landing);
    return landing;
}

static void each_authority_leads_to_a_port_of_this_pod_or_nowhere(void **state)
{
    const struct {
        const char *local;
        const char *address;
        const char *ip; /* of the authority, or */
        const char *host;
        uint16_t port;
        enum reason reason;
        const char *target;
        const char *dial;     /* NULL: as target */
        const char *original; /* of the PROXY header; NULL: none */
    } rows[] = {
        /* the pod's own address */
        {"server", "10.0.0.1", "10.0.0.1", NULL, 8080, REASON_DONE, "10.0.0.1:8080", NULL, NULL},
        {NULL, "10.0.0.1", "10.0.0.1", NULL, 8080, REASON_DONE, "10.0.0.1:8080", NULL, NULL},
        {"server", "10.0.0.1", "10.0.0.7", NULL, 80, REASON_WRONG_DESTINATION, NULL, NULL, NULL},
        {"server", "10.0.0.1", "10.1.0.2", NULL, 80, REASON_WRONG_DESTINATION, NULL, NULL, NULL},
        {NULL, "10.0.0.1", "10.0.0.7", NULL, 80, REASON_UNKNOWN_LOCAL_WORKLOAD, NULL, NULL, NULL},
        /* host names: our namespace's service, this endpoint's port, else the service's */
        {"server", "10.0.0.1", NULL, "web", 80, REASON_DONE, "10.0.0.1:8080", NULL, NULL},
        {"server", "10.0.0.1", NULL, "mapped", 80, REASON_DONE, "10.0.0.1:8081", NULL, NULL},
        {"server", "10.0.0.1", NULL, "web", 81, REASON_UNKNOWN_DESTINATION, NULL, NULL, NULL},
        {"server", "10.0.0.1", NULL, "nobody", 80, REASON_UNKNOWN_DESTINATION, NULL, NULL, NULL},
        {"waypoint", "10.0.0.2", NULL, "web", 80, REASON_UNKNOWN_DESTINATION, NULL, NULL, NULL},
        {NULL, "10.0.0.1", NULL, "web", 80, REASON_UNKNOWN_LOCAL_WORKLOAD, NULL, NULL, NULL},
        /* a waypoint takes what it stands in front of */
        {"waypoint", "10.0.0.2", "10.1.0.5", NULL, 80, REASON_DONE, "10.0.0.2:80", NULL, NULL},
        {"waypoint", "10.0.0.2", "10.1.0.6", NULL, 80, REASON_DONE, "10.0.0.2:80", NULL, NULL},
        {"waypoint", "10.0.0.2", "10.1.0.7", NULL, 80, REASON_DONE, "10.0.0.2:80", NULL, NULL},
        {"waypoint", "10.0.0.2", "10.0.0.6", NULL, 5432, REASON_DONE, "10.0.0.2:5432", NULL, NULL},
        {"waypoint", "10.0.0.2", "10.1.0.8", NULL, 80, REASON_WRONG_DESTINATION, NULL, NULL, NULL},
        {"waypoint", "10.0.0.2", "10.0.0.7", NULL, 80, REASON_WRONG_DESTINATION, NULL, NULL, NULL},
        {"server", "10.0.0.1", "10.1.0.5", NULL, 80, REASON_WRONG_DESTINATION, NULL, NULL, NULL},
        /* an application tunnel takes everything, at its own port, and is told what it was */
        {"sandwich", "10.0.0.3", "192.0.2.1", NULL, 443, REASON_DONE, "10.0.0.3:15088",
         "127.0.0.1:15088", "192.0.2.1:443"},
        {"sandwich", "10.0.0.3", "10.0.0.3", NULL, 80, REASON_DONE, "10.0.0.3:15088",
         "127.0.0.1:15088", "10.0.0.3:80"},
        {"sandwich", "10.0.0.3", NULL, "web", 80, REASON_DONE, "10.0.0.3:15088", "127.0.0.1:15088",
         "10.1.0.2:80"},
        {"sandwich", "10.0.0.3", NULL, "nobody", 80, REASON_UNKNOWN_DESTINATION, NULL, NULL, NULL},
        {"portless", "fd00::4", "10.1.0.1", NULL, 80, REASON_DONE, "[fd00::4]:80", "[::1]:80",
         "10.1.0.1:80"},
        {"unwrapped", "10.0.0.5", "10.1.0.1", NULL, 80, REASON_DONE, "10.0.0.5:9000",
         "127.0.0.1:9000", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[ADDR_TEXT_MAX];
        struct mesh_landing landing =
            land(*state, rows[i].local, rows[i].address, rows[i].ip, rows[i].host, rows[i].port);
        print_message("%s: %s %s:%u\n", rows[i].local != NULL ? rows[i].local : "(unknown)",
                      rows[i].ip != NULL ? rows[i].ip : "",
                      rows[i].host != NULL ? rows[i].host : "", rows[i].port);
        assert_int_equal(landing.reason, rows[i].reason);
        if (rows[i].reason != REASON_DONE)
            continue;
        assert_string_equal(addr_format(&landing.target, text), rows[i].target);
        assert_string_equal(addr_format(&landing.dial, text),
                            rows[i].dial != NULL ? rows[i].dial : rows[i].target);
        assert_int_equal(landing.is_proxied, rows[i].original != NULL);
        if (landing.is_proxied)
            assert_string_equal(addr_format(&landing.original, text), rows[i].original);
    }
}

static void the_service_that_was_asked_for_is_told(void **state)
{
    assert_string_equal(land(*state, "server", "10.0.0.1", NULL, "web", 80).service->key,
                        "shop/web");
    assert_string_equal(land(*state, "waypoint", "10.0.0.2", "10.1.0.5", NULL, 80).service->key,
                        "shop/behind-name");
    assert_null(land(*state, "server", "10.0.0.1", "10.0.0.1", NULL, 80).service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_authority_leads_to_a_port_of_this_pod_or_nowhere),
        cmocka_unit_test(the_service_that_was_asked_for_is_told),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
