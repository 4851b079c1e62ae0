#include "tls_conn.h"

#include <assert.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "tls_alert.h"
#include "tls_bio.h"
#include "tls_conn_verify.h"
#include "tls_library_groups.h"
#include "tls_verify.h"

enum {
    RECORD_PLAIN_MAX = 16384,         /* RFC 8446, 5.1 */
    RECORD_OVERHEAD_MAX = 5 + 1 + 16, /* header, content type, AEAD tag */
};

/* Why it failed: on the heap, because most connections never do and a struct err is large. */
struct failure {
    enum reason reason;
    struct err err;
};

struct tls_conn {
    SSL *ssl;
    struct tls_context *context;
    struct tls_bio bio;
    struct buf output;
    enum tls_status status;
    bool close_notify_sent;
    bool is_cert_asked; /* of a client; where it resumes, is_cert_known counts instead */
    bool is_cert_known;
    int64_t now_ms;
    int64_t ticket_limit_ms; /* tickets that are given end by then */
    struct peer_cert *peer;
    struct failure *failure;
    char *expected; /* the URIs, each with its NUL; gone once the peer is verified */
    size_t num_expected;
    struct buf cert_message; /* of the peer, while it is not verified */
};

/* When there is no memory to say anything else. */
static const struct failure NO_MEMORY = {REASON_NO_MEMORY,
                                         {.kind = ERR_NOMEM, .message = "out of memory"}};

/* Keeps the first failure: it is the cause. */
static void set_failure(struct tls_conn *conn, enum reason reason, const struct err *err)
{
    if (conn->failure != NULL)
        return;
    conn->failure = malloc(sizeof(*conn->failure));
    if (conn->failure != NULL)
        *conn->failure = (struct failure){.reason = reason, .err = *err};
}

static void fail(struct tls_conn *conn, enum reason reason, const struct err *err)
{
    set_failure(conn, reason, err);
    conn->status = TLS_FAILED;
}

/* What certificates have to do with it, if it is they. REASON_DONE: something else. */
static enum reason explain_certificates(const struct tls_conn *conn, struct err *err)
{
    if (conn->status != TLS_HANDSHAKING)
        return REASON_DONE;
    if (tls_context_kind(conn->context) == TLS_CONTEXT_NAMED_CLIENT)
        return tls_verify_explain_named(conn->ssl, tls_context_server_name(conn->context), err);
    if (buf_len(&conn->cert_message) > 0 && tls_alert_is_leaf_refused())
        return tls_verify_explain_refused(conn, buf_head(&conn->cert_message),
                                          buf_len(&conn->cert_message), err);
    return REASON_DONE;
}

/* A call into BoringSSL has failed for good: finds out why and empties the error queue. */
static void fail_by_library(struct tls_conn *conn)
{
    struct err err = {0};
    enum reason reason = REASON_NO_MEMORY;
    if (conn->bio.out_of_memory)
        err_set(&err, ERR_NOMEM, "out of memory");
    else
        reason = explain_certificates(conn, &err);
    if (reason == REASON_DONE)
        reason = tls_alert_explain(&err);
    ERR_clear_error();
    buf_done(&conn->cert_message);
    fail(conn, reason, &err);
}

/* ----------------------------------------------------------------------------- the handshake -- */

static void forget_expected(struct tls_conn *conn)
{
    free(conn->expected);
    conn->expected = NULL;
    conn->num_expected = 0;
}

static void refuse(struct tls_conn *conn, uint8_t alert, enum reason reason, const char *why)
{
    struct err err;
    err_set(&err, ERR_TLS, "%s", why);
    SSL_send_fatal_alert(conn->ssl, alert);
    ERR_clear_error();
    fail(conn, reason, &err);
}

/*
 * The peer may have offered no ALPN at all: a TLS server of BoringSSL lets that pass, and so does a
 * client.
 */
static bool lacks_alpn(const struct tls_conn *conn)
{
    return conn->context->is_alpn_required &&
           tls_alpn_selected(&conn->context->alpn, conn->ssl)[0] == '\0';
}

/* RFC 7627: without it, what TLS 1.2 has agreed on can be made to agree with another connection. */
static bool lacks_extended_master_secret(const struct tls_conn *conn)
{
    return SSL_version(conn->ssl) < TLS1_3_VERSION && !SSL_get_extms_support(conn->ssl);
}

