#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "recorder.h"

struct attempt {
    unsigned num_done;
    struct net_tcp *tcp;
    struct err err;
    struct net_connect *cancel; /* another attempt, cancelled when this one ends */
};

static struct net_loop *loop;
static const struct net_tcp_options plain = {0};

static void on_done(void *owner, struct net_tcp *tcp, const struct err *err)
{
    struct attempt *attempt = owner;
    attempt->num_done++;
    attempt->tcp = tcp;
    assert_int_equal(tcp == NULL, err != NULL);
    if (err != NULL)
        attempt->err = *err;
    net_connect_cancel(attempt->cancel);
}

static int set_up(void **state)
{
    loop = net_loop_new(NULL);
    return loop == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    return net_loop_free(loop);
}

/* A raw listening socket at loopback; its address in *at. */
static int listen_raw(int family, int backlog, struct addr *at)
{
    assert_int_equal(addr_parse(at, family == AF_INET ? "127.0.0.1:0" : "[::1]:0", NULL), 0);
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(at, &sa);
    int fd = socket(family, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    if (backlog >= 0)
        assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(addr_from_sockaddr(at, (struct sockaddr *)&sa, NULL), 0);
    return fd;
}

static struct net_connect *start(const struct addr *to, uint64_t timeout_ms,
                                 struct attempt *attempt)
{
    *attempt = (struct attempt){0};
    return net_connect_start(loop, to, &plain, timeout_ms, on_done, attempt, &attempt->err);
}

/* Fills the queue of a listener with backlog 0, so that the kernel answers nobody any more. */
static void fill_backlog(const struct addr *at, int fds[2])
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(at, &sa);
    for (int i = 0; i < 2; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fds[i], (struct sockaddr *)&sa, len);
    }
}

static void a_connection_is_handed_over_and_carries_bytes(void **state)
{
    static const int families[] = {AF_INET, AF_INET6};
    for (size_t i = 0; i < 2; i++) {
        struct addr at;
        int listener = listen_raw(families[i], 1, &at);
        struct attempt attempt;
        assert_non_null(start(&at, 10000, &attempt));
        assert_int_equal(attempt.num_done, 0);
        net_loop_run(loop);
        assert_int_equal(attempt.num_done, 1);
        assert_non_null(attempt.tcp);
        assert_true(addr_equal(net_tcp_peer(attempt.tcp), &at));
        assert_true(ip_is_loopback(&net_tcp_local(attempt.tcp)->ip));
        assert_int_not_equal(net_tcp_local(attempt.tcp)->port, 0);

        int peer = accept(listener, NULL, NULL);
        struct recorder ours;
        recorder_attach(&ours, loop, attempt.tcp);
        recorder_write(&ours, "hello", 5);
        char out[5];
        assert_int_equal(read(peer, out, 5), 5);
        assert_memory_equal(out, "hello", 5);
        assert_int_equal(write(peer, "world", 5), 5);
        ours.is_done = recorder_has_bytes;
        recorder_read_start(&ours);
        net_loop_run(loop);
        assert_int_equal(ours.num_got, 5);
        recorder_done(&ours);
        close(peer);
        close(listener);
    }
}

static void a_closed_port_refuses(void **state)
{
    struct addr at;
    int bound = listen_raw(AF_INET, -1, &at);
    struct attempt attempt;
    assert_non_null(start(&at, 10000, &attempt));
    net_loop_run(loop);
    assert_int_equal(attempt.num_done, 1);
    assert_null(attempt.tcp);
    assert_int_equal(attempt.err.kind, ERR_SYSTEM);
    assert_int_equal(attempt.err.sys, ECONNREFUSED);
    char text[ADDR_TEXT_MAX], start_text[128];
    snprintf(start_text, sizeof(start_text), "cannot connect to %s: ", addr_format(&at, text));
    assert_memory_equal(attempt.err.message, start_text, strlen(start_text));
    close(bound);
}

