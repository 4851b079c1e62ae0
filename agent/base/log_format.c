#include "log.h"

#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "utf8.h"

/* Code points that are text by UTF-8 and yet must not reach a terminal or a line splitter as they
 * are. */
static bool is_control(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || /* C0, DEL, C1 */
           (point >= 0x200b && point <= 0x200f) ||            /* invisible, direction marks */
           (point >= 0x2028 && point <= 0x202e) || /* line separators, direction overrides */
           (point >= 0x2060 && point <= 0x2069) || point == 0xfeff;
}

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
        return buf_printf(line, "\\u%04" PRIx32, point); /* is_control() has none past U+FFFF */
    }
}

/*
 * Quoted, with JSON's escapes in both formats. A byte that is not UTF-8 becomes \xNN; in JSON,
 * which has no such escape, the backslash is doubled, so that the decoded value shows \xNN.
 */
static int append_quoted(struct buf *line, enum log_format format, const char *text)
{
    const char *at = text;
    if (buf_append(line, "\"", 1) < 0)
        return -1;
    while (*at != '\0') {
        uint32_t point;
        size_t len = utf8_read(at, &point);
        int rc;
        if (len == 0)
            rc = buf_printf(line, format == LOG_JSON ? "\\\\x%02x" : "\\x%02x",
                            (unsigned)(uint8_t)*at);
        else if (point == '"' || point == '\\' || is_control(point))
            rc = append_escape(line, point);
        else
            rc = buf_append(line, at, len);
        if (rc < 0)
            return -1;
        at += len == 0 ? 1 : len;
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

static int append_text(struct buf *line, const char *time, const char *level, const char *module,
                       const char *message)
{
    if (buf_printf(line, "%s %s %s ", time, level, module) < 0)
        return -1;
    return append_quoted(line, LOG_TEXT, message);
}

static int append_json(struct buf *line, const char *time, const char *level, const char *module,
                       const char *message)
{
    if (buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"module\":\"%s\",\"message\":", time,
                   level, module) < 0)
        return -1;
    return append_quoted(line, LOG_JSON, message);
}

static int append_fields(struct buf *line, enum log_format format, const struct log_field *fields,
                         size_t num_fields)
{
    const char *before_key = format == LOG_JSON ? ",\"" : " ";
    const char *after_key = format == LOG_JSON ? "\":" : "=";
    for (size_t i = 0; i < num_fields; i++) {
        if (fields[i].type == LOG_FIELD_TEXT && fields[i].text == NULL)
            continue;
        if (buf_append_str(line, before_key) < 0 || buf_append_str(line, fields[i].key) < 0 ||
            buf_append_str(line, after_key) < 0 || append_value(line, format, &fields[i]) < 0)
            return -1;
    }
    return 0;
}

int log_format_line(struct buf *line, enum log_format format, int64_t wall_ms, const char *level,
                    const char *module, const char *message, const struct log_field *fields,
                    size_t num_fields)
{
    char time[CLOCK_TEXT_MAX];
    clock_format(wall_ms, time);
    int rc = format == LOG_JSON ? append_json(line, time, level, module, message)
                                : append_text(line, time, level, module, message);
    if (rc < 0 || append_fields(line, format, fields, num_fields) < 0)
        return -1;
    return buf_append_str(line, format == LOG_JSON ? "}\n" : "\n");
}
