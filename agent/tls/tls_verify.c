#include "tls_verify.h"

#include <arpa/inet.h>
#include <openssl/pool.h>
#include <openssl/x509.h>
#include <string.h>

#include "peer_cert.h"
#include "tls_alert.h"
#include "tls_cert_message.h"
#include "tls_conn_verify.h"

/* NULL: *reason and *err. */
static struct peer_cert *verify_ders(const struct tls_conn *conn, const struct peer_cert_der *ders,
                                     size_t num, enum reason *reason, struct err *err)
{
    const struct tls_context *context = tls_conn_context(conn);
    const struct peer_cert_check check = {
        .chain = ders,
        .num_certs = num,
        .trust = tls_context_trust(context),
        .rules = context->rules,
        .pki = context->pki.roots == NULL ? NULL : &context->pki,
        .now_ms = tls_conn_now_ms(conn),
    };
    return peer_cert_verify(&check, reason, err);
}

static struct peer_cert *verify_chain(const struct tls_conn *conn, const SSL *ssl,
                                      enum reason *reason, struct err *err)
{
    struct peer_cert_der ders[CERT_CHAIN_MAX + 1]; /* one more than allowed, to be refused for it */
    const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(ssl);
    size_t num = chain == NULL ? 0 : sk_CRYPTO_BUFFER_num(chain);
    if (num > CERT_CHAIN_MAX + 1)
        num = CERT_CHAIN_MAX + 1;
    for (size_t i = 0; i < num; i++) {
        const CRYPTO_BUFFER *der = sk_CRYPTO_BUFFER_value(chain, i);
        ders[i] = (struct peer_cert_der){CRYPTO_BUFFER_data(der), CRYPTO_BUFFER_len(der)};
    }
    return verify_ders(conn, ders, num, reason, err);
}

static int check_expected(const struct tls_conn *conn, const struct peer_cert *peer,
                          struct err *err)
{
    const char *first;
    size_t num;
    if (tls_conn_expects(conn, peer->id.uri, &first, &num))
        return 0;
    if (num == 1)
        return err_set(err, ERR_TLS, "expected '%.160s', found '%.160s'", first, peer->id.uri);
    return err_set(err, ERR_TLS, "expected '%.160s' or one of %zu others, found '%.160s'", first,
                   num - 1, peer->id.uri);
}

/* A client whose server is known by its SPIFFE ID. */
static bool is_identity_expected(const struct tls_conn *conn, const SSL *ssl)
{
    const struct tls_context *context = tls_conn_context(conn);
    return !SSL_is_server(ssl) && context->pki.roots == NULL;
}

static int verify(struct tls_conn *conn, SSL *ssl, uint8_t *alert)
{
    struct err err = {0};
    enum reason reason = REASON_TLS_FAILED;
    struct peer_cert *peer = verify_chain(conn, ssl, &reason, &err);
    if (peer != NULL && is_identity_expected(conn, ssl) && check_expected(conn, peer, &err) < 0) {
        reason = REASON_IDENTITY_MISMATCH;
        peer_cert_unref(peer);
        peer = NULL;
    }
    if (peer == NULL) {
        *alert = tls_alert_for(reason);
        tls_conn_refuse_peer(conn, reason, &err);
        return -1;
    }
    tls_conn_accept_peer(conn, peer);
    return 0;
}

enum ssl_verify_result_t tls_verify_peer(SSL *ssl, uint8_t *out_alert)
{
    return verify(SSL_get_app_data(ssl), ssl, out_alert) == 0 ? ssl_verify_ok : ssl_verify_invalid;
}

int tls_verify_resumed(SSL *ssl, uint8_t *alert)
{
    const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(ssl);
    struct tls_conn *conn = SSL_get_app_data(ssl);
    bool is_nobody = chain == NULL || sk_CRYPTO_BUFFER_num(chain) == 0;
    if (is_nobody && tls_conn_context(conn)->is_client_cert_optional)
        return 0;
    return verify(conn, ssl, alert);
}

void tls_verify_on_message(int is_write, int version, int content_type, const void *bytes,
                           size_t len, SSL *ssl, void *unused)
{
    enum { HEADER_LEN = 4 }; /* type, length (RFC 8446, 4) */
    const uint8_t *message = bytes;
    /* TLS 1.2's has another form, and nothing is explained there. */
    if (!is_write && version == TLS1_3_VERSION && content_type == SSL3_RT_HANDSHAKE &&
        len > HEADER_LEN && message[0] == SSL3_MT_CERTIFICATE)
        tls_conn_keep_cert_message(SSL_get_app_data(ssl), message + HEADER_LEN, len - HEADER_LEN);
}

enum reason tls_verify_explain_refused(const struct tls_conn *conn, const uint8_t *message,
                                       size_t message_len, struct err *err)
{
    struct peer_cert_der ders[CERT_CHAIN_MAX + 1];
    size_t num = tls_cert_message_parse(message, message_len, ders, CERT_CHAIN_MAX + 1);
    enum reason reason = REASON_CERT_MALFORMED;
    struct peer_cert *peer = verify_ders(conn, ders, num, &reason, err);
    if (peer == NULL)
        return reason;
    /* Ours finds nothing wrong; BoringSSL's refusal stands all the same. */
    err_set(err, ERR_TLS, "the certificate of '%.200s' may not be used for TLS",
            peer_cert_name(peer));
    peer_cert_unref(peer);
    return REASON_CERT_KEY_USAGE;
}

enum reason tls_verify_explain_named(const SSL *ssl, const char *server_name, struct err *err)
{
    long result = SSL_get_verify_result(ssl);
    switch (result) {
    case X509_V_OK:
    case X509_V_ERR_INVALID_CALL: /* it did not come to that */
        return REASON_DONE;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        err_set(err, ERR_TLS, "the server's certificate is not for '%.200s'", server_name);
        return REASON_IDENTITY_MISMATCH;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        err_set(err, ERR_TLS, "the certificate of '%.200s' has expired; is a clock wrong?",
                server_name);
        return REASON_CERT_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        err_set(err, ERR_TLS, "the certificate of '%.200s' is not valid yet; is a clock wrong?",
                server_name);
        return REASON_CERT_NOT_YET_VALID;
    default:
        err_set(err, ERR_TLS, "the certificate of '%.200s' does not lead to our roots: %s",
                server_name, X509_verify_cert_error_string(result));
        return REASON_CERT_UNTRUSTED;
    }
}

bool tls_verify_is_address(const char *server_name)
{
    struct in6_addr address;
    return inet_pton(AF_INET, server_name, &address) == 1 ||
           inet_pton(AF_INET6, server_name, &address) == 1;
}
