/* The cache: what an agent that starts without a control plane knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "source_world.h"

static char dir[64];
static char path[96];

static int cache_setup(void **state)
{
    struct world *world;
    snprintf(dir, sizeof(dir), "/dev/shm/remora-xds-XXXXXX");
    if (mkdtemp(dir) == NULL || world_setup(state) != 0)
        return -1;
    world = *state;
    snprintf(path, sizeof(path), "%s/discovery", dir);
    world->options.cache_file = path;
    world->options.client.backoff_max_ms = 5;
    return 0;
}

static int cache_teardown(void **state)
{
    unlink(path);
    rmdir(dir);
    return world_teardown(state);
}

static bool has_own(struct world *world)
{
    return world_has_workload(world, "own");
}

static bool has_endpoint(struct world *world)
{
    return world_has_workload(world, "e/1");
}

static void stop(struct world *world)
{
    xds_source_free(world->source);
    world->source = NULL;
    mesh_snapshot_unref(world->snapshot);
    world->snapshot = NULL;
    world->num_snapshots = world->num_connected = world->num_disconnected = 0;
}

/* An agent that has learnt something, and is gone. */
static void live_and_stop(struct world *world)
{
    istiod_put_workload(world->istiod, "own", "10.0.0.1", NULL);
    istiod_put_service(world->istiod, "shop/web", "10.1.0.1");
    istiod_put_workload(world->istiod, "e/1", "10.0.0.2", "shop/web");
    istiod_put_policy(world->istiod, "shop/deny", true);
    world_start(world);
    world_run(world, has_own);
    world_ask(world, "/10.1.0.1");
    world_run(world, has_endpoint);
    stop(world);
}

static bool is_from_server(struct world *world)
{
    struct xds_source_stats stats;
    xds_source_stats(world->source, &stats);
    return stats.connected && !stats.from_cache && world->num_snapshots > 0;
}

static void an_agent_without_a_server_knows_what_it_knew(void **state)
{
    struct world *world = *state;
    struct xds_source_stats stats;
    struct stat st;
    live_and_stop(world);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    const char *address = world->options.client.channel.address;
    world->options.client.channel.address = "tcp://127.0.0.1:1";
    world_start(world);
    world_run(world, has_own);
    assert_true(has_endpoint(world));
    assert_non_null(mesh_snapshot_service(world->snapshot, "shop/web"));
    assert_non_null(mesh_snapshot_policy(world->snapshot, "shop/deny"));
    assert_true(world_is_answered(world, "/10.1.0.1"));
    xds_source_stats(world->source, &stats);
    assert_true(stats.from_cache);
    assert_string_equal(world->trouble, "");
    stop(world);

    world->options.client.channel.address = address;
    istiod_remove(world->istiod, XDS_AUTHORIZATION, "shop/deny");
    world_start(world);
    world_run(world, is_from_server);
    assert_true(has_endpoint(world));
    assert_null(mesh_snapshot_policy(world->snapshot, "shop/deny"));
}

static void expect_trouble(struct world *world, const char *words)
{
    const char *address = world->options.client.channel.address;
    world->options.client.channel.address = "tcp://127.0.0.1:1";
    world->trouble[0] = '\0';
    world_start(world);
    bool done = false;
    for (int i = 0; i < 20; i++) {
        done = true;
        peer_run(world->peer, &done);
    }
    if (strstr(world->trouble, words) == NULL)
        fail_msg("%s", world->trouble);
    assert_null(world->snapshot);
    world->options.client.channel.address = address;
    stop(world);
}

static void rewrite(const void *bytes, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
    chmod(path, 0600);
}

static size_t read_file(uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(bytes, 1, size, file);
    fclose(file);
    return len;
}

