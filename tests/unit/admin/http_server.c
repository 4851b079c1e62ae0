#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_client.h"
#include "http_server.h"

struct fixture {
    struct net_loop *loop;
    struct http_server *server;
    struct http_route routes[2];
    unsigned num_calls;
    char *answer;
    bool all_right; /* what a script found; asserted on the test's thread */
};

static void on_get_small(void *owner, const struct http_request *request,
                         struct http_response *response)
{
    struct fixture *fixture = owner;
    fixture->num_calls++;
    response->content_type = "text/x-test";
    buf_printf(&response->body, "accept=%s\n", request->accept == NULL ? "-" : request->accept);
}

enum { LARGE = 12 * 1024 * 1024 }; /* more than the kernel takes for a reader who does not read */

static void on_get_large(void *owner, const struct http_request *request,
                         struct http_response *response)
{
    uint8_t *bytes = buf_reserve(&response->body, LARGE);
    memset(bytes, 'l', LARGE);
    buf_commit(&response->body, LARGE);
}

static struct addr address(const char *text)
{
    struct addr addr;
    struct err err;
    assert_int_equal(addr_parse(&addr, text, &err), 0);
    return addr;
}

static void set_up_at(struct fixture *fixture, const char *at)
{
    struct err err;
    *fixture = (struct fixture){.loop = net_loop_new(&err)};
    assert_non_null(fixture->loop);
    fixture->routes[0] = (struct http_route){"/small", on_get_small, fixture};
    fixture->routes[1] = (struct http_route){"/large", on_get_large, fixture};
    struct addr addr = address(at);
    fixture->server = http_server_new(fixture->loop, &addr, fixture->routes, 2, &err);
    if (fixture->server == NULL)
        fail_msg("%s", err.message);
}

static void tear_down(struct fixture *fixture)
{
    http_server_free(fixture->server);
    assert_int_equal(net_loop_free(fixture->loop), 0);
    free(fixture->answer);
}

/* ---------------------------------------------------------------------------- requests, answers -- */

struct exchange {
    struct fixture *fixture;
    const char *request;
};

static void ask(void *arg)
{
    struct exchange *exchange = arg;
    exchange->fixture->answer =
        http_client_ask(http_server_addr(exchange->fixture->server), exchange->request);
}

static void requests_get_their_answers(void **state)
{
    static const struct {
        const char *request;
        const char *status;   /* how the answer begins */
        const char *contains; /* and what is in it */
    } cases[] = {
        {"GET /small HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200", "\r\n\r\naccept=-\n"},
        {"GET /small HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200", "Content-Type: text/x-test\r\n"},
        {"GET /small HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200", "Connection: close\r\n"},
        {"GET /small?a=b HTTP/1.1\r\nHost: x\r\nAccept: a/b\r\n\r\n", "HTTP/1.1 200", "accept=a/b"},
        {"GET /small HTTP/1.0\r\n\r\n", "HTTP/1.", " 200"},
        {"HEAD /small HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200", "Content-Length: 9\r\n"},
        {"GET /other HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404", "not found\n"},
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404", "not found\n"},
        {"GET /small/ HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404", "not found\n"},
        {"POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 405",
         "Allow: GET, HEAD\r\n"},
        {"DELETE /small HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405", "method not allowed\n"},
        {"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404", "not found\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        set_up_at(&fixture, "127.0.0.1:0");
        struct exchange exchange = {&fixture, cases[i].request};
        http_client_run(fixture.loop, ask, &exchange);
        if (strncmp(fixture.answer, cases[i].status, strlen(cases[i].status)) != 0 ||
            strstr(fixture.answer, cases[i].contains) == NULL)
            fail_msg("to:\n%s\ncame:\n%s", cases[i].request, fixture.answer);
        tear_down(&fixture);
    }
}

/* What the server makes of garbage, an error answer or more waiting, is its own affair. */
static void send_garbage_then_ask(void *arg)
{
    struct exchange *exchange = arg;
    struct fixture *fixture = exchange->fixture;
    int fd = http_client_connect(http_server_addr(fixture->server));
    http_client_send(fd, exchange->request, strlen(exchange->request));
    exchange->request = "GET /small HTTP/1.1\r\nHost: x\r\n\r\n";
    ask(exchange);
    char answer[1024] = {0};
    recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);
    fixture->all_right = strstr(answer, "200 OK") == NULL;
    close(fd);
}

