#include "cert_output.h"

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
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cert_builder.h"
#include "clock.h"

enum { TEXT_MAX = 8192, NUM_SWAPS = 300 };

struct place {
    char above[64];
    char dir[96];
    struct cert_built *root, *intermediate, *leaves[2];
    struct identity *identities[2];
};

static struct identity *make_identity(const struct cert_built *root, const struct cert_built *leaf)
{
    struct err err;
    const char *key = cert_builder_key_pem(leaf), *chain = cert_builder_chain_pem(leaf);
    const char *roots = cert_builder_pem(root);
    struct svid *svid = svid_new_pem(key, strlen(key), chain, strlen(chain), &err);
    struct trust_bundle *bundle = trust_bundle_new_pem("td", roots, strlen(roots), &err);
    assert_non_null(svid);
    assert_non_null(bundle);
    const struct trust trust = {.bundles = &bundle, .num_bundles = 1};
    struct identity *identity = identity_new(svid, &trust, 1, &err);
    assert_non_null(identity);
    svid_unref(svid);
    trust_bundle_unref(bundle);
    return identity;
}

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    strcpy(place->above, "/tmp/remora-output-XXXXXX");
    if (mkdtemp(place->above) == NULL)
        return -1;
    snprintf(place->dir, sizeof(place->dir), "%s/out", place->above);
    place->root = cert_builder_root("root");
    place->intermediate = cert_builder_make(
        place->root, &(struct cert_spec){.common_name = "intermediate", .is_ca = true});
    for (int i = 0; i < 2; i++) {
        place->leaves[i] = cert_builder_leaf(place->intermediate, "spiffe://td/ns/a/sa/b");
        place->identities[i] = make_identity(place->root, place->leaves[i]);
    }
    *state = place;
    return 0;
}

static int free_place(void **state)
{
    struct place *place = *state;
    for (int i = 0; i < 2; i++) {
        identity_unref(place->identities[i]);
        cert_builder_free(place->leaves[i]);
    }
    cert_builder_free(place->intermediate);
    cert_builder_free(place->root);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", place->above);
    int result = system(command);
    free(place);
    return result;
}

static struct cert_output_options options_for(const struct place *place)
{
    return (struct cert_output_options){
        .dir = place->dir,
        .names = {.chain = "tls.crt",
                  .key = "tls.key",
                  .bundle = "ca.crt",
                  .combined = "all.pem",
                  .federated = "",
                  .crl = ""},
        .mode = 0644,
        .key_mode = 0600,
    };
}

static struct cert_output *open_output(const struct cert_output_options *options)
{
    struct err err;
    struct cert_output *output = cert_output_new(options, &err);
    if (output == NULL)
        fail_msg("%s", err.message);
    return output;
}

static void must_write(struct cert_output *output, const struct identity *identity)
{
    struct err err;
    if (cert_output_write(output, identity, &err) < 0)
        fail_msg("%s", err.message);
}

static const char *in(const struct place *place, const char *name)
{
    static char path[160];
    snprintf(path, sizeof(path), "%s/%s", place->dir, name);
    return path;
}

/* The length, or -1 with errno. */
static ssize_t read_text_at(int dir, const char *name, char text[TEXT_MAX])
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t len = read(fd, text, TEXT_MAX - 1);
    close(fd);
    if (len >= 0)
        text[len] = '\0';
    return len;
}

static void expect_text(const struct place *place, const char *name, const char *expected)
{
    char text[TEXT_MAX];
    assert_true(read_text_at(AT_FDCWD, in(place, name), text) >= 0);
    assert_string_equal(text, expected);
}

static mode_t mode_of(const struct place *place, const char *name)
{
    struct stat status;
    assert_int_equal(stat(in(place, name), &status), 0);
    return status.st_mode & 07777;
}

/* ---------------------------------------------------------------------------------- the files -- */

static void the_set_is_the_identity_as_pem(void **state)
{
    struct place *place = *state;
    const struct cert_output_options options = options_for(place);
    struct cert_output *output = open_output(&options);
    must_write(output, place->identities[0]);
    const char *key = cert_builder_key_pem(place->leaves[0]);
    const char *chain = cert_builder_chain_pem(place->leaves[0]);
    char combined[2 * TEXT_MAX];
    snprintf(combined, sizeof(combined), "%s%s", key, chain);
    expect_text(place, "tls.crt", chain);
    expect_text(place, "tls.key", key);
    expect_text(place, "ca.crt", cert_builder_pem(place->root));
    expect_text(place, "all.pem", combined);
    cert_output_free(output);
}

