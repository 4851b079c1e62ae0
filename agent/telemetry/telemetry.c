#include "telemetry.h"

#include <stdlib.h>

#include "clock.h"
#include "telemetry_impl.h"
#include "traffic_labels.h"

enum {
    /* Access-log lines that peers without a proven identity can cause, of one worker. Enough to see
     * what happens; a flood of refused connections must not fill a disk. */
    UNPROVEN_LINES_PER_SECOND = 20,
    UNPROVEN_LINES_BURST = 200,
};

static const char *direction_name(enum session_direction direction)
{
    return direction == SESSION_OUTBOUND ? "outbound" : "inbound";
}

struct telemetry *telemetry_new(struct telemetry_hub *hub)
{
    struct telemetry *telemetry = calloc(1, sizeof(*telemetry));
    if (telemetry == NULL)
        return NULL;
    telemetry->hub = hub;
    rate_limit_init(&telemetry->unproven_lines, UNPROVEN_LINES_PER_SECOND, UNPROVEN_LINES_BURST);
    for (int i = 0; i < NUM_DIRECTIONS; i++) {
        const char *reporter = traffic_labels_reporter((enum session_direction)i);
        const char *direction = direction_name((enum session_direction)i);
        telemetry->sockets[i] = metrics_row_get(hub->tables[TABLE_SOCKETS], &reporter);
        telemetry->pool[i] = metrics_row_get(hub->tables[TABLE_POOL], &direction);
        telemetry->handshakes[i] = metrics_row_get(hub->tables[TABLE_HANDSHAKES], &direction);
        telemetry->waits[i] = metrics_row_get(hub->tables[TABLE_WAITS], &direction);
        telemetry->overloads[i] = metrics_row_get(hub->tables[TABLE_OVERLOADS], &direction);
    }
    return telemetry;
}

void telemetry_free(struct telemetry *telemetry)
{
    free(telemetry);
}

/* ---------------------------------------------------------------------------------- sessions -- */

static struct metrics_row *traffic_row(struct telemetry *telemetry,
                                       const struct session_record *record, const char *flags)
{
    const char *values[TRAFFIC_NUM_LABELS];
    traffic_labels_fill(record, flags, values);
    return metrics_row_get(telemetry->hub->tables[TABLE_TRAFFIC], values);
}

static void count_reason(struct telemetry *telemetry, enum telemetry_table table,
                         enum session_direction direction, enum reason reason)
{
    const char *values[] = {direction_name(direction), reason_name(reason)};
    metrics_row_add(metrics_row_get(telemetry->hub->tables[table], values), 0, 1);
}

void telemetry_session_opened(struct telemetry *telemetry, const struct session_record *record)
{
    metrics_row_add(traffic_row(telemetry, record, reason_flag(REASON_DONE)), TRAFFIC_OPENED, 1);
}

static bool is_failure(enum reason reason)
{
    enum reason_severity severity = reason_severity(reason);
    return severity == REASON_REFUSED || severity == REASON_FAULT;
}

static void count_end(struct telemetry *telemetry, const struct session_record *record)
{
    struct metrics_row *row = traffic_row(telemetry, record, reason_flag(record->reason));
    metrics_row_add(row, TRAFFIC_CLOSED, 1);
    if (is_failure(record->reason))
        metrics_row_add(row, TRAFFIC_FAILED, 1);
    metrics_row_add(row, TRAFFIC_RECEIVED, (int64_t)record->bytes_received);
    metrics_row_add(row, TRAFFIC_SENT, (int64_t)record->bytes_sent);
    count_reason(telemetry, TABLE_SESSION_ENDS, record->direction, record->reason);
}

/* Whether one more line about a peer that has proven nothing may be written. */
static bool may_log_unproven(struct telemetry *telemetry, uint64_t *num_suppressed)
{
    if (rate_limit_take(&telemetry->unproven_lines, clock_mono_ms(), num_suppressed))
        return true;
    metrics_row_add(telemetry->hub->suppressed, 0, 1);
    return false;
}

