#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static char *format(enum log_format format, const char *message, const struct log_field *fields,
                    size_t num_fields)
{
    const struct log_line log_line = {.level = "info",
                                      .module = "proxy",
                                      .message = message,
                                      .fields = fields,
                                      .num_fields = num_fields};
    struct buf line = {0};
    assert_int_equal(log_format_line(&line, format, &log_line), 0);
    char *text = strndup((const char *)buf_head(&line), buf_len(&line));
    assert_int_equal(strlen(text), buf_len(&line));
    buf_done(&line);
    return text;
}

static void text_line_has_time_level_module_message_and_pairs(void **state)
{
    const struct log_field fields[] = {LOG_S("peer", "spiffe://a/b"), LOG_U("bytes", UINT64_MAX),
                                       LOG_I("ms", -5), LOG_S("absent", NULL), LOG_S("empty", "")};
    char *line = format(LOG_TEXT, "closed", fields, 5);
    assert_string_equal(line,
                        "1970-01-01T00:00:00.000Z info proxy \"closed\" peer=\"spiffe://a/b\" "
                        "bytes=18446744073709551615 ms=-5 empty=\"\"\n");
    free(line);
}

static void json_line_is_one_object(void **state)
{
    const struct log_field fields[] = {LOG_S("peer", "spiffe://a/b"), LOG_U("bytes", 7),
                                       LOG_I("ms", -5), LOG_S("absent", NULL)};
    char *line = format(LOG_JSON, "closed", fields, 4);
    assert_string_equal(
        line, "{\"time\":\"1970-01-01T00:00:00.000Z\",\"level\":\"info\",\"module\":\"proxy\","
              "\"message\":\"closed\",\"peer\":\"spiffe://a/b\",\"bytes\":7,\"ms\":-5}\n");
    free(line);
}

static void hostile_text_is_escaped(void **state)
{
    static const struct {
        const char *value, *text, *json;
    } rows[] = {
        {"a\"b", "a\\\"b", "a\\\"b"},
        {"a\\b", "a\\\\b", "a\\\\b"},
        {"x\ny\rz\t", "x\\ny\\rz\\t", "x\\ny\\rz\\t"},
        {"\x1b[2J\x7f\x01", "\\u001b[2J\\u007f\\u0001", "\\u001b[2J\\u007f\\u0001"},
        {"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9f", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9f",
         "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9f"},
        {"\xc2\x85", "\\u0085", "\\u0085"},           /* NEL ends a line for some */
        {"\xe2\x80\xa8", "\\u2028", "\\u2028"},       /* so does LINE SEPARATOR */
        {"\xe2\x80\xae", "\\u202e", "\\u202e"},       /* turns the text round on a screen */
        {"\xd8\x9c", "\\u061c", "\\u061c"},           /* so may ARABIC LETTER MARK */
        {"\xff\xfe", "\\xff\\xfe", "\\\\xff\\\\xfe"}, /* never UTF-8 */
        {"\xc3", "\\xc3", "\\\\xc3"},                 /* cut short by the end */
        {"\xc3(", "\\xc3(", "\\\\xc3("},              /* cut short by text */
        {"\xe2\x82", "\\xe2\\x82", "\\\\xe2\\\\x82"},
        {"\xc0\x8a", "\\xc0\\x8a", "\\\\xc0\\\\x8a"},                 /* an overlong newline */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80", "\\\\xed\\\\xa0\\\\x80"}, /* a surrogate */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80",
         "\\\\xf4\\\\x90\\\\x80\\\\x80"}, /* past the last code point */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct log_field field = LOG_S("k", rows[i].value);
        char expected[256];
        char *text = format(LOG_TEXT, "m", &field, 1);
        snprintf(expected, sizeof(expected), "1970-01-01T00:00:00.000Z info proxy \"m\" k=\"%s\"\n",
                 rows[i].text);
        assert_string_equal(text, expected);
        free(text);
        char *json = format(LOG_JSON, "m", &field, 1);
        snprintf(expected, sizeof(expected), "\"k\":\"%s\"}\n", rows[i].json);
        assert_string_equal(strstr(json, "\"k\""), expected);
        free(json);
    }
}

/* Whatever two bytes a peer sends between others: one line, no raw control, valid JSON with the
 * same fields. */
static void no_two_bytes_break_the_line(void **state)
{
    for (unsigned a = 1; a < 256; a++) {
        for (unsigned b = 1; b < 256; b++) {
            char value[] = {'<', (char)a, (char)b, '>', '\0'};
            const struct log_field fields[] = {LOG_S("k", value), LOG_S("after", "here")};
            char *text = format(LOG_TEXT, value, fields, 2);
            char *json = format(LOG_JSON, value, fields, 2);
            for (const char *at = text; *at != '\0'; at++)
                assert_true((unsigned char)*at >= 0x20 || (*at == '\n' && at[1] == '\0'));
            json_t *object = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
            assert_non_null(object);
            assert_int_equal(json_object_size(object), 6);
            assert_string_equal(json_string_value(json_object_get(object, "after")), "here");
            json_decref(object);
            free(text);
            free(json);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_line_has_time_level_module_message_and_pairs),
        cmocka_unit_test(json_line_is_one_object),
        cmocka_unit_test(hostile_text_is_escaped),
        cmocka_unit_test(no_two_bytes_break_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