static void garbage_reaches_no_handler_and_is_survived(void **state)
{
    static char long_header[32 * 1024];
    memset(long_header, 'h', sizeof(long_header) - 1);
    memcpy(long_header, "GET /small HTTP/1.1\r\nHost: x\r\nA: ", 34);
    memcpy(long_header + sizeof(long_header) - 5, "\r\n\r\n", 5);
    static const char *const cases[] = {
        "\r\n\r\n\r\n\r\n",
        "\x16\x03\x01\x02\x01 a TLS hello \r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET\r\n\r\n",
        "GET /small\r\n\r\n",
        "GET /small HTTP/1.1\r\nContent-Length: -1\r\nHost: x\r\n\r\n",
        long_header,
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        set_up_at(&fixture, "127.0.0.1:0");
        struct exchange exchange = {&fixture, cases[i]};
        http_client_run(fixture.loop, send_garbage_then_ask, &exchange);
        if (!fixture.all_right)
            fail_msg("a handler answered to:\n%s", cases[i]);
        assert_non_null(strstr(fixture.answer, "200 OK"));
        assert_int_equal(fixture.num_calls, 1);
        tear_down(&fixture);
    }
}

static void bytes_may_come_one_by_one(void *arg)
{
    struct fixture *fixture = arg;
    static const char request[] = "GET /small HTTP/1.1\r\nHost: x\r\nAccept: y\r\n\r\n";
    int fd = http_client_connect(http_server_addr(fixture->server));
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    for (size_t i = 0; i < sizeof(request) - 1; i++)
        http_client_send(fd, request + i, 1);
    fixture->answer = http_client_read_all(fd);
}

static void request_in_single_bytes_is_answered(void **state)
{
    struct fixture fixture;
    set_up_at(&fixture, "127.0.0.1:0");
    http_client_run(fixture.loop, bytes_may_come_one_by_one, &fixture);
    assert_non_null(strstr(fixture.answer, "accept=y\n"));
    tear_down(&fixture);
}

