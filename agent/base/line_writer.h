/*
 * Writes lines to a descriptor from a thread of its own, through a bounded ring. A slow or blocked
 * reader never stops the caller: lines that do not fit are dropped and counted.
 */
#ifndef REMORA_LINE_WRITER_H
#define REMORA_LINE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct line_writer;

/* `fd` stays the caller's and open until line_writer_free. `capacity` in bytes is a power of two.
 * NULL: see *err. */
struct line_writer *line_writer_new(int fd, size_t capacity, struct err *err);

/* Waits at most `flush_ms` for what is queued, then stops the thread and frees. NULL is ignored. */
void line_writer_free(struct line_writer *writer, uint64_t flush_ms);

/* Thread-safe; takes a copy. `len` includes the newline. A line is written whole or dropped whole.
 */
void line_writer_put(struct line_writer *writer, const char *line, size_t len);

uint64_t line_writer_dropped(const struct line_writer *writer);

#endif
