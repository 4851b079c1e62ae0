#include "utf8.h"

#include <string.h>

size_t utf8_read(const char *text, uint32_t *point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *bytes = (const uint8_t *)text;
    size_t len;
    if (bytes[0] < 0x80)
        len = 1, *point = bytes[0];
    else if ((bytes[0] & 0xe0) == 0xc0)
        len = 2, *point = bytes[0] & 0x1f;
    else if ((bytes[0] & 0xf0) == 0xe0)
        len = 3, *point = bytes[0] & 0x0f;
    else if ((bytes[0] & 0xf8) == 0xf0)
        len = 4, *point = bytes[0] & 0x07;
    else
        return 0;
    /* The NUL at the end is no continuation byte: the reading stops there. */
    for (size_t i = 1; i < len; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        *point = *point << 6 | (bytes[i] & 0x3f);
    }
    bool surrogate = *point >= 0xd800 && *point <= 0xdfff;
    return *point < least[len] || *point > 0x10ffff || surrogate ? 0 : len;
}

bool utf8_is_text(const char *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        unsigned char first = (unsigned char)bytes[at];
        if (first > 0 && first < 0x80) {
            at++;
            continue;
        }
        /* What stands there, ended by a NUL so that utf8_read stops at the end. */
        char window[5] = {0};
        uint32_t point;
        memcpy(window, bytes + at, len - at < 4 ? len - at : 4);
        size_t step = utf8_read(window, &point);
        if (step == 0 || point == 0)
            return false;
        at += step;
    }
    return true;
}
