#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "private_file.h"

static const struct private_file_rights OURS = {.mode = 0600};

/* A directory of the test's own, below one that it may use as it likes. */
struct place {
    char above[64];
    char path[96];
    struct private_dir *dir;
};

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    strcpy(place->above, "/tmp/remora-private-XXXXXX");
    if (mkdtemp(place->above) == NULL)
        return -1;
    snprintf(place->path, sizeof(place->path), "%s/dir", place->above);
    struct err err;
    place->dir = private_file_open_dir(place->path, false, &err);
    *state = place;
    return place->dir == NULL ? -1 : 0;
}

static int free_place(void **state)
{
    struct place *place = *state;
    private_file_close_dir(place->dir);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", place->above);
    int result = system(command);
    free(place);
    return result;
}

static const char *in(const struct place *place, const char *name)
{
    static char path[160];
    snprintf(path, sizeof(path), "%s/%s", place->path, name);
    return path;
}

static void put(const struct place *place, const char *name, const char *text, mode_t mode)
{
    int fd = open(in(place, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void expect_read(struct place *place, const char *name, const char *text)
{
    struct err err;
    size_t len = 0;
    uint8_t *bytes = private_file_read(place->dir, name, 100, &len, &err);
    if (bytes == NULL)
        fail_msg("%s", err.message);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(bytes, text, len);
    private_file_free(bytes, len);
}

static void expect_refused(struct place *place, const char *name, enum err_kind kind,
                           const char *words)
{
    struct err err = {0};
    size_t len;
    assert_null(private_file_read(place->dir, name, 100, &len, &err));
    assert_int_equal(err.kind, kind);
    assert_non_null(strstr(err.message, words));
    assert_non_null(strstr(err.message, in(place, name)));
}

static void expect_no_dir(const char *path, bool memory_only, enum err_kind kind, const char *words)
{
    struct err err = {0};
    assert_null(private_file_open_dir(path, memory_only, &err));
    assert_int_equal(err.kind, kind);
    assert_non_null(strstr(err.message, words));
    assert_non_null(strstr(err.message, path));
}

/* --------------------------------------------------------------------------------- directory -- */

static void a_missing_directory_is_made_for_us_alone(void **state)
{
    struct place *place = *state;
    struct stat status;
    assert_int_equal(stat(place->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_string_equal(private_file_dir_path(place->dir), place->path);
}

static void a_directory_without_a_parent_is_not_made(void **state)
{
    expect_no_dir("/tmp/remora-is-not-there/dir", false, ERR_SYSTEM, "cannot be made");
}

static void a_directory_that_others_may_write_to_is_refused(void **state)
{
    struct place *place = *state;
    assert_int_equal(chmod(place->path, 0770), 0);
    expect_no_dir(place->path, false, ERR_DENIED, "mode 0770");
    assert_int_equal(chmod(place->path, 0702), 0);
    expect_no_dir(place->path, false, ERR_DENIED, "others may write");
    assert_int_equal(chmod(place->path, 0755), 0);
    struct err err;
    struct private_dir *dir = private_file_open_dir(place->path, false, &err);
    assert_non_null(dir);
    private_file_close_dir(dir);
}

static void a_directory_of_somebody_else_is_refused(void **state)
{
    if (geteuid() != 0)
        skip();
    struct place *place = *state;
    assert_int_equal(chown(place->path, 12345, (gid_t)-1), 0);
    expect_no_dir(place->path, false, ERR_DENIED, "belongs to user 12345");
}

static void a_link_to_a_directory_and_a_file_are_none(void **state)
{
    struct place *place = *state;
    assert_int_equal(symlink(place->path, in(place, "link")), 0);
    expect_no_dir(in(place, "link"), false, ERR_INVALID, "not a directory");
    put(place, "file", "", 0600);
    expect_no_dir(in(place, "file"), false, ERR_INVALID, "not a directory");
}

static void a_directory_on_a_disk_is_refused_where_memory_is_asked_for(void **state)
{
    if (geteuid() != 0)
        skip(); /* /proc is root's */
    expect_no_dir("/proc", true, ERR_INVALID, "tmpfs");
    struct err err;
    char path[] = "/dev/shm/remora-private-XXXXXX";
    if (mkdtemp(path) == NULL)
        skip();
    struct private_dir *dir = private_file_open_dir(path, true, &err);
    if (dir == NULL)
        fail_msg("%s", err.message);
    private_file_close_dir(dir);
    rmdir(path);
}

/* --------------------------------------------------------------------------- writing, reading -- */

static void what_is_written_is_read(void **state)
{
    struct place *place = *state;
    struct err err;
    assert_int_equal(private_file_write(place->dir, "a", &OURS, "first", 5, &err), 0);
    expect_read(place, "a", "first");
    assert_int_equal(private_file_write(place->dir, "a", &OURS, "second one", 10, &err), 0);
    expect_read(place, "a", "second one");
    assert_int_equal(private_file_write(place->dir, "a", &OURS, "", 0, &err), 0);
    expect_read(place, "a", "");
    assert_int_equal(private_file_remove(place->dir, "a", &err), 0);
    assert_int_equal(private_file_remove(place->dir, "a", &err), 0);
    expect_refused(place, "a", ERR_NOT_FOUND, "no such file");
}

static void rights_are_as_asked_for_whatever_the_umask(void **state)
{
    struct place *place = *state;
    struct err err;
    struct stat status;
    mode_t before = umask(0777);
    int result = private_file_write(place->dir, "a", &(struct private_file_rights){.mode = 0640},
                                    "x", 1, &err);
    umask(before);
    assert_int_equal(result, 0);
    assert_int_equal(stat(in(place, "a"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    if (geteuid() != 0)
        return;
    const struct private_file_rights others = {
        .mode = 0440, .has_uid = true, .uid = 12345, .has_gid = true, .gid = 54321};
    assert_int_equal(private_file_write(place->dir, "a", &others, "x", 1, &err), 0);
    assert_int_equal(stat(in(place, "a"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0440);
    assert_int_equal(status.st_uid, 12345);
    assert_int_equal(status.st_gid, 54321);
}

static void what_an_interrupted_write_left_does_not_stop_the_next(void **state)
{
    struct place *place = *state;
    struct err err;
    put(place, ".a.new", "half", 0666);
    assert_int_equal(private_file_write(place->dir, "a", &OURS, "whole", 5, &err), 0);
    expect_read(place, "a", "whole");
    assert_int_equal(access(in(place, ".a.new"), F_OK), -1);
}

static bool is_text(const uint8_t *bytes, size_t len)
{
    return len == 4 && memcmp(bytes, "text", 4) == 0;
}

static void a_file_is_written_by_its_path_as_in_its_directory(void **state)
{
    static const struct private_file_rights RIGHTS = {.mode = 0600};
    struct place *place = *state;
    struct err err = {0};
    char path[256];
    snprintf(path, sizeof(path), "%s/by-path", place->path);
    assert_int_equal(private_file_write_path(path, &RIGHTS, is_text, "text", 4, &err), 0);
    expect_read(place, "by-path", "text");
    snprintf(path, sizeof(path), "%s/.hidden", place->path);
    assert_int_equal(private_file_write_path(path, &RIGHTS, is_text, "text", 4, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    snprintf(path, sizeof(path), "%s/", place->path);
    assert_int_equal(private_file_write_path(path, &RIGHTS, is_text, "text", 4, &err), -1);
    assert_int_equal(private_file_write_path("/tmp/open-to-all", &RIGHTS, is_text, "text", 4, &err),
                     -1);
    assert_int_equal(err.kind, ERR_DENIED);
}

static void by_its_path_only_what_may_be_replaced_is(void **state)
{
    static const struct private_file_rights RIGHTS = {.mode = 0600};
    struct place *place = *state;
    struct err err = {0};
    put(place, "former", "text", 0600);
    put(place, "empty", "", 0600);
    put(place, "key", "somebody's key", 0600);
    assert_int_equal(symlink("former", in(place, "link")), 0);
    assert_int_equal(mkfifo(in(place, "fifo"), 0600), 0);
    assert_int_equal(mkdir(in(place, "folder"), 0700), 0);
    const struct {
        const char *name;
        enum err_kind kind;
    } CASES[] = {{"former", ERR_NONE},  {"empty", ERR_NONE},   {"key", ERR_DENIED},
                 {"link", ERR_INVALID}, {"fifo", ERR_INVALID}, {"folder", ERR_INVALID}};
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s", in(place, CASES[i].name));
        int result = private_file_write_path(path, &RIGHTS, is_text, "text", 4, &err);
        assert_int_equal(result, CASES[i].kind == ERR_NONE ? 0 : -1);
        if (result < 0)
            assert_int_equal(err.kind, CASES[i].kind);
    }
    expect_read(place, "former", "text");
    expect_read(place, "empty", "text");
    expect_read(place, "key", "somebody's key");
}

static void a_link_is_replaced_and_not_followed(void **state)
{
    struct place *place = *state;
    struct err err;
    put(place, "victim", "untouched", 0600);
    assert_int_equal(symlink("victim", in(place, "a")), 0);
    expect_refused(place, "a", ERR_INVALID, "symbolic link");
    assert_int_equal(private_file_write(place->dir, "a", &OURS, "new", 3, &err), 0);
    expect_read(place, "victim", "untouched");
    expect_read(place, "a", "new");
}

static void a_write_that_fails_leaves_the_former_file(void **state)
{
    struct place *place = *state;
    struct err err;
    assert_int_equal(private_file_write(place->dir, "a", &OURS, "former", 6, &err), 0);
    assert_int_equal(mkdir(in(place, ".a.new"), 0700), 0); /* in the way of the temporary file */
    assert_int_equal(private_file_write(place->dir, "a", &OURS, "new", 3, &err), -1);
    assert_int_equal(err.kind, ERR_SYSTEM);
    assert_non_null(strstr(err.message, in(place, "a")));
    expect_read(place, "a", "former");
}

static void files_that_others_could_have_changed_are_not_read(void **state)
{
    struct place *place = *state;
    put(place, "group", "x", 0640);
    expect_refused(place, "group", ERR_DENIED, "mode 0640");
    put(place, "others", "x", 0606);
    expect_refused(place, "others", ERR_DENIED, "others may");
    put(place, "twice", "x", 0600);
    char path[160];
    strcpy(path, in(place, "twice"));
    assert_int_equal(link(path, in(place, "again")), 0);
    expect_refused(place, "twice", ERR_INVALID, "one name");
    assert_int_equal(mkfifo(in(place, "fifo"), 0600), 0);
    expect_refused(place, "fifo", ERR_INVALID, "regular file");
    assert_int_equal(mkdir(in(place, "folder"), 0700), 0);
    expect_refused(place, "folder", ERR_INVALID, "regular file");
    if (geteuid() == 0) {
        put(place, "stranger", "x", 0600);
        assert_int_equal(chown(in(place, "stranger"), 12345, (gid_t)-1), 0);
        expect_refused(place, "stranger", ERR_DENIED, "belongs to user 12345");
    }
}

static void a_file_that_is_too_long_is_not_read(void **state)
{
    struct place *place = *state;
    char text[102];
    memset(text, 'x', 101);
    text[101] = '\0';
    put(place, "long", text, 0600);
    expect_refused(place, "long", ERR_LIMIT, "more than 100 bytes");
    text[100] = '\0';
    put(place, "long", text, 0600);
    expect_read(place, "long", text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_place, free_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_missing_directory_is_made_for_us_alone),
        TEST(a_directory_without_a_parent_is_not_made),
        TEST(a_directory_that_others_may_write_to_is_refused),
        TEST(a_directory_of_somebody_else_is_refused),
        TEST(a_link_to_a_directory_and_a_file_are_none),
        TEST(a_directory_on_a_disk_is_refused_where_memory_is_asked_for),
        TEST(what_is_written_is_read),
        TEST(rights_are_as_asked_for_whatever_the_umask),
        TEST(what_an_interrupted_write_left_does_not_stop_the_next),
        TEST(a_file_is_written_by_its_path_as_in_its_directory),
        TEST(by_its_path_only_what_may_be_replaced_is),
        TEST(a_link_is_replaced_and_not_followed),
        TEST(a_write_that_fails_leaves_the_former_file),
        TEST(files_that_others_could_have_changed_are_not_read),
        TEST(a_file_that_is_too_long_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
