#include "grpc_target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void what_is_right_is_taken_apart(void **state)
{
    static const struct {
        const char *address;
        enum grpc_target_kind kind;
        const char *what; /* host or path or the whole */
        uint16_t port;
        const char *authority;
    } cases[] = {
        {"istiod.istio-system.svc:15012", GRPC_TARGET_TLS, "istiod.istio-system.svc", 15012,
         "istiod.istio-system.svc:15012"},
        {"[fd00::1]:443", GRPC_TARGET_TLS, "fd00::1", 443, "[fd00::1]:443"},
        {"unix:///run/spire/agent.sock", GRPC_TARGET_UNIX, "/run/spire/agent.sock", 0, "localhost"},
        {"unix:/run/agent.sock", GRPC_TARGET_UNIX, "/run/agent.sock", 0, "localhost"},
        {"tcp://127.0.0.1:8081", GRPC_TARGET_TCP, NULL, 8081, "127.0.0.1:8081"},
        {"tcp://[::1]:8081", GRPC_TARGET_TCP, NULL, 8081, "[::1]:8081"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct grpc_target target;
        struct err err = {0};
        if (grpc_target_parse(&target, cases[i].address, &err) < 0)
            fail_msg("%s: %s", cases[i].address, err.message);
        assert_int_equal(target.kind, cases[i].kind);
        if (target.kind == GRPC_TARGET_TLS) {
            assert_string_equal(target.host, cases[i].what);
            assert_int_equal(target.port, cases[i].port);
        } else if (target.kind == GRPC_TARGET_UNIX) {
            assert_string_equal(target.path, cases[i].what);
        } else {
            assert_int_equal(target.addr.port, cases[i].port);
        }
        assert_string_equal(grpc_target_authority(&target, cases[i].address), cases[i].authority);
        grpc_target_done(&target);
    }
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *address;
        const char *words;
    } cases[] = {
        {"", "address \"\": host:port is expected"},
        {"istiod", "address \"istiod\": host:port is expected"},
        {"unix://run/agent.sock", "absolute path"},
        {"unix:", "absolute path"},
        {"tcp://localhost:80", "tcp://ip:port is expected"},
        {"tcp://127.0.0.1", "tcp://ip:port is expected"},
        {"tcp://127.0.0.1:0", "tcp://ip:port is expected"},
        {"https://istiod:15012", "neither a name nor an address"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct grpc_target target;
        struct err err = {0};
        assert_int_equal(grpc_target_parse(&target, cases[i].address, &err), -1);
        assert_int_equal(err.kind, ERR_INVALID);
        if (strstr(err.message, cases[i].words) == NULL)
            fail_msg("%s: %s", cases[i].address, err.message);
        assert_null(target.host);
        assert_null(target.path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right_is_taken_apart),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