void telemetry_session_closed(struct telemetry *telemetry, const struct session_record *record)
{
    count_end(telemetry, record);
    if (telemetry->hub->access_log == NULL)
        return;
    uint64_t num_suppressed = 0;
    bool unproven = record->direction == SESSION_INBOUND && !record->mutual_tls &&
                    (is_failure(record->reason) || record->reason == REASON_CLIENT_GONE);
    if (unproven && !may_log_unproven(telemetry, &num_suppressed))
        return;
    access_log_session(telemetry->hub->access_log, record, clock_wall_ms(), num_suppressed);
}

/* --------------------------------------------------------------------------- below sessions -- */

static void log_failed_handshake(struct telemetry *telemetry,
                                 const struct telemetry_handshake *handshake)
{
    uint64_t num_suppressed;
    if (telemetry->hub->access_log == NULL || !may_log_unproven(telemetry, &num_suppressed))
        return;
    struct access_log_refusal refusal = {
        .direction = handshake->direction,
        .peer = handshake->peer,
        .local = handshake->local,
        .reason = handshake->reason,
        .detail = handshake->detail,
    };
    access_log_refused(telemetry->hub->access_log, &refusal, clock_wall_ms(), num_suppressed);
}

void telemetry_handshake_done(struct telemetry *telemetry,
                              const struct telemetry_handshake *handshake)
{
    if (handshake->reason == REASON_DONE) {
        metrics_row_observe(telemetry->handshakes[handshake->direction], handshake->duration_ms);
        return;
    }
    count_reason(telemetry, TABLE_HANDSHAKE_FAILURES, handshake->direction, handshake->reason);
    if (handshake->direction == SESSION_INBOUND && !handshake->is_session)
        log_failed_handshake(telemetry, handshake);
}

void telemetry_connect_done(struct telemetry *telemetry, enum session_direction direction,
                            enum reason reason, uint64_t duration_ms)
{
    const char *outcome = reason == REASON_DONE ? "ok" : reason_name(reason);
    const char *values[] = {direction_name(direction), outcome};
    metrics_row_observe(metrics_row_get(telemetry->hub->tables[TABLE_CONNECTS], values),
                        duration_ms);
}

void telemetry_accept_overload(struct telemetry *telemetry, enum session_direction direction)
{
    metrics_row_add(telemetry->overloads[direction], 0, 1);
}

void telemetry_tunnel_opened(struct telemetry *telemetry, enum session_direction direction)
{
    metrics_row_add(telemetry->pool[direction], POOL_TUNNELS, 1);
}

void telemetry_tunnel_closed(struct telemetry *telemetry, enum session_direction direction,
                             enum reason reason)
{
    metrics_row_add(telemetry->pool[direction], POOL_TUNNELS, -1);
    count_reason(telemetry, TABLE_TUNNEL_ENDS, direction, reason);
}

void telemetry_recheck_closed(struct telemetry *telemetry, enum session_direction direction,
                              enum reason reason)
{
    count_reason(telemetry, TABLE_RECHECKS, direction, reason);
}

void telemetry_stream_opened(struct telemetry *telemetry, enum session_direction direction)
{
    metrics_row_add(telemetry->pool[direction], POOL_STREAMS, 1);
}

void telemetry_stream_closed(struct telemetry *telemetry, enum session_direction direction)
{
    metrics_row_add(telemetry->pool[direction], POOL_STREAMS, -1);
}

void telemetry_wait_started(struct telemetry *telemetry, enum session_direction direction)
{
    metrics_row_add(telemetry->waits[direction], 0, 1);
}

void telemetry_wait_ended(struct telemetry *telemetry, enum session_direction direction)
{
    metrics_row_add(telemetry->waits[direction], 0, -1);
}

void telemetry_socket_opened(struct telemetry *telemetry, enum session_direction direction)
{
    metrics_row_add(telemetry->sockets[direction], 0, 1);
}

void telemetry_socket_closed(struct telemetry *telemetry, enum session_direction direction)
{
    metrics_row_add(telemetry->sockets[direction], 0, -1);
}
