#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "err.h"

static void set_fills_kind_and_message_and_returns_failure(void **state)
{
    struct err err;
    assert_int_equal(err_set(&err, ERR_LIMIT, "%d of %d", 3, 2), -1);
    assert_int_equal(err.kind, ERR_LIMIT);
    assert_int_equal(err.sys, 0);
    assert_string_equal(err.message, "3 of 2");
}

static void set_sys_appends_the_systems_text(void **state)
{
    struct err err;
    assert_int_equal(err_set_sys(&err, ENOENT, "open %s", "/x"), -1);
    assert_int_equal(err.kind, ERR_SYSTEM);
    assert_int_equal(err.sys, ENOENT);
    assert_string_equal(err.message, "open /x: No such file or directory");
}

static void prefix_goes_in_front_and_keeps_the_rest(void **state)
{
    struct err err;
    err_set_sys(&err, ECONNREFUSED, "connect");
    assert_int_equal(err_prefix(&err, "CA %s", "istiod"), -1);
    assert_string_equal(err.message, "CA istiod: connect: Connection refused");
    assert_int_equal(err.kind, ERR_SYSTEM);
    assert_int_equal(err.sys, ECONNREFUSED);
}

static void nobody_who_listens_is_no_trouble(void **state)
{
    assert_int_equal(err_set(NULL, ERR_LIMIT, "x"), -1);
    assert_int_equal(err_set_sys(NULL, EIO, "x"), -1);
    assert_int_equal(err_prefix(NULL, "x"), -1);
}

/* Around the limit, each way a message can become too long. */
static void too_long_messages_are_cut_and_marked(void **state)
{
    char text[2 * ERR_MESSAGE_MAX];
    for (size_t len = ERR_MESSAGE_MAX - 40; len < ERR_MESSAGE_MAX + 40; len++) {
        memset(text, 'a', len);
        text[len] = '\0';
        struct err err;
        err_set(&err, ERR_INVALID, "%s", text);
        bool cut = len >= ERR_MESSAGE_MAX;
        assert_int_equal(strlen(err.message), cut ? ERR_MESSAGE_MAX - 1 : len);
        assert_int_equal(strcmp(err.message + strlen(err.message) - 3, "...") == 0, cut);

        err_set_sys(&err, EIO, "%s", text);
        size_t full = len + strlen(": ") + strlen(strerror(EIO));
        cut = full >= ERR_MESSAGE_MAX;
        assert_int_equal(strlen(err.message), cut ? ERR_MESSAGE_MAX - 1 : full);
        assert_int_equal(strcmp(err.message + strlen(err.message) - 3, "...") == 0, cut);

        err_set(&err, ERR_INVALID, "cause");
        err_prefix(&err, "%s", text);
        full = len + strlen(": cause");
        cut = full >= ERR_MESSAGE_MAX;
        assert_int_equal(strlen(err.message), cut ? ERR_MESSAGE_MAX - 1 : full);
        assert_int_equal(strcmp(err.message + strlen(err.message) - 3, "...") == 0, cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_fills_kind_and_message_and_returns_failure),
        cmocka_unit_test(set_sys_appends_the_systems_text),
        cmocka_unit_test(prefix_goes_in_front_and_keeps_the_rest),
        cmocka_unit_test(nobody_who_listens_is_no_trouble),
        cmocka_unit_test(too_long_messages_are_cut_and_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
