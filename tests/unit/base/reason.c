#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <string.h>

#include "reason.h"

static void every_reason_has_a_label_of_its_own_and_a_sentence(void **state)
{
    for (int i = 0; i < NUM_REASONS; i++) {
        const char *name = reason_name((enum reason)i);
        assert_true(strlen(name) > 0);
        for (const char *at = name; *at != '\0'; at++)
            assert_true(islower((unsigned char)*at) || isdigit((unsigned char)*at) || *at == '_');
        for (int j = 0; j < i; j++)
            assert_string_not_equal(name, reason_name((enum reason)j));
        assert_true(strlen(reason_flag((enum reason)i)) > 0);
        const char *sentence = reason_sentence((enum reason)i);
        assert_true(strlen(sentence) > 0 && sentence[strlen(sentence) - 1] != '.');
    }
}

static void rows_are_not_mixed_up(void **state)
{
    assert_string_equal(reason_name(REASON_DENIED_BY_POLICY), "denied_by_policy");
    assert_string_equal(reason_flag(REASON_NO_HEALTHY_ENDPOINT), "UH");
    assert_int_equal(reason_severity(REASON_DONE), REASON_OK);
    assert_int_equal(reason_severity(REASON_CERT_EXPIRED), REASON_FAULT);
    assert_string_equal(reason_sentence(REASON_NO_MEMORY), "out of memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_has_a_label_of_its_own_and_a_sentence),
        cmocka_unit_test(rows_are_not_mixed_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
