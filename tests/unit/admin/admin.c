#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin.h"
#include "http_client.h"

struct fixture {
    struct net_loop *loop;
    struct readiness readiness;
    size_t condition;
    struct telemetry_hub *hub;
    struct admin *admin;
    const char *stuck;
    unsigned num_collected;
    const struct addr *ask_at;
    const char *request;
    char *answer;
};

static void collect(void *owner, struct telemetry_control *control)
{
    struct fixture *fixture = owner;
    fixture->num_collected++;
    control->ready = true;
    control->num_workloads = 42;
}

static int find_stuck(void *owner, struct buf *out)
{
    const struct fixture *fixture = owner;
    return fixture->stuck == NULL ? 0 : buf_append_str(out, fixture->stuck);
}

static void set_up(struct fixture *fixture)
{
    struct err err;
    *fixture = (struct fixture){.loop = net_loop_new(&err)};
    fixture->condition = readiness_add(&fixture->readiness, "certificate", "none yet");
    struct telemetry_hub_options hub_options = {.access_log = false};
    fixture->hub = telemetry_hub_new(&hub_options, &err);
    struct addr loopback = {.ip = {.family = IP_V4, .bytes = {127, 0, 0, 1}}};
    struct admin_options options = {
        .readiness_addr = loopback,
        .metrics_addr = loopback,
        .readiness = &fixture->readiness,
        .telemetry = fixture->hub,
        .collect = collect,
        .find_stuck = find_stuck,
        .owner = fixture,
    };
    fixture->admin = admin_new(fixture->loop, &options, &err);
    if (fixture->admin == NULL)
        fail_msg("%s", err.message);
}

static void tear_down(struct fixture *fixture)
{
    admin_free(fixture->admin);
    telemetry_hub_free(fixture->hub, 0);
    assert_int_equal(net_loop_free(fixture->loop), 0);
}

static void ask(void *arg)
{
    struct fixture *fixture = arg;
    fixture->answer = http_client_ask(fixture->ask_at, fixture->request);
}

static void assert_answer(struct fixture *fixture, const struct addr *at, const char *request,
                          const char *status, const char *contains)
{
    fixture->ask_at = at;
    fixture->request = request;
    http_client_run(fixture->loop, ask, fixture);
    if (strncmp(fixture->answer, status, strlen(status)) != 0 ||
        strstr(fixture->answer, contains) == NULL)
        fail_msg("to:\n%s\ncame:\n%s", request, fixture->answer);
    free(fixture->answer);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static void readiness_is_told_in_words(void **state)
{
    struct fixture fixture;
    set_up(&fixture);
    const struct addr *at = admin_readiness_addr(fixture.admin);
    assert_answer(&fixture, at, GET("/healthz/ready"), "HTTP/1.1 503",
                  "\r\n\r\nnot ready\ncertificate: none yet\n");
    readiness_set_met(&fixture.readiness, fixture.condition);
    assert_answer(&fixture, at, GET("/healthz/ready"), "HTTP/1.1 200", "\r\n\r\nready\n");
    assert_answer(&fixture, at, GET("/metrics"), "HTTP/1.1 404", "not found");
    tear_down(&fixture);
}

static void liveness_names_what_is_stuck(void **state)
{
    struct fixture fixture;
    set_up(&fixture);
    const struct addr *at = admin_readiness_addr(fixture.admin);
    assert_answer(&fixture, at, GET("/healthz/live"), "HTTP/1.1 200", "\r\n\r\nlive\n");
    fixture.stuck = "worker 1 has not reacted for 12000 ms\n";
    assert_answer(&fixture, at, GET("/healthz/live"), "HTTP/1.1 503",
                  "\r\n\r\nworker 1 has not reacted for 12000 ms\n");
    tear_down(&fixture);
}

static void metrics_come_in_the_format_that_is_asked_for(void **state)
{
    struct fixture fixture;
    set_up(&fixture);
    const struct addr *at = admin_metrics_addr(fixture.admin);
    assert_answer(&fixture, at, GET("/metrics"), "HTTP/1.1 200",
                  "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    assert_answer(&fixture, at, GET("/stats/prometheus"), "HTTP/1.1 200",
                  "\nremora_discovery_workloads 42\n");
    assert_answer(
        &fixture, at,
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n",
        "HTTP/1.1 200", "\n# EOF\n");
    assert_int_equal(fixture.num_collected, 3);
    assert_answer(&fixture, at, GET("/healthz/ready"), "HTTP/1.1 404", "not found");
    tear_down(&fixture);
}

static void taken_port_is_said_to_be_the_metrics_port(void **state)
{
    struct fixture fixture;
    set_up(&fixture);
    struct err err;
    struct addr loopback = {.ip = {.family = IP_V4, .bytes = {127, 0, 0, 1}}};
    struct admin_options options = {
        .readiness_addr = loopback,
        .metrics_addr = *admin_metrics_addr(fixture.admin),
        .readiness = &fixture.readiness,
        .telemetry = fixture.hub,
        .collect = collect,
        .find_stuck = find_stuck,
    };
    struct net_loop *loop = net_loop_new(&err);
    assert_null(admin_new(loop, &options, &err));
    assert_memory_equal(err.message, "metrics port: ", 14);
    assert_int_equal(net_loop_free(loop), 0);
    tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readiness_is_told_in_words),
        cmocka_unit_test(liveness_names_what_is_stuck),
        cmocka_unit_test(metrics_come_in_the_format_that_is_asked_for),
        cmocka_unit_test(taken_port_is_said_to_be_the_metrics_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
