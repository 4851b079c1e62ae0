#include "workers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "mesh_builder.h"

struct fixture {
    struct agent_config config;
    struct net_loop *loop;
    struct telemetry_hub *telemetry;
    struct workers *workers;
    unsigned num_drained;
};

static void on_drained(void *owner)
{
    struct fixture *fixture = owner;
    fixture->num_drained++;
    net_loop_stop(fixture->loop);
}

static void on_ask(void *owner, const char *name)
{
    fail_msg("nobody waits for %s", name);
}

static const struct workers_handler handler = {.on_drained = on_drained, .on_ask = on_ask};

/* Ports of 0: each listener gets one of its own. */
static void set_up(struct fixture *fixture, unsigned num_workers)
{
    struct err err;
    *fixture = (struct fixture){
        .config = {.pod_name = "me",
                   .pod_namespace = "shop",
                   .service_account = "sa",
                   .network = "",
                   .cluster_id = "c",
                   .local_file = "",
                   .workers = num_workers,
                   .connect_timeout_ms = 1000,
                   .tls_timeout_ms = 1000,
                   .tunnel_answer_timeout_ms = 1000,
                   .http2_ping_interval_ms = 10000,
                   .http2_ping_timeout_ms = 10000,
                   .http2_stream_window = 65535,
                   .http2_connection_window = 65535,
                   .http2_frame_size = 16384,
                   .http2_max_streams = 100,
                   .pool_max_streams = 100,
                   .pool_idle_timeout_ms = 1000,
                   .max_connections = 100},
        .loop = net_loop_new(&err),
    };
    const struct telemetry_hub_options telemetry = {.access_log = false};
    fixture->telemetry = telemetry_hub_new(&telemetry, &err);
    fixture->workers =
        workers_new(fixture->loop, &fixture->config, fixture->telemetry, &handler, fixture, &err);
    if (fixture->workers == NULL)
        fail_msg("%s", err.message);
}

static void tear_down(struct fixture *fixture)
{
    workers_free(fixture->workers);
    telemetry_hub_free(fixture->telemetry, 0);
    assert_int_equal(net_loop_free(fixture->loop), 0);
}

static struct mesh_snapshot *empty_mesh(void)
{
    struct err err;
    struct mesh_builder *builder = mesh_builder_new(NULL);
    struct mesh_snapshot *snapshot = mesh_builder_build(builder, NULL, &err);
    mesh_builder_free(builder);
    assert_non_null(snapshot);
    return snapshot;
}

static void start(struct fixture *fixture)
{
    struct err err;
    assert_int_equal(workers_start(fixture->workers, &err), 0);
}

static void drained_once_when_every_worker_has_drained(void **state)
{
    struct fixture fixture;
    set_up(&fixture, 3);
    start(&fixture);
    workers_start_drain(fixture.workers, 5000);
    net_loop_run(fixture.loop);
    assert_int_equal(fixture.num_drained, 1);
    tear_down(&fixture);
}

static void what_is_published_is_released(void **state)
{
    struct fixture fixture;
    set_up(&fixture, 2);
    struct mesh_snapshot *first = empty_mesh();
    struct mesh_snapshot *second = empty_mesh();
    workers_publish_mesh(fixture.workers, first); /* before the threads run: waits in the mailbox */
    workers_publish_mesh(fixture.workers, second);
    workers_publish_tls(fixture.workers, NULL);
    start(&fixture);
    workers_publish_mesh(fixture.workers, first);
    mesh_snapshot_unref(first);
    mesh_snapshot_unref(second);
    workers_start_drain(fixture.workers, 5000);
    net_loop_run(fixture.loop);
    tear_down(&fixture); /* the leak checker has the last word */
}

static void ended_without_drain_and_without_start(void **state)
{
    struct fixture fixture;
    set_up(&fixture, 2);
    struct mesh_snapshot *mesh = empty_mesh();
    workers_publish_mesh(fixture.workers, mesh);
    mesh_snapshot_unref(mesh);
    tear_down(&fixture);
    set_up(&fixture, 2);
    start(&fixture);
    tear_down(&fixture);
}

/* A worker whose thread does not run is one that does not react. */
static void worker_that_does_not_react_is_named(void **state)
{
    struct fixture fixture;
    set_up(&fixture, 2);
    struct buf out = {0};
    assert_int_equal(workers_find_stuck(fixture.workers, 0, &out), 0); /* asks */
    assert_int_equal(buf_len(&out), 0);
    for (uint64_t asked_ms = clock_mono_ms(); clock_mono_ms() <= asked_ms + 1;)
        continue;
    assert_int_equal(workers_find_stuck(fixture.workers, 0, &out), 0);
    assert_int_equal(buf_append(&out, "", 1), 0);
    assert_non_null(strstr((const char *)buf_head(&out), "worker 0 has not reacted for "));
    assert_non_null(strstr((const char *)buf_head(&out), "worker 1 has not reacted for "));
    buf_done(&out);

    start(&fixture); /* they answer now */
    workers_start_drain(fixture.workers, 5000);
    net_loop_run(fixture.loop);
    assert_int_equal(workers_find_stuck(fixture.workers, 0, &out), 0);
    assert_int_equal(buf_len(&out), 0);
    buf_done(&out);
    tear_down(&fixture);
}

static void port_that_is_taken_names_worker_and_port(void **state)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_storage sockaddr;
    struct addr addr = {.ip = {.family = IP_V4}};
    socklen_t len = addr_to_sockaddr(&addr, &sockaddr);
    struct err err;
    assert_int_equal(bind(fd, (struct sockaddr *)&sockaddr, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sockaddr, &len), 0);
    assert_int_equal(addr_from_sockaddr(&addr, (struct sockaddr *)&sockaddr, &err), 0);

    struct fixture fixture;
    set_up(&fixture, 1);
    fixture.config.hbone_port = addr.port;
    assert_null(
        workers_new(fixture.loop, &fixture.config, fixture.telemetry, &handler, &fixture, &err));
    char port[16];
    snprintf(port, sizeof(port), ":%u", addr.port);
    assert_memory_equal(err.message, "worker 0: ", 10);
    assert_non_null(strstr(err.message, port));
    close(fd);
    tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drained_once_when_every_worker_has_drained),
        cmocka_unit_test(what_is_published_is_released),
        cmocka_unit_test(ended_without_drain_and_without_start),
        cmocka_unit_test(worker_that_does_not_react_is_named),
        cmocka_unit_test(port_that_is_taken_names_worker_and_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
