#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "utf8.h"

static void reads_the_shortest_form_and_nothing_else(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        uint32_t point;
    } cases[] = {
        {"a", 1, 'a'},
        {"", 1, 0}, /* the NUL itself */
        {"\x7f", 1, 0x7f},
        {"\xc2\x80", 2, 0x80},
        {"\xdf\xbf", 2, 0x7ff},
        {"\xe0\xa0\x80", 3, 0x800},
        {"\xed\x9f\xbf", 3, 0xd7ff},
        {"\xee\x80\x80", 3, 0xe000},
        {"\xef\xbf\xbf", 3, 0xffff},
        {"\xf0\x90\x80\x80", 4, 0x10000},
        {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
        /* a continuation byte alone, a byte that never occurs */
        {"\x80", 0, 0},
        {"\xff", 0, 0},
        {"\xf8\x88\x80\x80\x80", 0, 0},
        /* longer than need be */
        {"\xc0\xaf", 0, 0},
        {"\xc1\xbf", 0, 0},
        {"\xe0\x9f\xbf", 0, 0},
        {"\xf0\x8f\xbf\xbf", 0, 0},
        /* surrogates, past the end */
        {"\xed\xa0\x80", 0, 0},
        {"\xed\xbf\xbf", 0, 0},
        {"\xf4\x90\x80\x80", 0, 0},
        /* cut: the NUL at the end stops the reading */
        {"\xc3", 0, 0},
        {"\xe2\x82", 0, 0},
        {"\xf0\x9f\x98", 0, 0},
        {"\xe2\x82x", 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t point;
        size_t len = utf8_read(cases[i].text, &point);
        if (len != cases[i].len || (len != 0 && point != cases[i].point))
            fail_msg("case %zu: length %zu", i, len);
    }
}

static void text_is_utf_8_without_a_nul(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool expected;
    } cases[] = {
        {"", 0, true},
        {"abc", 3, true},
        {"\xc3\xa4\xf0\x9f\x90\x9f", 6, true},
        {"a\0b", 3, false},
        {"\0", 1, false},
        {"\xc3\xa4", 1, false}, /* the end cuts a character */
        {"ab\xf0\x9f\x90\x9f", 5, false},
        {"\x80", 1, false},
        {"\xed\xa0\x80", 3, false},
        {"ab\xff", 3, false},
        {"ab\xff", 2, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(utf8_is_text(cases[i].bytes, cases[i].len), cases[i].expected);
}

static void what_others_wrote_does_nothing_to_a_terminal(void **state)
{
    static const struct {
        const char *text, *visible;
    } cases[] = {
        {"", ""},
        {"plain, \"quoted\" and \\", "plain, \"quoted\" and \\"},
        {"\xc3\xa4\xf0\x9f\x90\x9f", "\xc3\xa4\xf0\x9f\x90\x9f"},
        {"\x1b[2J\n\x7f", "\\u001b[2J\\u000a\\u007f"},
        {"a\xe2\x80\xaez\xd8\x9c", "a\\u202ez\\u061c"}, /* turns round what follows */
        {"\xe2\x80\x8b\xef\xbb\xbf", "\\u200b\\ufeff"}, /* invisible */
        {"\xff(", "\\xff("},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf out = {0};
        assert_int_equal(utf8_append_visible(&out, cases[i].text), 0);
        assert_int_equal(buf_append(&out, "", 1), 0);
        assert_string_equal((const char *)buf_head(&out), cases[i].visible);
        buf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_shortest_form_and_nothing_else),
        cmocka_unit_test(text_is_utf_8_without_a_nul),
        cmocka_unit_test(what_others_wrote_does_nothing_to_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
