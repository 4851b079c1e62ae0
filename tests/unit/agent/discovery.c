#include "discovery.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char path[64];
    struct agent_config config;
    struct readiness readiness;
    struct net_loop *loop;
    struct discovery *discovery;
    unsigned num_snapshots;
    struct mesh_snapshot *last; /* a reference */
};

static void on_snapshot(void *owner, struct mesh_snapshot *snapshot)
{
    struct fixture *fixture = owner;
    fixture->num_snapshots++;
    mesh_snapshot_unref(fixture->last);
    fixture->last = mesh_snapshot_ref(snapshot);
    net_loop_stop(fixture->loop);
}

static void write_file(const struct fixture *fixture, const char *text)
{
    FILE *file = fopen(fixture->path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

#define WORKLOAD(name)                                                                             \
    "workloads: [{uid: u, name: " name ", namespace: shop, serviceAccount: sa, trustDomain: td, "  \
    "workloadIps: [10.0.0.1], protocol: HBONE, services: {}}]\n"

static struct fixture *set_up(const char *text)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    strcpy(fixture->path, "/tmp/remora_discovery.XXXXXX");
    int fd = mkstemp(fixture->path);
    assert_true(fd >= 0);
    close(fd);
    if (text == NULL)
        unlink(fixture->path);
    else
        write_file(fixture, text);
    fixture->config =
        (struct agent_config){.pod_name = "me", .pod_namespace = "shop", .service_account = "sa"};
    fixture->config.local_file = fixture->path;
    struct err err;
    fixture->loop = net_loop_new(&err);
    assert_non_null(fixture->loop);
    const struct discovery_options options = {.config = &fixture->config,
                                              .readiness = &fixture->readiness,
                                              .on_snapshot = on_snapshot,
                                              .owner = fixture};
    fixture->discovery = discovery_new(fixture->loop, &options, &err);
    assert_non_null(fixture->discovery);
    return fixture;
}

static void tear_down(struct fixture *fixture)
{
    discovery_free(fixture->discovery);
    mesh_snapshot_unref(fixture->last);
    assert_int_equal(net_loop_free(fixture->loop), 0);
    unlink(fixture->path);
    free(fixture);
}

static void stop(void *owner)
{
    net_loop_stop(owner);
}

/* Runs until something was loaded, or until what is scheduled now has run: a failed load calls
 * nobody. */
static void run(struct fixture *fixture)
{
    struct net_timer *timer = net_timer_new(fixture->loop, stop, fixture->loop);
    net_timer_start(timer, 50);
    net_loop_run(fixture->loop);
    net_timer_free(timer);
}

static void assert_readiness(const struct fixture *fixture, const char *contains)
{
    struct buf text = {0};
    assert_int_equal(readiness_write(&fixture->readiness, &text), 0);
    assert_int_equal(buf_append(&text, "", 1), 0);
    if (strstr((const char *)buf_head(&text), contains) == NULL)
        fail_msg("\"%s\" is not in:\n%s", contains, buf_head(&text));
    buf_done(&text);
}

static void ready_when_the_file_knows_this_pod(void **state)
{
    struct fixture *fixture = set_up(WORKLOAD("me"));
    assert_readiness(fixture, "discovery: not loaded yet");
    run(fixture);
    assert_int_equal(fixture->num_snapshots, 1);
    assert_readiness(fixture, "ready\n");
    assert_true(readiness_is_ready(&fixture->readiness));

    struct telemetry_control control = {0};
    discovery_collect(fixture->discovery, &control);
    assert_int_equal(control.discovery_loads_ok, 1);
    assert_int_equal(control.num_workloads, 1);
    assert_true(control.discovery_last_success_ms > 0);
    tear_down(fixture);
}

static void not_ready_when_the_file_does_not_know_this_pod(void **state)
{
    struct fixture *fixture = set_up(WORKLOAD("other"));
    run(fixture);
    assert_int_equal(fixture->num_snapshots, 1); /* published all the same: policies count */
    assert_false(readiness_is_ready(&fixture->readiness));
    assert_readiness(fixture, "discovery: loaded, but it does not know this pod: me");
    tear_down(fixture);
}

static void missing_file_is_named_and_loaded_when_it_comes(void **state)
{
    struct fixture *fixture = set_up(NULL);
    run(fixture);
    assert_int_equal(fixture->num_snapshots, 0);
    assert_readiness(fixture, fixture->path);
    write_file(fixture, WORKLOAD("me"));
    discovery_reload(fixture->discovery);
    run(fixture);
    assert_int_equal(fixture->num_snapshots, 1);
    assert_true(readiness_is_ready(&fixture->readiness));
    tear_down(fixture);
}

static void bad_file_leaves_the_old_state_and_stays_ready(void **state)
{
    struct fixture *fixture = set_up(WORKLOAD("me"));
    run(fixture);
    write_file(fixture, "workloads: [{uid: u, bogus: 1}]\n");
    discovery_reload(fixture->discovery);
    run(fixture);
    assert_int_equal(fixture->num_snapshots, 1);
    assert_true(readiness_is_ready(&fixture->readiness));
    assert_non_null(mesh_snapshot_workload_by_name(fixture->last, "shop", "me", "sa"));

    struct telemetry_control control = {0};
    discovery_collect(fixture->discovery, &control);
    assert_int_equal(control.discovery_loads_ok, 1);
    assert_true(control.discovery_loads_failed >= 1);
    tear_down(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ready_when_the_file_knows_this_pod),
        cmocka_unit_test(not_ready_when_the_file_does_not_know_this_pod),
        cmocka_unit_test(missing_file_is_named_and_loaded_when_it_comes),
        cmocka_unit_test(bad_file_leaves_the_old_state_and_stays_ready),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
