#include "xds_wants.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const struct xds_wants_times times = {
    .unused_ms = 600 * 1000, .absent_ms = 5 * 1000, .refresh_ms = 30 * 1000};

static void what_is_due_depends_on_the_answer_and_on_its_use(void **state)
{
    enum { WORKLOAD, SERVICE, EMPTY_SERVICE, ABSENT, UNANSWERED };
    static const struct {
        int answer;
        bool own;
        uint32_t used_s; /* asked for at second 1000 */
        uint32_t now_s;
        uint32_t restless_until_s;
        enum xds_want_due due;
    } cases[] = {
        {WORKLOAD, false, 1000, 1001, 0, XDS_WANT_NOTHING},
        {WORKLOAD, false, 1500, 1599, 0, XDS_WANT_NOTHING}, /* every change of it is told */
        {WORKLOAD, false, 1000, 1601, 0, XDS_WANT_EXPIRE},
        {WORKLOAD, false, 1500, 1601, 0, XDS_WANT_NOTHING},
        {WORKLOAD, false, 1500, 2101, 0, XDS_WANT_EXPIRE},
        {WORKLOAD, true, 1000, 9999, 0, XDS_WANT_NOTHING},
        {ABSENT, false, 1000, 1004, 0, XDS_WANT_NOTHING},
        {ABSENT, false, 1003, 1005, 0, XDS_WANT_ASK_AGAIN},
        {ABSENT, false, 999, 1004, 0, XDS_WANT_NOTHING},
        {ABSENT, false, 999, 1005, 0, XDS_WANT_EXPIRE}, /* nobody uses it since it was asked for */
        {UNANSWERED, false, 999, 1005, 0, XDS_WANT_NOTHING},
        {ABSENT, true, 0, 1005, 0, XDS_WANT_ASK_AGAIN},
        {ABSENT, false, 1003, 1700, 0, XDS_WANT_EXPIRE},
        {UNANSWERED, false, 1004, 1005, 0, XDS_WANT_ASK_AGAIN},
        {SERVICE, false, 1029, 1029, 0, XDS_WANT_NOTHING},
        {SERVICE, false, 1029, 1030, 0, XDS_WANT_ASK_AGAIN},
        {EMPTY_SERVICE, false, 1004, 1004, 0, XDS_WANT_NOTHING},
        {EMPTY_SERVICE, false, 1004, 1005, 0, XDS_WANT_ASK_AGAIN},
        {SERVICE, false, 1004, 1005, 1010, XDS_WANT_ASK_AGAIN},
        {SERVICE, false, 1004, 1005, 1005, XDS_WANT_NOTHING},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct xds_wants wants = {0};
        struct xds_want *want = xds_wants_add(&wants, "/10.0.0.1", 1000 * 1000);
        want->own = cases[i].own;
        want->restless_until_ms = cases[i].restless_until_s * 1000;
        mesh_interest_touch(want->interest, cases[i].used_s);
        if (cases[i].answer != UNANSWERED)
            xds_want_set_answer(want, cases[i].answer == ABSENT ? NULL : "it");
        want->is_service = cases[i].answer == SERVICE || cases[i].answer == EMPTY_SERVICE;
        want->is_empty = cases[i].answer == EMPTY_SERVICE;
        enum xds_want_due due = xds_want_due(want, &times, cases[i].now_s * 1000);
        if (due != cases[i].due)
            fail_msg("case %zu: %d", i, due);
        xds_wants_done(&wants);
    }
}

/* For a thousand services with live connections, asking would be a storm. */
static void what_lives_on_a_name_keeps_it_and_is_no_reason_to_ask(void **state)
{
    (void)state;
    static const struct {
        bool is_absent;
        uint32_t used_s; /* asked for at second 1000 */
        uint32_t now_s;
        enum xds_want_due due;
    } cases[] = {
        {false, 999, 1700, XDS_WANT_NOTHING},
        {false, 999, 2300, XDS_WANT_EXPIRE},
        {false, 1640, 1700, XDS_WANT_ASK_AGAIN},
        {true, 999, 1600, XDS_WANT_EXPIRE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct xds_wants wants = {0};
        struct xds_want *want = xds_wants_add(&wants, "/10.0.0.1", 1000 * 1000);
        mesh_interest_touch(want->interest, cases[i].used_s);
        mesh_interest_keep(want->interest, 1650);
        xds_want_set_answer(want, cases[i].is_absent ? NULL : "it");
        want->is_service = !cases[i].is_absent;
        if (xds_want_due(want, &times, cases[i].now_s * 1000) != cases[i].due)
            fail_msg("case %zu", i);
        xds_wants_done(&wants);
    }
}

static void a_service_that_lost_an_endpoint_is_asked_for_at_once(void **state)
{
    struct xds_wants wants = {0};
    struct xds_want *web = xds_wants_add(&wants, "/10.1.0.1", 1000);
    struct xds_want *other = xds_wants_add(&wants, "/10.1.0.2", 1000);
    xds_want_set_answer(web, "shop/web");
    xds_want_set_answer(other, "shop/other");
    web->is_service = other->is_service = true;
    xds_wants_disturb(&wants, "shop/web", 9000);
    assert_int_equal(xds_want_due(web, &times, 1001), XDS_WANT_ASK_AGAIN);
    assert_int_equal(xds_want_due(other, &times, 1001), XDS_WANT_NOTHING);
    xds_wants_done(&wants);
}

static void names_are_found_and_removed(void **state)
{
    struct xds_wants wants = {0};
    char name[32];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "/%d", i);
        assert_null(xds_wants_find(&wants, name));
        assert_non_null(xds_wants_add(&wants, name, 0));
    }
    for (int i = 0; i < 1000; i += 2) {
        snprintf(name, sizeof(name), "/%d", i);
        xds_wants_remove(&wants, xds_wants_find(&wants, name));
        assert_null(xds_wants_find(&wants, name));
    }
    assert_int_equal(wants.num, 500);
    xds_wants_done(&wants);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_due_depends_on_the_answer_and_on_its_use),
        cmocka_unit_test(what_lives_on_a_name_keeps_it_and_is_no_reason_to_ask),
        cmocka_unit_test(a_service_that_lost_an_endpoint_is_asked_for_at_once),
        cmocka_unit_test(names_are_found_and_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
