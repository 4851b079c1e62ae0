#include "words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/* What has been read of `from`, and where the next byte of a word goes; `to` never overtakes `from`. */
struct splitter {
    const char *from;
    char *to;
};

/* From behind the opening quote to behind the closing one. -1: there is none. */
static int take_quoted(struct splitter *splitter, char quote)
{
    while (*splitter->from != '\0' && *splitter->from != quote) {
        if (quote == '"' && *splitter->from == '\\' &&
            (splitter->from[1] == '"' || splitter->from[1] == '\\'))
            splitter->from++;
        *splitter->to++ = *splitter->from++;
    }
    if (*splitter->from == '\0')
        return -1;
    splitter->from++;
    return 0;
}

/* Up to white space or the end, with a NUL behind it. */
static int take_word(struct splitter *splitter, struct err *err)
{
    while (*splitter->from != '\0' && !is_space(*splitter->from)) {
        char byte = *splitter->from++;
        if (byte == '\'' || byte == '"') {
            if (take_quoted(splitter, byte) < 0)
                return err_set(err, ERR_INVALID, "a %c is not closed", byte);
            continue;
        }
        if (byte == '\\') {
            if (*splitter->from == '\0')
                return err_set(err, ERR_INVALID, "it ends with a backslash");
            byte = *splitter->from++;
        }
        *splitter->to++ = byte;
    }
    /* The space that ends the word is passed before the NUL overwrites it. */
    if (*splitter->from != '\0')
        splitter->from++;
    *splitter->to++ = '\0';
    return 0;
}

int words_split(struct words *words, const char *text, struct err *err)
{
    *words = (struct words){.text = strdup(text)};
    if (words->text == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    struct splitter splitter = {.from = words->text, .to = words->text};
    for (;;) {
        while (is_space(*splitter.from))
            splitter.from++;
        if (*splitter.from == '\0')
            return 0;
        if (words->num == WORDS_MAX) {
            err_set(err, ERR_LIMIT, "it has more than %d words", WORDS_MAX);
            break;
        }
        words->argv[words->num++] = splitter.to;
        if (take_word(&splitter, err) < 0)
            break;
    }
    words_done(words);
    return -1;
}

void words_done(struct words *words)
{
    if (words == NULL)
        return;
    free(words->text);
    *words = (struct words){0};
}
