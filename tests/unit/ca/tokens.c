#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "token_table.h"

static char dir[256];

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/remora-tokens-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    unlink(path_of("tokens.yaml"));
    unlink(path_of("a-token"));
    return rmdir(dir);
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static struct token_table *load(const char *yaml, struct err *err)
{
    write_file("tokens.yaml", yaml);
    return token_table_load(path_of("tokens.yaml"), "cluster.local", err);
}

static void expect_identity(const struct token_table *table, const char *token, const char *uri)
{
    const struct spiffe_id *id = token_table_find(table, token, strlen(token));
    if (uri == NULL) {
        assert_null(id);
        return;
    }
    assert_non_null(id);
    assert_string_equal(id->uri, uri);
}

static void a_token_stands_for_the_identity_of_its_entry(void **state)
{
    struct err err = {0};
    write_file("a-token", "  from-a-file \n\n");
    struct token_table *table =
        load("tokens:\n"
             "- {token: secret-one, namespace: shop, serviceAccount: frontend}\n"
             "- {token: \"1234567890\", trustDomain: example.org, namespace: a, "
             "serviceAccount: b}\n"
             "- {tokenFile: a-token, namespace: shop, serviceAccount: backend}\n",
             &err);
    if (table == NULL)
        fail_msg("%s", err.message);
    assert_int_equal(token_table_num_tokens(table), 3);
    expect_identity(table, "secret-one", "spiffe://cluster.local/ns/shop/sa/frontend");
    expect_identity(table, "1234567890", "spiffe://example.org/ns/a/sa/b");
    expect_identity(table, "from-a-file", "spiffe://cluster.local/ns/shop/sa/backend");
    expect_identity(table, "", NULL);
    expect_identity(table, "secret-on", NULL);
    expect_identity(table, "secret-one ", NULL);
    expect_identity(table, "Secret-one", NULL);
    assert_string_equal(token_table_file(table, 0), path_of("a-token"));
    assert_null(token_table_file(table, 1));
    token_table_free(table);
}

static void an_empty_list_lets_nobody_in(void **state)
{
    struct err err = {0};
    struct token_table *table = load("tokens: []\n", &err);
    assert_non_null(table);
    assert_int_equal(token_table_num_tokens(table), 0);
    expect_identity(table, "", NULL);
    token_table_free(table);
}

static void what_is_wrong_is_named_and_no_token_is_told(void **state)
{
    static const struct {
        const char *yaml;
        const char *why;
    } rows[] = {
        {"", "empty"},
        {"tokens: 1\n", "tokens"},
        {"token: []\n", "token"},
        {"tokens:\n- {token: sesame, namespace: a, serviceAccount: b, x: y}\n", "x"},
        {"tokens:\n- {token: sesame, namespace: a}\n", "serviceAccount"},
        {"tokens:\n- {namespace: a, serviceAccount: b}\n", "either token or tokenFile"},
        {"tokens:\n- {token: sesame, tokenFile: f, namespace: a, serviceAccount: b}\n",
         "either token or tokenFile"},
        {"tokens:\n- {token: \"\", namespace: a, serviceAccount: b}\n", "the token must be"},
        {"tokens:\n- {token: \"sesame open\", namespace: a, serviceAccount: b}\n",
         "the token must be"},
        {"tokens:\n- {token: \"sesame\\n\\topen\", namespace: a, serviceAccount: b}\n",
         "the token must be"},
        {"tokens:\n- {tokenFile: missing, namespace: a, serviceAccount: b}\n", "does not exist"},
        {"tokens:\n- {token: sesame, namespace: a/b, serviceAccount: b}\n", "namespace"},
        {"tokens:\n- {token: sesame, namespace: \"\", serviceAccount: b}\n", "segment"},
        {"tokens:\n- {token: sesame, trustDomain: UPPER, namespace: a, serviceAccount: b}\n",
         "trust domain"},
        {"tokens:\n- {token: sesame, namespace: a, serviceAccount: b}\n"
         "- {token: sesame, namespace: a, serviceAccount: c}\n",
         "have the same token"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        struct token_table *table = load(rows[i].yaml, &err);
        if (table != NULL)
            fail_msg("accepted: %s", rows[i].yaml);
        assert_string_not_equal(err.message, "");
        if (strcasestr(err.message, rows[i].why) == NULL)
            fail_msg("expected \"%s\" in \"%s\"", rows[i].why, err.message);
        assert_null(strstr(err.message, "sesame"));
    }
}

static void a_token_file_that_is_empty_or_endless_is_refused(void **state)
{
    static const char yaml[] = "tokens:\n- {tokenFile: a-token, namespace: a, serviceAccount: b}\n";
    struct err err = {0};
    write_file("a-token", "\n");
    assert_null(load(yaml, &err));
    char *text = malloc(TOKEN_TABLE_TOKEN_MAX + 2);
    memset(text, 'x', TOKEN_TABLE_TOKEN_MAX + 1);
    text[TOKEN_TABLE_TOKEN_MAX + 1] = '\0';
    write_file("a-token", text);
    assert_null(load(yaml, &err));
    free(text);
}

static void a_missing_file_is_named(void **state)
{
    struct err err = {0};
    assert_null(token_table_load(path_of("nothing.yaml"), "cluster.local", &err));
    assert_non_null(strstr(err.message, "nothing.yaml"));
}

#define TOKEN_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TOKEN_TEST(a_token_stands_for_the_identity_of_its_entry),
        TOKEN_TEST(an_empty_list_lets_nobody_in),
        TOKEN_TEST(what_is_wrong_is_named_and_no_token_is_told),
        TOKEN_TEST(a_token_file_that_is_empty_or_endless_is_refused),
        TOKEN_TEST(a_missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
