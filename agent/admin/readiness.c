#include "readiness.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

__attribute__((format(printf, 2, 0))) static void set_why(struct readiness_condition *condition,
                                                          const char *format, va_list args)
{
    vsnprintf(condition->why, sizeof(condition->why), format, args);
    for (char *at = condition->why; *at != '\0'; at++) {
        if ((uint8_t)*at < 0x20 || *at == 0x7f)
            *at = '?';
    }
}

size_t readiness_add(struct readiness *readiness, const char *name, const char *why)
{
    assert(readiness->num < READINESS_CONDITIONS_MAX);
    size_t index = readiness->num++;
    readiness->conditions[index].name = name;
    readiness_set_pending(readiness, index, "%s", why);
    return index;
}

void readiness_set_met(struct readiness *readiness, size_t index)
{
    assert(index < readiness->num);
    readiness->conditions[index].met = true;
}

void readiness_set_pending(struct readiness *readiness, size_t index, const char *format, ...)
{
    assert(index < readiness->num);
    readiness->conditions[index].met = false;
    va_list args;
    va_start(args, format);
    set_why(&readiness->conditions[index], format, args);
    va_end(args);
}

bool readiness_is_ready(const struct readiness *readiness)
{
    for (size_t i = 0; i < readiness->num; i++) {
        if (!readiness->conditions[i].met)
            return false;
    }
    return true;
}

int readiness_write(const struct readiness *readiness, struct buf *out)
{
    if (readiness_is_ready(readiness))
        return buf_append_str(out, "ready\n");
    if (buf_append_str(out, "not ready\n") < 0)
        return -1;
    for (size_t i = 0; i < readiness->num; i++) {
        const struct readiness_condition *condition = &readiness->conditions[i];
        if (!condition->met && buf_printf(out, "%s: %s\n", condition->name, condition->why) < 0)
            return -1;
    }
    return 0;
}
