#include "metrics_text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "metrics_table.h"
#include "utf8.h"

/* ----------------------------------------------------------------------------- what is asked for -- */

static bool is_media_type(const char *range, size_t len, const char *type)
{
    len = strcspn(range, " \t;,") < len ? strcspn(range, " \t;,") : len;
    return len == strlen(type) && strncasecmp(range, type, len) == 0;
}

/* The q of one media range (RFC 9110, 12.4.2): 1 when none is given or it cannot be read. */
static double quality(const char *range, size_t len)
{
    const char *end = range + len;
    for (const char *at = memchr(range, ';', len); at != NULL;
         at = memchr(at, ';', (size_t)(end - at))) {
        at++;
        at += strspn(at, " \t");
        if (end - at > 2 && strncasecmp(at, "q=", 2) == 0) {
            char *parsed;
            double q = strtod(at + 2, &parsed);
            return parsed > at + 2 && q >= 0 && q <= 1 ? q : 1;
        }
    }
    return 1;
}

enum metrics_format metrics_text_format(const char *accept)
{
    double openmetrics = 0;
    double text = 0;
    for (const char *range = accept; range != NULL && *range != '\0';) {
        range += strspn(range, " \t,");
        size_t len = strcspn(range, ",");
        if (is_media_type(range, len, "application/openmetrics-text"))
            openmetrics = quality(range, len);
        else if (is_media_type(range, len, "text/plain"))
            text = quality(range, len);
        range += len;
    }
    return openmetrics > 0 && openmetrics >= text ? METRICS_OPENMETRICS : METRICS_PROMETHEUS;
}

const char *metrics_text_content_type(enum metrics_format format)
{
    return format == METRICS_OPENMETRICS
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
               : "text/plain; version=0.0.4; charset=utf-8";
}

/* ----------------------------------------------------------------------------------- the text -- */

static int append_escaped(struct buf *out, const char *value)
{
    while (*value != '\0') {
        uint32_t point;
        size_t len = utf8_read(value, &point);
        int rc;
        if (len == 0)
            rc = buf_printf(out, "\\\\x%02x", (unsigned)(uint8_t)*value);
        else if (point == '"' || point == '\\')
            rc = buf_printf(out, "\\%c", (char)point);
        else if (point == '\n')
            rc = buf_append_str(out, "\\n");
        else
            rc = buf_append(out, value, len);
        if (rc < 0)
            return -1;
        value += len == 0 ? 1 : len;
    }
    return 0;
}

/* {a="b",c="d",le="0.5"}: `le` NULL: none. Nothing at all for no labels. */
static int append_labels(struct buf *out, const struct metrics_table *table,
                         const struct metrics_row *row, const char *le)
{
    const char *before = "{";
    for (size_t i = 0; i < table->spec.num_labels; i++) {
        if (buf_printf(out, "%s%s=\"", before, table->spec.labels[i]) < 0 ||
            append_escaped(out, row->labels[i]) < 0 || buf_append_str(out, "\"") < 0)
            return -1;
        before = ",";
    }
    if (le != NULL) {
        if (buf_printf(out, "%sle=\"%s\"", before, le) < 0)
            return -1;
        before = ",";
    }
    return *before == '{' ? 0 : buf_append_str(out, "}");
}

static int64_t value_of(const struct metrics_row *row, size_t slot)
{
    return atomic_load_explicit(&row->values[slot], memory_order_relaxed);
}

static int append_sample(struct buf *out, const struct metrics_table *table,
                         const struct metrics_row *row, size_t column)
{
    const char *suffix = table->spec.type == METRICS_COUNTER ? "_total" : "";
    if (buf_printf(out, "%s%s", table->spec.columns[column].name, suffix) < 0 ||
        append_labels(out, table, row, NULL) < 0)
        return -1;
    return buf_printf(out, " %" PRId64 "\n", value_of(row, column));
}

static int append_bucket(struct buf *out, const struct metrics_table *table,
                         const struct metrics_row *row, const char *le, int64_t count)
{
    if (buf_printf(out, "%s_bucket", table->spec.columns[0].name) < 0 ||
        append_labels(out, table, row, le) < 0)
        return -1;
    return buf_printf(out, " %" PRId64 "\n", count);
}

/* The count is the sum of the buckets as they were read, so that the two agree. */
static int append_durations(struct buf *out, const struct metrics_table *table,
                            const struct metrics_row *row)
{
    const char *name = table->spec.columns[0].name;
    int64_t count = 0;
    for (size_t i = 0; i < METRICS_NUM_BOUNDS; i++) {
        count += value_of(row, i);
        if (append_bucket(out, table, row, metrics_bounds[i].seconds, count) < 0)
            return -1;
    }
    count += value_of(row, METRICS_SLOT_INF);
    int64_t sum_ms = value_of(row, METRICS_SLOT_SUM);
    if (append_bucket(out, table, row, "+Inf", count) < 0 || buf_printf(out, "%s_sum", name) < 0 ||
        append_labels(out, table, row, NULL) < 0 ||
        buf_printf(out, " %" PRId64 ".%03d\n%s_count", sum_ms / 1000, (int)(sum_ms % 1000), name) <
            0 ||
        append_labels(out, table, row, NULL) < 0)
        return -1;
    return buf_printf(out, " %" PRId64 "\n", count);
}

static int append_row(struct buf *out, const struct metrics_table *table,
                      const struct metrics_row *row, size_t column)
{
    return table->spec.type == METRICS_DURATIONS ? append_durations(out, table, row)
                                                 : append_sample(out, table, row, column);
}

static int append_header(struct buf *out, const struct metrics_table *table, size_t column,
                         enum metrics_format format)
{
    static const char *const types[] = {
        [METRICS_COUNTER] = "counter",
        [METRICS_GAUGE] = "gauge",
        [METRICS_DURATIONS] = "histogram",
    };
    const struct metrics_column *self = &table->spec.columns[column];
    /* OpenMetrics names the family, the older format each sample's name. */
    bool full = format == METRICS_PROMETHEUS && table->spec.type == METRICS_COUNTER;
    const char *suffix = full ? "_total" : "";
    return buf_printf(out, "# HELP %s%s %s.\n# TYPE %s%s %s\n", self->name, suffix, self->help,
                      self->name, suffix, types[table->spec.type]);
}

static int append_family(struct buf *out, const struct metrics_table *table, size_t column,
                         size_t num_rows, enum metrics_format format)
{
    if (append_header(out, table, column, format) < 0)
        return -1;
    for (size_t i = 0; i < num_rows; i++) {
        if (append_row(out, table, table->rows[i], column) < 0)
            return -1;
    }
    if (metrics_table_overflows(table) > 0)
        return append_row(out, table, table->overflow, column);
    return 0;
}

int metrics_text_write(struct metrics *metrics, enum metrics_format format, struct buf *out)
{
    for (struct metrics_table *table = metrics->first; table != NULL; table = table->next) {
        size_t num_rows = atomic_load_explicit(&table->num_rows, memory_order_acquire);
        if (num_rows == 0 && metrics_table_overflows(table) == 0)
            continue;
        for (size_t column = 0; column < table->spec.num_columns; column++) {
            if (append_family(out, table, column, num_rows, format) < 0)
                return -1;
        }
    }
    return format == METRICS_OPENMETRICS ? buf_append_str(out, "# EOF\n") : 0;
}
