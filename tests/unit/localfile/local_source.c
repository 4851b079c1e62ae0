/* local_source on a real loop: loading, reloading, and what a bad file leaves in force. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "local_source.h"

static const char good[] = "workloads: [{uid: one, workloadIps: [], services: {}}]\n";
static const char better[] = "workloads: [{uid: two, workloadIps: [], services: {}}]\n";

enum {
    STEPS_MAX = 4,
    UID_BYTES = 16,
    GIVE_UP_MS = 30000 /* a test that hangs fails; nothing waits for this to pass */
};

/* A test is a list of contents; each is written once the callback for the one before has come. */
struct test {
    struct net_loop *loop;
    struct net_timer *give_up;
    struct local_source *source;
    char folder[64];
    char path[128];
    const char *contents[STEPS_MAX];
    size_t num_written;
    char seen[256]; /* what the callbacks got: uids, and "error" */
    bool free_in_callback;
};

/* By rename, so that no half-written file is ever seen. */
static void write_next(struct test *test)
{
    char temporary[160];
    snprintf(temporary, sizeof(temporary), "%s.new", test->path);
    const char *content = test->contents[test->num_written++];
    FILE *file = fopen(temporary, "we");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    fclose(file);
    assert_int_equal(rename(temporary, test->path), 0);
}

static void step(struct test *test, const char *what)
{
    strncat(test->seen, what, sizeof(test->seen) - strlen(test->seen) - 1);
    strncat(test->seen, " ", sizeof(test->seen) - strlen(test->seen) - 1);
    if (test->num_written < STEPS_MAX && test->contents[test->num_written] != NULL) {
        write_next(test);
        return;
    }
    if (test->free_in_callback) {
        local_source_free(test->source);
        test->source = NULL;
    }
    net_loop_stop(test->loop);
}

static bool take_uid(void *owner, const struct mesh_workload *workload)
{
    snprintf(owner, UID_BYTES, "%s", workload->uid);
    return true;
}

static void on_snapshot(void *owner, struct mesh_snapshot *snapshot,
                        const struct mesh_warnings *warnings)
{
    assert_int_equal(mesh_snapshot_counts(snapshot).workloads, 1);
    assert_int_equal(warnings->num, 0);
    char uid[UID_BYTES];
    mesh_snapshot_each_workload(snapshot, take_uid, uid);
    mesh_snapshot_unref(snapshot);
    step(owner, uid);
}

static void on_error(void *owner, const struct err *err)
{
    assert_true(err->message[0] != '\0');
    step(owner, "error");
}

static void on_give_up(void *owner)
{
    struct test *test = owner;
    fail_msg("no callback came; seen: %s", test->seen);
}

static void run(struct test *test)
{
    static const struct local_source_handler handler = {.on_snapshot = on_snapshot,
                                                        .on_error = on_error};
    struct err err = {0};
    strcpy(test->folder, "/tmp/remora-local-XXXXXX");
    assert_non_null(mkdtemp(test->folder));
    snprintf(test->path, sizeof(test->path), "%s/mesh.yaml", test->folder);
    if (test->contents[0] != NULL && test->contents[0][0] != '\0')
        write_next(test);
    else
        test->num_written = 1;
    test->loop = net_loop_new(&err);
    assert_non_null(test->loop);
    test->give_up = net_timer_new(test->loop, on_give_up, test);
    net_timer_start(test->give_up, GIVE_UP_MS);
    test->source = local_source_new(test->loop, test->path, &handler, test, &err);
    assert_non_null(test->source);
    assert_string_equal(test->seen, "");
    net_loop_run(test->loop);
    local_source_free(test->source);
    net_timer_free(test->give_up);
    assert_int_equal(net_loop_free(test->loop), 0);
    unlink(test->path);
    rmdir(test->folder);
}

static void a_file_is_loaded_once_the_loop_runs(void **state)
{
    (void)state;
    struct test test = {.contents = {good}};
    run(&test);
    assert_string_equal(test.seen, "one ");
}

static void a_change_is_loaded(void **state)
{
    (void)state;
    struct test test = {.contents = {good, better}};
    run(&test);
    assert_string_equal(test.seen, "one two ");
}

static void a_bad_file_is_reported_and_the_next_good_one_loaded(void **state)
{
    (void)state;
    struct test test = {.contents = {good, "workloads: [{uid: three}]\n", better}};
    run(&test);
    assert_string_equal(test.seen, "one error two ");
}

static void a_file_that_is_missing_at_start_is_loaded_when_it_is_there(void **state)
{
    (void)state;
    struct test test = {.contents = {"", good}};
    run(&test);
    assert_string_equal(test.seen, "error one ");
}

static void a_source_may_be_freed_in_its_callback(void **state)
{
    (void)state;
    struct test test = {.contents = {good}, .free_in_callback = true};
    run(&test);
    assert_string_equal(test.seen, "one ");
    local_source_free(NULL);
}

static void a_source_may_be_freed_before_it_loads(void **state)
{
    (void)state;
    static const struct local_source_handler handler = {.on_snapshot = on_snapshot,
                                                        .on_error = on_error};
    struct err err = {0};
    struct net_loop *loop = net_loop_new(&err);
    struct local_source *source =
        local_source_new(loop, "/tmp/remora-does-not-exist.yaml", &handler, NULL, &err);
    assert_non_null(source);
    local_source_free(source);
    net_loop_run(loop);
    assert_int_equal(net_loop_free(loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_loaded_once_the_loop_runs),
        cmocka_unit_test(a_change_is_loaded),
        cmocka_unit_test(a_bad_file_is_reported_and_the_next_good_one_loaded),
        cmocka_unit_test(a_file_that_is_missing_at_start_is_loaded_when_it_is_there),
        cmocka_unit_test(a_source_may_be_freed_in_its_callback),
        cmocka_unit_test(a_source_may_be_freed_before_it_loads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