static void what_is_not_whole_or_not_ours_is_not_believed(void **state)
{
    struct world *world = *state;
    uint8_t bytes[16 * 1024];
    live_and_stop(world);
    size_t len = read_file(bytes, sizeof(bytes));
    rewrite(bytes, len - 5); /* without its end */
    expect_trouble(world, "is not whole");
    rewrite(bytes, len / 2);
    expect_trouble(world, "is ");
    rewrite("", 0);
    expect_trouble(world, "is not whole");
    rewrite(bytes, len);
    world->options.node.pod_name = "another";
    expect_trouble(world, "is another pod's");
    world->options.node.pod_name = "cart";
    world->options.wildcard = true; /* what is not in it would count as outside of the mesh */
    expect_trouble(world, "of another way of discovery");
    world->options.wildcard = false;
    chmod(path, 0644);
    expect_trouble(world, "cache");
}

/* Its name, or what its content says it is: one of the two is another now. */
static void garble(uint8_t *bytes, size_t len, const char *name)
{
    uint8_t *at = memmem(bytes, len, name, strlen(name));
    assert_non_null(at);
    at[0] = (uint8_t)(at[0] - 'a' + 'A');
    rewrite(bytes, len);
}

static void a_resource_that_cannot_be_used_is_left_out(void **state)
{
    struct world *world = *state;
    uint8_t bytes[16 * 1024];
    live_and_stop(world);
    size_t len = read_file(bytes, sizeof(bytes));
    garble(bytes, len, "e/1");
    world->options.client.channel.address = "tcp://127.0.0.1:1";
    world_start(world);
    world_run(world, has_own);
    assert_non_null(strstr(world->trouble, "1 resources cannot be used"));
    assert_false(has_endpoint(world));
}

static void a_mesh_without_one_of_its_policies_is_not_believed(void **state)
{
    struct world *world = *state;
    uint8_t bytes[16 * 1024];
    live_and_stop(world);
    garble(bytes, read_file(bytes, sizeof(bytes)), "deny");
    expect_trouble(world, "1 resources cannot be used");
    world_start(world);
    world_run(world, is_from_server);
    assert_non_null(mesh_snapshot_policy(world->snapshot, "shop/deny"));
}

static bool was_told_of_the_change(struct world *world)
{
    struct xds_source_stats stats;
    xds_source_stats(world->source, &stats);
    return stats.num_updates[XDS_ADDRESS] == 2;
}

/* A server would never send again what the agent says that it holds. */
static void what_is_written_is_of_the_version_that_it_says(void **state)
{
    struct world *world = *state;
    world->options.coalesce_ms = 60 * 1000; /* the change is not given out before the end */
    istiod_put_workload(world->istiod, "own", "10.0.0.1", NULL);
    world_start(world);
    world_run(world, has_own);
    istiod_put_workload(world->istiod, "own", "10.0.0.1", "shop/web");
    world_push(world);
    world_run(world, was_told_of_the_change);
    assert_int_equal(world->num_snapshots, 1);
    stop(world);
    world->options.client.channel.address = "tcp://127.0.0.1:1";
    world_start(world);
    world_run(world, has_own);
    assert_int_equal(mesh_snapshot_workload_by_uid(world->snapshot, "own")->num_services, 1);
}

static bool has_trouble(struct world *world)
{
    return world->trouble[0] != '\0' && has_own(world);
}

static void an_agent_that_may_not_cache_runs_without(void **state)
{
    struct world *world = *state;
    world->options.cache_file = "/proc/remora/discovery";
    istiod_put_workload(world->istiod, "own", "10.0.0.1", NULL);
    world_start(world);
    world_run(world, has_trouble);
    assert_int_equal(strncmp(world->trouble, "cache: ", 7), 0);
}

#define CACHE_TEST(f) cmocka_unit_test_setup_teardown(f, cache_setup, cache_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CACHE_TEST(an_agent_without_a_server_knows_what_it_knew),
        CACHE_TEST(what_is_not_whole_or_not_ours_is_not_believed),
        CACHE_TEST(a_resource_that_cannot_be_used_is_left_out),
        CACHE_TEST(a_mesh_without_one_of_its_policies_is_not_believed),
        CACHE_TEST(what_is_written_is_of_the_version_that_it_says),
        CACHE_TEST(an_agent_that_may_not_cache_runs_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