static void finish_handshake(struct tls_conn *conn)
{
    uint8_t alert;
    forget_expected(conn);
    if (lacks_alpn(conn)) {
        refuse(conn, SSL_AD_NO_APPLICATION_PROTOCOL, REASON_TLS_ALPN,
               "the peer did not agree on a protocol by ALPN");
    } else if (lacks_extended_master_secret(conn)) {
        refuse(conn, SSL_AD_HANDSHAKE_FAILURE, REASON_TLS_FAILED,
               "the peer has no extended master secret");
    } else if (SSL_is_server(conn->ssl) && SSL_session_reused(conn->ssl) &&
               tls_verify_resumed(conn->ssl, &alert) < 0) {
        SSL_send_fatal_alert(conn->ssl, alert);
        ERR_clear_error();
        conn->status = TLS_FAILED;
    } else {
        conn->status = TLS_OPEN;
    }
}

/* A client's own business; a server has no reason to. */
static void fail_by_leaving(struct tls_conn *conn)
{
    struct err err;
    err_set(&err, ERR_TLS, "the peer closed the connection during the TLS handshake");
    fail(conn, SSL_is_server(conn->ssl) ? REASON_CLIENT_GONE : REASON_TLS_FAILED, &err);
}

static void drive_handshake(struct tls_conn *conn)
{
    ERR_clear_error();
    int result = SSL_do_handshake(conn->ssl);
    int error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(conn->ssl, result);
    if (result == 1)
        finish_handshake(conn);
    else if (error == SSL_ERROR_ZERO_RETURN) /* close_notify */
        fail_by_leaving(conn);
    else if (error != SSL_ERROR_WANT_READ)
        fail_by_library(conn);
}

int64_t tls_conn_now_ms(const struct tls_conn *conn)
{
    return conn->now_ms;
}

bool tls_conn_expects(const struct tls_conn *conn, const char *uri, const char **first, size_t *num)
{
    const struct trust *trust = tls_context_trust(conn->context);
    const char *expected = conn->expected;
    for (size_t i = 0; i < conn->num_expected; i++) {
        if (trust_is_same_id(trust, expected, uri))
            return true;
        expected += strlen(expected) + 1;
    }
    *first = conn->expected;
    *num = conn->num_expected;
    return false;
}

void tls_conn_keep_cert_message(struct tls_conn *conn, const uint8_t *body, size_t len)
{
    buf_clear(&conn->cert_message, 0);
    /* Without memory for it, only the explanation of a refusal is poorer. */
    buf_append(&conn->cert_message, body, len);
}

void tls_conn_note_cert_asked(struct tls_conn *conn)
{
    conn->is_cert_asked = true;
}

void tls_conn_note_cert_known(struct tls_conn *conn)
{
    conn->is_cert_known = true;
}

bool tls_conn_is_cert_shown(const struct tls_conn *conn)
{
    if (SSL_is_server(conn->ssl))
        return true;
    return SSL_session_reused(conn->ssl) ? conn->is_cert_known : conn->is_cert_asked;
}

int64_t tls_conn_ticket_end_ms(const struct tls_conn *conn)
{
    int64_t end_ms = conn->now_ms + (int64_t)TLS_CONTEXT_TICKET_S * 1000;
    const int64_t bounds_ms[] = {conn->ticket_limit_ms, conn->context->not_after_ms,
                                 conn->peer == NULL ? INT64_MAX : conn->peer->not_after_ms};
    for (size_t i = 0; i < sizeof(bounds_ms) / sizeof(bounds_ms[0]); i++)
        if (bounds_ms[i] < end_ms)
            end_ms = bounds_ms[i];
    return end_ms;
}

void tls_conn_limit_tickets(struct tls_conn *conn, int64_t end_ms)
{
    conn->ticket_limit_ms = end_ms;
}

void tls_conn_accept_peer(struct tls_conn *conn, struct peer_cert *peer)
{
    buf_done(&conn->cert_message);
    peer_cert_unref(conn->peer);
    conn->peer = peer;
}

void tls_conn_refuse_peer(struct tls_conn *conn, enum reason reason, const struct err *err)
{
    buf_done(&conn->cert_message);
    set_failure(conn, reason, err);
}

/* --------------------------------------------------------------------------------- new, free -- */

