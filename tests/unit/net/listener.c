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

#include <uv.h>

#include "net_tcp.h"
#include "net_tcp_impl.h"

/* --------------------------------------------------------------- a kernel that can be poorer -- */

enum { FILLERS_MAX = 1024 };

static bool no_ipv6;
static bool faster_thread; /* whatever open() would get, somebody else has already */
static int fillers[FILLERS_MAX];
static unsigned num_fillers;

int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

int __wrap_socket(int family, int type, int protocol)
{
    if (no_ipv6 && family == AF_INET6) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    return __real_socket(family, type, protocol);
}

int __wrap_open(const char *path, int flags, ...)
{
    if (faster_thread) {
        int fd = dup(STDIN_FILENO);
        if (fd >= 0)
            fillers[num_fillers++] = fd;
        errno = EMFILE;
        return -1;
    }
    return __real_open(path, flags, 0);
}

/* ------------------------------------------------------------------------------------ server -- */

enum { ACCEPTED_MAX = 256 };

struct server {
    struct net_listener *listener;
    struct net_tcp *accepted[ACCEPTED_MAX];
    unsigned num_accepted, num_overload, stop_after;
    bool free_listener;
};

static struct net_loop *loop;
static struct server server;

static void on_accept(void *owner, struct net_tcp *tcp)
{
    assert_true(server.num_accepted < ACCEPTED_MAX);
    server.accepted[server.num_accepted++] = tcp;
    if (server.free_listener) {
        net_listener_free(server.listener);
        server.listener = NULL;
        net_loop_stop(loop);
    }
    if (server.num_accepted == server.stop_after)
        net_loop_stop(loop);
}

static void on_overload(void *owner)
{
    server.num_overload++;
    net_loop_stop(loop);
}

static struct addr addr_of(const char *text)
{
    struct addr addr;
    assert_int_equal(addr_parse(&addr, text, NULL), 0);
    return addr;
}

static void listen_at(const char *text, const struct net_listener_options *options)
{
    struct addr at = addr_of(text);
    struct err err;
    server.listener = net_listener_new(loop, &at, options, on_accept, on_overload, NULL, &err);
    if (server.listener == NULL)
        fail_msg("%s", err.message);
}

/* A blocking client's socket, not yet connected. */
static int new_client(int family)
{
    int fd = __real_socket(family, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    return fd;
}

static void connect_to(int fd, const char *ip)
{
    struct addr to = {.port = net_listener_addr(server.listener)->port};
    assert_int_equal(ip_parse(&to.ip, ip, NULL), 0);
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&to, &sa);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
}

static const struct net_listener_options plain = {0};

static int set_up(void **state)
{
    no_ipv6 = faster_thread = false;
    server = (struct server){.stop_after = 1};
    loop = net_loop_new(NULL);
    return loop == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    for (unsigned i = 0; i < server.num_accepted; i++)
        stream_close(net_tcp_stream(server.accepted[i]));
    net_listener_free(server.listener);
    return net_loop_free(loop);
}

/* ------------------------------------------------------------------------------------- tests -- */

static void connections_carry_the_addresses_of_both_ends(void **state)
{
    static const struct {
        const char *at, *client;
    } rows[] = {
        {"127.0.0.1:0", "127.0.0.1"}, {"0.0.0.0:0", "127.0.0.1"},
        {"[::1]:0", "::1"},           {"[::]:0", "::1"},
        {"[::]:0", "127.0.0.1"}, /* dual stack: IPv4 is IPv4, not a mapped address */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        listen_at(rows[i].at, &plain);
        assert_int_not_equal(net_listener_addr(server.listener)->port, 0);
        struct addr expected = {.port = net_listener_addr(server.listener)->port};
        ip_parse(&expected.ip, rows[i].client, NULL);
        int client = new_client(expected.ip.family == IP_V4 ? AF_INET : AF_INET6);
        connect_to(client, rows[i].client);
        net_loop_run(loop);
        assert_int_equal(server.num_accepted, 1);
        const struct net_tcp *tcp = server.accepted[0];
        assert_true(addr_equal(net_tcp_local(tcp), &expected));
        assert_true(ip_equal(&net_tcp_peer(tcp)->ip, &expected.ip));
        struct addr original;
        assert_int_equal(net_tcp_original_destination(tcp, &original, NULL), 0);
        assert_true(addr_equal(&original, &expected));
        close(client);
        stream_close(net_tcp_stream(server.accepted[0]));
        server.num_accepted = 0;
        net_listener_free(server.listener);
    }
    server.listener = NULL;
}

