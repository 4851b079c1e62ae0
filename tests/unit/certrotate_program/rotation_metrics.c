#include "rotation_metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void metrics_say_how_rotation_goes(void **state)
{
    struct rotation_status status = {.valid = true,
                                     .not_before_ms = 1000 * 1000,
                                     .not_after_ms = 5000 * 1000 + 999,
                                     .last_success_ms = 2000 * 1000};
    status.attempts[ROTATION_OK] = 3;
    status.attempts[ROTATION_DENIED] = 2;
    const struct rotation_metrics_extra extra = {
        .written_ms = 2001 * 1000, .num_write_failures = 4, .num_told = 5, .num_not_told = 6};
    static const char *const LINES[] = {
        "\nremora_certificate_expiry_timestamp_seconds 5000\n",
        "\nremora_certificate_start_timestamp_seconds 1000\n",
        "\nremora_certificate_last_rotation_timestamp_seconds 2000\n",
        "\nremora_certificate_rotation_attempts_total{outcome=\"ok\"} 3\n",
        "\nremora_certificate_rotation_attempts_total{outcome=\"denied\"} 2\n",
        "\nremora_certrotate_files_written_timestamp_seconds 2001\n",
        "\nremora_certrotate_write_failures_total 4\n",
        "\nremora_certrotate_notifications_total{outcome=\"ok\"} 5\n",
        "\nremora_certrotate_notifications_total{outcome=\"failed\"} 6\n",
    };
    struct buf out = {0};
    assert_int_equal(rotation_metrics_write(&status, &extra, &out), 0);
    assert_int_equal(buf_append(&out, "", 1), 0);
    const char *text = (const char *)buf_head(&out);
    for (size_t i = 0; i < sizeof(LINES) / sizeof(LINES[0]); i++)
        assert_non_null(strstr(text, LINES[i]));
    buf_done(&out);
}

static void without_a_certificate_its_times_are_zero(void **state)
{
    const struct rotation_status status = {0};
    const struct rotation_metrics_extra extra = {0};
    struct buf out = {0};
    assert_int_equal(rotation_metrics_write(&status, &extra, &out), 0);
    assert_int_equal(buf_append(&out, "", 1), 0);
    assert_non_null(
        strstr((const char *)buf_head(&out), "\nremora_certificate_expiry_timestamp_seconds 0\n"));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_say_how_rotation_goes),
        cmocka_unit_test(without_a_certificate_its_times_are_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
