/*
 * The serving side of one accepted HBONE connection: TLS with the client's certificate, HTTP/2, and
 * each CONNECT as a request that the owner accepts or refuses. Decides nothing about who may go
 * where; checks what the protocol says.
 */
#ifndef REMORA_HBONE_SERVER_H
#define REMORA_HBONE_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "err.h"
#include "hbone_headers.h"
#include "hbone_options.h"
#include "net_tcp.h"
#include "peer_cert.h"
#include "reason.h"
#include "stream.h"
#include "tls_conn.h"
#include "tls_context.h"
#include "tls_io.h"

struct hbone_server;
struct hbone_request;

struct hbone_server_options {
    struct hbone_conn_options conn;
    /* From the handshake's end to the first complete request. */
    uint64_t first_request_timeout_ms;
};

/* The defaults: 10 s for the first request; 200 streams. */
void hbone_server_options_default(struct hbone_server_options *options);

/*
 * What a CONNECT says; lent for on_request. Texts are NULL when the header is absent; baggage lines
 * are joined by commas.
 */
struct hbone_request_info {
    struct hbone_authority authority;
    const char *baggage;
    const char *forwarded;
    const char *traceparent;
    const char *x_forwarded_network;
};

struct hbone_server_handler {
    /*
     * The handshake is done: hbone_server_peer and hbone_server_tls_info tell with whom. May be
     * NULL.
     */
    void (*on_handshaken)(void *owner);
    /*
     * A well-formed CONNECT. Answer now or later by hbone_request_accept or hbone_request_refuse.
     */
    void (*on_request)(void *owner, struct hbone_request *request,
                       const struct hbone_request_info *info);
    /*
     * The client gave an unanswered request up, or its connection broke. `request_owner` as set by
     * hbone_request_set_owner; the request is gone.
     */
    void (*on_request_gone)(void *request_owner, struct hbone_request *request);
    /*
     * A request was answered 400, or its stream was reset, because it is malformed; `why` is a
     * phrase. For the log; may be NULL.
     */
    void (*on_malformed)(void *owner, const char *why);
    /*
     * The connection is over; last call, the server frees itself after it. Tunnels have got their
     * on_failed, requests their on_request_gone before it. reason: DONE (closed in good order by
     * either side), IDLE, DRAINED; during the handshake TLS_*, CERT_*; after it TUNNEL_LOST,
     * PEER_TIMEOUT (no answer to PING, or no first request in time), HTTP2_FAILED, NO_MEMORY, or what hbone_server_close was called with. *err
     * is lent; NULL when reason says it all. `handshaken`: the peer was verified.
     */
    void (*on_closed)(void *owner, enum reason reason, const struct err *err, bool handshaken);
};

/*
 * Serves `tcp`, which it takes on success. `options` is copied; takes a reference to `context`.
 * NULL: see *err.
 */
struct hbone_server *hbone_server_start(struct tls_io *io, struct net_tcp *tcp,
                                        struct tls_context *context,
                                        const struct hbone_server_options *options,
                                        const struct hbone_server_handler *handler, void *owner,
                                        struct err *err);

const struct addr *hbone_server_peer_addr(const struct hbone_server *server);
const struct addr *hbone_server_local_addr(const struct hbone_server *server);
/* The verified client, lent; NULL before the handshake is done. */
struct peer_cert *hbone_server_peer(const struct hbone_server *server);
struct tls_conn_info hbone_server_tls_info(const struct hbone_server *server);
unsigned hbone_server_num_streams(const struct hbone_server *server);

/*
 * GOAWAY: no new requests, existing tunnels go on; when the last ends, on_closed(DRAINED). During
 * the handshake: closes.
 */
void hbone_server_drain(struct hbone_server *server);

/*
 * The certificate that it has shown is not our latest. GOAWAY, so that the client makes its next
 * connection and sees the latest; existing tunnels go on; when the last ends, on_closed(DONE).
 * During the handshake: as soon as that is done.
 */
void hbone_server_retire(struct hbone_server *server);

/*
 * Ends it at the end of this round of the loop, whatever is open, with on_closed(reason, err). *err
 * is copied and may be NULL.
 */
void hbone_server_close(struct hbone_server *server, enum reason reason, const struct err *err);

/*
 * Ends it at once and frees it, without any callback: the owner is going away. Its tunnels must
 * have been closed and its requests answered. NULL is ignored.
 */
void hbone_server_free(struct hbone_server *server);

/* ---------------------------------------------------------------------------------- requests -- */

struct hbone_server *hbone_request_server(const struct hbone_request *request);
void hbone_request_set_owner(struct hbone_request *request, void *request_owner);

/*
 * Answers 200 (with `baggage` unless NULL) and returns the tunnel, which is the caller's; the
 * request is gone. NULL when out of memory: the stream was reset and the request is gone too.
 */
struct stream *hbone_request_accept(struct hbone_request *request, const char *baggage);

/*
 * Answers `status` (400 .. 599) with END_STREAM and no body; the request is gone, without
 * on_request_gone.
 */
void hbone_request_refuse(struct hbone_request *request, unsigned status);

#endif
