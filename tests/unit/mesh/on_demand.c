/* Snapshots that are not the whole mesh: what is asked for, what was answered, and interests. */
#include "mesh_decide.h"
#include "mesh_fixture.h"
#include "mesh_interest.h"

/* A workload, a service by address and one by network, one on the host's network, and a hidden one. */
static struct mesh_snapshot *mesh(bool on_demand, const char *answered)
{
    struct mesh_builder *builder = mesh_builder_new(NULL);
    const struct mesh_workload client = {.uid = "client", .namespace_ = "shop"};
    const struct mesh_workload pod = {.uid = "pod", IPS(fixture_ip("10.0.0.1"))};
    const struct mesh_workload host = {
        .uid = "host", .network_mode = MESH_NETWORK_HOST, IPS(fixture_ip("10.0.0.2"))};
    const struct mesh_service service = {
        .namespace_ = "shop", .hostname = "s", VIPS({"", fixture_ip("10.1.0.1")})};
    const struct mesh_service hidden = {.namespace_ = "pay",
                                        .hostname = "hidden",
                                        .visibility = MESH_NAMESPACE,
                                        VIPS({"", fixture_ip("10.1.0.2")})};
    struct mesh_network_cidr cidr = {.network = ""};
    assert_int_equal(cidr_parse(&cidr.cidr, "10.2.0.0/16", NULL), 0);
    const struct mesh_service network = {.namespace_ = "shop",
                                         .hostname = "n",
                                         .cidr_vips = &cidr,
                                         .num_cidr_vips = 1,
                                         .load_balancing = {.mode = MESH_LB_PASSTHROUGH}};
    fixture_add_workload(builder, &client);
    fixture_add_workload(builder, &pod);
    fixture_add_workload(builder, &host);
    fixture_add_service(builder, &service);
    fixture_add_service(builder, &hidden);
    fixture_add_service(builder, &network);
    mesh_builder_set_on_demand(builder, on_demand);
    struct mesh_interest *interest = mesh_interest_new(answered);
    mesh_builder_put_answered(builder, interest);
    mesh_interest_unref(interest);
    return fixture_build(builder);
}

static void what_is_not_known_is_asked_for_once(void **state)
{
    (void)state;
    const struct {
        const char *destination;
        const char *answered;
        bool refuse_unknown;
        enum mesh_decision_kind kind; /* of a snapshot on demand */
        const char *ask;
    } rows[] = {
        {"10.0.0.1:80", "", false, MESH_PASSTHROUGH, ""},
        {"10.1.0.1:80", "", false, MESH_REFUSE, ""},
        {"10.1.0.2:80", "", false, MESH_PASSTHROUGH, ""},
        {"10.0.0.2:80", "", false, MESH_ASK, "/10.0.0.2"},
        {"10.0.0.2:80", "/10.0.0.2", false, MESH_PASSTHROUGH, ""},
        {"10.0.0.9:80", "/10.0.0.2", false, MESH_ASK, "/10.0.0.9"},
        {"10.0.0.9:80", "", true, MESH_ASK, "/10.0.0.9"},
        {"10.0.0.9:80", "/10.0.0.9", true, MESH_REFUSE, ""},
        {"10.2.0.9:80", "", true, MESH_ASK, "/10.2.0.9"},
        {"10.2.0.9:80", "/10.2.0.9", true, MESH_PASSTHROUGH, ""},
        {"[fd00::9]:80", "/fd00::8", false, MESH_ASK, "/fd00::9"},
        {"[fd00::9]:80", "/fd00::9", false, MESH_PASSTHROUGH, ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int on_demand = 0; on_demand < 2; on_demand++) {
            struct mesh_snapshot *snapshot = mesh(on_demand, rows[i].answered);
            struct mesh_decision decision;
            const struct mesh_request request = {
                .source = mesh_snapshot_workload_by_uid(snapshot, "client"),
                .network = "",
                .destination = fixture_addr(rows[i].destination),
                .refuse_unknown = rows[i].refuse_unknown};
            mesh_decide(snapshot, &request, &decision);
            if (on_demand) {
                assert_int_equal(decision.kind, rows[i].kind);
                assert_string_equal(decision.ask, rows[i].ask);
            } else {
                assert_int_not_equal(decision.kind, MESH_ASK);
            }
            mesh_snapshot_unref(snapshot);
        }
    }
}

