/*
 * A growable run of bytes with a read end and a write end: what is appended at the tail is consumed
 * at the head. A zeroed struct is a valid empty buffer that owns no memory. Not for secrets:
 * growing moves bytes without clearing them.
 */
#ifndef REMORA_BUF_H
#define REMORA_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *bytes; /* allocation; NULL when capacity is 0 */
    size_t head;    /* offset of the first byte that is not consumed */
    size_t tail;    /* offset past the last byte */
    size_t capacity;
};

/* Frees the memory and leaves a valid empty buffer. */
void buf_done(struct buf *buf);

/* Bytes that can be read, and where they are. The pointer is valid until the next call that
 * appends, reserves or frees. */
size_t buf_len(const struct buf *buf);
const uint8_t *buf_head(const struct buf *buf);

/* Makes room for at least `len` more bytes and returns where to write them, or NULL when out of
 * memory (nothing is lost). */
uint8_t *buf_reserve(struct buf *buf, size_t len);

/* Says that `len` of the reserved bytes are filled in. */
void buf_commit(struct buf *buf, size_t len);

/* Copies `len` bytes to the tail. 0, or -1 when out of memory (nothing is lost). */
int buf_append(struct buf *buf, const void *bytes, size_t len);
int buf_append_str(struct buf *buf, const char *text);
int buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops `len` (at most buf_len) bytes at the head. */
void buf_consume(struct buf *buf, size_t len);

/* Empties the buffer; keeps at most `keep` bytes of capacity, so that a burst does not hold its
 * memory for ever. */
void buf_clear(struct buf *buf, size_t keep);

#endif
