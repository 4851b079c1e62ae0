#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "readiness.h"

static void assert_text(const struct readiness *readiness, const char *expected)
{
    struct buf out = {0};
    assert_int_equal(readiness_write(readiness, &out), 0);
    assert_int_equal(buf_append(&out, "", 1), 0);
    assert_string_equal((const char *)buf_head(&out), expected);
    buf_done(&out);
}

static void ready_only_when_every_condition_is_met(void **state)
{
    struct readiness readiness = {0};
    size_t certificate = readiness_add(&readiness, "certificate", "none yet");
    size_t discovery = readiness_add(&readiness, "discovery", "not loaded yet");
    assert_false(readiness_is_ready(&readiness));
    assert_text(&readiness, "not ready\ncertificate: none yet\ndiscovery: not loaded yet\n");

    readiness_set_met(&readiness, certificate);
    assert_text(&readiness, "not ready\ndiscovery: not loaded yet\n");
    readiness_set_met(&readiness, discovery);
    assert_true(readiness_is_ready(&readiness));
    assert_text(&readiness, "ready\n");

    readiness_set_pending(&readiness, certificate, "expired", "5 s ago");
    assert_text(&readiness, "not ready\ncertificate: expired: 5 s ago\n");
}

static void text_of_others_stays_on_its_line(void **state)
{
    struct readiness readiness = {0};
    size_t index = readiness_add(&readiness, "discovery", "");
    readiness_set_pending(&readiness, index, "line 1: \"a\nready\r\x7f\"", NULL);
    assert_text(&readiness, "not ready\ndiscovery: line 1: \"a?ready??\"\n");
}

static void long_text_is_cut(void **state)
{
    char longer[2 * READINESS_WHY_MAX];
    memset(longer, 'w', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    struct readiness readiness = {0};
    readiness_set_pending(&readiness, readiness_add(&readiness, "x", ""), longer, NULL);
    struct buf out = {0};
    assert_int_equal(readiness_write(&readiness, &out), 0);
    assert_int_equal(buf_len(&out), strlen("not ready\nx: \n") + READINESS_WHY_MAX - 1);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ready_only_when_every_condition_is_met),
        cmocka_unit_test(text_of_others_stays_on_its_line),
        cmocka_unit_test(long_text_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
