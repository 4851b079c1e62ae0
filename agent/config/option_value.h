/* One option's value, from text to the field of a program's struct. Private to config. */
#ifndef REMORA_OPTION_VALUE_H
#define REMORA_OPTION_VALUE_H

#include "options.h"

/*
 * Checks `text` and stores what it means in the struct `out`; text itself is borrowed by TEXT and PATH. 0, or -1 with what was
 * expected and what was found, without a name in front.
 */
int option_value_store(const struct option_spec *spec, const char *text, void *out,
                       struct err *err);

/* What a value looks like, for help: "DURATION", "text|json". `out` is cleared first. 0, or -1 when out of memory. */
int option_value_describe(const struct option_spec *spec, struct buf *out);

/* The range of a value in its own units, "100ms to 5m"; "" where there is none. 0, or -1 when out of memory. */
int option_value_describe_range(const struct option_spec *spec, struct buf *out);

#endif
