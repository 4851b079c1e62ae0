/* Resources as a control plane may send them: what each field means, and what is said of a wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wds.h"
#include "wire.h"

/* Field numbers; workload.proto and authorization.proto have their names. */
enum {
    ADDRESS_WORKLOAD = 1,
    ADDRESS_SERVICE = 2,
    W_NAME = 1,
    W_NAMESPACE = 2,
    W_ADDRESSES = 3,
    W_TUNNEL = 5,
    W_WAYPOINT = 8,
    W_TYPE = 11 + 1,
    W_STATUS = 17,
    W_UID = 20,
    W_SERVICES = 22,
    W_APPLICATION_TUNNEL = 23,
    W_NETWORK_MODE = 25,
    W_CAPACITY = 27,
    S_NAMESPACE = 2,
    S_HOSTNAME = 3,
    S_ADDRESSES = 4,
    S_PORTS = 5,
    S_LOAD_BALANCING = 8,
    S_IP_FAMILIES = 9,
    S_WEIGHTED_WAYPOINTS = 13,
    S_VISIBILITY = 14,
    P_NAME = 1,
    P_NAMESPACE = 2,
    P_SCOPE = 3,
    P_ACTION = 4,
    P_RULES = 5,
    M_PRINCIPALS = 3,
    M_SOURCE_IPS = 5,
    M_DESTINATION_PORTS = 9,
    M_EXTENSIONS = 13,
    STRING_EXACT = 1,
    UNKNOWN = 900,
};

/* Takes the message. */
static struct wds_object *decode_in(unsigned field, struct buf *message, struct err *err)
{
    struct buf address = {0};
    wire_message(&address, field, message);
    struct wds_object *object = wds_decode_address(buf_head(&address), buf_len(&address), err);
    buf_done(&address);
    return object;
}

static struct wds_object *decode_policy(struct buf *message, struct err *err)
{
    struct wds_object *object = wds_decode_authorization(buf_head(message), buf_len(message), err);
    buf_done(message);
    return object;
}

static struct buf workload(void)
{
    struct buf message = {0};
    wire_text(&message, W_UID, "c//v1/Pod/ns/web");
    return message;
}

static struct buf service(void)
{
    struct buf message = {0};
    wire_text(&message, S_NAMESPACE, "ns");
    wire_text(&message, S_HOSTNAME, "web.ns.svc");
    return message;
}

/* A policy with one match. Takes it. */
static struct buf policy(struct buf *match)
{
    struct buf message = {0}, rule = {0}, clause = {0};
    wire_text(&message, P_NAME, "p");
    wire_text(&message, P_NAMESPACE, "ns");
    wire_message(&clause, 2, match);
    wire_message(&rule, 1, &clause);
    wire_message(&message, P_RULES, &rule);
    return message;
}

static void refused(struct wds_object *object, const struct err *err, const char *expected)
{
    if (object != NULL)
        fail_msg("taken, and should have been: %s", expected);
    assert_int_equal(err->kind, ERR_INVALID);
    assert_string_equal(err->message, expected);
}

/* ------------------------------------------------------------------------------- workloads -- */

static void a_workload_that_says_only_its_uid_has_the_defaults_of_the_field(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf message = workload();
    struct wds_object *object = decode_in(ADDRESS_WORKLOAD, &message, &err);
    assert_non_null(object);
    const struct mesh_workload *w = wds_object_workload(object);
    assert_non_null(w);
    assert_null(wds_object_service(object));
    assert_null(wds_object_policy(object));
    assert_string_equal(wds_object_name(object), "c//v1/Pod/ns/web");
    assert_string_equal(w->trust_domain, "cluster.local");
    assert_string_equal(w->service_account, "default");
    assert_string_equal(w->cluster_id, "Kubernetes");
    assert_string_equal(w->name, "");
    assert_string_equal(w->locality.region, "");
    assert_int_equal(w->capacity, 1);
    assert_int_equal(w->tunnel, MESH_TUNNEL_NONE);
    assert_int_equal(w->workload_type, MESH_DEPLOYMENT);
    assert_int_equal(w->waypoint.kind, MESH_GATEWAY_NONE);
    assert_false(w->unhealthy);
    assert_false(w->application_tunnel.present);
    wds_object_free(object);
}