static int copy_expected(struct tls_conn *conn, const struct tls_conn_params *params,
                         struct err *err)
{
    if (params->num_expected == 0)
        return err_set(err, ERR_INVALID, "no identity is expected of the server");
    if (params->num_expected > TLS_CONN_EXPECTED_MAX)
        return err_set(err, ERR_LIMIT,
                       "%zu identities are expected of the server; at most %d can be",
                       params->num_expected, TLS_CONN_EXPECTED_MAX);
    size_t size = 0;
    for (size_t i = 0; i < params->num_expected; i++)
        size += strlen(params->expected[i]) + 1;
    conn->expected = malloc(size);
    if (conn->expected == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    char *to = conn->expected;
    for (size_t i = 0; i < params->num_expected; i++) {
        size_t len = strlen(params->expected[i]) + 1;
        memcpy(to, params->expected[i], len);
        to += len;
    }
    conn->num_expected = params->num_expected;
    return 0;
}

static int prepare_named_client(struct tls_conn *conn)
{
    const char *name = tls_context_server_name(conn->context);
    X509_VERIFY_PARAM_set_time(SSL_get0_param(conn->ssl), (time_t)(conn->now_ms / 1000));
    if (tls_verify_is_address(name))
        return 0;
    return SSL_set_tlsext_host_name(conn->ssl, name) ? 0 : -1;
}

static int prepare_origin(struct tls_conn *conn)
{
    const struct tls_context *context = conn->context;
    if (context->sni != NULL && !SSL_set_tlsext_host_name(conn->ssl, context->sni))
        return -1;
    if (context->ticket_store != NULL && conn->now_ms < context->not_after_ms)
        tls_ticket_offer(context->ticket_store, conn->ssl);
    return 0;
}

static int prepare(struct tls_conn *conn, enum tls_role role)
{
    conn->ssl = SSL_new(tls_context_ssl(conn->context, role));
    if (conn->ssl == NULL || !SSL_set_app_data(conn->ssl, conn))
        return -1;
    BIO *bio = tls_bio_new(&conn->bio);
    if (bio == NULL)
        return -1;
    SSL_set_bio(conn->ssl, bio, bio); /* takes the one reference for both directions */
    SSL_set_shed_handshake_config(conn->ssl, 1);
    if (role == TLS_CLIENT)
        SSL_set_connect_state(conn->ssl);
    else
        SSL_set_accept_state(conn->ssl);
    if (tls_context_kind(conn->context) == TLS_CONTEXT_NAMED_CLIENT)
        return prepare_named_client(conn);
    if (tls_context_kind(conn->context) == TLS_CONTEXT_ORIGIN)
        return prepare_origin(conn);
    return 0;
}

/* Of a client whose server is known by its SPIFFE ID. */
static int prepare_expected(struct tls_conn *conn, const struct tls_conn_params *params,
                            struct err *err)
{
    const struct tls_context *context = conn->context;
    const struct tls_conn_params own = {.expected = (const char *const *)context->expected,
                                        .num_expected = context->num_expected};
    if (context->num_expected > 0)
        return copy_expected(conn, &own, err);
    bool is_mesh_client =
        tls_context_kind(context) == TLS_CONTEXT_MESH && params->role == TLS_CLIENT;
    return is_mesh_client ? copy_expected(conn, params, err) : 0;
}

struct tls_conn *tls_conn_new(struct tls_context *context, const struct tls_conn_params *params,
                              struct err *err)
{
    assert(tls_context_ssl(context, params->role) != NULL);
    struct tls_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    conn->context = tls_context_ref(context);
    conn->now_ms = params->now_ms;
    conn->bio.out = &conn->output;
    conn->status = TLS_HANDSHAKING;
    conn->ticket_limit_ms = INT64_MAX;
    if (prepare_expected(conn, params, err) < 0)
        goto fail;
    if (prepare(conn, params->role) < 0) {
        err_set(err, ERR_NOMEM, "out of memory");
        goto fail;
    }
    if (params->role == TLS_CLIENT)
        drive_handshake(conn);
    return conn;

fail:
    ERR_clear_error();
    tls_conn_free(conn);
    return NULL;
}

void tls_conn_free(struct tls_conn *conn)
{
    if (conn == NULL)
        return;
    SSL_free(conn->ssl);
    tls_context_unref(conn->context);
    peer_cert_unref(conn->peer);
    buf_done(&conn->output);
    buf_done(&conn->cert_message);
    free(conn->expected);
    free(conn->failure);
    free(conn);
}

/* --------------------------------------------------------------------------------- receiving -- */

/* Reads one record's worth. True when there may be more. */
static bool read_record(struct tls_conn *conn, struct buf *plain)
{
    /* What is held of an unfinished record is less than one record. */
    uint8_t *into = buf_reserve(plain, conn->bio.in_len + RECORD_PLAIN_MAX);
    if (into == NULL) {
        fail(conn, REASON_NO_MEMORY, &NO_MEMORY.err);
        return false;
    }
    ERR_clear_error();
    int len = SSL_read(conn->ssl, into, RECORD_PLAIN_MAX);
    if (len > 0) {
        buf_commit(plain, (size_t)len);
        return true;
    }
    switch (SSL_get_error(conn->ssl, len)) {
    case SSL_ERROR_WANT_READ:
        break;
    case SSL_ERROR_ZERO_RETURN:
        conn->status = TLS_PEER_CLOSED;
        break;
    default:
        fail_by_library(conn);
    }
    return false;
}

enum tls_status tls_conn_recv(struct tls_conn *conn, const uint8_t *bytes, size_t len,
                              struct buf *plain)
{
    conn->bio.in = bytes;
    conn->bio.in_len = len;
    if (conn->status == TLS_HANDSHAKING)
        drive_handshake(conn);
    if (conn->status == TLS_OPEN)
        while (read_record(conn, plain))
            continue;
    /* BoringSSL asks for more only when it has everything; after the end, the rest is dropped. */
    assert(conn->bio.in_len == 0 || conn->status == TLS_PEER_CLOSED || conn->status == TLS_FAILED);
    conn->bio.in = NULL;
    conn->bio.in_len = 0;
    return conn->status;
}

enum tls_status tls_conn_eof(struct tls_conn *conn)
{
    struct err err;
    if (conn->status == TLS_HANDSHAKING) {
        fail_by_leaving(conn);
    } else if (conn->status == TLS_OPEN) {
        err_set(&err, ERR_TLS, "the connection ended without TLS close_notify: it was cut");
        fail(conn, REASON_TUNNEL_LOST, &err);
    }
    return conn->status;
}

/* ----------------------------------------------------------------------------------- sending -- */

/* One allocation for all records; when it fails, the BIO's own attempts decide. */
static void reserve_output(struct tls_conn *conn, size_t len)
{
    size_t num_records = len / RECORD_PLAIN_MAX + 1;
    buf_reserve(&conn->output, len + num_records * RECORD_OVERHEAD_MAX);
}

enum tls_status tls_conn_send(struct tls_conn *conn, const uint8_t *bytes, size_t len)
{
    assert(conn->status == TLS_OPEN || conn->status == TLS_PEER_CLOSED);
    assert(!conn->close_notify_sent);
    reserve_output(conn, len);
    while (len > 0) {
        int part = len < INT_MAX ? (int)len : INT_MAX;
        ERR_clear_error();
        int written = SSL_write(conn->ssl, bytes, part);
        if (written <= 0) {
            fail_by_library(conn);
            break;
        }
        bytes += written;
        len -= (size_t)written;
    }
    return conn->status;
}

void tls_conn_close_notify(struct tls_conn *conn)
{
    if (conn->close_notify_sent || (conn->status != TLS_OPEN && conn->status != TLS_PEER_CLOSED))
        return;
    conn->close_notify_sent = true;
    ERR_clear_error();
    if (SSL_shutdown(conn->ssl) < 0)
        fail_by_library(conn);
}

void tls_conn_deny(struct tls_conn *conn)
{
    if (conn->close_notify_sent || (conn->status != TLS_OPEN && conn->status != TLS_PEER_CLOSED))
        return;
    conn->close_notify_sent = true;
    ERR_clear_error();
    SSL_send_fatal_alert(conn->ssl, SSL_AD_ACCESS_DENIED);
    ERR_clear_error();
}

/* ------------------------------------------------------------------------------------ asking -- */

struct buf *tls_conn_output(struct tls_conn *conn)
{
    return &conn->output;
}

enum tls_status tls_conn_status(const struct tls_conn *conn)
{
    return conn->status;
}

static const struct failure *failure_of(const struct tls_conn *conn)
{
    static const struct failure NONE = {.reason = REASON_DONE};
    if (conn->status != TLS_FAILED)
        return &NONE;
    return conn->failure == NULL ? &NO_MEMORY : conn->failure;
}

enum reason tls_conn_reason(const struct tls_conn *conn)
{
    return failure_of(conn)->reason;
}

const struct err *tls_conn_err(const struct tls_conn *conn)
{
    return &failure_of(conn)->err;
}

struct peer_cert *tls_conn_peer(const struct tls_conn *conn)
{
    return conn->status == TLS_HANDSHAKING ? NULL : conn->peer;
}

struct tls_conn_info tls_conn_info(const struct tls_conn *conn)
{
    if (SSL_in_init(conn->ssl))
        return (struct tls_conn_info){"", "", "", "", false, false};
    return (struct tls_conn_info){
        .version = SSL_get_version(conn->ssl),
        .cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(conn->ssl)),
        .group = tls_library_group_name(conn->ssl),
        .alpn = tls_alpn_selected(&conn->context->alpn, conn->ssl),
        .is_resumed = SSL_session_reused(conn->ssl) != 0,
        .is_own_cert_shown = tls_conn_is_cert_shown(conn),
    };
}

struct tls_context *tls_conn_context(const struct tls_conn *conn)
{
    return conn->context;
}
