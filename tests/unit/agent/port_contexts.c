#include "port_contexts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cert_builder.h"

enum { WATCHDOG_MS = 20 * 1000 };

static struct world {
    char path[48]; /* of the ports-file */
    struct cert_built *root;
    struct identity *identity;
    struct net_loop *loop;
    struct net_timer *watchdog;
    struct readiness readiness;
    struct port_contexts *contexts;
    unsigned num_tables;
    unsigned num_failures; /* that are still to come */
} world;

/* Instead of the real one, for as long as memory is short. */
struct port_table *__real_port_table_new(struct port_files *files, struct identity *identity,
                                         bool is_valid, struct err *err);
struct port_table *__wrap_port_table_new(struct port_files *files, struct identity *identity,
                                         bool is_valid, struct err *err);

struct port_table *__wrap_port_table_new(struct port_files *files, struct identity *identity,
                                         bool is_valid, struct err *err)
{
    if (world.num_failures == 0)
        return __real_port_table_new(files, identity, is_valid, err);
    world.num_failures--;
    err_set(err, ERR_NOMEM, "out of memory");
    return NULL;
}

static void on_table(void *owner, struct port_table *table)
{
    world.num_tables++;
    net_loop_stop(world.loop);
}

static void on_watchdog(void *owner)
{
    fail_msg("no table comes");
}

static void make_identity(void)
{
    struct err err;
    struct cert_built *leaf = cert_builder_leaf(world.root, "spiffe://td/ns/shop/sa/web");
    const char *key = cert_builder_key_pem(leaf), *chain = cert_builder_chain_pem(leaf);
    const char *roots = cert_builder_pem(world.root);
    struct svid *svid = svid_new_pem(key, strlen(key), chain, strlen(chain), &err);
    struct trust_bundle *bundle = trust_bundle_new_pem("td", roots, strlen(roots), &err);
    const struct trust trust = {.bundles = &bundle, .num_bundles = 1};
    world.identity = identity_new(svid, &trust, 1, &err);
    assert_non_null(world.identity);
    trust_bundle_unref(bundle);
    svid_unref(svid);
    cert_builder_free(leaf);
}

static void make_contexts(const char *path)
{
    const struct port_contexts_options options = {
        .path = path, .readiness = &world.readiness, .on_table = on_table};
    struct err err;
    world.contexts = port_contexts_new(world.loop, &options, &err);
    assert_non_null(world.contexts);
    port_contexts_start(world.contexts);
    assert_int_equal(world.num_tables, 1); /* without contexts yet */
}

static int set_up(void **state)
{
    struct err err;
    world = (struct world){.path = "/tmp/remora-port-contexts-XXXXXX"};
    int fd = mkstemp(world.path);
    assert_int_equal(write(fd, "{}\n", 3), 3);
    close(fd);
    world.root = cert_builder_root("root");
    make_identity();
    world.loop = net_loop_new(&err);
    world.watchdog = net_timer_new(world.loop, on_watchdog, NULL);
    return 0;
}

static int tear_down(void **state)
{
    port_contexts_free(world.contexts);
    net_timer_free(world.watchdog);
    identity_unref(world.identity);
    cert_builder_free(world.root);
    unlink(world.path);
    return net_loop_free(world.loop);
}

static void run_until_table(void)
{
    unsigned num_tables = world.num_tables;
    net_timer_start(world.watchdog, WATCHDOG_MS);
    while (world.num_tables == num_tables)
        net_loop_run(world.loop);
    net_timer_stop(world.watchdog);
}

static void what_failed_for_the_first_identity_is_mended_by_the_next(void **state)
{
    make_contexts(world.path);
    assert_true(readiness_is_ready(&world.readiness));
    world.num_failures = 1;
    port_contexts_set_identity(world.contexts, world.identity);
    assert_int_equal(world.num_tables, 1);
    assert_false(readiness_is_ready(&world.readiness));
    port_contexts_set_identity(world.contexts, world.identity);
    assert_int_equal(world.num_tables, 2);
    assert_true(readiness_is_ready(&world.readiness));
}

static void what_failed_for_the_first_identity_is_tried_again(void **state)
{
    make_contexts(world.path);
    world.num_failures = 2;
    port_contexts_set_identity(world.contexts, world.identity);
    assert_false(readiness_is_ready(&world.readiness));
    run_until_table();
    assert_int_equal(world.num_failures, 0);
    assert_true(readiness_is_ready(&world.readiness));
}

static void what_failed_for_a_later_identity_leaves_the_agent_ready_and_is_tried_again(void **state)
{
    make_contexts(world.path);
    port_contexts_set_identity(world.contexts, world.identity);
    assert_int_equal(world.num_tables, 2);
    world.num_failures = 1;
    port_contexts_set_identity(world.contexts, NULL);
    assert_int_equal(world.num_tables, 2);
    assert_true(readiness_is_ready(&world.readiness));
    run_until_table();
    assert_int_equal(world.num_tables, 3);
}

static void files_that_are_loaded_make_up_for_it(void **state)
{
    make_contexts(world.path);
    world.num_failures = 1;
    port_contexts_set_identity(world.contexts, world.identity);
    assert_false(readiness_is_ready(&world.readiness));
    port_contexts_reload(world.contexts);
    assert_int_equal(world.num_tables, 2);
    assert_true(readiness_is_ready(&world.readiness));
}

static void without_a_file_it_is_tried_again_as_well(void **state)
{
    make_contexts("");
    world.num_failures = 1;
    port_contexts_set_identity(world.contexts, world.identity);
    assert_int_equal(world.num_tables, 1);
    assert_int_equal(world.readiness.num, 0);
    run_until_table();
}

#define CONTEXTS_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTEXTS_TEST(what_failed_for_the_first_identity_is_mended_by_the_next),
        CONTEXTS_TEST(what_failed_for_the_first_identity_is_tried_again),
        CONTEXTS_TEST(what_failed_for_a_later_identity_leaves_the_agent_ready_and_is_tried_again),
        CONTEXTS_TEST(files_that_are_loaded_make_up_for_it),
        CONTEXTS_TEST(without_a_file_it_is_tried_again_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
