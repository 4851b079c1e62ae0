#include "access_log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "line_writer.h"

enum {
    RING_CAPACITY = 256 * 1024, /* about 500 lines: a burst, not a reader that has stopped */
    FIELDS_MAX = 24,
    DURATION_TEXT_MAX = 24, /* 20 digits, "ms", NUL */
    ERROR_TEXT_MAX = 1024,  /* the longest sentence, and a whole err.message */
    LINE_USUAL = 1024,      /* reserved at once, so that a line is seldom copied while it grows */
};

static const char scope[] = "access";

struct access_log {
    struct line_writer *writer;
    enum log_format format;
    atomic_uint_fast64_t num_lost; /* for want of memory */
};

struct access_log *access_log_new(int fd, enum log_format format, struct err *err)
{
    struct access_log *access_log = calloc(1, sizeof(*access_log));
    if (access_log == NULL) {
        err_set(err, ERR_NOMEM, "access log: out of memory");
        return NULL;
    }
    access_log->format = format;
    access_log->writer = line_writer_new(fd, RING_CAPACITY, err);
    if (access_log->writer == NULL) {
        err_prefix(err, "access log");
        free(access_log);
        return NULL;
    }
    return access_log;
}

void access_log_free(struct access_log *access_log, uint64_t flush_ms)
{
    if (access_log == NULL)
        return;
    line_writer_free(access_log->writer, flush_ms);
    free(access_log);
}

/* ----------------------------------------------------------------------------------- the line -- */

struct fields {
    struct log_field list[FIELDS_MAX];
    size_t num;
};

/* What is not known is left out, as ztunnel does. */
static void add_text(struct fields *fields, const char *key, const char *text)
{
    if (text != NULL && *text != '\0')
        fields->list[fields->num++] = LOG_S(key, text);
}

static void add_addr(struct fields *fields, const char *key, const struct addr *addr, char *text)
{
    if (addr->ip.family != IP_NONE)
        add_text(fields, key, addr_format(addr, text));
}

static const char *level_of(enum reason reason)
{
    switch (reason_severity(reason)) {
    case REASON_OK:
    case REASON_QUIET:
        return "info";
    case REASON_REFUSED:
        return "warn";
    case REASON_FAULT:
        return "error";
    }
    return "error";
}

static const char *message_of(enum reason reason)
{
    switch (reason_severity(reason)) {
    case REASON_OK:
    case REASON_QUIET:
        return "connection complete";
    case REASON_REFUSED:
        return "connection refused";
    case REASON_FAULT:
        return "connection failed";
    }
    return "connection failed";
}

/* "sentence: detail", or the one that there is. Nothing for an end that needs no explanation. */
static const char *error_of(enum reason reason, const char *detail, char *text)
{
    if (reason_severity(reason) == REASON_OK)
        return NULL;
    if (detail == NULL || *detail == '\0')
        return reason_sentence(reason);
    snprintf(text, ERROR_TEXT_MAX, "%s: %s", reason_sentence(reason), detail);
    return text;
}

static void add_suppressed(struct fields *fields, uint64_t num_suppressed)
{
    if (num_suppressed > 0)
        fields->list[fields->num++] = LOG_U("suppressed", num_suppressed);
}

static const char *direction_name(enum session_direction direction)
{
    return direction == SESSION_OUTBOUND ? "outbound" : "inbound";
}

static void add_source(struct fields *fields, const struct session_record *record, char *addr)
{
    add_addr(fields, "src.addr", &record->source_addr, addr);
    add_text(fields, "src.workload", record->source.pod);
    add_text(fields, "src.namespace", record->source.namespace_);
    add_text(fields, "src.identity", record->source.identity);
    add_text(fields, "src.cluster", record->source.cluster);
}

static void add_destination(struct fields *fields, const struct session_record *record, char *addr,
                            char *hbone_addr)
{
    add_addr(fields, "dst.addr", &record->destination_addr, addr);
    if (record->has_target && !addr_equal(&record->target_addr, &record->destination_addr))
        add_addr(fields, "dst.hbone_addr", &record->target_addr, hbone_addr);
    add_text(fields, "dst.service", record->service_hostname);
    add_text(fields, "dst.workload", record->destination.pod);
    add_text(fields, "dst.namespace", record->destination.namespace_);
    add_text(fields, "dst.identity", record->destination.identity);
    add_text(fields, "dst.cluster", record->destination.cluster);
}