static void rights_are_as_asked_for(void **state)
{
    struct place *place = *state;
    struct cert_output_options options = options_for(place);
    options.mode = 0444;
    options.key_mode = 0640;
    struct cert_output *output = open_output(&options);
    mode_t before = umask(0077);
    must_write(output, place->identities[0]);
    umask(before);
    assert_int_equal(mode_of(place, "tls.crt"), 0444);
    assert_int_equal(mode_of(place, "ca.crt"), 0444);
    assert_int_equal(mode_of(place, "tls.key"), 0640);
    assert_int_equal(mode_of(place, "all.pem"), 0640);
    assert_int_equal(mode_of(place, "..data/"), 0755);
    cert_output_free(output);
}

static void a_directory_for_nobody_else_stays_so(void **state)
{
    struct place *place = *state;
    struct cert_output_options options = options_for(place);
    options.mode = 0600;
    struct cert_output *output = open_output(&options);
    must_write(output, place->identities[0]);
    assert_int_equal(mode_of(place, ""), 0700);
    assert_int_equal(mode_of(place, "..data/"), 0700);
    cert_output_free(output);
}

static void files_are_given_to_another_owner(void **state)
{
    if (geteuid() != 0)
        skip();
    struct place *place = *state;
    struct cert_output_options options = options_for(place);
    options.mode = 0600;
    options.has_uid = options.has_gid = true;
    options.uid = 12345;
    options.gid = 54321;
    struct cert_output *output = open_output(&options);
    must_write(output, place->identities[0]);
    struct stat status;
    assert_int_equal(stat(in(place, "tls.key"), &status), 0);
    assert_int_equal(status.st_uid, 12345);
    assert_int_equal(status.st_gid, 54321);
    assert_int_equal(mode_of(place, "tls.key"), 0600);
    assert_int_equal(mode_of(place, "..data/"), 0711); /* to be passed, not to be looked at */
    cert_output_free(output);
}

/* ------------------------------------------------------------------------------------- the sets -- */

static unsigned count_versions(const struct place *place)
{
    char command[160];
    unsigned num = 0;
    snprintf(command, sizeof(command), "ls -d %s/..version-* | wc -l", place->dir);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    assert_int_equal(fscanf(out, "%u", &num), 1);
    pclose(out);
    return num;
}

static void the_set_before_is_kept_and_older_ones_are_removed(void **state)
{
    struct place *place = *state;
    const struct cert_output_options options = options_for(place);
    for (int round = 0; round < 3; round++) {
        /* A new process goes on where the one before ended. */
        struct cert_output *output = open_output(&options);
        for (int i = 0; i < 4; i++)
            must_write(output, place->identities[i % 2]);
        expect_text(place, "tls.crt", cert_builder_chain_pem(place->leaves[1]));
        assert_int_equal(count_versions(place), 2);
        cert_output_free(output);
    }
}

