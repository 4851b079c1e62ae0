/* What a table gives for the names by which clients ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "discovery_fixture.h"

#define END ((struct discovery_resource *)NULL)

static int compare_names(const void *a, const void *b)
{
    const struct discovery_resource *const *first = a;
    const struct discovery_resource *const *second = b;
    return strcmp((*first)->name, (*second)->name);
}

/* The names of what is found, in order, with spaces between. */
static void resolves(const struct discovery_table *table, enum discovery_type type,
                     const char *name, const char *expected)
{
    struct discovery_list found = {0};
    char text[512] = "";
    assert_int_equal(discovery_table_resolve(table, type, name, &found), 0);
    discovery_list_unique(&found);
    if (found.num > 0)
        qsort(found.values, found.num, sizeof(found.values[0]), compare_names);
    for (size_t i = 0; i < found.num; i++) {
        strcat(text, i == 0 ? "" : " ");
        strcat(text, found.values[i]->name);
    }
    if (strcmp(text, expected) != 0)
        fail_msg("%s: found \"%s\", expected \"%s\"", name, text, expected);
    discovery_list_done(&found);
}

static void every_name_leads_to_what_it_means(void **state)
{
    static const struct {
        const char *name, *expected;
    } cases[] = {
        {"k//Pod/ns/a", "k//Pod/ns/a"},
        {"ns/web", "k//Pod/ns/a k//Pod/ns/b ns/web"},
        {"ns/lone", "ns/lone"},
        {"/10.0.0.1", "k//Pod/ns/a"},
        {"/10.1.0.1", "k//Pod/ns/a k//Pod/ns/b ns/web"},
        {"/fd00::1", "v6"},
        {"/fd00:0::0:1", "v6"},
        {"/::ffff:10.0.0.1", "k//Pod/ns/a"},
        {"/192.0.2.9", "k//Pod/ns/c ns/egress"}, /* in the CIDR */
        {"/192.0.2.0/24", "k//Pod/ns/c ns/egress"},
        {"other/10.0.0.1", ""},
        {"/10.0.0.9", ""},
        {"ns/nobody", ""},
        {"k//Pod/ns", ""},
        {"", ""},
        {"/", ""},
        {"*", ""},
        {"ns/p", ""}, /* a policy is no address */
    };
    struct discovery_table *table = fixture_table(
        7, fixture_workload("k//Pod/ns/b", "10.0.0.2", "ns/web", ""), fixture_policy("p", false),
        fixture_workload("k//Pod/ns/a", "10.0.0.1", "ns/web", ""),
        fixture_workload("v6", "fd00::1", NULL, ""), fixture_service("web", "10.1.0.1", NULL),
        fixture_workload("k//Pod/ns/c", "10.0.0.3", "ns/egress", ""),
        fixture_service("egress", "10.1.0.2", "192.0.2.0/24"),
        fixture_service("lone", "10.1.0.3", NULL), END);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        resolves(table, DISCOVERY_ADDRESS, cases[i].name, cases[i].expected);
    resolves(table, DISCOVERY_AUTHORIZATION, "ns/p", "ns/p");
    resolves(table, DISCOVERY_AUTHORIZATION, "ns/web", "");
    assert_int_equal(discovery_table_version(table), 7);
    discovery_table_unref(table);
}

static void two_at_one_address_are_both_found(void **state)
{
    struct discovery_table *table = fixture_table(1, fixture_workload("a", "10.0.0.1", NULL, ""),
                                                  fixture_workload("b", "10.0.0.1", NULL, ""), END);
    resolves(table, DISCOVERY_ADDRESS, "/10.0.0.1", "a b");
    discovery_table_unref(table);
}

static void a_workload_on_its_node_s_network_is_not_found_by_the_node_s_address(void **state)
{
    struct err err;
    struct ip ip;
    assert_int_equal(ip_parse(&ip, "10.0.0.1", &err), 0);
    const struct mesh_workload workload = {
        .uid = "host", .network = "", .network_mode = MESH_NETWORK_HOST, .ips = &ip, .num_ips = 1};
    struct discovery_resource *resource = discovery_resource_of_workload(&workload, &err);
    assert_non_null(resource);
    struct discovery_table *table = fixture_table(1, resource, END);
    resolves(table, DISCOVERY_ADDRESS, "/10.0.0.1", "");
    resolves(table, DISCOVERY_ADDRESS, "host", "host");
    discovery_table_unref(table);
}

static unsigned num_clashes;

static void on_clash(void *owner, const struct discovery_resource *stays,
                     const struct discovery_resource *goes)
{
    assert_ptr_equal(owner, &num_clashes);
    assert_string_equal(stays->name, goes->name);
    assert_string_equal(stays->aliases.values[0], "/10.0.0.1");
    num_clashes++;
}

static void of_several_with_one_name_the_first_stays(void **state)
{
    struct discovery_table *table = discovery_table_new(1);
    num_clashes = 0;
    for (unsigned i = 1; i <= 40; i++) {
        char ip[32];
        snprintf(ip, sizeof(ip), "10.0.0.%u", i);
        struct discovery_resource *resource = fixture_workload("a", ip, NULL, "");
        assert_int_equal(discovery_table_add(table, resource), 0);
        discovery_resource_unref(resource);
    }
    assert_int_equal(discovery_table_seal(table, on_clash, &num_clashes), 0);
    assert_int_equal(num_clashes, 39);
    assert_int_equal(discovery_table_all(table, DISCOVERY_ADDRESS)->num, 1);
    resolves(table, DISCOVERY_ADDRESS, "/10.0.0.1", "a");
    resolves(table, DISCOVERY_ADDRESS, "/10.0.0.2", "");
    discovery_table_unref(table);
}

static void the_version_is_the_content_s(void **state)
{
    struct discovery_resource *a = fixture_workload("w", "10.0.0.1", NULL, "1");
    struct discovery_resource *same = fixture_workload("w", "10.0.0.1", NULL, "1");
    struct discovery_resource *other = fixture_workload("w", "10.0.0.1", NULL, "2");
    assert_string_equal(a->version, same->version);
    assert_string_not_equal(a->version, other->version);
    discovery_resource_unref(a);
    discovery_resource_unref(same);
    discovery_resource_unref(other);
}

static void an_empty_table_knows_nothing(void **state)
{
    struct discovery_table *table = fixture_table(1, END);
    resolves(table, DISCOVERY_ADDRESS, "/10.0.0.1", "");
    assert_null(discovery_table_find(table, DISCOVERY_AUTHORIZATION, "ns/p"));
    discovery_table_unref(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_leads_to_what_it_means),
        cmocka_unit_test(two_at_one_address_are_both_found),
        cmocka_unit_test(a_workload_on_its_node_s_network_is_not_found_by_the_node_s_address),
        cmocka_unit_test(of_several_with_one_name_the_first_stays),
        cmocka_unit_test(the_version_is_the_content_s),
        cmocka_unit_test(an_empty_table_knows_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
