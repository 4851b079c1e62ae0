#include "port_table.h"

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
#include "port_files.h"

enum { OWN_CERT = 1, FILES = 2, CLEAR = 3 };

static struct world {
    char folder[64];
    struct cert_built *root;
    struct identity *identity;
} world;

static const char *path_of(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", world.folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int set_up(void **state)
{
    struct err err;
    snprintf(world.folder, sizeof(world.folder), "/tmp/remora-port-table-XXXXXX");
    assert_non_null(mkdtemp(world.folder));
    world.root = cert_builder_root("root");
    struct cert_built *leaf = cert_builder_leaf(world.root, "spiffe://td/ns/a/sa/b");
    const char *key = cert_builder_key_pem(leaf), *chain = cert_builder_chain_pem(leaf);
    const char *roots = cert_builder_pem(world.root);
    write_file("key", key);
    write_file("cert", chain);
    write_file("ca", roots);
    struct svid *svid = svid_new_pem(key, strlen(key), chain, strlen(chain), &err);
    struct trust_bundle *bundle = trust_bundle_new_pem("td", roots, strlen(roots), &err);
    const struct trust trust = {.bundles = &bundle, .num_bundles = 1};
    world.identity = identity_new(svid, &trust, 1, &err);
    assert_non_null(world.identity);
    trust_bundle_unref(bundle);
    svid_unref(svid);
    cert_builder_free(leaf);
    return 0;
}

static int tear_down(void **state)
{
    unlink(path_of("key"));
    unlink(path_of("cert"));
    unlink(path_of("ca"));
    identity_unref(world.identity);
    cert_builder_free(world.root);
    return rmdir(world.folder);
}

/* A port and a destination that show the workload's certificate, and one each of files. NULL: see *err. */
static struct port_table *make(struct identity *identity, bool is_valid, struct err *err)
{
    char text[2048];
    int len = snprintf(text, sizeof(text),
                       "ports:\n"
                       "- {port: 1, mode: mtls}\n"
                       "- {port: 2, mode: mtls, client-ca: %s, certificates: [{cert: %s, key: %s, "
                       "names: [a.test]}]}\n"
                       "- {port: 3, mode: plaintext}\n"
                       "destinations:\n"
                       "- {match: {host: a, port: 1}, spiffe-ids: [\"spiffe://td/x\"]}\n"
                       "- {match: {host: a, port: 2}, server-name: a, ca: %s, cert: %s, key: %s}\n",
                       path_of("ca"), path_of("cert"), path_of("key"), path_of("ca"),
                       path_of("cert"), path_of("key"));
    struct ports_config *config = ports_config_parse("p", text, (size_t)len, err);
    assert_non_null(config);
    struct port_files *files = port_files_new(config, err);
    assert_int_equal(port_files_read(files, err), 0);
    struct port_table *table = port_table_new(files, identity, is_valid, err);
    port_files_unref(files);
    return table;
}

static void assert_has(struct identity *identity, bool is_valid, bool own, bool files)
{
    struct err err = {0};
    size_t num;
    struct port_table *table = make(identity, is_valid, &err);
    assert_non_null(table);
    const struct port_destination *destinations = port_table_destinations(table, &num);
    assert_int_equal(num, 2);
    assert_int_equal(port_table_istio(table) != NULL, own);
    assert_int_equal(port_table_find(table, OWN_CERT)->tls != NULL, own);
    assert_int_equal(destinations[0].tls != NULL, own);
    assert_int_equal(port_table_find(table, FILES)->tls != NULL, files);
    assert_int_equal(destinations[1].tls != NULL, files);
    assert_null(port_table_find(table, CLEAR)->tls);
    assert_int_equal(port_table_find(table, CLEAR)->config->mode, PORTS_PLAINTEXT);
    assert_null(port_table_find(table, 4));
    port_table_unref(table);
}

static void what_shows_the_workload_s_certificate_needs_a_valid_one(void **state)
{
    assert_has(world.identity, true, true, true);
    assert_has(world.identity, false, false, true);
}

/* Nobody could say who is revoked, and who speaks for the mesh. */
static void without_an_identity_there_is_no_tls_at_all(void **state)
{
    assert_has(NULL, false, false, false);
}

static void a_certificate_that_cannot_be_used_is_named_by_its_port(void **state)
{
    struct err err = {0};
    write_file("cert", "nonsense");
    assert_null(make(world.identity, true, &err));
    assert_non_null(strstr(err.message, "port 2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_shows_the_workload_s_certificate_needs_a_valid_one,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_an_identity_there_is_no_tls_at_all, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_certificate_that_cannot_be_used_is_named_by_its_port,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
