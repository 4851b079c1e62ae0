/*
 * One TLS connection as bytes in, bytes out. No socket, no clock, no loop: whoever owns the socket
 * (transport) feeds what arrived and sends what is in the output. Used by one thread at a time.
 *
 *   tls_conn_new -> (send the output; on bytes: tls_conn_recv; on EOF: tls_conn_eof;
 *                    to write: tls_conn_send) -> tls_conn_free
 *
 * After every call the owner looks at the status and sends the output, also when the status is
 * TLS_FAILED: the alert that tells the peer why is in there.
 *
 * A client is TLS_OPEN before the server has looked at the client's certificate (TLS 1.3, RFC 8446,
 * 2). A server that refuses it says so by an alert that arrives later, as TLS_FAILED with
 * REASON_TLS_PEER_REFUSED_US. Until the first byte of the server's plaintext arrives, a client does
 * not know that it was accepted.
 */
#ifndef REMORA_TLS_CONN_H
#define REMORA_TLS_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "peer_cert.h"
#include "reason.h"
#include "tls_context.h"

enum {
    /* Identities expected of one server; a service may have many service accounts. */
    TLS_CONN_EXPECTED_MAX = 1024,
};

struct tls_conn;

enum tls_role { TLS_CLIENT, TLS_SERVER };

enum tls_status {
    TLS_HANDSHAKING,
    TLS_OPEN,        /* the peer is verified; both directions open */
    TLS_PEER_CLOSED, /* the peer sent close_notify: nothing more to read; we may still send */
    TLS_FAILED,      /* over; see tls_conn_reason and tls_conn_err */
};

struct tls_conn_params {
    enum tls_role role;
    int64_t now_ms; /* wall clock: the moment at which the peer's certificate must be valid */
    /*
     * Mesh and Istio clients only: the SPIFFE IDs of which the server must have one. Copied. An
     * empty list is an error, never "anyone".
     */
    const char *const *expected;
    size_t num_expected;
};

/* The facts of an open connection, lent until free: "TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519",
 * "h2". */
struct tls_conn_info {
    const char *version;
    const char *cipher;
    const char *group;
    const char *alpn; /* "": none was negotiated */
    bool is_resumed;
    /* We have shown our certificate: a client only where the server has asked for it, on this
     * connection or on the one that it resumes. */
    bool is_own_cert_shown;
};

/*
 * Takes a reference to `context`, which must be of a kind that has the role (asserted). A client's
 * ClientHello is in the output at once. NULL: *err is ERR_NOMEM, or ERR_INVALID for a mesh client
 * without expected identities, ERR_LIMIT for too many.
 */
struct tls_conn *tls_conn_new(struct tls_context *context, const struct tls_conn_params *params,
                              struct err *err);
void tls_conn_free(struct tls_conn *conn); /* NULL is ignored */

/*
 * Feeds `len` bytes from the peer, which are all consumed, and appends the plaintext that they
 * complete to `plain`: at most `len` bytes and one record (16 KiB), whose beginning may have come
 * earlier. May fill the output, also when the connection is open. After TLS_PEER_CLOSED and
 * TLS_FAILED the bytes are dropped. Plaintext that came before a failure stays in `plain`. Returns
 * the new status.
 */
enum tls_status tls_conn_recv(struct tls_conn *conn, const uint8_t *bytes, size_t len,
                              struct buf *plain);

/*
 * Says that the peer's bytes have ended (FIN). After its close_notify that is right; before, the
 * stream was cut and the status becomes TLS_FAILED: REASON_TUNNEL_LOST after the handshake; during
 * it, REASON_TLS_FAILED, of a server REASON_CLIENT_GONE: a browser that is asked for a certificate
 * leaves to ask its user, and comes back with one. Returns the new status.
 */
enum tls_status tls_conn_eof(struct tls_conn *conn);

/*
 * Encrypts `len` bytes to the output. Only in TLS_OPEN or TLS_PEER_CLOSED and not after
 * tls_conn_close_notify (asserted). The only failure is memory (TLS_FAILED, REASON_NO_MEMORY). The
 * owner bounds the output by not calling this while much is queued.
 */
enum tls_status tls_conn_send(struct tls_conn *conn, const uint8_t *bytes, size_t len);

/* Puts close_notify in the output: our direction has ended. Nothing while the handshake is under
 * way or after a failure. Idempotent. */
void tls_conn_close_notify(struct tls_conn *conn);

/*
 * Puts the alert access_denied in the output (RFC 8446, 6.2): the peer is who it says and may not do what it wants. Nothing more may be
 * sent then. Nothing while the handshake is under way, after close_notify, or after a failure.
 */
void tls_conn_deny(struct tls_conn *conn);

/* Bytes for the peer. The caller consumes what it has sent; it may also keep the buffer's memory
 * small with buf_clear. */
struct buf *tls_conn_output(struct tls_conn *conn);

enum tls_status tls_conn_status(const struct tls_conn *conn);

/* After TLS_FAILED: why, and the details in words; lent until free. Before: REASON_DONE and an
 * empty error. */
enum reason tls_conn_reason(const struct tls_conn *conn);
const struct err *tls_conn_err(const struct tls_conn *conn);

/* The verified peer, lent until free (peer_cert_ref to keep it), from TLS_OPEN on; NULL: a client
 * without a certificate where that is allowed, or a connection of the control plane. */
struct peer_cert *tls_conn_peer(const struct tls_conn *conn);

/* Valid from TLS_OPEN on; before, all members are "". */
struct tls_conn_info tls_conn_info(const struct tls_conn *conn);

struct tls_context *tls_conn_context(const struct tls_conn *conn); /* lent */

#endif
