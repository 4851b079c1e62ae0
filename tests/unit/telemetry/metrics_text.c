#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "metrics_text.h"

static const char *const labels[] = {"side", "name"};

static const struct metrics_spec counters = {
    .type = METRICS_COUNTER,
    .columns = {{"app_seen", "What was seen"}, {"app_lost", "What was lost"}},
    .num_columns = 2,
    .labels = labels,
    .num_labels = 2,
    .max_rows = 2,
};

static const struct metrics_spec gauges = {
    .type = METRICS_GAUGE,
    .columns = {{"app_open", "What is open"}},
    .num_columns = 1,
    .max_rows = 1,
};

static const struct metrics_spec durations = {
    .type = METRICS_DURATIONS,
    .columns = {{"app_wait_seconds", "Waiting"}},
    .num_columns = 1,
    .labels = labels,
    .num_labels = 1,
    .max_rows = 1,
};

static void assert_text(struct metrics *metrics, enum metrics_format format, const char *expected)
{
    struct buf out = {0};
    assert_int_equal(metrics_text_write(metrics, format, &out), 0);
    assert_int_equal(buf_append(&out, "", 1), 0);
    assert_string_equal((const char *)buf_head(&out), expected);
    buf_done(&out);
}

static void count(struct metrics_table *table, const char *side, const char *name, int64_t by)
{
    const char *values[] = {side, name};
    metrics_row_add(metrics_row_get(table, values), 0, by);
}

static void counters_and_gauges_in_both_formats(void **state)
{
    struct metrics *metrics = metrics_new();
    struct metrics_table *table = metrics_table_new(metrics, &counters);
    metrics_row_add(metrics_row_get(metrics_table_new(metrics, &gauges), NULL), 0, -5);
    metrics_table_new(metrics, &durations); /* without rows: not shown */
    count(table, "in", "x", 3);
    count(table, "out", "y", INT64_MAX);
    assert_text(metrics, METRICS_PROMETHEUS,
                "# HELP app_seen_total What was seen.\n"
                "# TYPE app_seen_total counter\n"
                "app_seen_total{side=\"in\",name=\"x\"} 3\n"
                "app_seen_total{side=\"out\",name=\"y\"} 9223372036854775807\n"
                "# HELP app_lost_total What was lost.\n"
                "# TYPE app_lost_total counter\n"
                "app_lost_total{side=\"in\",name=\"x\"} 0\n"
                "app_lost_total{side=\"out\",name=\"y\"} 0\n"
                "# HELP app_open What is open.\n"
                "# TYPE app_open gauge\n"
                "app_open -5\n");
    assert_text(metrics, METRICS_OPENMETRICS,
                "# HELP app_seen What was seen.\n"
                "# TYPE app_seen counter\n"
                "app_seen_total{side=\"in\",name=\"x\"} 3\n"
                "app_seen_total{side=\"out\",name=\"y\"} 9223372036854775807\n"
                "# HELP app_lost What was lost.\n"
                "# TYPE app_lost counter\n"
                "app_lost_total{side=\"in\",name=\"x\"} 0\n"
                "app_lost_total{side=\"out\",name=\"y\"} 0\n"
                "# HELP app_open What is open.\n"
                "# TYPE app_open gauge\n"
                "app_open -5\n"
                "# EOF\n");
    metrics_free(metrics);
}

static void buckets_are_cumulated(void **state)
{
    struct metrics *metrics = metrics_new();
    const char *side = "in";
    struct metrics_row *row = metrics_row_get(metrics_table_new(metrics, &durations), &side);
    metrics_row_observe(row, 1);
    metrics_row_observe(row, 3);
    metrics_row_observe(row, 5);
    metrics_row_observe(row, 12000);
    assert_text(metrics, METRICS_PROMETHEUS,
                "# HELP app_wait_seconds Waiting.\n"
                "# TYPE app_wait_seconds histogram\n"
                "app_wait_seconds_bucket{side=\"in\",le=\"0.001\"} 1\n"
                "app_wait_seconds_bucket{side=\"in\",le=\"0.002\"} 1\n"
                "app_wait_seconds_bucket{side=\"in\",le=\"0.005\"} 3\n"
                "app_wait_seconds_bucket{side=\"in\",le=\"0.01\"} 3\n"
                "app_wait_seconds_bucket{side=\"in\",le=\"0.025\"} 3\n"
                "app_wait_seconds_bucket{side=\"in\",le=\"0.05\"} 3\n"
                "app_wait_seconds_bucket{side=\"in\",le=\"0.1\"} 3\n"
                "app_wait_seconds_bucket{side=\"in\",le=\"0.25\"} 3\n"
                "app_wait_seconds_bucket{side=\"in\",le=\"0.5\"} 3\n"
                "app_wait_seconds_bucket{side=\"in\",le=\"1.0\"} 3\n"
                "app_wait_seconds_bucket{side=\"in\",le=\"2.5\"} 3\n"
                "app_wait_seconds_bucket{side=\"in\",le=\"5.0\"} 3\n"
                "app_wait_seconds_bucket{side=\"in\",le=\"10.0\"} 3\n"
                "app_wait_seconds_bucket{side=\"in\",le=\"+Inf\"} 4\n"
                "app_wait_seconds_sum{side=\"in\"} 12.009\n"
                "app_wait_seconds_count{side=\"in\"} 4\n");
    metrics_free(metrics);
}

