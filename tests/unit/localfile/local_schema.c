/* The local file: everything the schema has, and what is said of a wrong file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "local_source.h"

static struct mesh_snapshot *parse(const char *text, struct mesh_warnings *warnings)
{
    struct err err = {0};
    struct mesh_snapshot *snapshot = local_source_parse("f", text, strlen(text), warnings, &err);
    if (snapshot == NULL)
        fail_msg("%s", err.message);
    return snapshot;
}

static void the_smallest_useful_file_is_read(void **state)
{
    (void)state;
    static const char text[] =
        "workloads:\n"
        "- {uid: c/client, name: client, namespace: bench, serviceAccount: client, trustDomain: "
        "cluster.local,"
        " workloadIps: [10.99.0.1], protocol: HBONE, node: n1, network: \"\", services: {}}\n"
        "- {uid: c/server, name: server, namespace: bench, serviceAccount: server, trustDomain: "
        "cluster.local,"
        " workloadIps: [10.99.0.2], protocol: HBONE, node: n2, network: \"\","
        " services: {\"bench/server.bench.svc.cluster.local\": {80: 8080}}}\n"
        "services:\n"
        "- {name: server, namespace: bench, hostname: server.bench.svc.cluster.local, vips: "
        "[\"/10.99.1.2\"],"
        " ports: {80: 8080}, canonical: true}\n"
        "policies: []\n";
    struct mesh_warnings warnings = {0};
    struct mesh_snapshot *snapshot = parse(text, &warnings);
    struct ip ip;
    assert_int_equal(warnings.num, 0);
    assert_int_equal(ip_parse(&ip, "10.99.1.2", NULL), 0);
    const struct mesh_service *service = mesh_snapshot_service_by_vip(snapshot, "", &ip, "bench");
    const struct mesh_workload *server =
        mesh_snapshot_workload_by_name(snapshot, "bench", "server", "server");
    assert_non_null(service);
    assert_non_null(server);
    assert_true(service->canonical);
    assert_int_equal(mesh_snapshot_target_port(service, server, 80), 8080);
    assert_string_equal(server->identity, "spiffe://cluster.local/ns/bench/sa/server");
    assert_int_equal(server->tunnel, MESH_TUNNEL_HBONE);
    assert_int_equal(server->capacity, 1);
    mesh_snapshot_unref(snapshot);
}

static const char whole_file[] =
    "workloads:\n"
    "- uid: w\n"
    "  name: web-1\n"
    "  namespace: shop\n"
    "  serviceAccount: web\n"
    "  trustDomain: td\n"
    "  workloadIps: [10.0.0.1, \"fd00::1\"]\n"
    "  protocol: HBONE\n"
    "  node: n1\n"
    "  network: west\n"
    "  clusterId: c1\n"
    "  workloadName: web\n"
    "  workloadType: pod\n"
    "  canonicalName: web\n"
    "  canonicalRevision: v2\n"
    "  hostname: web.example.com\n"
    "  waypoint: {destination: \"west/10.0.0.99\", hboneMtlsPort: 15009}\n"
    "  networkGateway: {destination: \"istio-system/gw.example.com\"}\n"
    "  applicationTunnel: {protocol: PROXY, port: 15088}\n"
    "  authorizationPolicies: [shop/deny]\n"
    "  status: Unhealthy\n"
    "  locality: {region: r, zone: z, subzone: s}\n"
    "  networkMode: HostNetwork\n"
    "  capacity: 5\n"
    "  services:\n"
    "    shop/web.example.com: {80: 8080, 81: 0}\n"
    "services:\n"
    "- name: web\n"
    "  namespace: shop\n"
    "  hostname: web.example.com\n"
    "  vips: [west/10.1.0.1]\n"
    "  ports: {80: 8080}\n"
    "  subjectAltNames: [\"spiffe://td/ns/shop/sa/web\"]\n"
    "  waypoint: {destination: shop/waypoint.example.com, hboneMtlsPort: 15008}\n"
    "  weightedWaypoints: [{destination: west/10.0.0.98, weight: 3}]\n"
    "  loadBalancer: {routingPreferences: [Network, Region, Zone, Subzone, Node, Cluster], mode: "
    "Failover, healthPolicy: AllowAll}\n"
    "  cidrVips: [west/10.2.0.0/16]\n"
    "  ipFamilies: Dual\n"
    "  canonical: true\n"
    "  visibility: Namespace\n"
    "policies:\n"
    "- name: deny\n"
    "  namespace: shop\n"
    "  scope: WorkloadSelector\n"
    "  action: Deny\n"
    "  dryRun: true\n"
    "  rules:\n"
    "  - - - namespaces: [!Exact a]\n"
    "        notNamespaces: [!Prefix b]\n"
    "        principals: [!Suffix c]\n"
    "        notPrincipals: [!Presence []]\n"
    "        serviceAccounts: [{namespace: d, serviceAccount: e}]\n"
    "        notServiceAccounts: [{namespace: f, serviceAccount: g}]\n"
    "        sourceIps: [10.0.0.0/8]\n"
    "        notSourceIps: [10.1.0.0/16]\n"
    "        destinationIps: [\"fd00::/8\"]\n"
    "        notDestinationIps: [10.2.0.0/16]\n"
    "        destinationPorts: [80]\n"
    "        notDestinationPorts: [81]\n"
    "      - {}\n"
    "    - []\n"
    "  - []\n";

static void every_field_of_a_workload_is_read(void **state)
{
    (void)state;
    struct mesh_snapshot *snapshot = parse(whole_file, NULL);
    const struct mesh_workload *w = mesh_snapshot_workload_by_uid(snapshot, "w");
    assert_string_equal(w->name, "web-1");
    assert_string_equal(w->namespace_, "shop");
    assert_string_equal(w->service_account, "web");
    assert_string_equal(w->trust_domain, "td");
    assert_int_equal(w->num_ips, 2);
    assert_int_equal(w->ips[1].family, IP_V6);
    assert_int_equal(w->tunnel, MESH_TUNNEL_HBONE);
    assert_string_equal(w->node, "n1");
    assert_string_equal(w->network, "west");
    assert_string_equal(w->cluster_id, "c1");
    assert_string_equal(w->workload_name, "web");
    assert_int_equal(w->workload_type, MESH_POD);
    assert_string_equal(w->canonical_name, "web");
    assert_string_equal(w->canonical_revision, "v2");
    assert_string_equal(w->hostname, "web.example.com");
    assert_int_equal(w->waypoint.kind, MESH_GATEWAY_ADDRESS);
    assert_string_equal(w->waypoint.network, "west");
    assert_int_equal(w->waypoint.ip.bytes[3], 99);
    assert_int_equal(w->waypoint.hbone_mtls_port, 15009);
    assert_int_equal(w->network_gateway.kind, MESH_GATEWAY_HOSTNAME);
    assert_string_equal(w->network_gateway.namespace_, "istio-system");
    assert_string_equal(w->network_gateway.hostname, "gw.example.com");
    assert_int_equal(w->network_gateway.hbone_mtls_port, 15008);
    assert_true(w->application_tunnel.present);
    assert_int_equal(w->application_tunnel.protocol, MESH_APP_TUNNEL_PROXY);
    assert_int_equal(w->application_tunnel.port, 15088);
    assert_int_equal(w->num_authorization_policies, 1);
    assert_string_equal(w->authorization_policies[0], "shop/deny");
    assert_true(w->unhealthy);
    assert_string_equal(w->locality.subzone, "s");
    assert_int_equal(w->network_mode, MESH_NETWORK_HOST);
    assert_int_equal(w->capacity, 5);
    assert_int_equal(w->num_services, 1);
    assert_string_equal(w->services[0].service, "shop/web.example.com");
    assert_int_equal(w->services[0].num_ports, 2);
    assert_int_equal(w->services[0].ports[1].service_port, 81);
    assert_int_equal(w->services[0].ports[1].target_port, 0);
    mesh_snapshot_unref(snapshot);
}

static void every_field_of_a_service_is_read(void **state)
{
    (void)state;
    static const enum mesh_scope preferences[] = {MESH_SCOPE_NETWORK, MESH_SCOPE_REGION,
                                                  MESH_SCOPE_ZONE,    MESH_SCOPE_SUBZONE,
                                                  MESH_SCOPE_NODE,    MESH_SCOPE_CLUSTER};
    struct mesh_snapshot *snapshot = parse(whole_file, NULL);
    const struct mesh_service *s = mesh_snapshot_service(snapshot, "shop/web.example.com");
    assert_string_equal(s->name, "web");
    assert_int_equal(s->num_vips, 1);
    assert_string_equal(s->vips[0].network, "west");
    assert_int_equal(s->num_ports, 1);
    assert_int_equal(s->num_subject_alt_names, 1);
    assert_string_equal(s->subject_alt_names[0], "spiffe://td/ns/shop/sa/web");
    assert_int_equal(s->waypoint.kind, MESH_GATEWAY_HOSTNAME);
    assert_int_equal(s->num_weighted_waypoints, 1);
    assert_int_equal(s->weighted_waypoints[0].weight, 3);
    assert_int_equal(s->weighted_waypoints[0].gateway.kind, MESH_GATEWAY_ADDRESS);
    assert_int_equal(s->load_balancing.num_preferences, 6);
    assert_memory_equal(s->load_balancing.preferences, preferences, sizeof(preferences));
    assert_int_equal(s->load_balancing.mode, MESH_LB_FAILOVER);
    assert_int_equal(s->load_balancing.health_policy, MESH_ALLOW_ALL);
    assert_int_equal(s->num_cidr_vips, 1);
    assert_string_equal(s->cidr_vips[0].network, "west");
    assert_int_equal(s->cidr_vips[0].cidr.prefix_len, 16);
    assert_int_equal(s->ip_families, MESH_FAMILIES_DUAL);
    assert_true(s->canonical);
    assert_int_equal(s->visibility, MESH_NAMESPACE);
    mesh_snapshot_unref(snapshot);
}

static void every_field_of_a_policy_is_read(void **state)
{
    (void)state;
    struct mesh_snapshot *snapshot = parse(whole_file, NULL);
    const struct mesh_policy *p = mesh_snapshot_policy(snapshot, "shop/deny");
    assert_int_equal(p->scope, MESH_POLICY_WORKLOAD_SELECTOR);
    assert_int_equal(p->action, MESH_DENY);
    assert_true(p->dry_run);
    assert_int_equal(p->num_rules, 2);
    assert_int_equal(p->rules[0].num_clauses, 2);
    assert_int_equal(p->rules[1].num_clauses, 0);
    assert_int_equal(p->rules[0].clauses[0].num_matches, 2);
    assert_int_equal(p->rules[0].clauses[1].num_matches, 0);
    const struct mesh_match *m = &p->rules[0].clauses[0].matches[0];
    assert_int_equal(m->namespaces.values[0].kind, MESH_EXACT);
    assert_string_equal(m->namespaces.values[0].text, "a");
    assert_int_equal(m->not_namespaces.values[0].kind, MESH_PREFIX);
    assert_int_equal(m->principals.values[0].kind, MESH_SUFFIX);
    assert_int_equal(m->not_principals.values[0].kind, MESH_PRESENCE);
    assert_string_equal(m->service_accounts.values[0].namespace_, "d");
    assert_string_equal(m->not_service_accounts.values[0].service_account, "g");
    assert_int_equal(m->source_ips.values[0].prefix_len, 8);
    assert_int_equal(m->not_source_ips.values[0].ip.bytes[1], 1);
    assert_int_equal(m->destination_ips.values[0].ip.family, IP_V6);
    assert_int_equal(m->not_destination_ips.values[0].ip.bytes[1], 2);
    assert_int_equal(m->destination_ports.values[0], 80);
    assert_int_equal(m->not_destination_ports.values[0], 81);
    assert_int_equal(p->rules[0].clauses[0].matches[1].principals.num, 0);
    mesh_snapshot_unref(snapshot);
}

static void json_is_read_too(void **state)
{
    (void)state;
    struct mesh_snapshot *snapshot =
        parse("{\"policies\": [{\"name\": \"p\", \"namespace\": \"a\", \"scope\": \"Global\", "
              "\"action\": \"Allow\", \"dryRun\": false,"
              " \"rules\": [[[{\"principals\": [{\"Exact\": \"td/a\"}, {\"Presence\": []}]}]]]}]}",
              NULL);
    const struct mesh_policy *p = mesh_snapshot_policy(snapshot, "a/p");
    const struct mesh_pattern_list *principals = &p->rules[0].clauses[0].matches[0].principals;
    assert_int_equal(principals->num, 2);
    assert_int_equal(principals->values[1].kind, MESH_PRESENCE);
    mesh_snapshot_unref(snapshot);
}

#define POLICY                                                                                     \
    "policies:\n- {name: p, namespace: a, scope: Global, action: Allow, dryRun: false, rules: "
#define SERVICE  "services:\n- {name: s, namespace: a, hostname: s, vips: [], ports: {}, "
#define WORKLOAD "workloads:\n- {uid: w, workloadIps: [], services: {}, "

static void a_wrong_file_is_refused_with_line_path_and_what_was_expected(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } rows[] = {
        {"", "f:1:1: the file is empty; a mesh without anything is \"{}\""},
        {"[]", "f:1:1: expected a map, found a list"},
        {"workload: []", "f:1:1: workload: unknown key; known are workloads, services or policies"},
        {"workloads: {}", "f:1:1: workloads: expected a list, found a map"},
        {"workloads:\n- uid: w\n  workloadIps: []\n",
         "f:2:3: workloads[0]: the key \"services\" is missing"},
        {"workloads:\n- uid: w\n  services: {}\n",
         "f:2:3: workloads[0]: the key \"workloadIps\" is missing"},
        {"workloads:\n- workloadIps: []\n  services: {}\n",
         "f:2:3: workloads[0]: the key \"uid\" is missing"},
        {WORKLOAD "protocol: hbone}", "f:2:43: workloads[0].protocol: expected TCP, HBONE or "
                                      "LegacyIstioMtls, found the text \"hbone\""},
        {WORKLOAD "capacity: -1}", "f:2:43: workloads[0].capacity: expected a number from 0 to "
                                   "4294967295, found the number \"-1\""},
        {WORKLOAD "status: 1}",
         "f:2:43: workloads[0].status: expected Healthy or Unhealthy, found the number \"1\""},
        {WORKLOAD "authorizationPolicies: [p]}",
         "f:2:67: workloads[0].authorizationPolicies[0]: expected \"namespace/name\", found \"p\""},
        {WORKLOAD "waypoint: {hboneMtlsPort: 1}}",
         "f:2:43: workloads[0].waypoint: the key \"destination\" is missing"},
        {WORKLOAD "waypoint: {destination: x}}",
         "f:2:54: workloads[0].waypoint.destination: expected \"network/ip\" or "
         "\"namespace/hostname\", found \"x\""},
        {WORKLOAD "waypoint: {destination: a/b, hboneMtlsPort: 0}}",
         "f:2:72: workloads[0].waypoint.hboneMtlsPort: expected a number from 1 to 65535, found "
         "the number \"0\""},
        {WORKLOAD "locality: {city: x}}",
         "f:2:54: workloads[0].locality.city: unknown key; known are region, zone or subzone"},
        {WORKLOAD "applicationTunnel: {port: 1}}",
         "f:2:43: workloads[0].applicationTunnel: the key \"protocol\" is missing"},
        {"workloads:\n- {uid: w, workloadIps: [10.0.0.1], services: {x: {80: 80}}}",
         "f:2:48: workloads[0].services.x: expected \"namespace/hostname\" as the key, found "
         "\"x\""},
        {"workloads:\n- {uid: w, workloadIps: [], services: {a/b: {0: 80}}}",
         "f:2:46: workloads[0].services.a/b.0: expected a number from 1 to 65535 as the key"},
        {"workloads:\n- {uid: w, workloadIps: [], services: {a/b: {80: 65536}}}",
         "f:2:46: workloads[0].services.a/b.80: expected a number from 0 to 65535, found the "
         "number \"65536\""},
        {"workloads:\n- {uid: w, workloadIps: [0.0.0.0], services: {}}",
         "f:2:3: workloads[0]: workload \"w\": an address is the unspecified address"},
        {SERVICE "endpoints: {}}", "f:2:61: services[0].endpoints: unknown key; known are "},
        {"services:\n- {name: s, namespace: a, hostname: s, vips: [10.0.0.1], ports: {}}",
         "f:2:47: services[0].vips[0]: expected \"network/ip\" (\"/ip\" for the network without "
         "name), found \"10.0.0.1\""},
        {SERVICE "loadBalancer: {mode: Strict, healthPolicy: AllowAll}}",
         "f:2:61: services[0].loadBalancer: the key \"routingPreferences\" is missing"},
        {SERVICE
         "loadBalancer: {mode: Strict, healthPolicy: AllowAll, routingPreferences: [City]}}",
         "f:2:135: services[0].loadBalancer.routingPreferences[0]: expected Region, Zone, Subzone, "
         "Node, Cluster or Network, found the text \"City\""},
        {SERVICE "ipFamilies: IPv5}",
         "f:2:61: services[0].ipFamilies: expected IPv4, IPv6 or Dual, found the text \"IPv5\""},
        {SERVICE "canonical: 1}",
         "f:2:61: services[0].canonical: expected true or false, found the number \"1\""},
        {SERVICE "cidrVips: [10.0.0.0]}",
         "f:2:72: services[0].cidrVips[0]: expected \"network/ip/length\", found \"10.0.0.0\""},
        {SERVICE "weightedWaypoints: [{destination: a/b}]}",
         "f:2:81: services[0].weightedWaypoints[0]: the key \"weight\" is missing"},
        {"policies:\n- {name: p, namespace: a, scope: Global, action: Allow, rules: []}",
         "f:2:3: policies[0]: the key \"dryRun\" is missing"},
        {"policies:\n- {name: p, namespace: a, scope: Mesh, action: Allow, rules: [], dryRun: "
         "false}",
         "f:2:27: policies[0].scope: expected Global, Namespace or WorkloadSelector, found the "
         "text \"Mesh\""},
        {"policies:\n- {name: p, namespace: a, scope: Global, action: Audit, rules: [], dryRun: "
         "false}",
         "f:2:42: policies[0].action: expected Allow or Deny, found the text \"Audit\""},
        {POLICY "[[{}]]}", "f:2:81: policies[0].rules[0][0]: expected a list, found a map"},
        {POLICY "[[[{principal: []}]]]}",
         "f:2:83: policies[0].rules[0][0][0].principal: unknown key; known are namespaces, "},
        {POLICY "[[[{principals: [x]}]]]}",
         "f:2:96: policies[0].rules[0][0][0].principals[0]: expected one of the tags Exact, "
         "Prefix, Suffix or Presence (as in !Exact), found the text \"x\""},
        {POLICY "[[[{principals: [!Presence x]}]]]}",
         "f:2:96: policies[0].rules[0][0][0].principals[0].Presence: expected a list, found the "
         "text \"x\""},
        {POLICY "[[[{principals: [!Presence [x]]}]]]}",
         "f:2:96: policies[0].rules[0][0][0].principals[0].Presence: expected an empty list, as in "
         "\"!Presence []\""},
        {POLICY "[[[{destinationPorts: [0]}]]]}",
         "f:2:102: policies[0].rules[0][0][0].destinationPorts[0]: expected a number from 1 to "
         "65535, found the number \"0\""},
        {POLICY "[[[{serviceAccounts: [{namespace: a}]}]]]}",
         "f:2:101: policies[0].rules[0][0][0].serviceAccounts[0]: the key \"serviceAccount\" is "
         "missing"},
        {WORKLOAD "name: a}\n- {uid: w, workloadIps: [], services: {}}",
         "f:3:3: workloads[1]: two workloads have the uid \"w\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        assert_null(local_source_parse("f", rows[i].text, strlen(rows[i].text), NULL, &err));
        assert_int_equal(err.kind, ERR_INVALID);
        if (strncmp(err.message, rows[i].message, strlen(rows[i].message)) != 0)
            fail_msg("row %zu:\n%s\ninstead of\n%s", i, err.message, rows[i].message);
    }
}

static void what_does_not_fit_together_is_warned_of(void **state)
{
    (void)state;
    struct mesh_warnings warnings = {0};
    struct mesh_snapshot *snapshot = parse(
        "workloads: [{uid: w, workloadIps: [], services: {a/b: {}}, authorizationPolicies: [a/p]}]",
        &warnings);
    assert_int_equal(warnings.num, 2);
    mesh_snapshot_unref(snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_useful_file_is_read),
        cmocka_unit_test(every_field_of_a_workload_is_read),
        cmocka_unit_test(every_field_of_a_service_is_read),
        cmocka_unit_test(every_field_of_a_policy_is_read),
        cmocka_unit_test(json_is_read_too),
        cmocka_unit_test(a_wrong_file_is_refused_with_line_path_and_what_was_expected),
        cmocka_unit_test(what_does_not_fit_together_is_warned_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