static void a_capacity_of_0_is_not_the_default(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf message = workload(), capacity = {0};
    wire_message(&message, W_CAPACITY, &capacity); /* proto3 does not write 0 */
    struct wds_object *object = decode_in(ADDRESS_WORKLOAD, &message, &err);
    assert_non_null(object);
    assert_int_equal(wds_object_workload(object)->capacity, 0);
    wds_object_free(object);
}

static void fields_that_nobody_declared_are_skipped_in_a_workload(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf message = workload();
    wire_text(&message, UNKNOWN, "\xff\xff");
    wire_number(&message, UNKNOWN + 1, UINT64_MAX);
    struct wds_object *object = decode_in(ADDRESS_WORKLOAD, &message, &err);
    assert_non_null(object);
    wds_object_free(object);
}

static void a_gateway_without_a_port_has_the_one_of_hbone(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf message = workload(), waypoint = {0}, address = {0};
    wire_text(&address, 1, "net");
    wire_bytes(&address, 2, "\x0a\0\0\x01", 4);
    wire_message(&waypoint, 2, &address);
    wire_message(&message, W_WAYPOINT, &waypoint);
    struct wds_object *object = decode_in(ADDRESS_WORKLOAD, &message, &err);
    assert_non_null(object);
    const struct mesh_gateway *gateway = &wds_object_workload(object)->waypoint;
    assert_int_equal(gateway->kind, MESH_GATEWAY_ADDRESS);
    assert_int_equal(gateway->hbone_mtls_port, 15008);
    assert_string_equal(gateway->network, "net");
    wds_object_free(object);
}

static void legacy_istio_mtls_is_taken_as_such(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf message = workload();
    wire_number(&message, W_TUNNEL, 2);
    struct wds_object *object = decode_in(ADDRESS_WORKLOAD, &message, &err);
    assert_non_null(object);
    assert_int_equal(wds_object_workload(object)->tunnel, MESH_TUNNEL_LEGACY_ISTIO_MTLS);
    wds_object_free(object);
}

static void every_wrong_number_of_a_workload_is_named(void **state)
{
    (void)state;
    static const struct {
        unsigned field;
        uint64_t value;
        const char *expected;
    } cases[] = {
        {W_TUNNEL, 3, "workload \"c//v1/Pod/ns/web\": tunnel protocol has the unknown value 3"},
        {W_TYPE, 4, "workload \"c//v1/Pod/ns/web\": workload type has the unknown value 4"},
        {W_STATUS, 2, "workload \"c//v1/Pod/ns/web\": status has the unknown value 2"},
        {W_NETWORK_MODE, 2, "workload \"c//v1/Pod/ns/web\": network mode has the unknown value 2"},
        {W_NETWORK_MODE, UINT64_MAX,
         "workload \"c//v1/Pod/ns/web\": network mode has the unknown value -1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        struct buf message = workload();
        wire_number(&message, cases[i].field, cases[i].value);
        refused(decode_in(ADDRESS_WORKLOAD, &message, &err), &err, cases[i].expected);
    }
}

static void an_address_of_five_bytes_is_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf message = workload();
    wire_bytes(&message, W_ADDRESSES, "\x0a\0\0\0\x01", 5);
    refused(decode_in(ADDRESS_WORKLOAD, &message, &err), &err,
            "workload \"c//v1/Pod/ns/web\": an address has 5 bytes; an IP address has 4 or 16");
}

