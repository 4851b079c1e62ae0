/*
 * The time limits and sizes of HBONE connections, as plain values.
 */
#ifndef REMORA_HBONE_OPTIONS_H
#define REMORA_HBONE_OPTIONS_H

#include <stdint.h>

#include "h2_session.h"
#include "net_tcp.h"

/* What both sides of a connection have. */
struct hbone_conn_options {
    uint64_t tls_timeout_ms;  /* for the handshake, from its start */
    uint64_t idle_timeout_ms; /* a connection without streams is closed after it; 0: never */
    uint64_t ping_after_ms;   /* silence of the peer that makes us ask with a PING; 0: never */
    uint64_t ping_timeout_ms; /* silence after the PING at which the connection is given up */
    struct h2_options h2;
};

/* The defaults: 10 s handshake, 5 min idle, PING after 10 s, given up 20 s later. */
void hbone_conn_options_default(struct hbone_conn_options *options, enum h2_side side);

#endif
