/* yaml_doc and yaml_reader: what a document means, and what is said of a wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "yaml_reader.h"

static struct yaml_doc *parse(const char *text)
{
    struct err err = {0};
    struct yaml_doc *doc = yaml_doc_parse("f", text, strlen(text), &err);
    if (doc == NULL)
        fail_msg("%s", err.message);
    return doc;
}

static void a_document_that_is_not_accepted_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } rows[] = {
        {"a: 1\nb: &x 2\n", "f:2:4: anchors are not supported"},
        {"a: &x [1]\n", "f:1:4: anchors are not supported"},
        {"a: &x {b: 1}\n", "f:1:4: anchors are not supported"},
        {"a: *x\n", "f:1:4: aliases are not supported"},
        {"a: 1\nb: 2\na: 3\n", "f:3:1: the key \"a\" is there twice"},
        {"a: {b: 1, b: 2}\n", "f:1:11: the key \"b\" is there twice"},
        {"a: 1\n---\nb: 2\n", "f:2:1: only one document is expected"},
        {"[1]: 2\n", "f:1:1: a key has to be text"},
        {"{a: 1}: 2\n", "f:1:1: a key has to be text"},
        {"!x a: 2\n", "f:1:1: a key cannot have a tag"},
        {"a: !!str 2\n",
         "f:1:4: tags of YAML's own types are not supported here; leave the tag out"},
        {"a: ! 2\n", "f:1:4: tags of YAML's own types are not supported here; leave the tag out"},
        {"a: \"x\\0y\"\n", "f:1:4: text cannot hold a NUL character"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        assert_null(yaml_doc_parse("f", rows[i].text, strlen(rows[i].text), &err));
        assert_string_equal(err.message, rows[i].message);
        assert_int_equal(err.kind, ERR_INVALID);
    }
}

static void what_is_no_yaml_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *place;
    } rows[] = {
        {"a: [1, 2\n", "f:2:1: "}, {"a: 1\n b: 2\n", "f:2:"},    {"a: 'x\n", "f:"},
        {"a: \t- b\n", "f:1:"},    {"a: \xff\n", "f: byte 3: "}, {"a: \x01\n", "f: byte "},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        assert_null(yaml_doc_parse("f", rows[i].text, strlen(rows[i].text), &err));
        if (strncmp(err.message, rows[i].place, strlen(rows[i].place)) != 0)
            fail_msg("row %zu: %s", i, err.message);
    }
}

static void depth_and_the_number_of_keys_are_bounded(void **state)
{
    (void)state;
    char nested[2 * YAML_DEPTH_MAX + 3] = {0};
    struct err err = {0};
    memset(nested, '[', YAML_DEPTH_MAX);
    memset(nested + YAML_DEPTH_MAX, ']', YAML_DEPTH_MAX);
    struct yaml_doc *doc = yaml_doc_parse("f", nested, strlen(nested), &err);
    assert_non_null(doc);
    yaml_doc_free(doc);

    memset(nested, '[', YAML_DEPTH_MAX + 1);
    memset(nested + YAML_DEPTH_MAX + 1, ']', YAML_DEPTH_MAX + 1);
    assert_null(yaml_doc_parse("f", nested, strlen(nested), &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    assert_string_equal(err.message, "f:1:33: lists and maps are nested too deep");

    enum { LINE = 12 };
    char *keys = calloc(YAML_KEYS_MAX + 1, LINE);
    assert_non_null(keys);
    size_t len = 0;
    for (unsigned i = 0; i <= YAML_KEYS_MAX; i++)
        len += (size_t)sprintf(keys + len, "k%u: 1\n", i);
    assert_null(yaml_doc_parse("f", keys, len, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    assert_string_equal(err.message, "f:8193:1: the map has too many keys");
    free(keys);
}

static void plain_text_means_what_the_core_schema_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum yaml_meaning meaning;
    } rows[] = {
        {"", YAML_NOTHING},      {"~", YAML_NOTHING},      {"null", YAML_NOTHING},
        {"'null'", YAML_TEXT},   {"''", YAML_TEXT},        {"nulls", YAML_TEXT},
        {"true", YAML_BOOL},     {"False", YAML_BOOL},     {"\"true\"", YAML_TEXT},
        {"yes", YAML_TEXT},      {"0", YAML_NUMBER},       {"-17", YAML_NUMBER},
        {"+1", YAML_NUMBER},     {"1.5", YAML_NUMBER},     {".5", YAML_NUMBER},
        {"1.", YAML_NUMBER},     {"1e5", YAML_NUMBER},     {"1e", YAML_TEXT},
        {"1e5x", YAML_TEXT},     {"0x1F", YAML_NUMBER},    {"0x", YAML_TEXT},
        {"0o17", YAML_NUMBER},   {"0o8", YAML_TEXT},       {".inf", YAML_NUMBER},
        {"-.inf", YAML_NUMBER},  {".", YAML_TEXT},         {"-a", YAML_TEXT},
        {"10.0.0.1", YAML_TEXT}, {"fd00::1", YAML_TEXT},   {"v1", YAML_TEXT},
        {"10s", YAML_TEXT},      {"/10.0.0.1", YAML_TEXT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[64];
        snprintf(text, sizeof(text), "k: %s\n", rows[i].text);
        struct yaml_doc *doc = parse(text);
        if (yaml_doc_root(doc)->first->meaning != rows[i].meaning)
            fail_msg("\"%s\" means %d", rows[i].text, (int)yaml_doc_root(doc)->first->meaning);
        yaml_doc_free(doc);
    }
}

static void a_tag_and_a_map_of_one_key_are_the_same(void **state)
{
    (void)state;
    static const char *const names[] = {"Exact", "Presence", NULL};
    static const char *const texts[] = {"[!Exact x, !Presence []]", "[{Exact: x}, {Presence: []}]",
                                        "- !Exact x\n- !Presence\n  []\n",
                                        "- Exact: x\n- Presence: []\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct err err = {0};
        struct yaml_reader reader;
        struct yaml_doc *doc = parse(texts[i]);
        yaml_reader_init(&reader, doc, &err);
        const struct yaml_node *list = yaml_doc_root(doc);
        const struct yaml_node *value;
        assert_true(yaml_reader_list(&reader, list));
        assert_int_equal(list->num, 2);
        assert_int_equal(yaml_reader_variant(&reader, list->first, names, &value), 0);
        assert_string_equal(yaml_reader_text(&reader, value), "x");
        assert_int_equal(yaml_reader_variant(&reader, list->first->next, names, &value), 1);
        assert_true(yaml_reader_list(&reader, value));
        assert_int_equal(value->num, 0);
        assert_false(yaml_reader_failed(&reader));
        yaml_doc_free(doc);
    }
}

/* What reads "k" of a map in the tests below, and may fail. */
typedef void read_key(struct yaml_reader *reader, const struct yaml_node *map);

