/*
 * What the data path tells of itself: one worker's handle on the process's metrics and access log.
 * A call costs a hash lookup and a few atomic additions; it takes no lock once a series is known to
 * the worker, keeps nothing of a session, never blocks and never fails. Not for the program's own
 * log (log.h), and not for what the control thread counts (telemetry_hub.h).
 *
 * A session is told exactly twice, opened and closed, also when it is refused by decision (then one
 * right after the other), so that opened minus closed is what is live.
 */
#ifndef REMORA_TELEMETRY_H
#define REMORA_TELEMETRY_H

#include <stdint.h>

#include "addr.h"
#include "reason.h"
#include "session_record.h"

/* One worker's handle, used on its thread only. Made by telemetry_new (telemetry_hub.h). */
struct telemetry;

/* ---------------------------------------------------------------------------------- sessions -- */

/* Who and where are known; the part of the record that is "at the end only" is not looked at. */
void telemetry_session_opened(struct telemetry *telemetry, const struct session_record *record);

/* Counts the end and the bytes, and writes the session's one access-log line. */
void telemetry_session_closed(struct telemetry *telemetry, const struct session_record *record);

/* ----------------------------------------------------------------- below sessions: connections -- */

/*
 * A tunnel's TLS handshake is over, well or not. An inbound one that failed is the end of a
 * connection that never became a session: it gets an access-log line of its own, limited to a few a
 * second, since anybody who reaches the port can make it fail. (Outbound, the sessions that waited
 * for the tunnel are told with the same reason.)
 */
struct telemetry_handshake {
    enum session_direction direction;
    enum reason reason; /* REASON_DONE: it succeeded */
    const char *detail; /* specifics of a failure; NULL or "": none */
    struct addr peer;
    struct addr local;
    uint64_t duration_ms; /* since the TCP connection was there, or the client's first byte */
    bool is_session;      /* whose end is told as a session's: has no line of its own */
};

void telemetry_handshake_done(struct telemetry *telemetry,
                              const struct telemetry_handshake *handshake);

/* A TCP connect is over: to a peer's agent or a plain destination (outbound), to the application
 * (inbound). REASON_DONE: it succeeded. */
void telemetry_connect_done(struct telemetry *telemetry, enum session_direction direction,
                            enum reason reason, uint64_t duration_ms);

/* An accepted connection was dropped for want of descriptors (net_listener's on_overload). */
void telemetry_accept_overload(struct telemetry *telemetry, enum session_direction direction);

/*
 * Gauges. A tunnel is an HTTP/2 connection with a peer's agent, counted from the end of its
 * handshake; a stream is one CONNECT inside it. Each opened is followed by one closed. The reason
 * of a tunnel's end: REASON_DONE for an orderly one (GOAWAY, rotation), REASON_IDLE, DRAINED,
 * PEER_TIMEOUT, HTTP2_FAILED, TUNNEL_LOST ...
 */
void telemetry_tunnel_opened(struct telemetry *telemetry, enum session_direction direction);
void telemetry_tunnel_closed(struct telemetry *telemetry, enum session_direction direction,
                             enum reason reason);
void telemetry_stream_opened(struct telemetry *telemetry, enum session_direction direction);
void telemetry_stream_closed(struct telemetry *telemetry, enum session_direction direction);

/* A live session was ended because trust or policy has changed, or its peer's certificate has ended;
 * told beside its end. */
void telemetry_recheck_closed(struct telemetry *telemetry, enum session_direction direction,
                              enum reason reason);

/* A session waits for discovery. Each started is followed by one ended. */
void telemetry_wait_started(struct telemetry *telemetry, enum session_direction direction);
void telemetry_wait_ended(struct telemetry *telemetry, enum session_direction direction);

/* TCP sockets that the data path holds, accepted and dialed. */
void telemetry_socket_opened(struct telemetry *telemetry, enum session_direction direction);
void telemetry_socket_closed(struct telemetry *telemetry, enum session_direction direction);

#endif
