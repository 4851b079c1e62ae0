/* What is encoded comes back the same, field by field, over many objects made at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protobuf_read.h"
#include "wds.h"

enum { ROUNDS = 2000 };

/* ---------------------------------------------------------------------------------- making -- */

struct maker {
    struct protobuf_memory *memory;
    uint64_t seed;
};

static uint32_t up_to(struct maker *maker, uint32_t max)
{
    maker->seed = maker->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((maker->seed >> 33) % (max + 1u));
}

static bool coin(struct maker *maker)
{
    return up_to(maker, 1) == 1;
}

static void *array(struct maker *maker, size_t num, size_t size)
{
    void *bytes = protobuf_memory_array(maker->memory, num, size);
    assert_true(num == 0 || bytes != NULL);
    return bytes;
}

/* 1 to 12 letters, some of them outside ASCII. */
static const char *text(struct maker *maker)
{
    static const char *const letters[] = {"a", "b", "-", ".", "0", "\xc3\xa4", "\xe2\x82\xac"};
    char *out = array(maker, 64, 1);
    for (uint32_t i = up_to(maker, 11) + 1; i > 0; i--)
        strcat(out, letters[up_to(maker, 6)]);
    return out;
}

/* Now and then nothing. */
static const char *any_text(struct maker *maker)
{
    return up_to(maker, 3) == 0 ? "" : text(maker);
}

static const char *key(struct maker *maker, size_t index)
{
    char *out = array(maker, 128, 1);
    snprintf(out, 128, "%s/%zu%s", text(maker), index, text(maker));
    return out;
}

static struct ip ip(struct maker *maker)
{
    struct ip made = {.family = coin(maker) ? IP_V4 : IP_V6};
    for (size_t i = 0; i < (made.family == IP_V4 ? 4u : 16u); i++)
        made.bytes[i] = (uint8_t)(up_to(maker, 254) + 1);
    return made;
}

static struct cidr cidr(struct maker *maker, uint32_t less_than_all)
{
    struct ip address = ip(maker);
    size_t len = address.family == IP_V4 ? 4 : 16;
    uint32_t prefix_len = 1 + up_to(maker, (uint32_t)len * 8 - 1 - less_than_all);
    struct cidr made;
    assert_int_equal(cidr_from_bytes(&made, address.bytes, len, prefix_len, NULL), 0);
    return made;
}

static const struct mesh_port *ports(struct maker *maker, size_t *num)
{
    *num = up_to(maker, 3);
    struct mesh_port *made = array(maker, *num, sizeof(*made));
    for (size_t i = 0; i < *num; i++)
        made[i] =
            (struct mesh_port){.service_port = (uint16_t)(1 + up_to(maker, 65534)),
                               .target_port = (uint16_t)up_to(maker, 65535),
                               .app_protocol = (enum mesh_app_protocol)up_to(maker, MESH_APP_TLS)};
    return made;
}

static struct mesh_gateway gateway(struct maker *maker, uint32_t least)
{
    struct mesh_gateway made = {.kind = (enum mesh_gateway_kind)(least + up_to(maker, 2 - least)),
                                .namespace_ = "",
                                .hostname = "",
                                .network = ""};
    if (made.kind != MESH_GATEWAY_NONE)
        made.hbone_mtls_port = (uint16_t)(1 + up_to(maker, 65534));
    if (made.kind == MESH_GATEWAY_HOSTNAME) {
        made.namespace_ = any_text(maker);
        made.hostname = text(maker);
    }
    if (made.kind == MESH_GATEWAY_ADDRESS) {
        made.network = any_text(maker);
        made.ip = ip(maker);
    }
    return made;
}

static const char *const *texts(struct maker *maker, size_t *num)
{
    *num = up_to(maker, 3);
    const char **made = array(maker, *num, sizeof(*made));
    for (size_t i = 0; i < *num; i++)
        made[i] = key(maker, i);
    return made;
}