static void a_mapped_address_becomes_ipv4(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf message = workload();
    wire_bytes(&message, W_ADDRESSES, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01", 16);
    struct wds_object *object = decode_in(ADDRESS_WORKLOAD, &message, &err);
    assert_non_null(object);
    char text[ADDR_TEXT_MAX];
    assert_string_equal(ip_format(&wds_object_workload(object)->ips[0], text), "10.0.0.1");
    wds_object_free(object);
}

static struct buf membership(const char *service, uint64_t service_port, uint64_t target_port)
{
    struct buf entry = {0}, list = {0}, port = {0};
    wire_number(&port, 1, service_port);
    wire_number(&port, 2, target_port);
    wire_message(&list, 1, &port);
    wire_text(&entry, 1, service);
    wire_message(&entry, 2, &list);
    return entry;
}

static void a_membership_with_a_wrong_port_or_name_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *service;
        uint64_t service_port, target_port;
        const char *expected;
    } cases[] = {
        {"ns/a", 65536, 80,
         "workload \"c//v1/Pod/ns/web\": service \"ns/a\": ports: service port is 65536, and no "
         "port"},
        {"ns/a", 80, 4294967295,
         "workload \"c//v1/Pod/ns/web\": service \"ns/a\": ports: target port is 4294967295, and "
         "no "
         "port"},
        {"ns/a", 0, 80, "workload \"c//v1/Pod/ns/web\": service \"ns/a\": a service port is 0"},
        {"a", 80, 80,
         "workload \"c//v1/Pod/ns/web\": a service is \"a\", not \"namespace/hostname\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        struct buf message = workload();
        struct buf entry =
            membership(cases[i].service, cases[i].service_port, cases[i].target_port);
        wire_message(&message, W_SERVICES, &entry);
        refused(decode_in(ADDRESS_WORKLOAD, &message, &err), &err, cases[i].expected);
    }
}

static void a_membership_that_stands_twice_is_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf message = workload();
    for (unsigned i = 0; i < 2; i++) {
        struct buf entry = membership("ns/a", 80, 80 + i);
        wire_message(&message, W_SERVICES, &entry);
    }
    refused(decode_in(ADDRESS_WORKLOAD, &message, &err), &err,
            "workload \"c//v1/Pod/ns/web\": service \"ns/a\" stands twice");
}

static void a_gateway_without_destination_is_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf message = workload(), waypoint = {0};
    wire_number(&waypoint, 3, 15008);
    wire_message(&message, W_WAYPOINT, &waypoint);
    refused(decode_in(ADDRESS_WORKLOAD, &message, &err), &err,
            "workload \"c//v1/Pod/ns/web\": waypoint has no destination that is understood");
}

static void an_application_tunnel_of_an_unknown_kind_is_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf message = workload(), tunnel = {0};
    wire_number(&tunnel, 1, 2);
    wire_message(&message, W_APPLICATION_TUNNEL, &tunnel);
    refused(decode_in(ADDRESS_WORKLOAD, &message, &err), &err,
            "workload \"c//v1/Pod/ns/web\": protocol of the application tunnel has the unknown "
            "value 2");
}

static void what_is_neither_workload_nor_service_is_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf other = {0};
    wire_text(&other, 1, "x");
    refused(wds_decode_address("", 0, &err), &err, "address: is neither a workload nor a service");
    refused(decode_in(7, &other, &err), &err, "address: is neither a workload nor a service");
}

static void a_workload_without_uid_is_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf message = {0};
    wire_text(&message, W_NAME, "web");
    refused(decode_in(ADDRESS_WORKLOAD, &message, &err), &err, "a workload has no uid");
}

static void text_that_is_not_utf_8_or_holds_a_nul_is_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf message = workload();
    wire_text(&message, W_NAME, "w\xc3");
    refused(decode_in(ADDRESS_WORKLOAD, &message, &err), &err,
            "address: workload: name: is not UTF-8 text");
    message = workload();
    wire_bytes(&message, W_NAMESPACE, "n\0s", 3);
    refused(decode_in(ADDRESS_WORKLOAD, &message, &err), &err,
            "address: workload: namespace: is not UTF-8 text");
}

