#include "bearer_token.h"

#include <stdbool.h>
#include <string.h>

#include "text_file.h"

#define SCHEME "Bearer "

enum { SCHEME_LEN = sizeof(SCHEME) - 1 };

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_visible_ascii(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    }
    return true;
}

int bearer_token_read(const char *path, char *out, struct err *err)
{
    char *token = out + SCHEME_LEN;
    ptrdiff_t read = text_file_read(path, token, BEARER_TOKEN_HEADER_MAX - SCHEME_LEN - 1, err);
    if (read < 0)
        return err_prefix(err, "token file");
    size_t len = (size_t)read;
    size_t skipped = 0;
    while (len > 0 && is_space(token[len - 1]))
        len--;
    while (skipped < len && is_space(token[skipped]))
        skipped++;
    len -= skipped;
    if (len == 0)
        return err_set(err, ERR_INVALID, "token file: %s is empty", path);
    if (!is_visible_ascii(token + skipped, len))
        return err_set(err, ERR_INVALID,
                       "token file: %s holds more than one word, or bytes that "
                       "are not ASCII",
                       path);
    memmove(token, token + skipped, len);
    token[len] = '\0';
    memcpy(out, SCHEME, SCHEME_LEN);
    return 0;
}