static struct mesh_workload make_workload(struct maker *maker)
{
    struct mesh_workload made = {
        .uid = text(maker),
        .name = any_text(maker),
        .namespace_ = any_text(maker),
        .service_account = text(maker),
        .trust_domain = text(maker),
        .network = any_text(maker),
        .cluster_id = text(maker),
        .node = any_text(maker),
        .hostname = any_text(maker),
        .canonical_name = any_text(maker),
        .canonical_revision = any_text(maker),
        .workload_name = any_text(maker),
        .workload_type = (enum mesh_workload_type)up_to(maker, MESH_JOB),
        .num_ips = up_to(maker, 3),
        .tunnel = (enum mesh_tunnel)up_to(maker, MESH_TUNNEL_LEGACY_ISTIO_MTLS),
        .native_tunnel = coin(maker),
        .network_mode = (enum mesh_network_mode)up_to(maker, MESH_NETWORK_HOST),
        .unhealthy = coin(maker),
        .capacity = up_to(maker, 3),
        .locality = {any_text(maker), any_text(maker), any_text(maker)},
        .waypoint = gateway(maker, 0),
        .network_gateway = gateway(maker, 0),
        .num_services = up_to(maker, 3),
    };
    made.application_tunnel.present = coin(maker);
    if (made.application_tunnel.present) {
        made.application_tunnel.protocol =
            (enum mesh_app_tunnel_protocol)up_to(maker, MESH_APP_TUNNEL_PROXY);
        made.application_tunnel.port = (uint16_t)up_to(maker, 65535);
    }
    struct ip *ips = array(maker, made.num_ips, sizeof(*ips));
    for (size_t i = 0; i < made.num_ips; i++)
        ips[i] = ip(maker);
    made.ips = ips;
    struct mesh_membership *services = array(maker, made.num_services, sizeof(*services));
    for (size_t i = 0; i < made.num_services; i++) {
        services[i].service = key(maker, i);
        services[i].ports = ports(maker, &services[i].num_ports);
    }
    made.services = services;
    made.authorization_policies = texts(maker, &made.num_authorization_policies);
    return made;
}

static struct mesh_service make_service(struct maker *maker)
{
    struct mesh_service made = {
        .name = any_text(maker),
        .namespace_ = any_text(maker),
        .hostname = text(maker),
        .num_vips = up_to(maker, 2),
        .num_cidr_vips = up_to(maker, 2),
        .waypoint = gateway(maker, 0),
        .num_weighted_waypoints = up_to(maker, 2),
        .ip_families = (enum mesh_ip_families)up_to(maker, MESH_FAMILIES_DUAL),
        .visibility = (enum mesh_visibility)up_to(maker, MESH_NAMESPACE),
        .canonical = coin(maker),
        .ingress_use_waypoint = coin(maker),
    };
    struct mesh_network_address *vips = array(maker, made.num_vips, sizeof(*vips));
    for (size_t i = 0; i < made.num_vips; i++)
        vips[i] = (struct mesh_network_address){.network = any_text(maker), .ip = ip(maker)};
    made.vips = vips;
    struct mesh_network_cidr *cidrs = array(maker, made.num_cidr_vips, sizeof(*cidrs));
    for (size_t i = 0; i < made.num_cidr_vips; i++)
        cidrs[i] = (struct mesh_network_cidr){.network = any_text(maker), .cidr = cidr(maker, 1)};
    made.cidr_vips = cidrs;
    made.ports = ports(maker, &made.num_ports);
    made.subject_alt_names = texts(maker, &made.num_subject_alt_names);
    struct mesh_weighted_waypoint *waypoints =
        array(maker, made.num_weighted_waypoints, sizeof(*waypoints));
    for (size_t i = 0; i < made.num_weighted_waypoints; i++)
        waypoints[i] = (struct mesh_weighted_waypoint){.gateway = gateway(maker, 1),
                                                       .weight = up_to(maker, 100)};
    made.weighted_waypoints = waypoints;
    made.load_balancing.num_preferences = up_to(maker, 7);
    for (size_t i = 0; i < made.load_balancing.num_preferences; i++)
        made.load_balancing.preferences[i] = (enum mesh_scope)up_to(maker, MESH_SCOPE_NETWORK);
    made.load_balancing.mode = (enum mesh_lb_mode)up_to(maker, MESH_LB_PASSTHROUGH);
    made.load_balancing.health_policy = (enum mesh_health_policy)up_to(maker, MESH_ALLOW_ALL);
    return made;
}

