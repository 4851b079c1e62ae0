/*
 * The access log: one line for each session, as text or JSON, with ztunnel's field names and order,
 * then ours. A reader of the descriptor that is too slow costs lines, which are counted, never
 * traffic.
 */
#ifndef REMORA_ACCESS_LOG_H
#define REMORA_ACCESS_LOG_H

#include <stdint.h>

#include "err.h"
#include "log.h"
#include "session_record.h"

struct access_log;

/* `fd` stays the caller's, open until access_log_free. NULL: see *err. */
struct access_log *access_log_new(int fd, enum log_format format, struct err *err);

/* Waits at most `flush_ms` for what is queued. NULL is ignored. */
void access_log_free(struct access_log *access_log, uint64_t flush_ms);

/* Thread-safe. `wall_ms` is when the session ended; `num_suppressed` says how many such lines were
 * left out before this one. */
void access_log_session(struct access_log *access_log, const struct session_record *record,
                        int64_t wall_ms, uint64_t num_suppressed);

/* A connection that ended before it was a session. */
struct access_log_refusal {
    enum session_direction direction;
    struct addr peer;
    struct addr local;
    enum reason reason;
    const char *detail; /* NULL or "": none */
};

void access_log_refused(struct access_log *access_log, const struct access_log_refusal *refusal,
                        int64_t wall_ms, uint64_t num_suppressed);

/* Lines that the reader was too slow for, or that memory was too short for. */
uint64_t access_log_dropped(const struct access_log *access_log);

/* ------------------------------------------------------------------------- the line, for tests -- */

/* Appends the line. 0, or -1 when out of memory. */
int access_log_format_session(struct buf *line, enum log_format format,
                              const struct session_record *record, int64_t wall_ms,
                              uint64_t num_suppressed);
int access_log_format_refusal(struct buf *line, enum log_format format,
                              const struct access_log_refusal *refusal, int64_t wall_ms,
                              uint64_t num_suppressed);

#endif
