/*
 * The comma-separated lists that capture options are written in: "80, 443,8000-8999". Private to
 * this module.
 */
#ifndef REMORA_CAPTURE_LIST_H
#define REMORA_CAPTURE_LIST_H

#include <stdbool.h>

#include "err.h"

enum {
    CAPTURE_ENTRY_MAX = 64, /* bytes with the NUL; the longest CIDR in text is 43 bytes long */
};

/*
 * Copies the next entry, without the blanks around it, to `entry` (CAPTURE_ENTRY_MAX bytes) and
 * moves *cursor behind it; *cursor starts at the text. 1; 0 at the end of the text; -1 with
 * ERR_INVALID for an entry that is empty or too long. A text of blanks alone has no entries.
 */
int capture_list_next(const char **cursor, char *entry, struct err *err);

/* Whether the whole text is "*". */
bool capture_list_is_all(const char *text);

#endif
