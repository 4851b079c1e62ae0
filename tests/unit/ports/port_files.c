#include "port_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static int make_folder(void **state)
{
    snprintf(folder, sizeof(folder), "/tmp/remora-port-files-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    return rmdir(folder);
}

static const char *path_of(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* One CA for two ports and a destination, one certificate. */
static struct port_files *name_files(void)
{
    char text[1024];
    struct err err;
    int len =
        snprintf(text, sizeof(text),
                 "ports:\n"
                 "- {port: 1, mode: mtls, client-ca: %s}\n"
                 "- {port: 2, mode: mtls, client-ca: %s, certificates: [{cert: %s, key: %s}]}\n"
                 "destinations:\n"
                 "- {match: {host: a, port: 1}, server-name: a, ca: %s}\n",
                 path_of("ca"), path_of("ca"), path_of("cert"), path_of("key"), path_of("ca"));
    struct ports_config *config = ports_config_parse("p", text, (size_t)len, &err);
    assert_non_null(config);
    struct port_files *files = port_files_new(config, &err);
    assert_non_null(files);
    return files;
}

static void assert_content(const struct port_files *files, const char *name, const char *expected)
{
    struct cert_bytes bytes = port_files_get(files, path_of(name));
    assert_int_equal(bytes.encoding, CERT_PEM);
    assert_int_equal(bytes.len, strlen(expected));
    assert_memory_equal(bytes.bytes, expected, bytes.len);
}

static void each_file_is_read_once_and_held(void **state)
{
    struct err err;
    write_file("ca", "roots");
    write_file("cert", "chain");
    write_file("key", "secret");
    struct port_files *files = name_files();
    assert_int_equal(port_files_num(files), 3);
    assert_string_equal(port_files_path(files, 0), path_of("ca"));
    assert_int_equal(port_files_read(files, &err), 0);
    unlink(path_of("ca"));
    unlink(path_of("cert"));
    unlink(path_of("key"));
    assert_content(files, "ca", "roots");
    assert_content(files, "cert", "chain");
    assert_content(files, "key", "secret");
    assert_null(port_files_get(files, NULL).bytes);
    port_files_unref(files);
}

static void a_file_that_is_missing_is_named(void **state)
{
    struct err err;
    write_file("ca", "roots");
    struct port_files *files = name_files();
    assert_int_equal(port_files_read(files, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, path_of("cert")));
    port_files_unref(files);
    unlink(path_of("ca"));
}

static void a_file_that_is_too_long_is_refused(void **state)
{
    struct err err;
    write_file("ca", "");
    assert_int_equal(truncate(path_of("ca"), PORT_FILES_BYTES_MAX + 1), 0);
    struct port_files *files = name_files();
    assert_int_equal(port_files_read(files, &err), -1);
    assert_int_equal(err.kind, ERR_LIMIT);
    port_files_unref(files);
    unlink(path_of("ca"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_file_is_read_once_and_held),
        cmocka_unit_test(a_file_that_is_missing_is_named),
        cmocka_unit_test(a_file_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
