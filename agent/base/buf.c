#include "buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MIN = 256 };

void buf_done(struct buf *buf)
{
    free(buf->bytes);
    *buf = (struct buf){0};
}

size_t buf_len(const struct buf *buf)
{
    return buf->tail - buf->head;
}

const uint8_t *buf_head(const struct buf *buf)
{
    return buf->bytes == NULL ? NULL : buf->bytes + buf->head;
}

static int grow(struct buf *buf, size_t needed)
{
    size_t capacity = buf->capacity < CAPACITY_MIN ? CAPACITY_MIN : buf->capacity;
    while (capacity < needed) {
        if (capacity > SIZE_MAX / 2)
            return -1;
        capacity *= 2;
    }
    uint8_t *bytes = realloc(buf->bytes, capacity);
    if (bytes == NULL)
        return -1;
    buf->bytes = bytes;
    buf->capacity = capacity;
    return 0;
}

uint8_t *buf_reserve(struct buf *buf, size_t len)
{
    size_t live = buf_len(buf);
    if (len > SIZE_MAX / 2 || live > SIZE_MAX / 2)
        return NULL;
    if (buf->bytes != NULL && len <= buf->capacity - buf->tail)
        return buf->bytes + buf->tail;

    /* Moving down is paid for by what was consumed; with less than that consumed, growing is the
     * cheaper way in the long run, and a queue of which little is taken at a time is not moved
     * again and again. */
    if (buf->bytes != NULL && live <= buf->head && live + len <= buf->capacity) {
        memmove(buf->bytes, buf->bytes + buf->head, live);
        buf->head = 0;
        buf->tail = live;
        return buf->bytes + live;
    }
    if (grow(buf, buf->tail + len) < 0)
        return NULL;
    return buf->bytes + buf->tail;
}

void buf_commit(struct buf *buf, size_t len)
{
    assert(len <= buf->capacity - buf->tail);
    buf->tail += len;
}

int buf_append(struct buf *buf, const void *bytes, size_t len)
{
    if (len == 0)
        return 0;
    uint8_t *to = buf_reserve(buf, len);
    if (to == NULL)
        return -1;
    memcpy(to, bytes, len);
    buf_commit(buf, len);
    return 0;
}

int buf_append_str(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

int buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return -1;
    /* One more for the NUL that vsnprintf insists on; it is not committed. */
    uint8_t *to = buf_reserve(buf, (size_t)len + 1);
    if (to == NULL)
        return -1;
    va_start(args, format);
    vsnprintf((char *)to, (size_t)len + 1, format, args);
    va_end(args);
    buf_commit(buf, (size_t)len);
    return 0;
}

void buf_consume(struct buf *buf, size_t len)
{
    assert(len <= buf_len(buf));
    buf->head += len;
    if (buf->head == buf->tail)
        buf->head = buf->tail = 0;
}

void buf_clear(struct buf *buf, size_t keep)
{
    if (buf->capacity > keep) {
        buf_done(buf);
        return;
    }
    buf->head = buf->tail = 0;
}
