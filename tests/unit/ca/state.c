#include <fcntl.h>
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

#include "ca_fixture.h"
#include "ca_state.h"

static char dir[256];

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/remora-ca-state-XXXXXX");
    return mkdtemp(dir) == NULL || chmod(dir, 0755) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"root.pem", "root-key.pem", "issuer.pem", "issuer-key.pem"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(path_of(names[i]));
    return rmdir(dir);
}

static struct ca_issuer *open_state(bool with_intermediate, bool *created, struct err *err)
{
    return ca_state_open(&(struct ca_state_options){.dir = dir,
                                                    .with_intermediate = with_intermediate,
                                                    .now_ms = CA_FIXTURE_NOW_MS},
                         created, err);
}

static void make_state(bool with_intermediate)
{
    struct err err = {0};
    bool created;
    struct ca_issuer *issuer = open_state(with_intermediate, &created, &err);
    if (issuer == NULL)
        fail_msg("%s", err.message);
    ca_issuer_free(issuer);
}

static void expect_refused(const char *why)
{
    struct err err = {0};
    bool created;
    assert_null(open_state(false, &created, &err));
    if (strstr(err.message, why) == NULL)
        fail_msg("expected \"%s\" in \"%s\"", why, err.message);
}

static unsigned mode_of(const char *name)
{
    struct stat st;
    assert_int_equal(stat(path_of(name), &st), 0);
    return st.st_mode & 07777;
}

static void write_file(const char *name, const char *text, unsigned mode)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void move_file(const char *from, const char *to)
{
    char from_path[512];
    snprintf(from_path, sizeof(from_path), "%s", path_of(from));
    assert_int_equal(rename(from_path, path_of(to)), 0);
}

static void the_first_start_makes_a_root_and_the_next_ones_load_it(void **state)
{
    struct err err = {0};
    bool created;
    struct ca_issuer *first = open_state(false, &created, &err);
    if (first == NULL)
        fail_msg("%s", err.message);
    assert_true(created);
    struct ca_issuer *second = open_state(false, &created, &err);
    assert_non_null(second);
    assert_false(created);
    assert_string_equal(ca_issuer_root_fingerprint(first), ca_issuer_root_fingerprint(second));
    assert_string_equal(ca_issuer_roots_pem(first), ca_issuer_roots_pem(second));
    ca_issuer_free(first);
    ca_issuer_free(second);
}

static void a_missing_directory_is_made(void **state)
{
    assert_int_equal(rmdir(dir), 0);
    make_state(false);
}

static void keys_are_for_us_alone_and_the_root_is_for_all(void **state)
{
    make_state(true);
    assert_int_equal(mode_of("root-key.pem"), 0600);
    assert_int_equal(mode_of("issuer-key.pem"), 0600);
    assert_int_equal(mode_of("root.pem"), 0644);
    assert_int_equal(mode_of("issuer.pem"), 0644);
}

static void a_key_that_others_can_read_is_refused(void **state)
{
    static const unsigned modes[] = {0640, 0604, 0660, 0602, 0644};
    make_state(true);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(chmod(path_of("root-key.pem"), modes[i]), 0);
        expect_refused("root-key.pem holds a private key");
    }
    assert_int_equal(chmod(path_of("root-key.pem"), 0600), 0);
    assert_int_equal(chmod(path_of("issuer-key.pem"), 0644), 0);
    expect_refused("issuer-key.pem holds a private key");
}

static void a_directory_that_others_can_write_is_refused(void **state)
{
    make_state(false);
    assert_int_equal(chmod(dir, 0775), 0);
    expect_refused("mode 0775");
    assert_int_equal(chmod(dir, 0755), 0);
}

static void a_key_of_another_certificate_is_refused(void **state)
{
    make_state(false);
    unlink(path_of("root.pem"));
    move_file("root-key.pem", "old");
    make_state(false);
    move_file("old", "root-key.pem");
    expect_refused("belongs to none of the roots");
}

static void an_intermediate_is_made_once_and_used_from_then_on(void **state)
{
    struct err err = {0};
    bool created;
    make_state(true);
    struct ca_issuer *issuer = open_state(false, &created, &err);
    assert_non_null(issuer);
    assert_non_null(ca_issuer_chain_pem(issuer, 0));
    assert_null(ca_issuer_chain_pem(issuer, 1));
    ca_issuer_free(issuer);
}

static void with_an_intermediate_the_roots_key_may_be_elsewhere(void **state)
{
    make_state(true);
    unlink(path_of("root-key.pem"));
    make_state(false);
}

static void a_certificate_without_any_key_is_refused(void **state)
{
    make_state(false);
    unlink(path_of("root-key.pem"));
    expect_refused("neither root-key.pem nor issuer-key.pem");
}

static void what_a_crash_has_left_is_completed(void **state)
{
    make_state(true);
    unlink(path_of("issuer.pem"));
    make_state(false);
    unlink(path_of("issuer.pem"));
    unlink(path_of("issuer-key.pem"));
    unlink(path_of("root.pem"));
    make_state(false);
    assert_int_equal(mode_of("root.pem"), 0644);
}

static void an_intermediate_without_its_key_is_refused(void **state)
{
    make_state(true);
    unlink(path_of("issuer-key.pem"));
    expect_refused("issuer-key.pem is not");
}

static void files_that_hold_something_else_are_refused(void **state)
{
    make_state(false);
    write_file("root.pem", "nothing\n", 0644);
    expect_refused("roots");
    unlink(path_of("root.pem"));
    write_file("root-key.pem", "nothing\n", 0600);
    expect_refused("root-key.pem");
}

static void an_endless_file_is_refused(void **state)
{
    size_t len = 300 * 1024;
    char *text = malloc(len + 1);
    memset(text, 'A', len);
    text[len] = '\0';
    make_state(false);
    write_file("root.pem", text, 0644);
    expect_refused("more than");
    free(text);
}

static void a_key_that_is_no_file_is_refused(void **state)
{
    assert_int_equal(mkdir(path_of("root-key.pem"), 0700), 0);
    expect_refused("not a regular file");
    assert_int_equal(rmdir(path_of("root-key.pem")), 0);
    assert_int_equal(mkfifo(path_of("root-key.pem"), 0600), 0);
    expect_refused("not a regular file");
}

#define STATE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STATE_TEST(the_first_start_makes_a_root_and_the_next_ones_load_it),
        STATE_TEST(a_missing_directory_is_made),
        STATE_TEST(keys_are_for_us_alone_and_the_root_is_for_all),
        STATE_TEST(a_key_that_others_can_read_is_refused),
        STATE_TEST(a_directory_that_others_can_write_is_refused),
        STATE_TEST(a_key_of_another_certificate_is_refused),
        STATE_TEST(an_intermediate_is_made_once_and_used_from_then_on),
        STATE_TEST(with_an_intermediate_the_roots_key_may_be_elsewhere),
        STATE_TEST(a_certificate_without_any_key_is_refused),
        STATE_TEST(what_a_crash_has_left_is_completed),
        STATE_TEST(an_intermediate_without_its_key_is_refused),
        STATE_TEST(files_that_hold_something_else_are_refused),
        STATE_TEST(an_endless_file_is_refused),
        STATE_TEST(a_key_that_is_no_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