static void label_values_are_escaped(void **state)
{
    static const struct {
        const char *value;
        const char *shown;
    } cases[] = {
        {"plain", "plain"},
        {"a\"b", "a\\\"b"},
        {"a\\b", "a\\\\b"},
        {"a\nb", "a\\nb"},
        {"\"} 1\nforged 2", "\\\"} 1\\nforged 2"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"bad\xff\xc3", "bad\\\\xff\\\\xc3"},
        {"\xed\xa0\x80", "\\\\xed\\\\xa0\\\\x80"}, /* a surrogate */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct metrics *metrics = metrics_new();
        const char *side = cases[i].value;
        struct metrics_spec spec = gauges;
        spec.labels = labels;
        spec.num_labels = 1;
        metrics_row_set(metrics_row_get(metrics_table_new(metrics, &spec), &side), 0, 1);
        char expected[256];
        snprintf(expected, sizeof(expected),
                 "# HELP app_open What is open.\n# TYPE app_open gauge\napp_open{side=\"%s\"} 1\n",
                 cases[i].shown);
        assert_text(metrics, METRICS_PROMETHEUS, expected);
        metrics_free(metrics);
    }
}

static void overflow_is_shown_when_there_is_any(void **state)
{
    struct metrics *metrics = metrics_new();
    struct metrics_spec spec = counters;
    spec.num_columns = 1;
    struct metrics_table *table = metrics_table_new(metrics, &spec);
    count(table, "1", "", 1);
    count(table, "2", "", 1);
    count(table, "3", "", 1);
    count(table, "4", "", 1);
    assert_text(metrics, METRICS_PROMETHEUS,
                "# HELP app_seen_total What was seen.\n"
                "# TYPE app_seen_total counter\n"
                "app_seen_total{side=\"1\",name=\"\"} 1\n"
                "app_seen_total{side=\"2\",name=\"\"} 1\n"
                "app_seen_total{side=\"overflow\",name=\"overflow\"} 2\n");
    metrics_free(metrics);
}

static void accept_header_chooses_the_format(void **state)
{
    static const struct {
        const char *accept;
        enum metrics_format format;
    } cases[] = {
        {NULL, METRICS_PROMETHEUS},
        {"", METRICS_PROMETHEUS},
        {"*/*", METRICS_PROMETHEUS},
        {"text/html", METRICS_PROMETHEUS},
        {"text/plain", METRICS_PROMETHEUS},
        {"application/openmetrics-text", METRICS_OPENMETRICS},
        {"Application/OpenMetrics-Text; version=1.0.0", METRICS_OPENMETRICS},
        {"application/openmetrics-textual", METRICS_PROMETHEUS},
        {"application/openmetrics-text;q=0", METRICS_PROMETHEUS},
        {"application/openmetrics-text;q=0.3,text/plain;q=0.5", METRICS_PROMETHEUS},
        {"text/plain;version=0.0.4;q=0.5, application/openmetrics-text;version=1.0.0 ; q=0.75",
         METRICS_OPENMETRICS},
        {"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;"
         "version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
         METRICS_OPENMETRICS},
        {"application/openmetrics-text;q=x", METRICS_OPENMETRICS},
        {",,;,;q=,", METRICS_PROMETHEUS},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (metrics_text_format(cases[i].accept) != cases[i].format)
            fail_msg("Accept: %s", cases[i].accept);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_and_gauges_in_both_formats),
        cmocka_unit_test(buckets_are_cumulated),
        cmocka_unit_test(label_values_are_escaped),
        cmocka_unit_test(overflow_is_shown_when_there_is_any),
        cmocka_unit_test(accept_header_chooses_the_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
