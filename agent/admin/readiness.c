#include "readiness.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>

static void replace_controls(char *text)
{
    for (; *text != '\0'; text++) {
        if ((uint8_t)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

size_t readiness_add(struct readiness *readiness, const char *name, const char *why)
{
    assert(readiness->num < READINESS_CONDITIONS_MAX);
    size_t index = readiness->num++;
    readiness->conditions[index].name = name;
    readiness_set_pending(readiness, index, why, NULL);
    return index;
}

void readiness_set_met(struct readiness *readiness, size_t index)
{
    assert(index < readiness->num);
    readiness->conditions[index].met = true;
}

void readiness_set_pending(struct readiness *readiness, size_t index, const char *why,
                           const char *detail)
{
    assert(index < readiness->num);
    struct readiness_condition *condition = &readiness->conditions[index];
    if (detail == NULL)
        snprintf(condition->why, sizeof(condition->why), "%s", why);
    else
        snprintf(condition->why, sizeof(condition->why), "%s: %s", why, detail);
    replace_controls(condition->why);
    condition->met = false;
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
