#include "trust_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "cert_builder.h"

struct world {
    char folder[64];
    char bundle[96], crl[96], other_crl[96];
    struct net_loop *loop;
    struct trust_files *files;
    struct cert_built *root, *next_root;
    struct trust_extras extras; /* of the last on_extras */
    unsigned num_extras, num_troubles;
    struct err last_trouble;
    bool stops_at_trouble;
};

static void on_extras(void *owner, const struct trust_extras *extras)
{
    struct world *world = owner;
    trust_extras_done(&world->extras);
    trust_extras_copy(&world->extras, extras);
    world->num_extras++;
    net_loop_stop(world->loop);
}

static void on_trouble(void *owner, const struct err *err)
{
    struct world *world = owner;
    world->num_troubles++;
    world->last_trouble = *err;
    if (world->stops_at_trouble)
        net_loop_stop(world->loop);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    char temporary[128];
    snprintf(temporary, sizeof(temporary), "%s.new", path);
    FILE *file = fopen(temporary, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(temporary, path), 0);
}

static void write_text(const char *path, const char *text)
{
    write_file(path, text, strlen(text));
}

static int make_world(void **state)
{
    static const struct trust_files_handler HANDLER = {on_extras, on_trouble};
    struct world *world = calloc(1, sizeof(*world));
    struct err err;
    strcpy(world->folder, "/tmp/remora_trust_files.XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->bundle, sizeof(world->bundle), "%s/bundle", world->folder);
    snprintf(world->crl, sizeof(world->crl), "%s/crl", world->folder);
    snprintf(world->other_crl, sizeof(world->other_crl), "%s/other", world->folder);
    world->root = cert_builder_root("root");
    world->next_root = cert_builder_root("next");
    world->loop = net_loop_new(&err);
    assert_non_null(world->loop);
    world->files = trust_files_new(world->loop, &HANDLER, world, &err);
    assert_non_null(world->files);
    *state = world;
    return 0;
}

static int free_world(void **state)
{
    struct world *world = *state;
    trust_files_free(world->files);
    int num_left = net_loop_free(world->loop);
    trust_extras_done(&world->extras);
    cert_builder_free(world->root);
    cert_builder_free(world->next_root);
    unlink(world->bundle);
    unlink(world->crl);
    unlink(world->other_crl);
    rmdir(world->folder);
    free(world);
    return num_left;
}

static void add_all(struct world *world)
{
    struct err err = {0};
    if (trust_files_add_bundle(world->files, "partner", world->bundle, &err) < 0 ||
        trust_files_add_crl(world->files, world->crl, &err) < 0 ||
        trust_files_add_crl(world->files, world->other_crl, &err) < 0)
        fail_msg("%s", err.message);
    trust_files_start(world->files);
    net_loop_run(world->loop);
}

static void write_crl(const char *path, const struct cert_built *issuer, bool as_der)
{
    struct crl_built *crl = cert_builder_crl(issuer, &(struct crl_spec){0});
    if (as_der)
        write_file(path, crl->der, crl->der_len);
    else
        write_text(path, crl->pem);
    cert_builder_free_crl(crl);
}

static void files_are_read_and_read_again_when_they_change(void **state)
{
    struct world *world = *state;
    write_text(world->bundle, cert_builder_pem(world->root));
    write_crl(world->crl, world->root, false);
    write_crl(world->other_crl, world->next_root, true);
    add_all(world);
    assert_int_equal(world->num_extras, 1);
    assert_int_equal(world->extras.num_bundles, 1);
    assert_int_equal(crl_set_num(world->extras.crls), 2);
    assert_true(trust_files_has_all_crls(world->files));
    assert_int_equal(trust_files_num_unusable(world->files), 0);
    assert_int_equal(world->num_troubles, 0);

    struct trust_bundle *before = trust_bundle_ref(world->extras.bundles[0]);
    write_text(world->bundle, cert_builder_pem(world->next_root));
    net_loop_run(world->loop);
    assert_false(trust_bundle_is_same(before, world->extras.bundles[0]));
    trust_bundle_unref(before);
}

static void what_cannot_be_read_is_told_and_the_content_before_counts(void **state)
{
    struct world *world = *state;
    write_text(world->bundle, cert_builder_pem(world->root));
    write_crl(world->crl, world->root, false);
    write_crl(world->other_crl, world->next_root, true);
    add_all(world);
    write_text(world->crl, "\x30\x82garbage");
    net_loop_run(world->loop);
    assert_int_equal(world->num_troubles, 1);
    assert_non_null(strstr(world->last_trouble.message, world->crl));
    assert_non_null(strstr(world->last_trouble.message, "the content before counts"));
    assert_int_equal(crl_set_num(world->extras.crls), 2);
    assert_int_equal(trust_files_num_unusable(world->files), 1);
    unlink(world->bundle);
    net_loop_run(world->loop);
    assert_int_equal(world->num_troubles, 2);
    assert_int_equal(world->extras.num_bundles, 1);
    write_crl(world->crl, world->root, false);
    write_text(world->bundle, cert_builder_pem(world->root));
    while (trust_files_num_unusable(world->files) > 0)
        net_loop_run(world->loop);
}

static void files_may_come_later(void **state)
{
    struct world *world = *state;
    add_all(world);
    assert_int_equal(world->num_troubles, 3);
    assert_non_null(strstr(world->last_trouble.message, "there is no such file"));
    assert_false(trust_files_has_all_crls(world->files));
    write_crl(world->crl, world->root, false);
    net_loop_run(world->loop);
    assert_false(trust_files_has_all_crls(world->files));
    write_text(world->other_crl, ""); /* nothing is revoked: a list of lists may be empty */
    net_loop_run(world->loop);
    assert_true(trust_files_has_all_crls(world->files));
    assert_int_equal(crl_set_num(world->extras.crls), 1);
}

/* Different ones: each begins at another second. */
static void write_crls(const char *path, const struct cert_built *issuer, size_t num)
{
    struct buf text = {0};
    for (size_t i = 0; i < num; i++) {
        struct crl_built *crl = cert_builder_crl(
            issuer, &(struct crl_spec){.this_update_ms = 1700000000000 + (int64_t)i * 1000});
        assert_int_equal(buf_append(&text, crl->pem, strlen(crl->pem)), 0);
        cert_builder_free_crl(crl);
    }
    write_file(path, buf_head(&text), buf_len(&text));
    buf_done(&text);
}

static void assert_trouble(const struct world *world, const char *path, const char *text)
{
    assert_non_null(strstr(world->last_trouble.message, path));
    if (strstr(world->last_trouble.message, text) == NULL)
        fail_msg("\"%s\" is not in: %s", text, world->last_trouble.message);
}

static void too_many_lists_are_told_by_file_and_number_and_keep_nothing_from_starting(void **state)
{
    struct world *world = *state;
    write_text(world->bundle, cert_builder_pem(world->root));
    write_crls(world->crl, world->root, 60);
    write_crls(world->other_crl, world->next_root, 5);
    add_all(world);
    assert_int_equal(crl_set_num(world->extras.crls), 60);
    assert_int_equal(world->num_troubles, 1);
    assert_trouble(world, world->other_crl,
                   "whose 5 come after 60 of other files: more than the 64");
    assert_false(trust_files_has_all_crls(world->files));
    assert_int_equal(trust_files_num_unusable(world->files), 1);

    write_crls(world->crl, world->root, 2);
    net_loop_run(world->loop);
    assert_int_equal(crl_set_num(world->extras.crls), 7);
    assert_true(trust_files_has_all_crls(world->files));
    assert_int_equal(trust_files_num_unusable(world->files), 0);

    write_crls(world->crl, world->root, 65);
    net_loop_run(world->loop);
    assert_trouble(world, world->crl, "65 revocation lists, and at most 64 are allowed");
    assert_int_equal(crl_set_num(world->extras.crls), 7);

    /* What is in force is not given up for what there is no room for. */
    unsigned num_extras = world->num_extras;
    world->stops_at_trouble = true;
    write_crls(world->crl, world->root, 60);
    net_loop_run(world->loop);
    assert_trouble(world, world->other_crl, "whose 5 come after 60 of other files");
    assert_int_equal(world->num_extras, num_extras);
    assert_int_equal(trust_files_num_unusable(world->files), 1);
}

static void a_trust_domain_has_one_file(void **state)
{
    struct world *world = *state;
    struct err err = {0};
    assert_int_equal(trust_files_add_bundle(world->files, "a", world->bundle, &err), 0);
    assert_int_equal(trust_files_add_bundle(world->files, "a", world->crl, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    assert_int_equal(trust_files_add_bundle(world->files, "Not one", world->crl, &err), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, free_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_are_read_and_read_again_when_they_change),
        TEST(what_cannot_be_read_is_told_and_the_content_before_counts),
        TEST(files_may_come_later),
        TEST(too_many_lists_are_told_by_file_and_number_and_keep_nothing_from_starting),
        TEST(a_trust_domain_has_one_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
