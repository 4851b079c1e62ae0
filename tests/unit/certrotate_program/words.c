#include "words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void words_are_taken_apart_without_a_shell(void **state)
{
    static const struct {
        const char *text;
        const char *words[5];
    } CASES[] = {
        {"", {NULL}},
        {"  \t\n ", {NULL}},
        {"nginx", {"nginx"}},
        {"nginx -s  reload\n", {"nginx", "-s", "reload"}},
        {"a 'b c' \"d e\"", {"a", "b c", "d e"}},
        {"a'b'\"c\"d", {"abcd"}},
        {"'' \"\"", {"", ""}},
        {"'a\\b' \"c\\\"d\\\\e\\f\"", {"a\\b", "c\"d\\e\\f"}},
        {"a\\ b \\'c", {"a b", "'c"}},
        {"$HOME *.pem | x ; y", {"$HOME", "*.pem", "|", "x", ";"}},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct words words;
        struct err err = {0};
        assert_int_equal(words_split(&words, CASES[i].text, &err), 0);
        size_t num = 0;
        for (; num < 5 && CASES[i].words[num] != NULL; num++)
            assert_string_equal(words.argv[num], CASES[i].words[num]);
        assert_true(num == 5 || words.num == num);
        assert_null(words.argv[words.num]);
        words_done(&words);
        assert_int_equal(words.num, 0);
    }
}

static void what_is_not_closed_is_an_error(void **state)
{
    static const char *const CASES[][2] = {
        {"a 'b", "' is not closed"}, {"\"a\\\"", "\" is not closed"}, {"a \\", "backslash"}};
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct words words;
        struct err err = {0};
        assert_int_equal(words_split(&words, CASES[i][0], &err), -1);
        assert_int_equal(err.kind, ERR_INVALID);
        assert_non_null(strstr(err.message, CASES[i][1]));
        assert_null(words.text);
    }
}

static void too_many_words_are_an_error(void **state)
{
    char text[4 * WORDS_MAX] = "";
    struct words words;
    struct err err = {0};
    for (int i = 0; i < WORDS_MAX; i++)
        strcat(text, "w ");
    assert_int_equal(words_split(&words, text, &err), 0);
    assert_int_equal(words.num, WORDS_MAX);
    words_done(&words);
    strcat(text, "w");
    assert_int_equal(words_split(&words, text, &err), -1);
    assert_int_equal(err.kind, ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_taken_apart_without_a_shell),
        cmocka_unit_test(what_is_not_closed_is_an_error),
        cmocka_unit_test(too_many_words_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
