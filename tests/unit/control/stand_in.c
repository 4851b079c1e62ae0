#include "xds_stand_in.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "xds_wire.h"

struct outline {
    const char *name;
    const char *namespace_;
    unsigned scope;
    unsigned action;
    unsigned dry_run;
};

static bool stands_in(const struct outline *outline, struct xds_stand_in *stand_in)
{
    struct buf bytes = {0};
    xds_wire_put_text(&bytes, 1, outline->name);
    xds_wire_put_text(&bytes, 2, outline->namespace_);
    xds_wire_put_varint(&bytes, 3, outline->scope);
    xds_wire_put_varint(&bytes, 4, outline->action);
    xds_wire_put_varint(&bytes, 6, outline->dry_run);
    xds_wire_put_text(&bytes, 99, "something new");
    const struct xds_resource resource = {.type = XDS_AUTHORIZATION,
                                          .name = "shop/new",
                                          .version = "",
                                          .bytes = buf_head(&bytes),
                                          .len = buf_len(&bytes)};
    bool result = xds_stand_in_for(&resource, stand_in);
    buf_done(&bytes);
    return result;
}

static void an_allow_allows_nobody_and_all_else_denies_everybody(void **state)
{
    static const struct {
        struct outline outline;
        enum mesh_action action;
        size_t num_rules;
    } cases[] = {
        {{"new", "shop", MESH_POLICY_GLOBAL, MESH_ALLOW, 0}, MESH_ALLOW, 0},
        {{"new", "shop", MESH_POLICY_NAMESPACE, MESH_DENY, 0}, MESH_DENY, 1},
        {{"new", "shop", MESH_POLICY_WORKLOAD_SELECTOR, MESH_ALLOW, 0}, MESH_ALLOW, 0},
        {{"new", "shop", MESH_POLICY_NAMESPACE, 7, 0}, MESH_DENY, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct xds_stand_in stand_in;
        assert_true(stands_in(&cases[i].outline, &stand_in));
        assert_string_equal(stand_in.policy.name, "new");
        assert_string_equal(stand_in.policy.namespace_, "shop");
        assert_int_equal(stand_in.policy.scope, cases[i].outline.scope);
        assert_int_equal(stand_in.policy.action, cases[i].action);
        assert_int_equal(stand_in.policy.num_rules, cases[i].num_rules);
        for (size_t rule = 0; rule < stand_in.policy.num_rules; rule++)
            assert_int_equal(stand_in.policy.rules[rule].num_clauses, 0);
    }
}

static void nothing_stands_in_for_what_does_not_say_where_it_holds(void **state)
{
    static const struct outline cases[] = {
        {"new", "shop", 3, MESH_DENY, 0},
        {"other", "shop", MESH_POLICY_GLOBAL, MESH_DENY, 0},
        {"new", "", MESH_POLICY_GLOBAL, MESH_DENY, 0},
        {"", "", MESH_POLICY_GLOBAL, MESH_DENY, 0},
        {"new", "shop", MESH_POLICY_GLOBAL, MESH_DENY, 1},
    };
    struct xds_stand_in stand_in;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (stands_in(&cases[i], &stand_in))
            fail_msg("case %zu", i);
    }
    const struct xds_resource garbled = {
        .name = "shop/new", .bytes = (const uint8_t *)"\x0a\x7f", .len = 2};
    assert_false(xds_stand_in_for(&garbled, &stand_in));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allow_allows_nobody_and_all_else_denies_everybody),
        cmocka_unit_test(nothing_stands_in_for_what_does_not_say_where_it_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
