/*
 * A command line as one text, taken apart without a shell: an option of a program is one text, a
 * program to run is many words.
 */
#ifndef REMORA_WORDS_H
#define REMORA_WORDS_H

#include <stddef.h>

#include "err.h"

enum { WORDS_MAX = 64 };

/* Zeroed: no words. */
struct words {
    char *argv[WORDS_MAX + 1]; /* ends with NULL */
    size_t num;
    char *text; /* what argv points into */
};

/*
 * Splits at white space. '...' keeps everything in between as it is, "..." all but \" and \\, and
 * elsewhere a backslash takes the next character as it is. Nothing else means anything: no
 * variables, no wildcards, no pipes. 0 and *words for words_done, or -1 with *err (ERR_INVALID,
 * ERR_LIMIT, ERR_NOMEM) and empty *words.
 */
int words_split(struct words *words, const char *text, struct err *err);

/* NULL and empty words are ignored. */
void words_done(struct words *words);

#endif