static struct mesh_pattern_list patterns(struct maker *maker)
{
    size_t num = up_to(maker, 2);
    struct mesh_pattern *made = array(maker, num, sizeof(*made));
    for (size_t i = 0; i < num; i++) {
        made[i].kind =
            (enum mesh_pattern_kind)(MESH_EXACT + up_to(maker, MESH_PRESENCE - MESH_EXACT));
        made[i].text = made[i].kind == MESH_PRESENCE ? "" : any_text(maker);
    }
    return (struct mesh_pattern_list){.values = made, .num = num};
}

static struct mesh_cidr_list cidrs(struct maker *maker)
{
    size_t num = up_to(maker, 2);
    struct cidr *made = array(maker, num, sizeof(*made));
    for (size_t i = 0; i < num; i++)
        made[i] = cidr(maker, 0);
    return (struct mesh_cidr_list){.values = made, .num = num};
}

static struct mesh_port_list port_list(struct maker *maker)
{
    size_t num = up_to(maker, 2);
    uint16_t *made = array(maker, num, sizeof(*made));
    for (size_t i = 0; i < num; i++)
        made[i] = (uint16_t)(1 + up_to(maker, 65534));
    return (struct mesh_port_list){.values = made, .num = num};
}

static struct mesh_account_list accounts(struct maker *maker)
{
    size_t num = up_to(maker, 2);
    struct mesh_account *made = array(maker, num, sizeof(*made));
    for (size_t i = 0; i < num; i++)
        made[i] = (struct mesh_account){.namespace_ = any_text(maker),
                                        .service_account = any_text(maker)};
    return (struct mesh_account_list){.values = made, .num = num};
}

static struct mesh_match make_match(struct maker *maker)
{
    return (struct mesh_match){
        .namespaces = patterns(maker),
        .not_namespaces = patterns(maker),
        .principals = patterns(maker),
        .not_principals = patterns(maker),
        .service_accounts = accounts(maker),
        .not_service_accounts = accounts(maker),
        .source_ips = cidrs(maker),
        .not_source_ips = cidrs(maker),
        .destination_ips = cidrs(maker),
        .not_destination_ips = cidrs(maker),
        .destination_ports = port_list(maker),
        .not_destination_ports = port_list(maker),
    };
}

static struct mesh_clause make_clause(struct maker *maker)
{
    size_t num = up_to(maker, 2);
    struct mesh_match *matches = array(maker, num, sizeof(*matches));
    for (size_t i = 0; i < num; i++)
        matches[i] = make_match(maker);
    return (struct mesh_clause){.matches = matches, .num_matches = num};
}

static struct mesh_rule make_rule(struct maker *maker)
{
    size_t num = up_to(maker, 2);
    struct mesh_clause *clauses = array(maker, num, sizeof(*clauses));
    for (size_t i = 0; i < num; i++)
        clauses[i] = make_clause(maker);
    return (struct mesh_rule){.clauses = clauses, .num_clauses = num};
}

static struct mesh_policy make_policy(struct maker *maker)
{
    struct mesh_policy made = {
        .name = text(maker),
        .namespace_ = text(maker),
        .scope = (enum mesh_policy_scope)up_to(maker, MESH_POLICY_WORKLOAD_SELECTOR),
        .action = (enum mesh_action)up_to(maker, MESH_DENY),
        .dry_run = coin(maker),
        .num_rules = up_to(maker, 2),
    };
    struct mesh_rule *rules = array(maker, made.num_rules, sizeof(*rules));
    for (size_t i = 0; i < made.num_rules; i++)
        rules[i] = make_rule(maker);
    made.rules = rules;
    return made;
}

/* ------------------------------------------------------------------------------- comparing -- */

