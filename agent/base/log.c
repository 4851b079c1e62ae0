#include "log.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "line_writer.h"

enum {
    RING_CAPACITY =
        256 *
        1024, /* some thousand lines: a burst passes, a reader that stopped does not cost more */
    FLUSH_MS = 1000
};

/* Set before threads exist and after they are gone, read by all in between. */
static enum log_level max_level = LOG_LEVEL_INFO;
static enum log_format line_format = LOG_TEXT;
static struct line_writer *line_writer;
static uint64_t num_dropped_before;

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

int log_init(enum log_level level, enum log_format format, struct err *err)
{
    line_writer = line_writer_new(STDERR_FILENO, RING_CAPACITY, err);
    if (line_writer == NULL)
        return err_prefix(err, "log");
    max_level = level;
    line_format = format;
    return 0;
}

void log_done(void)
{
    struct line_writer *writer = line_writer;
    line_writer = NULL;
    if (writer != NULL)
        num_dropped_before += line_writer_dropped(writer);
    line_writer_free(writer, FLUSH_MS);
}

bool log_enabled(enum log_level level)
{
    return level <= max_level;
}

uint64_t log_dropped(void)
{
    return num_dropped_before + (line_writer == NULL ? 0 : line_writer_dropped(line_writer));
}

/* Before log_init and after log_done. Here too a reader that stopped must not stop the program. */
static void write_now(const char *line, size_t len)
{
    struct pollfd pollfd = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&pollfd, 1, 0) != 1 || write(STDERR_FILENO, line, len) < 0)
        num_dropped_before++;
}

void log_event(enum log_level level, const char *module, const char *message,
               const struct log_field *fields, size_t num_fields)
{
    if (!log_enabled(level))
        return;
    const struct log_line line = {.wall_ms = clock_wall_ms(),
                                  .level = level_names[level],
                                  .module = module,
                                  .message = message,
                                  .fields = fields,
                                  .num_fields = num_fields};
    struct buf out = {0};
    if (log_format_line(&out, line_format, &line) == 0) {
        const char *text = (const char *)buf_head(&out);
        if (line_writer != NULL)
            line_writer_put(line_writer, text, buf_len(&out));
        else
            write_now(text, buf_len(&out));
    }
    buf_done(&out);
}