static int option_of(const struct net_tcp *tcp, int level, int name)
{
    int fd, value = -1;
    socklen_t len = sizeof(value);
    assert_int_equal(uv_fileno((const uv_handle_t *)&tcp->uv, &fd), 0);
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void accepted_connections_have_the_options(void **state)
{
    static const struct net_listener_options options = {.tcp = {.keepalive_idle_s = 77,
                                                                .keepalive_interval_s = 7,
                                                                .keepalive_count = 3,
                                                                .user_timeout_ms = 12345}};
    listen_at("127.0.0.1:0", &options);
    int client = new_client(AF_INET);
    connect_to(client, "127.0.0.1");
    net_loop_run(loop);
    const struct net_tcp *tcp = server.accepted[0];
    assert_int_equal(option_of(tcp, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option_of(tcp, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option_of(tcp, IPPROTO_TCP, TCP_KEEPIDLE), 77);
    assert_int_equal(option_of(tcp, IPPROTO_TCP, TCP_KEEPINTVL), 7);
    assert_int_equal(option_of(tcp, IPPROTO_TCP, TCP_KEEPCNT), 3);
    assert_int_equal(option_of(tcp, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
    close(client);
}

static void without_ipv6_any_address_is_any_ipv4_address(void **state)
{
    no_ipv6 = true;
    listen_at("[::]:0", &plain);
    assert_int_equal(net_listener_addr(server.listener)->ip.family, IP_V4);
    int client = new_client(AF_INET);
    connect_to(client, "127.0.0.1");
    net_loop_run(loop);
    assert_int_equal(server.num_accepted, 1);
    close(client);

    struct addr loopback = addr_of("[::1]:0");
    struct err err;
    assert_null(net_listener_new(loop, &loopback, &plain, on_accept, on_overload, NULL, &err));
    assert_int_equal(err.sys, EAFNOSUPPORT);
}

static void an_address_in_use_is_an_error_that_names_it(void **state)
{
    listen_at("127.0.0.1:0", &plain);
    struct err err;
    assert_null(net_listener_new(loop, net_listener_addr(server.listener), &plain, on_accept,
                                 on_overload, NULL, &err));
    assert_int_equal(err.sys, EADDRINUSE);
    char text[ADDR_TEXT_MAX], start[128];
    snprintf(start, sizeof(start),
             "cannot listen at %s: bind: ", addr_format(net_listener_addr(server.listener), text));
    assert_memory_equal(err.message, start, strlen(start));
}

static void several_loops_listen_at_one_port(void **state)
{
    static const struct net_listener_options shared = {.reuse_port = true};
    listen_at("127.0.0.1:0", &shared);
    struct net_listener *second = net_listener_new(loop, net_listener_addr(server.listener),
                                                   &shared, on_accept, on_overload, NULL, NULL);
    assert_non_null(second);
    net_listener_free(second);
}

static void many_connections_are_accepted_at_once(void **state)
{
    enum { NUM_CLIENTS = 150 };
    int clients[NUM_CLIENTS];
    listen_at("127.0.0.1:0", &plain);
    for (int i = 0; i < NUM_CLIENTS; i++) {
        clients[i] = new_client(AF_INET);
        connect_to(clients[i], "127.0.0.1");
    }
    server.stop_after = NUM_CLIENTS;
    net_loop_run(loop);
    assert_int_equal(server.num_accepted, NUM_CLIENTS);
    for (int i = 0; i < NUM_CLIENTS; i++)
        close(clients[i]);
}

static void a_listener_freed_while_it_accepts_accepts_no_more(void **state)
{
    int clients[3];
    listen_at("127.0.0.1:0", &plain);
    for (int i = 0; i < 3; i++) {
        clients[i] = new_client(AF_INET);
        connect_to(clients[i], "127.0.0.1");
    }
    server.free_listener = true;
    net_loop_run(loop);
    assert_int_equal(server.num_accepted, 1);
    char byte;
    assert_int_equal(read(clients[1], &byte, 1), -1);
    assert_int_equal(errno, ECONNRESET);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
}

/* ------------------------------------------------------------------------ out of descriptors -- */

enum { DESCRIPTORS_MAX = 256 };

static struct rlimit limit_before;

/* Takes every descriptor that the process may have. */
static void take_all_descriptors(void)
{
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
    const struct rlimit low = {.rlim_cur = DESCRIPTORS_MAX, .rlim_max = limit_before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int fd;
    while ((fd = dup(STDIN_FILENO)) >= 0)
        fillers[num_fillers++] = fd;
    assert_int_equal(errno, EMFILE);
}

static void give_descriptors_back(void)
{
    while (num_fillers > 0)
        close(fillers[--num_fillers]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
}

static void assert_reset(int fd)
{
    char byte;
    assert_int_equal(read(fd, &byte, 1), -1);
    assert_int_equal(errno, ECONNRESET);
}

static void without_descriptors_connections_are_dropped_and_told_once(void **state)
{
    int clients[4];
    listen_at("127.0.0.1:0", &plain);
    for (int i = 0; i < 4; i++)
        clients[i] = new_client(AF_INET);
    take_all_descriptors();
    for (int i = 0; i < 3; i++)
        connect_to(clients[i], "127.0.0.1");
    net_loop_run(loop);
    assert_int_equal(server.num_accepted, 0);
    assert_int_equal(server.num_overload, 1);
    for (int i = 0; i < 3; i++)
        assert_reset(clients[i]);

    give_descriptors_back();
    connect_to(clients[3], "127.0.0.1");
    net_loop_run(loop);
    assert_int_equal(server.num_accepted, 1);
    for (int i = 0; i < 4; i++)
        close(clients[i]);
}

static void the_last_descriptors_are_left_to_others(void **state)
{
    enum { LEFT = 10 };
    int clients[2];
    listen_at("127.0.0.1:0", &plain);
    for (int i = 0; i < 2; i++)
        clients[i] = new_client(AF_INET);
    take_all_descriptors();
    while (fillers[num_fillers - 1] >= DESCRIPTORS_MAX - LEFT)
        close(fillers[--num_fillers]);
    net_loop_leave_descriptors(loop, LEFT);
    connect_to(clients[0], "127.0.0.1");
    net_loop_run(loop);
    assert_int_equal(server.num_accepted, 0);
    assert_int_equal(server.num_overload, 1);
    assert_reset(clients[0]);
    int other = __real_open("/dev/null", O_RDONLY);
    assert_true(other >= 0);
    close(other);

    close(fillers[--num_fillers]);
    connect_to(clients[1], "127.0.0.1");
    net_loop_run(loop);
    assert_int_equal(server.num_accepted, 1);
    give_descriptors_back();
    for (int i = 0; i < 2; i++)
        close(clients[i]);
}

static void stop_loop(void *owner)
{
    net_loop_stop(loop);
}

static void a_lost_reserve_is_made_good(void **state)
{
    int clients[3];
    listen_at("127.0.0.1:0", &plain);
    for (int i = 0; i < 3; i++)
        clients[i] = new_client(AF_INET);
    take_all_descriptors();
    faster_thread = true;
    /* The reserve is spent on the first connection and does not come back. The second waits. */
    connect_to(clients[0], "127.0.0.1");
    connect_to(clients[1], "127.0.0.1");
    net_loop_run(loop);
    assert_int_equal(server.num_overload, 1);
    assert_reset(clients[0]);
    assert_int_equal(server.num_accepted, 0);

    faster_thread = false;
    give_descriptors_back();
    net_loop_run(loop);
    assert_int_equal(server.num_accepted, 1);

    /* It is there when it is needed again. on_overload is not told, so soon after the first time. */
    take_all_descriptors();
    connect_to(clients[2], "127.0.0.1");
    struct net_poll *dropped = net_poll_new(loop, clients[2], stop_loop, NULL, NULL);
    assert_non_null(dropped);
    net_loop_run(loop);
    net_poll_free(dropped);
    assert_reset(clients[2]);
    give_descriptors_back();
    for (int i = 0; i < 3; i++)
        close(clients[i]);
}

static void without_a_descriptor_for_it_no_listener_is_made(void **state)
{
    take_all_descriptors();
    struct addr at = addr_of("127.0.0.1:0");
    struct err err;
    assert_null(net_listener_new(loop, &at, &plain, on_accept, on_overload, NULL, &err));
    assert_int_equal(err.sys, EMFILE);
    close(fillers[--num_fillers]); /* enough for the socket, not for its reserve */
    assert_null(net_listener_new(loop, &at, &plain, on_accept, on_overload, NULL, &err));
    assert_int_equal(err.sys, EMFILE);
    give_descriptors_back();
}

#define LOOP_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(connections_carry_the_addresses_of_both_ends),
        LOOP_TEST(accepted_connections_have_the_options),
        LOOP_TEST(without_ipv6_any_address_is_any_ipv4_address),
        LOOP_TEST(an_address_in_use_is_an_error_that_names_it),
        LOOP_TEST(several_loops_listen_at_one_port),
        LOOP_TEST(many_connections_are_accepted_at_once),
        LOOP_TEST(a_listener_freed_while_it_accepts_accepts_no_more),
        LOOP_TEST(without_descriptors_connections_are_dropped_and_told_once),
        LOOP_TEST(the_last_descriptors_are_left_to_others),
        LOOP_TEST(a_lost_reserve_is_made_good),
        LOOP_TEST(without_a_descriptor_for_it_no_listener_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
