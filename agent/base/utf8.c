#include "utf8.h"

#include <inttypes.h>
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

bool utf8_is_control(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || /* C0, DEL, C1 */
           point == 0x061c ||                                 /* a direction mark */
           (point >= 0x200b && point <= 0x200f) ||            /* invisible, direction marks */
           (point >= 0x2028 && point <= 0x202e) || /* line separators, direction overrides */
           (point >= 0x2060 && point <= 0x2069) || point == 0xfeff;
}

int utf8_append_visible(struct buf *out, const char *text)
{
    int result = 0;
    while (*text != '\0' && result == 0) {
        uint32_t point;
        size_t len = utf8_read(text, &point);
        if (len == 0)
            result = buf_printf(out, "\\x%02x", (unsigned)(uint8_t)*text);
        else if (utf8_is_control(point))
            result = buf_printf(out, "\\u%04" PRIx32, point);
        else
            result = buf_append(out, text, len);
        text += len == 0 ? 1 : len;
    }
    return result;
}
