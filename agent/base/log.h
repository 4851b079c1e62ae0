/*
 * The program's own log (stderr): a message and key=value pairs with stable keys, as text or JSON.
 * Never blocks: lines go through a line_writer. Only proxy, control, admin and the programs log,
 * once, where an event is handled; everything below them returns errors.
 *
 *   LOG_WARN("control", "certificate renewal failed", LOG_S("error", err.message), LOG_U("attempt",
 * n));
 */
#ifndef REMORA_LOG_H
#define REMORA_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

enum log_field_type { LOG_FIELD_TEXT, LOG_FIELD_UNSIGNED, LOG_FIELD_SIGNED };

struct log_field {
    const char *key;
    enum log_field_type type;
    const char *text; /* NULL: the field is left out */
    uint64_t u;
    int64_t i;
};

#define LOG_S(key_, text_)                                                                         \
    ((struct log_field){.key = (key_), .type = LOG_FIELD_TEXT, .text = (text_)})
#define LOG_U(key_, u_) ((struct log_field){.key = (key_), .type = LOG_FIELD_UNSIGNED, .u = (u_)})
#define LOG_I(key_, i_) ((struct log_field){.key = (key_), .type = LOG_FIELD_SIGNED, .i = (i_)})

/* Before log_init everything goes to stderr as text at level INFO. Called once at start, before
 * threads. */
int log_init(enum log_level level, enum log_format format, struct err *err);

/* Writes what is queued (waits at most a second) and stops the writer thread. */
void log_done(void);

bool log_enabled(enum log_level level);

/* Lines dropped because the reader of stderr is too slow. */
uint64_t log_dropped(void);

void log_event(enum log_level level, const char *module, const char *message,
               const struct log_field *fields, size_t num_fields);

/* A line before it is written. All is lent. */
struct log_line {
    int64_t wall_ms;
    const char *level;
    const char *module;
    const char *message;
    const struct log_field *fields;
    size_t num_fields;
};

/*
 * Appends "time level module message k=v ..." or the JSON object, and a newline, to `out`. Message
 * and text values are quoted; control characters, quotes and bytes that are not UTF-8 are escaped
 * in both forms, so that no peer can forge a line. Level, module and keys are the program's own
 * words. The access log uses it too. 0, or -1 when out of memory.
 */
int log_format_line(struct buf *out, enum log_format format, const struct log_line *line);

#define LOG_FIELDS_(...)                                                                           \
    (const struct log_field[]){__VA_ARGS__},                                                       \
        sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field)
#define LOG_AT_(level, module, message, ...)                                                       \
    do {                                                                                           \
        if (log_enabled(level))                                                                    \
            log_event(level, module, message, LOG_FIELDS_(__VA_ARGS__));                           \
    } while (0)
/* At least one field; an event without any detail is not worth a line. */
#define LOG_ERROR(module, message, ...) LOG_AT_(LOG_LEVEL_ERROR, module, message, __VA_ARGS__)
#define LOG_WARN(module, message, ...)  LOG_AT_(LOG_LEVEL_WARN, module, message, __VA_ARGS__)
#define LOG_INFO(module, message, ...)  LOG_AT_(LOG_LEVEL_INFO, module, message, __VA_ARGS__)
#define LOG_DEBUG(module, message, ...) LOG_AT_(LOG_LEVEL_DEBUG, module, message, __VA_ARGS__)

#endif