static void a_name_that_is_too_long_is_refused(void **state)
{
    (void)state;
    struct err err = {0};
    char name[MESH_NAME_MAX + 2];
    struct buf message = workload();
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    wire_text(&message, W_NAME, name);
    assert_null(decode_in(ADDRESS_WORKLOAD, &message, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    assert_string_equal(err.message,
                        "workload \"c//v1/Pod/ns/web\": name is longer than 253 bytes");
}

/* Cut anywhere, a message is an error or (between fields) a smaller message; it is never read past. */
static void a_resource_that_is_cut_short_is_never_read_past_its_end(void **state)
{
    (void)state;
    struct buf message = workload(), address = {0};
    struct buf entry = membership("ns/a", 80, 8080);
    wire_bytes(&message, W_ADDRESSES, "\x0a\0\0\x01", 4);
    wire_message(&message, W_SERVICES, &entry);
    wire_message(&address, ADDRESS_WORKLOAD, &message);
    for (size_t len = 1; len < buf_len(&address); len++) {
        uint8_t *bytes = malloc(len);
        struct err err = {0};
        assert_non_null(bytes);
        memcpy(bytes, buf_head(&address), len);
        assert_null(wds_decode_address(bytes, len, &err));
        assert_string_equal(err.message, "address: is not a protobuf message");
        free(bytes);
    }
    buf_done(&address);
}

static void too_long_a_resource_is_refused_unread(void **state)
{
    (void)state;
    struct err err = {0};
    char *bytes = calloc(1, WDS_RESOURCE_MAX + 1);
    assert_non_null(bytes);
    assert_null(wds_decode_address(bytes, WDS_RESOURCE_MAX + 1, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    free(bytes);
}

/* -------------------------------------------------------------------------------- services -- */

static struct wds_object *decode_vip(const void *bytes, size_t len, int64_t prefix_len,
                                     struct err *err)
{
    struct buf message = service(), address = {0};
    wire_text(&address, 1, "net");
    wire_bytes(&address, 2, bytes, len);
    if (prefix_len >= 0)
        wire_number(&address, 3, (uint64_t)prefix_len);
    wire_message(&message, S_ADDRESSES, &address);
    return decode_in(ADDRESS_SERVICE, &message, err);
}

static void a_service_address_with_a_shorter_prefix_is_a_network(void **state)
{
    (void)state;
    static const struct {
        int64_t prefix_len;
        const char *cidr; /* NULL: one address */
    } cases[] = {{-1, NULL}, {32, NULL}, {31, "10.1.2.2/31"}, {8, "10.0.0.0/8"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        char text[ADDR_TEXT_MAX];
        struct wds_object *object = decode_vip("\x0a\x01\x02\x03", 4, cases[i].prefix_len, &err);
        assert_non_null(object);
        const struct mesh_service *s = wds_object_service(object);
        assert_string_equal(wds_object_name(object), "ns/web.ns.svc");
        assert_int_equal(s->num_cidr_vips, cases[i].cidr != NULL);
        assert_int_equal(s->num_vips, cases[i].cidr == NULL);
        if (cases[i].cidr != NULL)
            assert_string_equal(cidr_format(&s->cidr_vips[0].cidr, text), cases[i].cidr);
        else
            assert_string_equal(ip_format(&s->vips[0].ip, text), "10.1.2.3");
        wds_object_free(object);
    }
}

static void a_service_address_with_an_impossible_prefix_is_refused(void **state)
{
    (void)state;
    struct err err = {0};
    refused(decode_vip("\x0a\x01\x02\x03", 4, 33, &err), &err,
            "service \"ns/web.ns.svc\": an address: 10.1.2.3 with a prefix of 33 bits");
    refused(decode_vip("\x0a\x01\x02\x03", 4, 0, &err), &err,
            "service \"ns/web.ns.svc\": an address is 10.1.2.3 with a prefix of 0 bits");
    refused(decode_vip("\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01", 16, 95, &err), &err,
            "service \"ns/web.ns.svc\": an address: 10.0.0.1 with a prefix of 95 bits");
}

static void an_unknown_visibility_is_public(void **state)
{
    (void)state;
    static const enum mesh_visibility expected[] = {MESH_PUBLIC, MESH_NAMESPACE, MESH_PUBLIC};
    for (unsigned value = 0; value < 3; value++) {
        struct err err = {0};
        struct buf message = service();
        wire_number(&message, S_VISIBILITY, value);
        struct wds_object *object = decode_in(ADDRESS_SERVICE, &message, &err);
        assert_non_null(object);
        assert_int_equal(wds_object_service(object)->visibility, expected[value]);
        wds_object_free(object);
    }
}

static void every_wrong_number_of_a_service_is_named(void **state)
{
    (void)state;
    static const struct {
        unsigned field; /* of LoadBalancing, or of the service */
        uint64_t value;
        bool of_service;
        const char *expected;
    } cases[] = {
        {S_IP_FAMILIES, 4, true, "service \"ns/web.ns.svc\": IP families has the unknown value 4"},
        {1, 7, false, "service \"ns/web.ns.svc\": a routing preference has the unknown value 7"},
        {2, 4, false, "service \"ns/web.ns.svc\": load-balancing mode has the unknown value 4"},
        {3, 2, false, "service \"ns/web.ns.svc\": health policy has the unknown value 2"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        struct buf message = service(), load_balancing = {0};
        wire_number(cases[i].of_service ? &message : &load_balancing, cases[i].field,
                    cases[i].value);
        wire_message(&message, S_LOAD_BALANCING, &load_balancing);
        refused(decode_in(ADDRESS_SERVICE, &message, &err), &err, cases[i].expected);
    }
}

static void a_weighted_waypoint_without_destination_is_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf message = service(), waypoint = {0};
    wire_number(&waypoint, 2, 10);
    wire_message(&message, S_WEIGHTED_WAYPOINTS, &waypoint);
    refused(decode_in(ADDRESS_SERVICE, &message, &err), &err,
            "service \"ns/web.ns.svc\": weighted waypoint 1 has no destination");
}

static void a_service_without_host_name_is_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf message = {0};
    wire_text(&message, S_NAMESPACE, "ns");
    refused(decode_in(ADDRESS_SERVICE, &message, &err), &err, "a service has no host name");
}

/* -------------------------------------------------------------------------------- policies -- */

static void a_policy_is_read_down_to_its_patterns(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf match = {0}, pattern = {0};
    wire_text(&pattern, STRING_EXACT, "cluster.local/ns/a/sa/b");
    wire_message(&match, M_PRINCIPALS, &pattern);
    wire_number(&match, M_DESTINATION_PORTS, 80);                   /* unpacked, as in proto2 */
    wire_bytes(&match, M_DESTINATION_PORTS, "\x90\x3f\x91\x3f", 4); /* packed: 8080, 8081 */
    struct buf message = policy(&match);
    wire_number(&message, P_SCOPE, 2);
    wire_number(&message, P_ACTION, 1);
    struct wds_object *object = decode_policy(&message, &err);
    assert_non_null(object);
    const struct mesh_policy *p = wds_object_policy(object);
    assert_string_equal(wds_object_name(object), "ns/p");
    assert_int_equal(p->scope, MESH_POLICY_WORKLOAD_SELECTOR);
    assert_int_equal(p->action, MESH_DENY);
    const struct mesh_match *m = &p->rules[0].clauses[0].matches[0];
    assert_int_equal(m->principals.num, 1);
    assert_int_equal(m->principals.values[0].kind, MESH_EXACT);
    assert_string_equal(m->principals.values[0].text, "cluster.local/ns/a/sa/b");
    assert_int_equal(m->destination_ports.num, 3);
    assert_int_equal(m->destination_ports.values[2], 8081);
    wds_object_free(object);
}

static void an_exact_pattern_of_no_text_is_a_pattern(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf match = {0}, pattern = {0};
    wire_text(&pattern, STRING_EXACT, "");
    wire_message(&match, M_PRINCIPALS, &pattern);
    struct buf message = policy(&match);
    struct wds_object *object = decode_policy(&message, &err);
    assert_non_null(object);
    assert_int_equal(wds_object_policy(object)->rules[0].clauses[0].matches[0].principals.num, 1);
    wds_object_free(object);
}

/* ztunnel drops these, and the rule that is left matches more, or nothing. */
static void a_policy_with_anything_unreadable_is_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf match = {0}, value = {0};
    wire_text(&value, UNKNOWN, "x");
    wire_message(&match, M_PRINCIPALS, &value);
    struct buf message = policy(&match);
    refused(decode_policy(&message, &err), &err,
            "policy \"ns/p\": rule 1: principals: a pattern is of a kind that is not understood");

    wire_bytes(&value, 1, "\x0a\0\0", 3);
    wire_number(&value, 2, 24);
    wire_message(&match, M_SOURCE_IPS, &value);
    message = policy(&match);
    refused(decode_policy(&message, &err), &err,
            "policy \"ns/p\": rule 1: source addresses: an address has 3 bytes; an IP address has "
            "4 or 16");

    wire_bytes(&value, 1, "\x0a\0\0\0", 4);
    wire_number(&value, 2, 33);
    wire_message(&match, M_SOURCE_IPS, &value);
    message = policy(&match);
    refused(decode_policy(&message, &err), &err,
            "policy \"ns/p\": rule 1: source addresses: an address: 10.0.0.0 with a prefix of 33 "
            "bits");

    wire_number(&match, M_DESTINATION_PORTS, 65616); /* 80, once cut to 16 bits */
    message = policy(&match);
    refused(decode_policy(&message, &err), &err,
            "policy \"ns/p\": rule 1: destination ports: a port is 65616, and no port");

    wire_text(&match, M_EXTENSIONS, "");
    message = policy(&match);
    refused(decode_policy(&message, &err), &err,
            "policy \"ns/p\": rule 1: a match has a condition that is not understood (field 13)");

    wire_text(&value, 1, "spiffe://td/ns/a/sa/b");
    wire_number(&value, UNKNOWN, 1);
    wire_message(&match, M_PRINCIPALS, &value);
    message = policy(&match);
    refused(decode_policy(&message, &err), &err,
            "policy \"ns/p\": rule 1: principals has a condition that is not understood (field "
            "900)");

    wire_bytes(&value, 1, "\x0a\0\0\0", 4);
    wire_number(&value, 2, 8);
    wire_number(&value, UNKNOWN, 1);
    wire_message(&match, M_SOURCE_IPS, &value);
    message = policy(&match);
    refused(decode_policy(&message, &err), &err,
            "policy \"ns/p\": rule 1: source addresses has a condition that is not understood "
            "(field 900)");
}

static void a_pattern_with_a_nul_does_not_become_a_shorter_one(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf match = {0}, pattern = {0};
    wire_bytes(&pattern, STRING_EXACT, "a\0b", 3);
    wire_message(&match, M_PRINCIPALS, &pattern);
    struct buf message = policy(&match);
    refused(decode_policy(&message, &err), &err,
            "policy: rules: clauses: matches: principals: exact: is not UTF-8 text");
}

static void unknown_scopes_and_actions_are_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf match = {0};
    struct buf message = policy(&match);
    wire_number(&message, P_SCOPE, 3);
    refused(decode_policy(&message, &err), &err, "policy \"ns/p\": scope has the unknown value 3");
    match = (struct buf){0};
    message = policy(&match);
    wire_number(&message, P_ACTION, 2);
    refused(decode_policy(&message, &err), &err, "policy \"ns/p\": action has the unknown value 2");
}

static void host_bits_of_a_policy_s_address_do_not_count(void **state)
{
    (void)state;
    struct err err = {0};
    char text[ADDR_TEXT_MAX];
    struct buf match = {0}, value = {0};
    wire_bytes(&value, 1, "\x0a\x01\x02\x03", 4);
    wire_number(&value, 2, 8);
    wire_message(&match, M_SOURCE_IPS, &value);
    struct buf message = policy(&match);
    struct wds_object *object = decode_policy(&message, &err);
    assert_non_null(object);
    const struct mesh_match *m = &wds_object_policy(object)->rules[0].clauses[0].matches[0];
    assert_string_equal(cidr_format(&m->source_ips.values[0], text), "10.0.0.0/8");
    wds_object_free(object);
}

/* Two bytes each on the wire, two hundred and fifty in memory. */
static void a_policy_of_empty_matches_cannot_take_all_memory(void **state)
{
    (void)state;
    struct err err = {0};
    enum { NUM = 400000 };
    struct buf message = {0}, rule = {0}, clause = {0};
    for (size_t i = 0; i < NUM; i++)
        assert_int_equal(buf_append(&clause, "\x12", 2), 0);
    wire_message(&rule, 1, &clause);
    wire_message(&message, P_RULES, &rule);
    assert_null(decode_policy(&message, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    assert_string_equal(err.message,
                        "policy: takes more than 33554432 bytes of memory when decoded");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_workload_that_says_only_its_uid_has_the_defaults_of_the_field),
        cmocka_unit_test(a_capacity_of_0_is_not_the_default),
        cmocka_unit_test(fields_that_nobody_declared_are_skipped_in_a_workload),
        cmocka_unit_test(a_gateway_without_a_port_has_the_one_of_hbone),
        cmocka_unit_test(legacy_istio_mtls_is_taken_as_such),
        cmocka_unit_test(every_wrong_number_of_a_workload_is_named),
        cmocka_unit_test(an_address_of_five_bytes_is_refused),
        cmocka_unit_test(a_mapped_address_becomes_ipv4),
        cmocka_unit_test(a_membership_with_a_wrong_port_or_name_is_refused),
        cmocka_unit_test(a_membership_that_stands_twice_is_refused),
        cmocka_unit_test(a_gateway_without_destination_is_refused),
        cmocka_unit_test(an_application_tunnel_of_an_unknown_kind_is_refused),
        cmocka_unit_test(what_is_neither_workload_nor_service_is_refused),
        cmocka_unit_test(a_workload_without_uid_is_refused),
        cmocka_unit_test(text_that_is_not_utf_8_or_holds_a_nul_is_refused),
        cmocka_unit_test(a_name_that_is_too_long_is_refused),
        cmocka_unit_test(a_resource_that_is_cut_short_is_never_read_past_its_end),
        cmocka_unit_test(too_long_a_resource_is_refused_unread),
        cmocka_unit_test(a_service_address_with_a_shorter_prefix_is_a_network),
        cmocka_unit_test(a_service_address_with_an_impossible_prefix_is_refused),
        cmocka_unit_test(an_unknown_visibility_is_public),
        cmocka_unit_test(every_wrong_number_of_a_service_is_named),
        cmocka_unit_test(a_weighted_waypoint_without_destination_is_refused),
        cmocka_unit_test(a_service_without_host_name_is_refused),
        cmocka_unit_test(a_policy_is_read_down_to_its_patterns),
        cmocka_unit_test(an_exact_pattern_of_no_text_is_a_pattern),
        cmocka_unit_test(a_policy_with_anything_unreadable_is_refused),
        cmocka_unit_test(a_pattern_with_a_nul_does_not_become_a_shorter_one),
        cmocka_unit_test(unknown_scopes_and_actions_are_refused),
        cmocka_unit_test(host_bits_of_a_policy_s_address_do_not_count),
        cmocka_unit_test(a_policy_of_empty_matches_cannot_take_all_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
