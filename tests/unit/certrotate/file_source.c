#include "file_source.h"

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

#include "cert_builder.h"
#include "net_loop.h"
#include "rotation.h"

static const char ID[] = "spiffe://td/ns/a/sa/b";

struct world {
    char folder[32];
    char cert[96], key[96], roots[96];
    struct net_loop *loop;
    struct cert_source *source;
    struct cert_built *root;
    /* What the fetch brought. */
    bool is_done;
    char *chain, *key_pem, *roots_pem;
    struct err err;
};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    fclose(file);
}

static int make_world(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    strcpy(world->folder, "/tmp/file_source.XXXXXX");
    if (world == NULL || mkdtemp(world->folder) == NULL)
        return -1;
    snprintf(world->cert, sizeof(world->cert), "%s/tls.crt", world->folder);
    snprintf(world->key, sizeof(world->key), "%s/tls.key", world->folder);
    snprintf(world->roots, sizeof(world->roots), "%s/ca.crt", world->folder);
    world->root = cert_builder_root("root");
    struct err err;
    world->loop = net_loop_new(&err);
    *state = world;
    return world->loop == NULL ? -1 : 0;
}

static void forget(struct world *world)
{
    free(world->chain);
    free(world->key_pem);
    free(world->roots_pem);
    world->chain = world->key_pem = world->roots_pem = NULL;
    world->is_done = false;
}

static int free_world(void **state)
{
    struct world *world = *state;
    cert_source_free(world->source);
    forget(world);
    int num_left = net_loop_free(world->loop);
    cert_builder_free(world->root);
    unlink(world->cert);
    unlink(world->key);
    unlink(world->roots);
    rmdir(world->folder);
    free(world);
    return num_left;
}

static struct cert_source *open_source(struct world *world)
{
    const struct file_source_paths paths = {world->cert, world->key, world->roots};
    struct err err = {0};
    struct cert_source *source = file_source_new(world->loop, &paths, &err);
    if (source == NULL)
        fail_msg("%s", err.message);
    return source;
}

static void on_done(void *owner, const struct cert_fetched *fetched, const struct err *err)
{
    struct world *world = owner;
    world->is_done = true;
    if (fetched == NULL) {
        world->err = *err;
    } else {
        world->chain = strndup(fetched->chain.bytes, fetched->chain.len);
        world->key_pem = strndup(fetched->key.bytes, fetched->key.len);
        world->roots_pem = strndup(fetched->roots.bytes, fetched->roots.len);
    }
    net_loop_stop(world->loop);
}

static void fetch(struct world *world)
{
    forget(world);
    struct err err = {0};
    assert_int_equal(cert_source_start_fetch(world->source, NULL, on_done, world, &err), 0);
    assert_false(world->is_done);
    net_loop_run(world->loop);
    assert_true(world->is_done);
}

static void the_three_files_are_read(void **state)
{
    struct world *world = *state;
    write_file(world->cert, "chain");
    write_file(world->key, "key");
    write_file(world->roots, "roots");
    world->source = open_source(world);
    assert_false(world->source->wants_csr);
    fetch(world);
    assert_string_equal(world->chain, "chain");
    assert_string_equal(world->key_pem, "key");
    assert_string_equal(world->roots_pem, "roots");
}

static void what_is_wrong_with_a_file_is_said_with_its_path(void **state)
{
    struct world *world = *state;
    world->source = open_source(world);
    fetch(world);
    assert_int_equal(world->err.kind, ERR_NOT_FOUND);
    assert_non_null(strstr(world->err.message, world->cert));

    write_file(world->cert, "chain");
    assert_int_equal(mkdir(world->key, 0700), 0);
    fetch(world);
    assert_int_equal(world->err.kind, ERR_INVALID);
    assert_non_null(strstr(world->err.message, "not a regular file"));
    rmdir(world->key);

    assert_int_equal(mkfifo(world->key, 0600), 0); /* must not block */
    fetch(world);
    assert_int_equal(world->err.kind, ERR_INVALID);
    unlink(world->key);

    write_file(world->key, "key");
    write_file(world->roots, "");
    assert_int_equal(truncate(world->roots, FILE_SOURCE_MAX + 1), 0);
    fetch(world);
    assert_int_equal(world->err.kind, ERR_LIMIT);
    assert_non_null(strstr(world->err.message, world->roots));
}

static void a_cancelled_fetch_is_silent(void **state)
{
    struct world *world = *state;
    world->source = open_source(world);
    struct err err = {0};
    assert_int_equal(cert_source_start_fetch(world->source, NULL, on_done, world, &err), 0);
    cert_source_cancel(world->source);
    fetch(world); /* and the next one is alone */
    assert_int_equal(world->err.kind, ERR_NOT_FOUND);
}

/* ---------------------------------------------------------- with the machine, on a real loop -- */

struct watched {
    struct world *world;
    unsigned num_identities;
    char serial[CERT_SERIAL_TEXT_MAX];
};

static void on_identity(void *owner, struct identity *identity)
{
    struct watched *watched = owner;
    assert_non_null(identity);
    watched->num_identities++;
    strcpy(watched->serial, svid_serial(identity_svid(identity)));
    net_loop_stop(watched->world->loop);
}

