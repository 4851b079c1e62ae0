#include "log.h"

#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "utf8.h"

static int append_escape(struct buf *line, uint32_t point)
{
    switch (point) {
    case '"':
        return buf_append_str(line, "\\\"");
    case '\\':
        return buf_append_str(line, "\\\\");
    case '\n':
        return buf_append_str(line, "\\n");
    case '\r':
        return buf_append_str(line, "\\r");
    case '\t':
        return buf_append_str(line, "\\t");
    default:
        return buf_printf(line, "\\u%04" PRIx32, point); /* utf8_is_control has none past U+FFFF */
    }
}

/* Bytes at the head that stand for themselves. Nearly all text is one such run, and copying it at
 * once makes a line several times cheaper. */
static size_t plain_len(const char *text)
{
    size_t len = 0;
    while (text[len] >= 0x20 && text[len] < 0x7f && text[len] != '"' && text[len] != '\\')
        len++;
    return len;
}

/* Appends the one code point at the head of `text`, which is not plain. Its length, or 0. */
static size_t append_special(struct buf *line, enum log_format format, const char *text)
{
    uint32_t point;
    size_t len = utf8_read(text, &point);
    int rc;
    if (len == 0)
        rc = buf_printf(line, format == LOG_JSON ? "\\\\x%02x" : "\\x%02x",
                        (unsigned)(uint8_t)*text);
    else if (point == '"' || point == '\\' || utf8_is_control(point))
        rc = append_escape(line, point);
    else
        rc = buf_append(line, text, len);
    if (rc < 0)
        return 0;
    return len == 0 ? 1 : len;
}

/*
 * Quoted, with JSON's escapes in both formats. A byte that is not UTF-8 becomes \xNN; in JSON,
 * which has no such escape, the backslash is doubled, so that the decoded value shows \xNN.
 */
static int append_quoted(struct buf *line, enum log_format format, const char *text)
{
    if (buf_append(line, "\"", 1) < 0)
        return -1;
    while (*text != '\0') {
        size_t len = plain_len(text);
        if (len > 0 && buf_append(line, text, len) < 0)
            return -1;
        if (len == 0 && (len = append_special(line, format, text)) == 0)
            return -1;
        text += len;
    }
    return buf_append(line, "\"", 1);
}

static int append_value(struct buf *line, enum log_format format, const struct log_field *field)
{
    switch (field->type) {
    case LOG_FIELD_UNSIGNED:
        return buf_printf(line, "%" PRIu64, field->u);
    case LOG_FIELD_SIGNED:
        return buf_printf(line, "%" PRId64, field->i);
    case LOG_FIELD_TEXT:
        break;
    }
    return append_quoted(line, format, field->text);
}

static int append_text_head(struct buf *out, const struct log_line *line)
{
    char time[CLOCK_TEXT_MAX];
    if (buf_printf(out, "%s %s %s ", clock_format(line->wall_ms, time), line->level, line->module) <
        0)
        return -1;
    return append_quoted(out, LOG_TEXT, line->message);
}

static int append_json_head(struct buf *out, const struct log_line *line)
{
    char time[CLOCK_TEXT_MAX];
    if (buf_printf(out, "{\"time\":\"%s\",\"level\":\"%s\",\"module\":\"%s\",\"message\":",
                   clock_format(line->wall_ms, time), line->level, line->module) < 0)
        return -1;
    return append_quoted(out, LOG_JSON, line->message);
}

static int append_fields(struct buf *out, enum log_format format, const struct log_line *line)
{
    const char *before_key = format == LOG_JSON ? ",\"" : " ";
    const char *after_key = format == LOG_JSON ? "\":" : "=";
    for (size_t i = 0; i < line->num_fields; i++) {
        const struct log_field *field = &line->fields[i];
        if (field->type == LOG_FIELD_TEXT && field->text == NULL)
            continue;
        if (buf_append_str(out, before_key) < 0 || buf_append_str(out, field->key) < 0 ||
            buf_append_str(out, after_key) < 0 || append_value(out, format, field) < 0)
            return -1;
    }
    return 0;
}

int log_format_line(struct buf *out, enum log_format format, const struct log_line *line)
{
    int rc = format == LOG_JSON ? append_json_head(out, line) : append_text_head(out, line);
    if (rc < 0 || append_fields(out, format, line) < 0)
        return -1;
    return buf_append_str(out, format == LOG_JSON ? "}\n" : "\n");
}
