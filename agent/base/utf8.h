/* Reading UTF-8 that others wrote. */
#ifndef REMORA_UTF8_H
#define REMORA_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/*
 * Reads the code point at the head of `text`, which ends with a NUL. Its length in bytes (1 for the
 * NUL itself), or 0 when the bytes are not UTF-8 (RFC 3629: shortest form, no surrogates).
 */
size_t utf8_read(const char *text, uint32_t *point);

/* True when the `len` bytes, which need not end with a NUL, are UTF-8 without a NUL among them. */
bool utf8_is_text(const char *bytes, size_t len);

/*
 * Whether the code point is text by UTF-8 and yet must not reach a terminal or a line splitter as it
 * is: controls, line separators, what is invisible or changes the direction of its neighbours. None
 * is past U+FFFF.
 */
bool utf8_is_control(uint32_t point);

/*
 * Appends a text of others for a terminal: such code points as \uXXXX, bytes that are not UTF-8 as
 * \xNN. 0, or -1 when out of memory.
 */
int utf8_append_visible(struct buf *out, const char *text);

#endif