static void no_answer_is_a_timeout(void **state)
{
    struct addr at;
    int listener = listen_raw(AF_INET, 0, &at), fds[2];
    fill_backlog(&at, fds);
    struct attempt attempt;
    assert_non_null(start(&at, 20, &attempt));
    net_loop_run(loop);
    assert_int_equal(attempt.num_done, 1);
    assert_null(attempt.tcp);
    assert_int_equal(attempt.err.kind, ERR_TIMEOUT);
    assert_non_null(strstr(attempt.err.message, "no answer within 20 ms"));
    close(fds[0]);
    close(fds[1]);
    close(listener);
}

static void a_cancelled_attempt_is_silent(void **state)
{
    struct addr at;
    int listener = listen_raw(AF_INET, 1, &at);
    struct attempt attempt;
    struct net_connect *connect = start(&at, 10000, &attempt);
    net_connect_cancel(connect);
    net_connect_cancel(NULL);
    net_loop_run(loop);
    assert_int_equal(attempt.num_done, 0);
    close(listener);
}

static void attempts_may_be_cancelled_by_the_end_of_others(void **state)
{
    struct addr at, refused;
    int listener = listen_raw(AF_INET, 0, &at), fds[2];
    int bound = listen_raw(AF_INET, -1, &refused);
    fill_backlog(&at, fds);
    struct attempt slow, by_timeout, by_refusal;
    struct net_connect *connect = start(&at, 10000, &slow);
    start(&at, 20, &by_timeout);
    by_timeout.cancel = connect;
    net_loop_run(loop);
    assert_int_equal(slow.num_done, 0);
    assert_int_equal(by_timeout.num_done, 1);

    connect = start(&at, 10000, &slow);
    start(&refused, 10000, &by_refusal);
    by_refusal.cancel = connect;
    net_loop_run(loop);
    assert_int_equal(slow.num_done, 0);
    assert_int_equal(by_refusal.num_done, 1);
    close(fds[0]);
    close(fds[1]);
    close(listener);
    close(bound);
}

static void what_cannot_start_says_why_at_once(void **state)
{
    struct addr broadcast, at;
    struct attempt attempt;
    assert_int_equal(addr_parse(&broadcast, "255.255.255.255:80", NULL), 0);
    assert_null(start(&broadcast, 10000, &attempt));
    assert_int_equal(attempt.err.kind, ERR_SYSTEM);

    int listener = listen_raw(AF_INET, 1, &at);
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct net_connect *connect = start(&at, 10000, &attempt);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_null(connect);
    assert_int_equal(attempt.err.sys, EMFILE);
    net_loop_run(loop);
    assert_int_equal(attempt.num_done, 0);
    close(listener);
}

/* The limit cannot be lowered below what is open, so the next descriptor is made to be the last. */
static void the_last_descriptors_are_left_to_others(void **state)
{
    struct addr at;
    struct attempt attempt;
    int listener = listen_raw(AF_INET, 1, &at);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(listener);
    close(next);
    const struct rlimit low = {.rlim_cur = (rlim_t)next + 1, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    net_loop_leave_descriptors(loop, 1);
    struct net_connect *connect = start(&at, 10000, &attempt);
    int other = dup(listener);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_null(connect);
    assert_int_equal(attempt.err.sys, EMFILE);
    assert_int_equal(other, next);
    net_loop_run(loop);
    close(other);
    close(listener);
}

#define LOOP_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_connection_is_handed_over_and_carries_bytes),
        LOOP_TEST(a_closed_port_refuses),
        LOOP_TEST(no_answer_is_a_timeout),
        LOOP_TEST(a_cancelled_attempt_is_silent),
        LOOP_TEST(attempts_may_be_cancelled_by_the_end_of_others),
        LOOP_TEST(what_cannot_start_says_why_at_once),
        LOOP_TEST(the_last_descriptors_are_left_to_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
