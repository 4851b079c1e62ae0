/*
 * Whether the agent is ready, and in words what is missing: a few named conditions, each pending
 * until somebody says that it is met. Plain state, no I/O; used on the control thread.
 */
#ifndef REMORA_READINESS_H
#define REMORA_READINESS_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "err.h"

enum {
    READINESS_CONDITIONS_MAX = 8,
    READINESS_WHY_MAX = ERR_MESSAGE_MAX + 128, /* an error's message and what it was about */
};

struct readiness_condition {
    const char *name; /* static storage */
    bool met;
    char why[READINESS_WHY_MAX]; /* of a pending one: what it waits for */
};

/* A zeroed struct has no conditions, and is ready. */
struct readiness {
    struct readiness_condition conditions[READINESS_CONDITIONS_MAX];
    size_t num;
};

/* Adds a pending condition and returns its index; asserts that there is room. */
size_t readiness_add(struct readiness *readiness, const char *name, const char *why);

void readiness_set_met(struct readiness *readiness, size_t index);

/* `why` says what is missing; `detail` (NULL: none), such as an error's message, is put after it.
 * Without a full stop. Longer text is cut. */
void readiness_set_pending(struct readiness *readiness, size_t index, const char *why,
                           const char *detail);

bool readiness_is_ready(const struct readiness *readiness);

/* Appends "ready\n", or "not ready\n" and one line for each condition that is pending: "name:
 * why\n". Control characters in `why` become "?". 0, or -1 when out of memory. */
int readiness_write(const struct readiness *readiness, struct buf *out);

#endif