static void large_answer_arrives_whole(void **state)
{
    struct fixture fixture;
    set_up_at(&fixture, "127.0.0.1:0");
    struct exchange exchange = {&fixture, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n"};
    http_client_run(fixture.loop, ask, &exchange);
    const char *body = strstr(fixture.answer, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(strlen(body + 4), LARGE);
    assert_int_equal(strspn(body + 4, "l"), LARGE);
    tear_down(&fixture);
}

static void dual_stack_wildcard_takes_both_families(void *arg)
{
    struct fixture *fixture = arg;
    static const char request[] = "GET /small HTTP/1.1\r\nHost: x\r\n\r\n";
    struct addr v4 = {.ip = {.family = IP_V4}, .port = http_server_addr(fixture->server)->port};
    char *answer = http_client_ask(&v4, request);
    fixture->all_right = strstr(answer, "200 OK") != NULL;
    free(answer);
    if (http_server_addr(fixture->server)->ip.family == IP_V6) { /* else the kernel has no IPv6 */
        answer = http_client_ask(http_server_addr(fixture->server), request);
        fixture->all_right = fixture->all_right && strstr(answer, "200 OK") != NULL;
        free(answer);
    }
}

static void wildcard_takes_ipv4_and_ipv6(void **state)
{
    struct fixture fixture;
    set_up_at(&fixture, "[::]:0");
    http_client_run(fixture.loop, dual_stack_wildcard_takes_both_families, &fixture);
    assert_true(fixture.all_right);
    tear_down(&fixture);
}

static void port_that_is_taken_is_named(void **state)
{
    struct fixture fixture;
    set_up_at(&fixture, "127.0.0.1:0");
    struct err err;
    struct net_loop *loop = net_loop_new(&err);
    const struct addr *taken = http_server_addr(fixture.server);
    assert_null(http_server_new(loop, taken, fixture.routes, 2, &err));
    assert_int_equal(err.kind, ERR_SYSTEM);
    char text[ADDR_TEXT_MAX];
    assert_non_null(strstr(err.message, addr_format(taken, text)));
    assert_int_equal(net_loop_free(loop), 0);
    tear_down(&fixture);
}

/* ------------------------------------------------------------------------------------- floods -- */

/* More clients than places hold half a request each; who comes with a whole one is served. */
static void crowd(void *arg)
{
    struct fixture *fixture = arg;
    enum { NUM = HTTP_SERVER_CONNECTIONS_MAX * 3 };
    int fds[NUM];
    const struct addr *at = http_server_addr(fixture->server);
    for (size_t i = 0; i < NUM; i++) {
        fds[i] = http_client_connect(at);
        http_client_send(fds[i], "GET /sm", 7);
    }
    fixture->answer = http_client_ask(at, "GET /small HTTP/1.1\r\nHost: x\r\n\r\n");
    /* The first ones made room; the last still has its place. */
    char *evicted = http_client_read_all(fds[0]);
    http_client_send(fds[NUM - 1], "all HTTP/1.1\r\nHost: x\r\n\r\n", 25);
    char *last = http_client_read_all(fds[NUM - 1]);
    fixture->all_right = strstr(evicted, "200") == NULL && strstr(last, "200 OK") != NULL;
    free(evicted);
    free(last);
    for (size_t i = 1; i < NUM - 1; i++)
        close(fds[i]);
}

static void slow_clients_do_not_keep_others_out(void **state)
{
    struct fixture fixture;
    set_up_at(&fixture, "127.0.0.1:0");
    http_client_run(fixture.loop, crowd, &fixture);
    assert_non_null(strstr(fixture.answer, "200 OK"));
    assert_true(fixture.all_right);
    tear_down(&fixture);
}

/* Clients that ask for much and read nothing: at some point 503 instead of more memory. */
static void hoard(void *arg)
{
    struct fixture *fixture = arg;
    enum { NUM = HTTP_SERVER_CONNECTIONS_MAX - 1 };
    int fds[NUM];
    const struct addr *at = http_server_addr(fixture->server);
    for (size_t i = 0; i < NUM; i++) {
        fds[i] = http_client_connect(at);
        int small = 4096;
        setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        static const char request[] = "GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
        http_client_send(fds[i], request, sizeof(request) - 1);
        char first;
        recv(fds[i], &first, 1, 0); /* the answer is under way */
    }
    fixture->answer = http_client_ask(at, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    for (size_t i = 0; i < NUM; i++)
        close(fds[i]);
}

static void memory_of_answers_is_bounded(void **state)
{
    struct fixture fixture;
    set_up_at(&fixture, "127.0.0.1:0");
    http_client_run(fixture.loop, hoard, &fixture);
    assert_memory_equal(fixture.answer, "HTTP/1.1 503", 12);
    tear_down(&fixture);
}

/* A connection comes when there is no descriptor for it: it waits, and is served when there is. */
struct shortage {
    struct fixture *fixture;
    struct rlimit before;
    int client;
};

static void end_shortage(void *owner)
{
    struct shortage *shortage = owner;
    setrlimit(RLIMIT_NOFILE, &shortage->before);
}

static void read_answer(void *arg)
{
    struct shortage *shortage = arg;
    shortage->fixture->answer = http_client_read_all(shortage->client);
}

static void connection_waits_while_descriptors_are_out(void **state)
{
    struct fixture fixture;
    set_up_at(&fixture, "127.0.0.1:0");
    struct shortage shortage = {.fixture = &fixture};
    shortage.client = http_client_connect(http_server_addr(fixture.server));
    static const char request[] = "GET /small HTTP/1.1\r\nHost: x\r\n\r\n";
    http_client_send(shortage.client, request, sizeof(request) - 1);

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &shortage.before), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = shortage.before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct net_timer *timer = net_timer_new(fixture.loop, end_shortage, &shortage);
    net_timer_start(timer, 20);
    http_client_run(fixture.loop, read_answer, &shortage);
    assert_non_null(strstr(fixture.answer, "200 OK"));
    net_timer_free(timer);
    tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_get_their_answers),
        cmocka_unit_test(garbage_reaches_no_handler_and_is_survived),
        cmocka_unit_test(request_in_single_bytes_is_answered),
        cmocka_unit_test(large_answer_arrives_whole),
        cmocka_unit_test(wildcard_takes_ipv4_and_ipv6),
        cmocka_unit_test(port_that_is_taken_is_named),
        cmocka_unit_test(slow_clients_do_not_keep_others_out),
        cmocka_unit_test(memory_of_answers_is_bounded),
        cmocka_unit_test(connection_waits_while_descriptors_are_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
