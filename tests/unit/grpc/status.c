#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "grpc_status.h"

static void every_status_has_its_number_and_its_name(void **state)
{
    assert_int_equal(GRPC_STATUS_UNAUTHENTICATED, 16);
    assert_string_equal(grpc_status_name(GRPC_STATUS_OK), "OK");
    assert_string_equal(grpc_status_name(GRPC_STATUS_DEADLINE_EXCEEDED), "DEADLINE_EXCEEDED");
    assert_string_equal(grpc_status_name(GRPC_STATUS_UNAUTHENTICATED), "UNAUTHENTICATED");
    assert_string_equal(grpc_status_name((enum grpc_status)99), "?");
}

static void the_trailer_is_a_decimal_number_and_unknown_ones_are_unknown(void **state)
{
    static const struct {
        const char *text;
        int result;
        enum grpc_status status;
    } rows[] = {
        {"0", 0, GRPC_STATUS_OK},
        {"3", 0, GRPC_STATUS_INVALID_ARGUMENT},
        {"16", 0, GRPC_STATUS_UNAUTHENTICATED},
        {"17", 0, GRPC_STATUS_UNKNOWN},
        {"999999999", 0, GRPC_STATUS_UNKNOWN},
        {"", -1, 0},
        {"-1", -1, 0},
        {"+1", -1, 0},
        {" 1", -1, 0},
        {"1 ", -1, 0},
        {"0x1", -1, 0},
        {"18446744073709551616", -1, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum grpc_status status = GRPC_STATUS_ABORTED;
        int result = grpc_status_parse(rows[i].text, strlen(rows[i].text), &status);
        assert_int_equal(result, rows[i].result);
        assert_int_equal(status, result < 0 ? GRPC_STATUS_ABORTED : rows[i].status);
    }
}

static void http_statuses_without_a_grpc_status_are_translated(void **state)
{
    static const struct {
        int http;
        enum grpc_status status;
    } rows[] = {
        {400, GRPC_STATUS_INTERNAL},          {401, GRPC_STATUS_UNAUTHENTICATED},
        {403, GRPC_STATUS_PERMISSION_DENIED}, {404, GRPC_STATUS_UNIMPLEMENTED},
        {429, GRPC_STATUS_UNAVAILABLE},       {502, GRPC_STATUS_UNAVAILABLE},
        {503, GRPC_STATUS_UNAVAILABLE},       {504, GRPC_STATUS_UNAVAILABLE},
        {200, GRPC_STATUS_UNKNOWN},           {500, GRPC_STATUS_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(grpc_status_from_http(rows[i].http), rows[i].status);
}

static void messages_are_percent_encoded_where_they_are_not_printable_ascii(void **state)
{
    static const struct {
        const char *message;
        const char *encoded;
    } rows[] = {
        {"", ""},
        {"plain words, 1+1=2 ~", "plain words, 1+1=2 ~"},
        {"100%", "100%25"},
        {"a\nb\r\tc\x7f", "a%0Ab%0D%09c%7F"},
        {"f\xc3\xbcr", "f%C3%BCr"},
        {"\xff\xfe", "%FF%FE"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[64];
        assert_string_equal(grpc_status_encode_message(rows[i].message, out, sizeof(out)),
                            rows[i].encoded);
    }
}

static void a_message_that_does_not_fit_is_cut_between_characters(void **state)
{
    static const struct {
        size_t size;
        const char *encoded;
    } rows[] = {{1, ""}, {2, "x"}, {3, "x"}, {7, "x"}, {8, "x%C3%BC"}, {9, "x%C3%BCy"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[16];
        assert_string_equal(grpc_status_encode_message("x\xc3\xbcy", out, rows[i].size),
                            rows[i].encoded);
    }
}

static void decoding_leaves_what_is_not_valid_as_it_came(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } rows[] = {
        {"", ""},         {"plain", "plain"}, {"100%25", "100%"},   {"f%C3%bcr", "f\xc3\xbcr"},
        {"%", "%"},       {"%4", "%4"},       {"%zz", "%zz"},       {"%4g%41", "%4gA"},
        {"a%0ab", "a b"}, {"a%00b", "a b"},   {"%1b[31m", " [31m"}, {"%%41", "%A"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[64];
        assert_string_equal(
            grpc_status_decode_message(rows[i].text, strlen(rows[i].text), out, sizeof(out)),
            rows[i].message);
    }
}

static void decoding_is_bounded_by_the_space(void **state)
{
    char out[4];
    assert_string_equal(grpc_status_decode_message("abcdef", 6, out, sizeof(out)), "abc");
    assert_string_equal(grpc_status_decode_message("%41%42%43%44", 12, out, sizeof(out)), "ABC");
}

static void every_byte_survives_the_way_there_and_back(void **state)
{
    char message[GRPC_STATUS_MESSAGE_MAX] = {0};
    char encoded[GRPC_STATUS_ENCODED_MAX];
    char decoded[GRPC_STATUS_MESSAGE_MAX];
    for (int byte = 0x20; byte < 0x100; byte++)
        message[byte - 0x20] = (char)(byte == 0x7f ? ' ' : byte);
    grpc_status_encode_message(message, encoded, sizeof(encoded));
    grpc_status_decode_message(encoded, strlen(encoded), decoded, sizeof(decoded));
    assert_string_equal(decoded, message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_number_and_its_name),
        cmocka_unit_test(the_trailer_is_a_decimal_number_and_unknown_ones_are_unknown),
        cmocka_unit_test(http_statuses_without_a_grpc_status_are_translated),
        cmocka_unit_test(messages_are_percent_encoded_where_they_are_not_printable_ascii),
        cmocka_unit_test(a_message_that_does_not_fit_is_cut_between_characters),
        cmocka_unit_test(decoding_leaves_what_is_not_valid_as_it_came),
        cmocka_unit_test(decoding_is_bounded_by_the_space),
        cmocka_unit_test(every_byte_survives_the_way_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