static void same_gateway(const struct mesh_gateway *a, const struct mesh_gateway *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_string_equal(a->namespace_, b->namespace_);
    assert_string_equal(a->hostname, b->hostname);
    assert_string_equal(a->network, b->network);
    assert_true(ip_equal(&a->ip, &b->ip));
    assert_int_equal(a->hbone_mtls_port, b->hbone_mtls_port);
}

static void same_ports(const struct mesh_port *a, size_t num_a, const struct mesh_port *b,
                       size_t num_b)
{
    assert_int_equal(num_a, num_b);
    for (size_t i = 0; i < num_a; i++) {
        assert_int_equal(a[i].service_port, b[i].service_port);
        assert_int_equal(a[i].target_port, b[i].target_port);
        assert_int_equal(a[i].app_protocol, b[i].app_protocol);
    }
}

static void same_texts(const char *const *a, size_t num_a, const char *const *b, size_t num_b)
{
    assert_int_equal(num_a, num_b);
    for (size_t i = 0; i < num_a; i++)
        assert_string_equal(a[i], b[i]);
}

static void same_cidr(const struct cidr *a, const struct cidr *b)
{
    assert_true(ip_equal(&a->ip, &b->ip));
    assert_int_equal(a->prefix_len, b->prefix_len);
}

static void same_workload_names(const struct mesh_workload *a, const struct mesh_workload *b)
{
    assert_string_equal(a->uid, b->uid);
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->namespace_, b->namespace_);
    assert_string_equal(a->service_account, b->service_account);
    assert_string_equal(a->trust_domain, b->trust_domain);
    assert_string_equal(a->network, b->network);
    assert_string_equal(a->cluster_id, b->cluster_id);
    assert_string_equal(a->node, b->node);
    assert_string_equal(a->hostname, b->hostname);
    assert_string_equal(a->canonical_name, b->canonical_name);
    assert_string_equal(a->canonical_revision, b->canonical_revision);
    assert_string_equal(a->workload_name, b->workload_name);
    assert_string_equal(a->locality.region, b->locality.region);
    assert_string_equal(a->locality.zone, b->locality.zone);
    assert_string_equal(a->locality.subzone, b->locality.subzone);
}

static void same_workload(const struct mesh_workload *a, const struct mesh_workload *b)
{
    same_workload_names(a, b);
    assert_int_equal(a->workload_type, b->workload_type);
    assert_int_equal(a->tunnel, b->tunnel);
    assert_int_equal(a->native_tunnel, b->native_tunnel);
    assert_int_equal(a->network_mode, b->network_mode);
    assert_int_equal(a->unhealthy, b->unhealthy);
    assert_int_equal(a->capacity, b->capacity);
    assert_int_equal(a->application_tunnel.present, b->application_tunnel.present);
    assert_int_equal(a->application_tunnel.protocol, b->application_tunnel.protocol);
    assert_int_equal(a->application_tunnel.port, b->application_tunnel.port);
    same_gateway(&a->waypoint, &b->waypoint);
    same_gateway(&a->network_gateway, &b->network_gateway);
    assert_int_equal(a->num_ips, b->num_ips);
    for (size_t i = 0; i < a->num_ips; i++)
        assert_true(ip_equal(&a->ips[i], &b->ips[i]));
    assert_int_equal(a->num_services, b->num_services);
    for (size_t i = 0; i < a->num_services; i++) {
        assert_string_equal(a->services[i].service, b->services[i].service);
        same_ports(a->services[i].ports, a->services[i].num_ports, b->services[i].ports,
                   b->services[i].num_ports);
    }
    same_texts(a->authorization_policies, a->num_authorization_policies, b->authorization_policies,
               b->num_authorization_policies);
}