static void read_as_text(struct yaml_reader *reader, const struct yaml_node *map)
{
    yaml_reader_text(reader, yaml_reader_required(reader, map, "k"));
}

static void read_as_raw(struct yaml_reader *reader, const struct yaml_node *map)
{
    yaml_reader_raw(reader, yaml_reader_required(reader, map, "k"));
}

static void read_as_u32(struct yaml_reader *reader, const struct yaml_node *map)
{
    yaml_reader_u32(reader, yaml_reader_required(reader, map, "k"), 1, 100, 0);
}

static void read_as_key(struct yaml_reader *reader, const struct yaml_node *map)
{
    const struct yaml_node *ports = yaml_reader_required(reader, map, "k");
    if (yaml_reader_map(reader, ports, NULL))
        yaml_reader_key_u32(reader, ports->first, 1, 65535);
}

static void read_as_bool(struct yaml_reader *reader, const struct yaml_node *map)
{
    yaml_reader_bool(reader, yaml_reader_required(reader, map, "k"));
}

static void read_as_enum(struct yaml_reader *reader, const struct yaml_node *map)
{
    static const char *const names[] = {"Allow", "Deny", NULL};
    yaml_reader_enum(reader, yaml_reader_required(reader, map, "k"), names);
}

static void read_as_ip(struct yaml_reader *reader, const struct yaml_node *map)
{
    yaml_reader_ip(reader, yaml_reader_required(reader, map, "k"));
}

