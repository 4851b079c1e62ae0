#include "http.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef bool first_line_fn(struct http_reader *reader, const char *line, size_t len);

void http_reader_clear(struct http_reader *reader)
{
    memset(reader, 0, offsetof(struct http_reader, head));
}

static bool parse_number(const char *text, size_t len, uint64_t *number)
{
    if (len == 0 || len > 18)
        return false;
    *number = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *number = *number * 10 + (uint64_t)(text[i] - '0');
    }
    return true;
}

/* "GET /128 HTTP/1.1"; a path that is no number asks for no body, so that any HTTP client can be pointed here. */
static bool parse_request_line(struct http_reader *reader, const char *line, size_t len)
{
    const char *path = memchr(line, ' ', len);
    if (path == NULL || (size_t)(path - line) + 2 > len || path[1] != '/')
        return false;
    path += 2;
    const char *end = memchr(path, ' ', len - (size_t)(path - line));
    if (end == NULL)
        return false;
    if (!parse_number(path, (size_t)(end - path), &reader->wanted))
        reader->wanted = 0;
    return true;
}

static bool parse_status_line(struct http_reader *reader, const char *line, size_t len)
{
    (void)reader;
    static const char ok[] = "HTTP/1.1 200 ";
    return len >= sizeof(ok) - 1 && memcmp(line, ok, sizeof(ok) - 1) == 0;
}

/* The value of the header `name` ("content-length:") when the line is that header, without blanks around it. */
static bool header_is(const char *line, size_t len, const char *name, const char **value,
                      size_t *value_len)
{
    size_t name_len = strlen(name);
    if (len < name_len || strncasecmp(line, name, name_len) != 0)
        return false;
    *value = line + name_len;
    *value_len = len - name_len;
    while (*value_len > 0 && **value == ' ') {
        (*value)++;
        (*value_len)--;
    }
    return true;
}

static bool parse_header(struct http_reader *reader, const char *line, size_t len)
{
    const char *value;
    size_t value_len;

    if (header_is(line, len, "content-length:", &value, &value_len))
        return parse_number(value, value_len, &reader->body_left);
    if (header_is(line, len, "connection:", &value, &value_len))
        reader->closes = value_len == 5 && strncasecmp(value, "close", 5) == 0;
    return true;
}

static bool parse_head(struct http_reader *reader, size_t len, first_line_fn *first_line)
{
    const char *line = reader->head;
    const char *end = reader->head + len;
    bool first = true;

    while (line < end) {
        const char *eol = memmem(line, (size_t)(end - line), "\r\n", 2);
        if (eol == NULL)
            return false;
        size_t line_len = (size_t)(eol - line);
        if (!(first ? first_line(reader, line, line_len) : parse_header(reader, line, line_len)))
            return false;
        first = false;
        line = eol + 2;
    }
    return true;
}

/*
 * Collects head bytes until the empty line. Returns how many of the `len` bytes belong to the head, with *progress HTTP_DONE
 * when it is complete.
 */
static size_t collect_head(struct http_reader *reader, const char *bytes, size_t len,
                           first_line_fn *first_line, enum http_progress *progress)
{
    size_t room = HTTP_HEAD_MAX - reader->head_len;
    size_t take = len < room ? len : room;
    size_t before = reader->head_len;

    memcpy(reader->head + before, bytes, take);
    reader->head_len += (uint32_t)take;
    size_t from = before < 3 ? 0 : before - 3;
    const char *end = memmem(reader->head + from, reader->head_len - from, "\r\n\r\n", 4);
    if (end == NULL) {
        *progress = reader->head_len == HTTP_HEAD_MAX ? HTTP_BAD : HTTP_MORE;
        return take;
    }
    size_t lines_len = (size_t)(end - reader->head) + 2;
    reader->head_complete = parse_head(reader, lines_len, first_line);
    *progress = reader->head_complete ? HTTP_DONE : HTTP_BAD;
    return lines_len + 2 - before;
}

static enum http_progress read_message(struct http_reader *reader, const char *bytes, size_t len,
                                       first_line_fn *first_line)
{
    if (!reader->head_complete) {
        enum http_progress progress;
        size_t used = collect_head(reader, bytes, len, first_line, &progress);
        if (progress != HTTP_DONE)
            return progress;
        len -= used;
    }
    if (len > reader->body_left)
        return HTTP_BAD;
    reader->body_left -= len;
    return reader->body_left == 0 ? HTTP_DONE : HTTP_MORE;
}

enum http_progress http_read_request(struct http_reader *reader, const char *bytes, size_t len)
{
    return read_message(reader, bytes, len, parse_request_line);
}

enum http_progress http_read_response(struct http_reader *reader, const char *bytes, size_t len)
{
    return read_message(reader, bytes, len, parse_status_line);
}

size_t http_request_head(char head[HTTP_HEAD_MAX], uint64_t upload, uint64_t wanted, bool closes)
{
    const char *connection = closes ? "Connection: close\r\n" : "";
    int len;

    if (upload > 0)
        len = snprintf(head, HTTP_HEAD_MAX,
                       "POST /%" PRIu64 " HTTP/1.1\r\nHost: backend\r\nContent-Length: %" PRIu64
                       "\r\n%s\r\n",
                       wanted, upload, connection);
    else
        len = snprintf(head, HTTP_HEAD_MAX, "GET /%" PRIu64 " HTTP/1.1\r\nHost: backend\r\n%s\r\n",
                       wanted, connection);
    return (size_t)len;
}

size_t http_response_head(char head[HTTP_HEAD_MAX], uint64_t body_len, bool closes)
{
    return (size_t)snprintf(head, HTTP_HEAD_MAX,
                            "HTTP/1.1 200 OK\r\nContent-Length: %" PRIu64 "\r\n%s\r\n", body_len,
                            closes ? "Connection: close\r\n" : "");
}