static void same_service_addresses(const struct mesh_service *a, const struct mesh_service *b)
{
    assert_int_equal(a->num_vips, b->num_vips);
    for (size_t i = 0; i < a->num_vips; i++) {
        assert_string_equal(a->vips[i].network, b->vips[i].network);
        assert_true(ip_equal(&a->vips[i].ip, &b->vips[i].ip));
    }
    assert_int_equal(a->num_cidr_vips, b->num_cidr_vips);
    for (size_t i = 0; i < a->num_cidr_vips; i++) {
        assert_string_equal(a->cidr_vips[i].network, b->cidr_vips[i].network);
        same_cidr(&a->cidr_vips[i].cidr, &b->cidr_vips[i].cidr);
    }
}

static void same_service(const struct mesh_service *a, const struct mesh_service *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->namespace_, b->namespace_);
    assert_string_equal(a->hostname, b->hostname);
    same_service_addresses(a, b);
    same_ports(a->ports, a->num_ports, b->ports, b->num_ports);
    same_texts(a->subject_alt_names, a->num_subject_alt_names, b->subject_alt_names,
               b->num_subject_alt_names);
    same_gateway(&a->waypoint, &b->waypoint);
    assert_int_equal(a->num_weighted_waypoints, b->num_weighted_waypoints);
    for (size_t i = 0; i < a->num_weighted_waypoints; i++) {
        same_gateway(&a->weighted_waypoints[i].gateway, &b->weighted_waypoints[i].gateway);
        assert_int_equal(a->weighted_waypoints[i].weight, b->weighted_waypoints[i].weight);
    }
    assert_int_equal(a->load_balancing.num_preferences, b->load_balancing.num_preferences);
    for (size_t i = 0; i < a->load_balancing.num_preferences; i++)
        assert_int_equal(a->load_balancing.preferences[i], b->load_balancing.preferences[i]);
    assert_int_equal(a->load_balancing.mode, b->load_balancing.mode);
    assert_int_equal(a->load_balancing.health_policy, b->load_balancing.health_policy);
    assert_int_equal(a->ip_families, b->ip_families);
    assert_int_equal(a->visibility, b->visibility);
    assert_int_equal(a->canonical, b->canonical);
    assert_int_equal(a->ingress_use_waypoint, b->ingress_use_waypoint);
}

static void same_patterns(const struct mesh_pattern_list *a, const struct mesh_pattern_list *b)
{
    assert_int_equal(a->num, b->num);
    for (size_t i = 0; i < a->num; i++) {
        assert_int_equal(a->values[i].kind, b->values[i].kind);
        assert_string_equal(a->values[i].text, b->values[i].text);
    }
}

static void same_cidrs(const struct mesh_cidr_list *a, const struct mesh_cidr_list *b)
{
    assert_int_equal(a->num, b->num);
    for (size_t i = 0; i < a->num; i++)
        same_cidr(&a->values[i], &b->values[i]);
}

static void same_port_list(const struct mesh_port_list *a, const struct mesh_port_list *b)
{
    assert_int_equal(a->num, b->num);
    for (size_t i = 0; i < a->num; i++)
        assert_int_equal(a->values[i], b->values[i]);
}

static void same_accounts(const struct mesh_account_list *a, const struct mesh_account_list *b)
{
    assert_int_equal(a->num, b->num);
    for (size_t i = 0; i < a->num; i++) {
        assert_string_equal(a->values[i].namespace_, b->values[i].namespace_);
        assert_string_equal(a->values[i].service_account, b->values[i].service_account);
    }
}

static void same_match(const struct mesh_match *a, const struct mesh_match *b)
{
    same_patterns(&a->namespaces, &b->namespaces);
    same_patterns(&a->not_namespaces, &b->not_namespaces);
    same_patterns(&a->principals, &b->principals);
    same_patterns(&a->not_principals, &b->not_principals);
    same_accounts(&a->service_accounts, &b->service_accounts);
    same_accounts(&a->not_service_accounts, &b->not_service_accounts);
    same_cidrs(&a->source_ips, &b->source_ips);
    same_cidrs(&a->not_source_ips, &b->not_source_ips);
    same_cidrs(&a->destination_ips, &b->destination_ips);
    same_cidrs(&a->not_destination_ips, &b->not_destination_ips);
    same_port_list(&a->destination_ports, &b->destination_ports);
    same_port_list(&a->not_destination_ports, &b->not_destination_ports);
}