static void read_as_cidr(struct yaml_reader *reader, const struct yaml_node *map)
{
    yaml_reader_cidr(reader, yaml_reader_required(reader, map, "k"));
}

static void read_as_map(struct yaml_reader *reader, const struct yaml_node *map)
{
    static const char *const keys[] = {"a", "b", NULL};
    yaml_reader_map(reader, yaml_reader_required(reader, map, "k"), keys);
}

static void read_as_list(struct yaml_reader *reader, const struct yaml_node *map)
{
    const struct yaml_node *list = yaml_reader_required(reader, map, "k");
    if (!yaml_reader_list(reader, list))
        return;
    for (const struct yaml_node *node = list->first; node != NULL; node = node->next)
        yaml_reader_text(reader, node);
}

static void read_as_variant(struct yaml_reader *reader, const struct yaml_node *map)
{
    static const char *const names[] = {"Exact", "Prefix", NULL};
    const struct yaml_node *value;
    yaml_reader_variant(reader, yaml_reader_required(reader, map, "k"), names, &value);
}

static void a_wrong_value_is_named_with_place_path_and_what_was_expected(void **state)
{
    (void)state;
    static const struct {
        read_key *read;
        const char *text;
        const char *message; /* NULL: it is right */
    } rows[] = {
        {read_as_text, "k: x", NULL},
        {read_as_text, "k: '17'", NULL},
        {read_as_text, "j: x", "f:1:1: the key \"k\" is missing"},
        {read_as_text, "k: 17",
         "f:1:1: k: expected text (with quotes around it), found the number \"17\""},
        {read_as_text, "k: true",
         "f:1:1: k: expected text (with quotes around it), found the boolean \"true\""},
        {read_as_text, "k:", "f:1:1: k: expected text, found nothing"},
        {read_as_text, "k: [x]", "f:1:1: k: expected text, found a list"},
        {read_as_text, "j: 1\nk: {a: b}", "f:2:1: k: expected text, found a map"},
        {read_as_text, "k: !x y", "f:1:1: k: expected text, found the tag !x"},
        {read_as_raw, "k: 17", NULL},
        {read_as_raw, "k: ~", "f:1:1: k: expected a value, found nothing"},
        {read_as_raw, "k: []", "f:1:1: k: expected a value, found a list"},
        {read_as_u32, "k: 100", NULL},
        {read_as_u32, "k: 101",
         "f:1:1: k: expected a number from 1 to 100, found the number \"101\""},
        {read_as_u32, "k: 0", "f:1:1: k: expected a number from 1 to 100, found the number \"0\""},
        {read_as_u32, "k: -1",
         "f:1:1: k: expected a number from 1 to 100, found the number \"-1\""},
        {read_as_u32, "k: 18446744073709551617",
         "f:1:1: k: expected a number from 1 to 100, found the number \"18446744073709551617\""},
        {read_as_u32, "k: '5'", "f:1:1: k: expected a number from 1 to 100, found the text \"5\""},
        {read_as_key, "k: {80: 1}", NULL},
        {read_as_key, "k: {http: 1}",
         "f:1:5: k.http: expected a number from 1 to 65535 as the key"},
        {read_as_key, "k:\n  0: 1", "f:2:3: k.0: expected a number from 1 to 65535 as the key"},
        {read_as_bool, "k: false", NULL},
        {read_as_bool, "k: yes", "f:1:1: k: expected true or false, found the text \"yes\""},
        {read_as_enum, "k: Deny", NULL},
        {read_as_enum, "k: deny", "f:1:1: k: expected Allow or Deny, found the text \"deny\""},
        {read_as_ip, "k: fd00::1", NULL},
        {read_as_ip, "k: 10.0.0", "f:1:1: k: "},
        {read_as_cidr, "k: 10.0.0.0/8", NULL},
        {read_as_cidr, "k: 10.0.0.1/8", "f:1:1: k: "},
        {read_as_map, "k: {a: 1}", NULL},
        {read_as_map, "k:\n  a: 1\n  c: 2", "f:3:3: k.c: unknown key; known are a or b"},
        {read_as_map, "k: [a]", "f:1:1: k: expected a map, found a list"},
        {read_as_list, "k: [a, b]", NULL},
        {read_as_list, "k:\n- a\n- 7",
         "f:3:3: k[1]: expected text (with quotes around it), found the number \"7\""},
        {read_as_list, "k: a", "f:1:1: k: expected a list, found the text \"a\""},
        {read_as_variant, "k: !Prefix a", NULL},
        {read_as_variant, "k: {Exact: a, Prefix: b}",
         "f:1:1: k: expected one of the tags Exact or Prefix (as in !Exact), found a map"},
        {read_as_variant, "k: !Regex a",
         "f:1:1: k: expected one of the tags Exact or Prefix (as in !Exact), found the tag !Regex"},
        {read_as_variant, "k: a",
         "f:1:1: k: expected one of the tags Exact or Prefix (as in !Exact), found the text \"a\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        struct yaml_reader reader;
        struct yaml_doc *doc = parse(rows[i].text);
        yaml_reader_init(&reader, doc, &err);
        rows[i].read(&reader, yaml_doc_root(doc));
        assert_int_equal(yaml_reader_failed(&reader), rows[i].message != NULL);
        size_t len = rows[i].message == NULL ? 0 : strlen(rows[i].message);
        if (len > 0 && rows[i].message[len - 1] == ' ')
            err.message[len] = '\0'; /* the rest is base's text */
        assert_string_equal(err.message, rows[i].message == NULL ? "" : rows[i].message);
        yaml_doc_free(doc);
    }
}

static void the_first_error_stays(void **state)
{
    (void)state;
    struct err err = {0};
    struct yaml_reader reader;
    struct yaml_doc *doc = parse("a: 1\nb: 2\n");
    yaml_reader_init(&reader, doc, &err);
    assert_string_equal(yaml_reader_text(&reader, yaml_reader_find(yaml_doc_root(doc), "a")), "");
    assert_string_equal(yaml_reader_text(&reader, yaml_reader_find(yaml_doc_root(doc), "b")), "");
    assert_non_null(strstr(err.message, "f:1:1: a:"));
    yaml_doc_free(doc);
}

static void what_is_not_given_has_its_value(void **state)
{
    (void)state;
    struct err err = {0};
    struct yaml_reader reader;
    struct yaml_doc *doc = parse("{}");
    yaml_reader_init(&reader, doc, &err);
    const struct yaml_node *none = yaml_reader_find(yaml_doc_root(doc), "k");
    assert_null(none);
    assert_string_equal(yaml_reader_text(&reader, none), "");
    assert_int_equal(yaml_reader_u32(&reader, none, 1, 2, 7), 7);
    assert_false(yaml_reader_bool(&reader, none));
    assert_int_equal(yaml_reader_ip(&reader, none).family, IP_NONE);
    assert_false(yaml_reader_list(&reader, none));
    assert_false(yaml_reader_map(&reader, none, NULL));
    assert_false(yaml_reader_failed(&reader));
    yaml_doc_free(doc);

    doc = parse("");
    assert_null(yaml_doc_root(doc));
    yaml_doc_free(doc);
    yaml_doc_free(NULL);
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    struct err err = {0};
    assert_null(yaml_doc_load("/nonexistent/mesh.yaml", &err));
    assert_int_equal(err.kind, ERR_SYSTEM);
    assert_non_null(strstr(err.message, "/nonexistent/mesh.yaml"));
    assert_null(yaml_doc_load("/", &err));
    assert_int_equal(err.kind, ERR_SYSTEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_that_is_not_accepted_is_refused_with_its_place),
        cmocka_unit_test(what_is_no_yaml_is_refused_with_its_place),
        cmocka_unit_test(depth_and_the_number_of_keys_are_bounded),
        cmocka_unit_test(plain_text_means_what_the_core_schema_says),
        cmocka_unit_test(a_tag_and_a_map_of_one_key_are_the_same),
        cmocka_unit_test(a_wrong_value_is_named_with_place_path_and_what_was_expected),
        cmocka_unit_test(the_first_error_stays),
        cmocka_unit_test(what_is_not_given_has_its_value),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
