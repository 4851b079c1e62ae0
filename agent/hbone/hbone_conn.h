/*
 * One HBONE connection after its handshake, either side: TLS stream and HTTP/2 session driven
 * together, its keepalive and its idleness. Internal to hbone: hbone_client and hbone_server own
 * one each.
 */
#ifndef REMORA_HBONE_CONN_H
#define REMORA_HBONE_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "h2_session.h"
#include "hbone_options.h"
#include "reason.h"
#include "stream.h"
#include "tls_io.h"

struct hbone_conn;
struct hbone_stream;

/* All get the owner. Those marked (NULL) may be NULL. */
struct hbone_conn_handler {
    /* (NULL for a client) A request; its stream has no owner yet. */
    void (*on_request)(void *owner, struct h2_stream *h2, const struct h2_header *headers,
                       size_t num_headers, bool end);
    /* (NULL) As in struct h2_handler. */
    void (*on_malformed)(void *owner, const char *why);
    /* (NULL) There may be room for requests where there was none, or the other way round. */
    void (*on_room)(void *owner);
    /*
     * It is over: every stream was told. Last call; the connection frees itself after it. *err is
     * lent, NULL when the reason says it all.
     */
    void (*on_over)(void *owner, enum reason reason, const struct err *err);
};

struct hbone_conn_params {
    enum h2_side side;
    const struct hbone_conn_options *options; /* lent until the connection is over */
    uint64_t first_request_timeout_ms;        /* 0: none */
    bool is_single; /* (client) for one stream: it drains when that has ended */
};

/*
 * Takes the TLS stream and starts to read and write. NULL (with *err): `tls` is still the caller's.
 */
struct hbone_conn *hbone_conn_new(struct tls_io *io, struct stream *tls,
                                  const struct hbone_conn_params *params,
                                  const struct hbone_conn_handler *handler, void *owner,
                                  struct err *err);

/*
 * Ends it at the end of this round, streams and all; then on_over(reason, err). *err is copied; with
 * one (NULL: none) the peer is not given the time to take what is queued. Idempotent: the first
 * reason counts.
 */
void hbone_conn_close(struct hbone_conn *conn, enum reason reason, const struct err *err);

/*
 * Ends it now, without on_over; streams fail. Not from inside a handler of this connection or its
 * streams. NULL is ignored.
 */
void hbone_conn_free(struct hbone_conn *conn);

/* No new streams; closes with `reason` when the last has ended. Called again, the last reason
 * counts. */
void hbone_conn_drain(struct hbone_conn *conn, enum reason reason);

struct h2_session *hbone_conn_h2(const struct hbone_conn *conn);
struct stream *hbone_conn_tls(const struct hbone_conn *conn);
struct net_loop *hbone_conn_loop(const struct hbone_conn *conn);

/* Nothing was decided about it yet: it is open and not closing. */
bool hbone_conn_is_open(const struct hbone_conn *conn);

/* hbone_conn_close was called, or it has come to its end. */
bool hbone_conn_is_closing(const struct hbone_conn *conn);

/* The peer's SETTINGS are here, which it sends before anything else (RFC 9113 3.4). */
bool hbone_conn_was_heard(const struct hbone_conn *conn);

/* A stream was opened or has ended: for idleness. Called by hbone_stream. */
void hbone_conn_count_stream(struct hbone_conn *conn, int change);

/* It has come to its end: whatever streams are told now, this is why. */
bool hbone_conn_is_over(const struct hbone_conn *conn);

/* Why; TUNNEL_LOST when it ended in good order while streams were open. *err may be NULL. */
enum reason hbone_conn_end_reason(const struct hbone_conn *conn, const struct err **err);

#endif
