/* What the hub and the workers' handles share. Private to telemetry. */
#ifndef REMORA_TELEMETRY_IMPL_H
#define REMORA_TELEMETRY_IMPL_H

#include "access_log.h"
#include "rate_limit.h"
#include "telemetry_hub.h"
#include "telemetry_tables.h"

enum { NUM_DIRECTIONS = SESSION_INBOUND + 1 };

struct telemetry_hub {
    struct metrics *metrics;
    struct metrics_table *tables[NUM_TELEMETRY_TABLES];
    struct access_log *access_log; /* NULL: off */
    struct metrics_row *suppressed;
};

struct telemetry {
    struct telemetry_hub *hub;
    /* Rows whose labels never change, looked up once. */
    struct metrics_row *sockets[NUM_DIRECTIONS];
    struct metrics_row *pool[NUM_DIRECTIONS];
    struct metrics_row *handshakes[NUM_DIRECTIONS];
    struct metrics_row *overloads[NUM_DIRECTIONS];
    struct metrics_row *waits[NUM_DIRECTIONS];
    struct rate_limit unproven_lines; /* that peers without a proven identity can cause */
};

#endif
