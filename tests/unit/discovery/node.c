/* Who a node says it is, against whose token it has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "discovery_node.h"

#define ID "ztunnel~10.0.0.1~pod.ns~ns.svc.cluster.local"

static void a_node_is_what_its_token_is(void **state)
{
    static const struct {
        const char *id, *namespace_, *service_account, *ns, *sa;
        enum err_kind expected;
    } cases[] = {
        {ID, "ns", "", "ns", "sa", ERR_NONE},
        {ID, "ns", "sa", "ns", "sa", ERR_NONE},
        {"ztunnel~fd00::1~pod.ns~ns.svc.cluster.local", "ns", "", "ns", "sa", ERR_NONE},
        {"ztunnel~10.0.0.1~~", "ns", "", "ns", "sa", ERR_NONE},
        {ID, "other", "", "ns", "sa", ERR_DENIED},
        {ID, "", "", "ns", "sa", ERR_DENIED},
        {ID, "n", "", "ns", "sa", ERR_DENIED},
        {ID, "ns", "other", "ns", "sa", ERR_DENIED},
        {ID, "", "", NULL, NULL, ERR_DENIED},
        {"", "ns", "", "ns", "sa", ERR_INVALID},
        {"ztunnel", "ns", "", "ns", "sa", ERR_INVALID},
        {"ztunnel~10.0.0.1~a~b~c", "ns", "", "ns", "sa", ERR_INVALID},
        {"sidecar~10.0.0.1~pod.ns~d", "ns", "", "ns", "sa", ERR_INVALID},
        {"ztunnel~~pod.ns~d", "ns", "", "ns", "sa", ERR_INVALID},
        {"ztunnel~10.0.0.256~pod.ns~d", "ns", "", "ns", "sa", ERR_INVALID},
        {"ztunnel~0000000000000000000000000000000000000000000000000000000000000000000000~a~b", "ns",
         "", "ns", "sa", ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        const struct discovery_node node = {.id = cases[i].id,
                                            .namespace_ = cases[i].namespace_,
                                            .service_account = cases[i].service_account};
        int result = discovery_node_check(&node, cases[i].ns, cases[i].sa, &err);
        assert_int_equal(result, cases[i].expected == ERR_NONE ? 0 : -1);
        assert_int_equal(err.kind, cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_is_what_its_token_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