static void half_a_set_of_a_killed_process_is_replaced(void **state)
{
    struct place *place = *state;
    const struct cert_output_options options = options_for(place);
    struct cert_output *output = open_output(&options);
    must_write(output, place->identities[0]);
    assert_int_equal(mkdir(in(place, "..version-2"), 0700), 0);
    int fd = open(in(place, "..version-2/tls.key"), O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(symlink("..version-2", in(place, "..data.new")), 0);
    must_write(output, place->identities[1]);
    expect_text(place, "tls.key", cert_builder_key_pem(place->leaves[1]));
    expect_text(place, "tls.crt", cert_builder_chain_pem(place->leaves[1]));
    cert_output_free(output);
}

static void a_set_that_cannot_be_written_leaves_the_one_before(void **state)
{
    struct place *place = *state;
    const struct cert_output_options options = options_for(place);
    struct cert_output *output = open_output(&options);
    must_write(output, place->identities[0]);
    struct err err = {0};
    int fd = open(in(place, "..version-2"), O_WRONLY | O_CREAT, 0600); /* in the way */
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(cert_output_write(output, place->identities[1], &err), -1);
    assert_non_null(strstr(err.message, in(place, "..version-2")));
    expect_text(place, "tls.key", cert_builder_key_pem(place->leaves[0]));
    expect_text(place, "tls.crt", cert_builder_chain_pem(place->leaves[0]));
    assert_int_equal(unlink(in(place, "..version-2")), 0);
    must_write(output, place->identities[1]);
    expect_text(place, "tls.key", cert_builder_key_pem(place->leaves[1]));
    cert_output_free(output);
}

static void what_somebody_else_put_there_is_not_replaced(void **state)
{
    struct place *place = *state;
    const struct cert_output_options options = options_for(place);
    cert_output_free(open_output(&options));
    int fd = open(in(place, "tls.key"), O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    struct err err = {0};
    assert_null(cert_output_new(&options, &err));
    assert_int_equal(err.kind, ERR_INVALID);
    assert_non_null(strstr(err.message, in(place, "tls.key")));
    assert_int_equal(mode_of(place, "tls.key"), 0600);
}

static void names_are_checked(void **state)
{
    struct place *place = *state;
    static const char *const BAD[] = {"../tls.key", "a/b", ".hidden", "..data", "tls.crt"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct cert_output_options options = options_for(place);
        struct err err = {0};
        options.names.key = BAD[i];
        assert_null(cert_output_new(&options, &err));
        assert_int_equal(err.kind, ERR_INVALID);
        assert_non_null(strstr(err.message, BAD[i]));
    }
}

/* ----------------------------------------------------------------------------- while they change -- */

struct reader {
    const struct place *place;
    atomic_bool stop;
    unsigned num_read, num_mixed;
};

/* 0 or 1: whose text this is; -1: nobody's. */
static int whose(const struct place *place, const char *text,
                 const char *(*of)(const struct cert_built *))
{
    for (int i = 0; i < 2; i++)
        if (strcmp(text, of(place->leaves[i])) == 0)
            return i;
    return -1;
}

/* As a careful reader does it: the directory once, the files from there. */
static void read_set(struct reader *reader)
{
    char chain[TEXT_MAX], key[TEXT_MAX];
    char data[128];
    snprintf(data, sizeof(data), "%s/..data", reader->place->dir);
    int dir = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return; /* none yet, or replaced twice meanwhile */
    if (read_text_at(dir, "tls.crt", chain) >= 0 && read_text_at(dir, "tls.key", key) >= 0) {
        int chain_of = whose(reader->place, chain, cert_builder_chain_pem);
        reader->num_read++;
        reader->num_mixed +=
            chain_of < 0 || chain_of != whose(reader->place, key, cert_builder_key_pem);
    }
    close(dir);
}

/* As any program does it, by the path; the combined file is one. */
static void read_combined(struct reader *reader)
{
    char text[TEXT_MAX], path[128];
    snprintf(path, sizeof(path), "%s/all.pem", reader->place->dir);
    if (read_text_at(AT_FDCWD, path, text) < 0)
        return;
    char *certs = strstr(text, "-----BEGIN CERTIFICATE");
    int chain_of = certs == NULL ? -1 : whose(reader->place, certs, cert_builder_chain_pem);
    if (certs != NULL)
        *certs = '\0';
    reader->num_read++;
    reader->num_mixed +=
        chain_of < 0 || chain_of != whose(reader->place, text, cert_builder_key_pem);
}

static void *read_all_the_time(void *owner)
{
    struct reader *reader = owner;
    while (!atomic_load(&reader->stop)) {
        read_set(reader);
        read_combined(reader);
    }
    return NULL;
}

static void a_reader_never_sees_a_key_with_another_certificate(void **state)
{
    struct place *place = *state;
    const struct cert_output_options options = options_for(place);
    struct cert_output *output = open_output(&options);
    struct reader reader = {.place = place};
    pthread_t thread;
    must_write(output, place->identities[1]);
    assert_int_equal(pthread_create(&thread, NULL, read_all_the_time, &reader), 0);
    for (int i = 0; i < NUM_SWAPS; i++)
        must_write(output, place->identities[i % 2]);
    atomic_store(&reader.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(reader.num_mixed, 0);
    read_set(&reader);
    assert_true(reader.num_read > 0);
    cert_output_free(output);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_place, free_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_set_is_the_identity_as_pem),
        TEST(rights_are_as_asked_for),
        TEST(a_directory_for_nobody_else_stays_so),
        TEST(files_are_given_to_another_owner),
        TEST(the_set_before_is_kept_and_older_ones_are_removed),
        TEST(half_a_set_of_a_killed_process_is_replaced),
        TEST(a_set_that_cannot_be_written_leaves_the_one_before),
        TEST(what_somebody_else_put_there_is_not_replaced),
        TEST(names_are_checked),
        TEST(a_reader_never_sees_a_key_with_another_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
