/*
 * What peers can put into telemetry: the Accept header of a scrape, a label value, a text in the
 * access log (all three are the input). Whatever it is, an exposition stays one sample of valid
 * UTF-8, and a log line stays one line.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "access_log.h"
#include "metrics_text.h"
#include "utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const char *const labels[] = {"name"};

static const struct metrics_spec spec = {
    .type = METRICS_GAUGE,
    .columns = {{"value", "Value"}},
    .num_columns = 1,
    .labels = labels,
    .num_labels = 1,
    .max_rows = 1,
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* NUL-terminated in the buffer, `num_lines` lines, no control character but the ends of lines. */
static void require_lines(struct buf *out, size_t num_lines)
{
    require(buf_append(out, "", 1) == 0);
    size_t found = 0;
    for (const char *at = (const char *)buf_head(out); *at != '\0'; at++)
        found += *at == '\n';
    require(found == num_lines);
    require(strlen((const char *)buf_head(out)) == buf_len(out) - 1);
}

static void require_utf8(const char *text)
{
    uint32_t point;
    for (size_t len; *text != '\0'; text += len) {
        len = utf8_read(text, &point);
        require(len > 0);
    }
}

static void expose(const char *text)
{
    struct metrics *metrics = metrics_new();
    require(metrics != NULL);
    struct metrics_table *table = metrics_table_new(metrics, &spec);
    require(table != NULL);
    metrics_row_set(metrics_row_get(table, &text), 0, 1);
    struct buf out = {0};
    enum metrics_format format = metrics_text_format(text);
    require(metrics_text_write(metrics, format, &out) == 0);
    require_lines(&out, format == METRICS_OPENMETRICS ? 4 : 3);
    require_utf8((const char *)buf_head(&out));
    buf_done(&out);
    metrics_free(metrics);
}

static void log_it(const char *text, enum log_format format)
{
    const struct session_record record = {
        .direction = SESSION_INBOUND,
        .source = {.pod = text, .identity = text},
        .service_hostname = text,
        .reason = REASON_BAD_REQUEST,
        .detail = text,
    };
    struct buf out = {0};
    require(access_log_format_session(&out, format, &record, 0, 0) == 0);
    require_lines(&out, 1);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *text = malloc(len + 1);
    if (text == NULL)
        return 0;
    if (len > 0)
        memcpy(text, bytes, len);
    text[len] = '\0';
    expose(text);
    log_it(text, LOG_TEXT);
    log_it(text, LOG_JSON);
    free(text);
    return 0;
}