/*
 * Bytes as this pod's side sees them: sent is what left the application behind this agent on its
 * own side of the session. The record, like Istio's metrics, counts by the client's view on both
 * sides (istio#32399); ztunnel turns it back for the log, and so do we.
 */
static void add_bytes(struct fields *fields, const struct session_record *record)
{
    bool outbound = record->direction == SESSION_OUTBOUND;
    uint64_t sent = outbound ? record->bytes_received : record->bytes_sent;
    uint64_t received = outbound ? record->bytes_sent : record->bytes_received;
    fields->list[fields->num++] = LOG_U("bytes_sent", sent);
    fields->list[fields->num++] = LOG_U("bytes_recv", received);
}

static int format_line(struct buf *line, enum log_format format, const struct fields *fields,
                       enum reason reason, int64_t wall_ms)
{
    const struct log_line log_line = {.wall_ms = wall_ms,
                                      .level = level_of(reason),
                                      .module = scope,
                                      .message = message_of(reason),
                                      .fields = fields->list,
                                      .num_fields = fields->num};
    return log_format_line(line, format, &log_line);
}

int access_log_format_session(struct buf *line, enum log_format format,
                              const struct session_record *record, int64_t wall_ms,
                              uint64_t num_suppressed)
{
    char source[ADDR_TEXT_MAX], destination[ADDR_TEXT_MAX], target[ADDR_TEXT_MAX];
    char duration[DURATION_TEXT_MAX], error[ERROR_TEXT_MAX];
    struct fields fields = {.num = 0};
    add_source(&fields, record, source);
    add_destination(&fields, record, destination, target);
    add_text(&fields, "direction", direction_name(record->direction));
    add_text(&fields, "tls.sni", record->sni);
    add_bytes(&fields, record);
    snprintf(duration, sizeof(duration), "%llums", (unsigned long long)record->duration_ms);
    add_text(&fields, "duration", duration);
    add_text(&fields, "reason", reason_name(record->reason));
    add_text(&fields, "response_flags", reason_flag(record->reason));
    add_text(&fields, "policy", record->policy);
    add_text(&fields, "error", error_of(record->reason, record->detail, error));
    add_suppressed(&fields, num_suppressed);
    return format_line(line, format, &fields, record->reason, wall_ms);
}

int access_log_format_refusal(struct buf *line, enum log_format format,
                              const struct access_log_refusal *refusal, int64_t wall_ms,
                              uint64_t num_suppressed)
{
    char peer[ADDR_TEXT_MAX], local[ADDR_TEXT_MAX], error[ERROR_TEXT_MAX];
    struct fields fields = {.num = 0};
    add_addr(&fields, "src.addr", &refusal->peer, peer);
    add_addr(&fields, "dst.addr", &refusal->local, local);
    add_text(&fields, "direction", direction_name(refusal->direction));
    add_text(&fields, "reason", reason_name(refusal->reason));
    add_text(&fields, "response_flags", reason_flag(refusal->reason));
    add_text(&fields, "error", error_of(refusal->reason, refusal->detail, error));
    add_suppressed(&fields, num_suppressed);
    return format_line(line, format, &fields, refusal->reason, wall_ms);
}

/* ----------------------------------------------------------------------------------- writing -- */

static void put(struct access_log *access_log, struct buf *line, int rc)
{
    if (rc == 0)
        line_writer_put(access_log->writer, (const char *)buf_head(line), buf_len(line));
    else
        atomic_fetch_add_explicit(&access_log->num_lost, 1, memory_order_relaxed);
    buf_done(line);
}

void access_log_session(struct access_log *access_log, const struct session_record *record,
                        int64_t wall_ms, uint64_t num_suppressed)
{
    struct buf line = {0};
    int rc = -1;
    if (buf_reserve(&line, LINE_USUAL) != NULL)
        rc = access_log_format_session(&line, access_log->format, record, wall_ms, num_suppressed);
    put(access_log, &line, rc);
}

void access_log_refused(struct access_log *access_log, const struct access_log_refusal *refusal,
                        int64_t wall_ms, uint64_t num_suppressed)
{
    struct buf line = {0};
    int rc = access_log_format_refusal(&line, access_log->format, refusal, wall_ms, num_suppressed);
    put(access_log, &line, rc);
}

uint64_t access_log_dropped(const struct access_log *access_log)
{
    return line_writer_dropped(access_log->writer) +
           atomic_load_explicit(&access_log->num_lost, memory_order_relaxed);
}
