#include "capture_list.h"

#include <string.h>

#define BLANKS " \t"

static size_t trimmed_len(const char *text, size_t len)
{
    while (len > 0 && strchr(BLANKS, text[len - 1]))
        len--;
    return len;
}

int capture_list_next(const char **cursor, char *entry, struct err *err)
{
    const char *start = *cursor + strspn(*cursor, BLANKS);
    if (*start == '\0')
        return 0;
    size_t field_len = strcspn(start, ",");
    size_t len = trimmed_len(start, field_len);
    if (len == 0)
        return err_set(err, ERR_INVALID, "an entry is empty");
    if (len >= CAPTURE_ENTRY_MAX)
        return err_set(err, ERR_INVALID, "the entry \"%.20s...\" is too long", start);
    memcpy(entry, start, len);
    entry[len] = '\0';

    const char *after = start + field_len;
    if (*after == ',' && after[1 + strspn(after + 1, BLANKS)] == '\0')
        return err_set(err, ERR_INVALID, "nothing follows the comma after \"%s\"", entry);
    *cursor = *after == ',' ? after + 1 : after;
    return 1;
}

bool capture_list_is_all(const char *text)
{
    text += strspn(text, BLANKS);
    return trimmed_len(text, strlen(text)) == 1 && text[0] == '*';
}
