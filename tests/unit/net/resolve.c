#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net_resolve.h"

struct answer {
    size_t num_calls;
    struct addr addrs[NET_RESOLVE_MAX];
    size_t num_addrs;
    struct err err;
};

static void on_resolved(void *owner, const struct addr *addrs, size_t num_addrs,
                        const struct err *err)
{
    struct answer *answer = owner;
    answer->num_calls++;
    answer->num_addrs = num_addrs;
    for (size_t i = 0; i < num_addrs; i++)
        answer->addrs[i] = addrs[i];
    if (err != NULL)
        answer->err = *err;
}

static struct answer resolve(const char *host, uint16_t port)
{
    struct answer answer = {0};
    struct err err = {0};
    struct net_loop *loop = net_loop_new(&err);
    assert_non_null(loop);
    assert_non_null(net_resolve_start(loop, host, port, on_resolved, &answer, &err));
    assert_int_equal(answer.num_calls, 0);
    net_loop_run(loop);
    assert_int_equal(answer.num_calls, 1);
    assert_int_equal(net_loop_free(loop), 0);
    return answer;
}

static void address_literals_are_their_own_answer(void **state)
{
    static const char *const literals[] = {"127.0.0.1:15012", "[::1]:15012"};
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    for (size_t i = 0; i < 2; i++) {
        struct addr expected;
        struct answer answer = resolve(hosts[i], 15012);
        assert_int_equal(addr_parse(&expected, literals[i], NULL), 0);
        assert_int_equal(answer.num_addrs, 1);
        assert_true(addr_equal(&answer.addrs[0], &expected));
    }
}

/* A bare root file system has no hosts file, and then no name at all. */
static bool has_a_name(void)
{
    struct addrinfo *found = NULL;
    bool has = getaddrinfo("localhost", NULL, NULL, &found) == 0;
    if (has)
        freeaddrinfo(found);
    return has;
}

static void the_hosts_file_is_asked(void **state)
{
    if (!has_a_name())
        skip();
    struct answer answer = resolve("localhost", 80);
    assert_true(answer.num_addrs >= 1);
    assert_true(ip_is_loopback(&answer.addrs[0].ip));
    assert_int_equal(answer.addrs[0].port, 80);
}

/* A label of 64 bytes is no name (RFC 1035, 2.3.4): no server is asked. */
static void what_is_no_name_is_an_error(void **state)
{
    struct answer answer =
        resolve("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid", 80);
    assert_int_equal(answer.num_addrs, 0);
    assert_int_not_equal(answer.err.kind, ERR_NONE);
    assert_string_not_equal(answer.err.message, "");
}

static void a_cancelled_request_calls_nobody(void **state)
{
    struct answer answer = {0};
    struct err err = {0};
    struct net_loop *loop = net_loop_new(&err);
    for (int i = 0; i < 8; i++) {
        struct net_resolve *request =
            net_resolve_start(loop, "localhost", 80, on_resolved, &answer, &err);
        assert_non_null(request);
        net_resolve_cancel(request);
    }
    net_resolve_cancel(NULL);
    net_loop_run(loop);
    assert_int_equal(answer.num_calls, 0);
    assert_int_equal(net_loop_free(loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_literals_are_their_own_answer),
        cmocka_unit_test(the_hosts_file_is_asked),
        cmocka_unit_test(what_is_no_name_is_an_error),
        cmocka_unit_test(a_cancelled_request_calls_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