static void same_rule(const struct mesh_rule *a, const struct mesh_rule *b)
{
    assert_int_equal(a->num_clauses, b->num_clauses);
    for (size_t i = 0; i < a->num_clauses; i++) {
        assert_int_equal(a->clauses[i].num_matches, b->clauses[i].num_matches);
        for (size_t k = 0; k < a->clauses[i].num_matches; k++)
            same_match(&a->clauses[i].matches[k], &b->clauses[i].matches[k]);
    }
}

static void same_policy(const struct mesh_policy *a, const struct mesh_policy *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->namespace_, b->namespace_);
    assert_int_equal(a->scope, b->scope);
    assert_int_equal(a->action, b->action);
    assert_int_equal(a->dry_run, b->dry_run);
    assert_int_equal(a->num_rules, b->num_rules);
    for (size_t i = 0; i < a->num_rules; i++)
        same_rule(&a->rules[i], &b->rules[i]);
}

/* ----------------------------------------------------------------------------------- tests -- */

static struct maker new_maker(uint64_t seed)
{
    struct maker maker = {.memory = protobuf_memory_new(1 << 24, PROTOBUF_PLAIN), .seed = seed};
    assert_non_null(maker.memory);
    return maker;
}

static struct wds_object *decoded(struct buf *bytes, bool is_policy)
{
    struct err err = {0};
    struct wds_object *object =
        is_policy ? wds_decode_authorization(buf_head(bytes), buf_len(bytes), &err)
                  : wds_decode_address(buf_head(bytes), buf_len(bytes), &err);
    if (object == NULL)
        fail_msg("%s", err.message);
    buf_done(bytes);
    return object;
}

static void a_workload_comes_back_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct maker maker = new_maker(seed);
        struct mesh_workload made = make_workload(&maker);
        struct buf bytes = {0};
        assert_int_equal(wds_encode_workload(&bytes, &made, NULL), 0);
        struct wds_object *object = decoded(&bytes, false);
        assert_non_null(wds_object_workload(object));
        same_workload(&made, wds_object_workload(object));
        wds_object_free(object);
        protobuf_memory_free(maker.memory);
    }
}

static void a_service_comes_back_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct maker maker = new_maker(seed);
        struct mesh_service made = make_service(&maker);
        struct buf bytes = {0};
        assert_int_equal(wds_encode_service(&bytes, &made, NULL), 0);
        struct wds_object *object = decoded(&bytes, false);
        assert_non_null(wds_object_service(object));
        same_service(&made, wds_object_service(object));
        wds_object_free(object);
        protobuf_memory_free(maker.memory);
    }
}

static void a_policy_comes_back_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct maker maker = new_maker(seed);
        struct mesh_policy made = make_policy(&maker);
        struct buf bytes = {0};
        assert_int_equal(wds_encode_policy(&bytes, &made, NULL), 0);
        struct wds_object *object = decoded(&bytes, true);
        assert_non_null(wds_object_policy(object));
        same_policy(&made, wds_object_policy(object));
        wds_object_free(object);
        protobuf_memory_free(maker.memory);
    }
}

static void encoding_appends(void **state)
{
    (void)state;
    struct buf bytes = {0}, alone = {0};
    const struct mesh_workload workload = {.uid = "w"}; /* NULL text is allowed */
    assert_int_equal(buf_append_str(&bytes, "before"), 0);
    assert_int_equal(wds_encode_workload(&bytes, &workload, NULL), 0);
    assert_int_equal(wds_encode_workload(&alone, &workload, NULL), 0);
    assert_int_equal(buf_len(&bytes), 6 + buf_len(&alone));
    assert_memory_equal(buf_head(&bytes) + 6, buf_head(&alone), buf_len(&alone));
    buf_done(&bytes);
    buf_done(&alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_workload_comes_back_the_same),
        cmocka_unit_test(a_service_comes_back_the_same),
        cmocka_unit_test(a_policy_comes_back_the_same),
        cmocka_unit_test(encoding_appends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
