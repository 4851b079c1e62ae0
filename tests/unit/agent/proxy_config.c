#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy_config.h"

static struct agent_config usual(void)
{
    return (struct agent_config){
        .pod_name = "p",
        .local_file = "",
        .workers = 1,
        .ipv6 = true,
        .outbound_port = 15001,
        .inbound_port = 15006,
        .hbone_port = 15008,
        .readiness_port = 15021,
        .metrics_port = 15020,
        .keepalive_time_ms = 180000,
        .keepalive_interval_ms = 1500,
        .max_connections = 10,
    };
}

static struct proxy_options filled(const struct agent_config *config)
{
    struct proxy_options options;
    proxy_config_fill(&options, config);
    return options;
}

static void listeners_are_where_peers_expect_them(void **state)
{
    struct agent_config config = usual();
    struct proxy_options options = filled(&config);
    assert_true(ip_is_loopback(&options.outbound_addr.ip));
    assert_true(ip_is_unspecified(&options.inbound_addr.ip));
    assert_int_equal(options.hbone_addr.ip.family, IP_V6);
    assert_int_equal(options.outbound_addr.port, 15001);
    assert_int_equal(options.inbound_addr.port, 15006);
    assert_int_equal(options.hbone_addr.port, 15008);

    config.ipv6 = false;
    options = filled(&config);
    assert_int_equal(options.hbone_addr.ip.family, IP_V4);
}

static void modes_follow_the_configuration(void **state)
{
    struct agent_config config = usual();
    struct proxy_options options = filled(&config);
    assert_true(options.strict); /* the default of the enum is the safe one */
    assert_false(options.refuse_unknown);
    config.inbound_mode = AGENT_INBOUND_PERMISSIVE;
    config.outbound_policy = AGENT_OUTBOUND_REGISTRY_ONLY;
    options = filled(&config);
    assert_false(options.strict);
    assert_true(options.refuse_unknown);
}

static void discovery_follows_the_configuration(void **state)
{
    struct agent_config config = usual();
    config.discovery_timeout_ms = 5000;
    struct proxy_options options = filled(&config);
    assert_int_equal(options.discovery_timeout_ms, 5000);
    assert_true(options.await_policies);
    assert_false(options.pass_unanswered); /* the default of the enum is the safe one */
    config.unanswered_destination = AGENT_UNANSWERED_PASSTHROUGH;
    config.local_file = "/mesh.yaml";
    options = filled(&config);
    assert_false(options.await_policies);
    assert_true(options.pass_unanswered);
}

static void workers_share_the_limit_and_the_ports(void **state)
{
    struct agent_config config = usual();
    assert_false(filled(&config).reuse_port);
    assert_int_equal(filled(&config).max_sessions, 10);
    config.workers = 4;
    assert_true(filled(&config).reuse_port);
    assert_int_equal(filled(&config).max_sessions, 3); /* not less than 10 together */
}

static void parts_of_a_second_are_rounded_up(void **state)
{
    struct agent_config config = usual();
    struct proxy_options options = filled(&config);
    assert_int_equal(options.tcp.keepalive_idle_s, 180);
    assert_int_equal(options.tcp.keepalive_interval_s, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listeners_are_where_peers_expect_them),
        cmocka_unit_test(modes_follow_the_configuration),
        cmocka_unit_test(discovery_follows_the_configuration),
        cmocka_unit_test(workers_share_the_limit_and_the_ports),
        cmocka_unit_test(parts_of_a_second_are_rounded_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
