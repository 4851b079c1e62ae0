#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net_loop.h"

enum { NEVER_MS = 3600 * 1000 }; /* so that only notices are seen */

static struct net_loop *loop;
static struct net_watch *watch;
static unsigned num_changes;
static bool free_on_change;
static char root[] = "/tmp/remora_watch_XXXXXX";
static int root_fd;

static int set_up(void **state)
{
    memcpy(root, "/tmp/remora_watch_XXXXXX", sizeof(root));
    if (mkdtemp(root) == NULL)
        return -1;
    root_fd = open(root, O_RDONLY | O_DIRECTORY);
    loop = net_loop_new(NULL);
    num_changes = 0;
    free_on_change = false;
    watch = NULL;
    return loop == NULL ? -1 : 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static int tear_down(void **state)
{
    net_watch_free(watch);
    close(root_fd);
    nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return net_loop_free(loop);
}

/* All names are relative to the root. */
static void put(const char *name, const char *text)
{
    int fd = openat(root_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void make_dir(const char *name)
{
    assert_int_equal(mkdirat(root_fd, name, 0700), 0);
}

static void make_link(const char *target, const char *name)
{
    assert_int_equal(symlinkat(target, root_fd, name), 0);
}

static void move(const char *from, const char *to)
{
    assert_int_equal(renameat(root_fd, from, root_fd, to), 0);
}

static void on_change(void *owner)
{
    num_changes++;
    if (free_on_change) {
        net_watch_free(watch);
        watch = NULL;
    }
    net_loop_stop(loop);
}

static void start_watch(const char *name, uint64_t poll_ms)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    watch = net_watch_new(loop, path, poll_ms, on_change, NULL, NULL);
    assert_non_null(watch);
}

/* Runs until the next change; that it comes at all is the test. */
static void await_change(void)
{
    unsigned before = num_changes;
    net_loop_run(loop);
    assert_int_equal(num_changes, before + 1);
}

static void stop_loop(void *owner)
{
    net_loop_stop(loop);
}

static void run_for(uint64_t ms)
{
    struct net_timer *timer = net_timer_new(loop, stop_loop, NULL);
    net_timer_start(timer, ms);
    net_loop_run(loop);
    net_timer_free(timer);
}

static void a_file_written_in_place_is_seen(void **state)
{
    put("file", "one");
    start_watch("file", NEVER_MS);
    for (unsigned i = 0; i < 3; i++) {
        put("file", "two"); /* the same size, perhaps the same tick of the clock */
        await_change();
    }
}

static void a_file_renamed_over_is_seen(void **state)
{
    put("file", "one");
    start_watch("file", NEVER_MS);
    put("file.new", "two");
    move("file.new", "file");
    await_change();
    put("file", "three"); /* the new one is watched as the old one was */
    await_change();
}

static void every_entry_of_a_directory_is_seen(void **state)
{
    make_dir("dir");
    put("dir/one", "1");
    start_watch("dir", NEVER_MS);
    put("dir/one", "2");
    await_change();
    put("dir/two", "1");
    await_change();
    move("dir/two", "dir/three");
    await_change();
    assert_int_equal(unlinkat(root_fd, "dir/one", 0), 0);
    await_change();
}

static void a_directory_that_is_made_later_is_watched_inside(void **state)
{
    start_watch("dir", NEVER_MS);
    make_dir("dir");
    await_change();
    put("dir/one", "1");
    await_change();
}

static void a_file_removed_and_made_again_is_seen(void **state)
{
    put("file", "one");
    start_watch("file", NEVER_MS);
    assert_int_equal(unlinkat(root_fd, "file", 0), 0);
    await_change();
    put("file", "two");
    await_change();
}

/* As the kubelet does it: a new directory, then ..data swapped over to it. */
static void a_swapped_symlink_on_the_way_is_seen(void **state)
{
    make_dir("..v1");
    put("..v1/tls.crt", "one");
    make_link("..v1", "..data");
    make_link("..data/tls.crt", "tls.crt");
    start_watch("tls.crt", NEVER_MS);
    for (int version = 2; version < 6; version++) {
        char dir[16], file[32], old_file[32], old_dir[16];
        snprintf(dir, sizeof(dir), "..v%d", version);
        snprintf(file, sizeof(file), "..v%d/tls.crt", version);
        snprintf(old_dir, sizeof(old_dir), "..v%d", version - 1);
        snprintf(old_file, sizeof(old_file), "..v%d/tls.crt", version - 1);
        make_dir(dir);
        put(file, "one");
        make_link(dir, "..data_tmp");
        move("..data_tmp", "..data");
        assert_int_equal(unlinkat(root_fd, old_file, 0), 0);
        assert_int_equal(unlinkat(root_fd, old_dir, AT_REMOVEDIR), 0);
        await_change();
    }
    put("..v5/tls.crt", "in place"); /* the newest target is the one that is watched */
    await_change();
}

static void an_absolute_symlink_is_followed(void **state)
{
    char target[PATH_MAX];
    make_dir("real");
    put("real/file", "one");
    snprintf(target, sizeof(target), "%s/real/../real/./file", root);
    make_link(target, "file");
    start_watch("file", NEVER_MS);
    put("real/file", "two");
    await_change();
}

static void directories_made_later_are_followed(void **state)
{
    start_watch("a/b/c/file", NEVER_MS);
    make_dir("a");
    make_dir("a/b");
    run_for(150); /* by now a/b is watched */
    assert_int_equal(num_changes, 0);
    make_dir("a/b/c");
    put("a/b/c/file", "one");
    await_change();
    put("a/b/c/file", "two");
    await_change();
}

static void a_directory_replaced_is_followed(void **state)
{
    make_dir("dir");
    put("dir/file", "one");
    start_watch("dir/file", NEVER_MS);
    move("dir", "old");
    await_change();
    make_dir("dir");
    put("dir/file", "two");
    await_change();
    put("old/file", "not ours any more");
    put("dir/file", "three");
    await_change();
    run_for(250);
    assert_int_equal(num_changes, 3);
}

static void a_symlink_that_leads_to_itself_is_no_file(void **state)
{
    make_link("loop", "loop");
    start_watch("loop", NEVER_MS);
    assert_int_equal(unlinkat(root_fd, "loop", 0), 0);
    put("loop", "a file now");
    await_change();
}

static void several_changes_at_once_are_one_call(void **state)
{
    put("file", "one");
    start_watch("file", NEVER_MS);
    for (unsigned i = 0; i < 20; i++)
        put("file", "more");
    await_change();
    run_for(250); /* a second call would come within it, or be missed: never fails by slowness */
    assert_int_equal(num_changes, 1);
}

static void other_files_in_the_directory_do_not_matter(void **state)
{
    put("file", "one");
    start_watch("file", NEVER_MS);
    put("other", "one");
    run_for(250);
    assert_int_equal(num_changes, 0);
}

static void without_notices_polling_sees_it(void **state)
{
    put("file", "one");
    /* No descriptor is left for inotify. */
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    start_watch("file", 5);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    put("file", "longer than before");
    await_change();
    assert_int_equal(unlinkat(root_fd, "file", 0), 0);
    await_change();
}

static void the_watch_may_be_freed_in_its_call(void **state)
{
    put("file", "one");
    start_watch("file", NEVER_MS);
    free_on_change = true;
    put("file", "two");
    await_change();
    net_loop_run(loop);
    net_watch_free(NULL);
}

static void a_relative_path_is_taken_from_here(void **state)
{
    char before[PATH_MAX];
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(root), 0);
    watch = net_watch_new(loop, "file", NEVER_MS, on_change, NULL, NULL);
    assert_int_equal(chdir(before), 0);
    put("file", "one");
    await_change();
}

#define LOOP_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_file_written_in_place_is_seen),
        LOOP_TEST(a_file_renamed_over_is_seen),
        LOOP_TEST(every_entry_of_a_directory_is_seen),
        LOOP_TEST(a_directory_that_is_made_later_is_watched_inside),
        LOOP_TEST(a_file_removed_and_made_again_is_seen),
        LOOP_TEST(a_swapped_symlink_on_the_way_is_seen),
        LOOP_TEST(an_absolute_symlink_is_followed),
        LOOP_TEST(directories_made_later_are_followed),
        LOOP_TEST(a_directory_replaced_is_followed),
        LOOP_TEST(a_symlink_that_leads_to_itself_is_no_file),
        LOOP_TEST(several_changes_at_once_are_one_call),
        LOOP_TEST(other_files_in_the_directory_do_not_matter),
        LOOP_TEST(without_notices_polling_sees_it),
        LOOP_TEST(the_watch_may_be_freed_in_its_call),
        LOOP_TEST(a_relative_path_is_taken_from_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