static void write_set(const struct world *world, const struct cert_built *leaf)
{
    write_file(world->cert, cert_builder_chain_pem(leaf));
    write_file(world->key, cert_builder_key_pem(leaf));
    write_file(world->roots, cert_builder_pem(world->root));
}

static void a_replaced_set_of_files_becomes_the_new_identity(void **state)
{
    struct world *world = *state;
    static const struct rotation_handler HANDLER = {on_identity, NULL, NULL};
    const struct rotation_options options = {.identity_uri = ID};
    struct watched watched = {.world = world};
    struct cert_built *first = cert_builder_leaf(world->root, ID);
    struct cert_built *second = cert_builder_leaf(world->root, ID);
    write_set(world, first);
    struct err err = {0};
    struct rotation *rotation =
        rotation_new(world->loop, open_source(world), &options, &HANDLER, &watched, &err);
    assert_non_null(rotation);
    rotation_start(rotation);
    net_loop_run(world->loop);
    assert_int_equal(watched.num_identities, 1);
    char serial[CERT_SERIAL_TEXT_MAX];
    strcpy(serial, watched.serial);

    write_set(world, second);
    net_loop_run(world->loop);
    assert_int_equal(watched.num_identities, 2);
    assert_string_not_equal(serial, watched.serial);

    rotation_free(rotation);
    cert_builder_free(first);
    cert_builder_free(second);
}

enum { NUM_SWAPS = 3 };

/*
 * As Kubernetes mounts a Secret: the files are links into ..data, itself a link to a folder with
 * one version.
 */
static void link_files(const struct world *world)
{
    assert_int_equal(symlink("..data/tls.crt", world->cert), 0);
    assert_int_equal(symlink("..data/tls.key", world->key), 0);
    assert_int_equal(symlink("..data/ca.crt", world->roots), 0);
}

/* Makes version `number` with `leaf` and replaces ..data by rename. */
static void swap_in(const struct world *world, unsigned number, const struct cert_built *leaf)
{
    char folder[64], target[32], next[64], data[64];
    snprintf(folder, sizeof(folder), "%s/..v%u", world->folder, number);
    snprintf(target, sizeof(target), "..v%u", number);
    snprintf(next, sizeof(next), "%s/..next", world->folder);
    snprintf(data, sizeof(data), "%s/..data", world->folder);
    struct world version = {.root = world->root};
    snprintf(version.cert, sizeof(version.cert), "%s/tls.crt", folder);
    snprintf(version.key, sizeof(version.key), "%s/tls.key", folder);
    snprintf(version.roots, sizeof(version.roots), "%s/ca.crt", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    write_set(&version, leaf);
    assert_int_equal(symlink(target, next), 0);
    assert_int_equal(rename(next, data), 0);
}

static void remove_versions(const struct world *world)
{
    static const char *const NAMES[] = {"/tls.crt", "/tls.key", "/ca.crt", ""};
    char path[96];
    for (unsigned i = 0; i < NUM_SWAPS; i++) {
        for (size_t j = 0; j < sizeof(NAMES) / sizeof(NAMES[0]); j++) {
            snprintf(path, sizeof(path), "%s/..v%u%s", world->folder, i, NAMES[j]);
            assert_int_equal(remove(path), 0);
        }
    }
    snprintf(path, sizeof(path), "%s/..data", world->folder);
    unlink(path);
}

static void swapped_symlinks_are_noticed_every_time(void **state)
{
    struct world *world = *state;
    static const struct rotation_handler HANDLER = {on_identity, NULL, NULL};
    const struct rotation_options options = {.identity_uri = ID};
    struct watched watched = {.world = world};
    link_files(world);
    struct rotation *rotation =
        rotation_new(world->loop, open_source(world), &options, &HANDLER, &watched, NULL);
    assert_non_null(rotation);
    rotation_start(rotation);
    for (unsigned i = 0; i < NUM_SWAPS; i++) {
        struct cert_built *leaf = cert_builder_leaf(world->root, ID);
        swap_in(world, i, leaf);
        net_loop_run(world->loop);
        assert_int_equal(watched.num_identities, i + 1);
        cert_builder_free(leaf);
    }
    rotation_free(rotation);
    remove_versions(world);
}

static void a_set_that_appears_later_is_taken_up(void **state)
{
    struct world *world = *state;
    static const struct rotation_handler HANDLER = {on_identity, NULL, NULL};
    const struct rotation_options options = {.identity_uri = NULL};
    struct watched watched = {.world = world};
    struct cert_built *leaf = cert_builder_leaf(world->root, ID);
    struct err err = {0};
    struct rotation *rotation =
        rotation_new(world->loop, open_source(world), &options, &HANDLER, &watched, &err);
    assert_non_null(rotation);
    rotation_start(rotation);
    write_set(world, leaf);
    net_loop_run(world->loop);
    assert_int_equal(watched.num_identities, 1);
    rotation_free(rotation);
    cert_builder_free(leaf);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, free_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_three_files_are_read),
        TEST(what_is_wrong_with_a_file_is_said_with_its_path),
        TEST(a_cancelled_fetch_is_silent),
        TEST(a_replaced_set_of_files_becomes_the_new_identity),
        TEST(swapped_symlinks_are_noticed_every_time),
        TEST(a_set_that_appears_later_is_taken_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