static void an_address_is_asked_for_in_its_network(void **state)
{
    (void)state;
    struct mesh_snapshot *snapshot = mesh(true, "");
    struct mesh_decision decision;
    const struct mesh_request request = {.source =
                                             mesh_snapshot_workload_by_uid(snapshot, "client"),
                                         .network = "west",
                                         .destination = fixture_addr("10.0.0.1:80")};
    mesh_decide(snapshot, &request, &decision);
    assert_int_equal(decision.kind, MESH_ASK);
    assert_string_equal(decision.ask, "west/10.0.0.1");
    mesh_snapshot_unref(snapshot);
}

static void names_are_never_longer_than_their_buffers(void **state)
{
    (void)state;
    char network[MESH_NAME_MAX + 1];
    char out[MESH_NAME_TEXT_MAX];
    memset(network, 'n', MESH_NAME_MAX);
    network[MESH_NAME_MAX] = '\0';
    struct ip ip = fixture_ip("1111:2222:3333:4444:5555:6666:7777:8888");
    mesh_name_of_address(network, &ip, out);
    assert_int_equal(strlen(out), MESH_NAME_MAX + 1 + 39);
    assert_string_equal(out + MESH_NAME_MAX, "/1111:2222:3333:4444:5555:6666:7777:8888");
    char key[MESH_KEY_MAX + 1];
    assert_string_equal(mesh_name_of_key("a", "b", key), "a/b");
    assert_string_equal(mesh_name_of_key(NULL, "b", key), "/b");
}

static void an_interest_is_shared_by_all_that_answer_it(void **state)
{
    (void)state;
    struct mesh_interest *interest = mesh_interest_new("/10.0.0.1");
    struct mesh_builder *builder = mesh_builder_new(NULL);
    mesh_builder_put_answered(builder, interest);
    struct mesh_snapshot *first = fixture_build(builder);
    builder = mesh_builder_new(first);
    mesh_builder_remove_answered(builder, "/10.0.0.1");
    struct mesh_snapshot *second = fixture_build(builder);
    assert_null(mesh_snapshot_answered(second, "/10.0.0.1"));
    assert_int_equal(mesh_snapshot_counts(first).answered, 1);

    mesh_interest_touch(mesh_snapshot_answered(first, "/10.0.0.1"), 17);
    assert_int_equal(mesh_interest_last_used(interest), 17);
    mesh_interest_unref(interest);
    assert_string_equal(mesh_interest_name(mesh_snapshot_answered(first, "/10.0.0.1")),
                        "/10.0.0.1");
    mesh_snapshot_unref(first);
    mesh_snapshot_unref(second);
}

/* After a break the control plane's client has interests of its own again, for the same names. */
static void an_interest_takes_the_place_of_another_of_its_name(void **state)
{
    (void)state;
    struct mesh_interest *before = mesh_interest_new("a");
    struct mesh_interest *after = mesh_interest_new("a");
    struct mesh_builder *builder = mesh_builder_new(NULL);
    mesh_builder_put_answered(builder, before);
    mesh_builder_put_answered(builder, after);
    struct mesh_snapshot *snapshot = fixture_build(builder);
    assert_int_equal(mesh_snapshot_counts(snapshot).answered, 1);
    assert_ptr_equal(mesh_snapshot_answered(snapshot, "a"), after);
    mesh_interest_unref(before);
    mesh_interest_unref(after);
    mesh_interest_unref(NULL);
    mesh_snapshot_unref(snapshot);
}

static void a_service_has_endpoints_whether_it_is_known_or_they_are_healthy(void **state)
{
    (void)state;
    struct mesh_builder *builder = mesh_builder_new(NULL);
    const struct mesh_workload ill = {
        .uid = "ill", .unhealthy = true, SERVICES({.service = "shop/b"})};
    const struct mesh_service empty = {.namespace_ = "shop", .hostname = "a"};
    fixture_add_workload(builder, &ill);
    fixture_add_service(builder, &empty);
    struct mesh_snapshot *snapshot = fixture_build(builder);
    assert_false(mesh_snapshot_has_endpoint(snapshot, "shop/a"));
    assert_true(mesh_snapshot_has_endpoint(snapshot, "shop/b"));
    assert_false(mesh_snapshot_has_endpoint(snapshot, "shop/c"));
    mesh_snapshot_unref(snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_known_is_asked_for_once),
        cmocka_unit_test(an_address_is_asked_for_in_its_network),
        cmocka_unit_test(names_are_never_longer_than_their_buffers),
        cmocka_unit_test(an_interest_is_shared_by_all_that_answer_it),
        cmocka_unit_test(an_interest_takes_the_place_of_another_of_its_name),
        cmocka_unit_test(a_service_has_endpoints_whether_it_is_known_or_they_are_healthy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
