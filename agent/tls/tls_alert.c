#include "tls_alert.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stddef.h>

/*
 * certificate_required (RFC 8446, 6.2): sent for TLS 1.3 clients without a certificate; API version
 * 17 has no name for it.
 */
enum { ALERT_CERTIFICATE_REQUIRED = 116 };

struct meaning {
    int code;
    enum reason reason;
    const char *text;
};

static const struct meaning ALERTS[] = {
    {SSL_AD_BAD_CERTIFICATE, REASON_TLS_PEER_REFUSED_US, "bad certificate"},
    {SSL_AD_UNSUPPORTED_CERTIFICATE, REASON_TLS_PEER_REFUSED_US, "unsupported certificate"},
    {SSL_AD_CERTIFICATE_REVOKED, REASON_TLS_PEER_REFUSED_US, "certificate revoked"},
    {SSL_AD_CERTIFICATE_EXPIRED, REASON_TLS_PEER_REFUSED_US, "certificate expired"},
    {SSL_AD_CERTIFICATE_UNKNOWN, REASON_TLS_PEER_REFUSED_US, "certificate unknown"},
    {SSL_AD_UNKNOWN_CA, REASON_TLS_PEER_REFUSED_US, "unknown CA"},
    {SSL_AD_ACCESS_DENIED, REASON_TLS_PEER_REFUSED_US,
     "access denied: our certificate is valid, but not for who is expected here"},
    {ALERT_CERTIFICATE_REQUIRED, REASON_TLS_PEER_REFUSED_US, "certificate required"},
    {SSL_AD_PROTOCOL_VERSION, REASON_TLS_VERSION, "protocol version"},
    {SSL_AD_NO_APPLICATION_PROTOCOL, REASON_TLS_ALPN, "no application protocol"},
    {SSL_AD_UNRECOGNIZED_NAME, REASON_TLS_FAILED, "unrecognized name"},
};

static const struct meaning FINDINGS[] = {
    {SSL_R_UNSUPPORTED_PROTOCOL, REASON_TLS_VERSION,
     "the peer offers no version of TLS that we accept"},
    {SSL_R_NO_APPLICATION_PROTOCOL, REASON_TLS_ALPN,
     "the peer's ALPN offer has no protocol that is spoken here"},
    {SSL_R_INVALID_ALPN_PROTOCOL, REASON_TLS_ALPN,
     "the peer chose an ALPN protocol that was not offered"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, REASON_TLS_NO_CLIENT_CERT,
     "it was asked for one and sent none"},
    {SSL_R_KEY_USAGE_BIT_INCORRECT, REASON_CERT_KEY_USAGE,
     "the keyUsage of the peer's certificate does not permit to sign"},
    {SSL_R_NO_RENEGOTIATION, REASON_TLS_FAILED, "the peer wanted to renegotiate"},
    {SSL_R_WRONG_VERSION_NUMBER, REASON_TLS_FAILED, "what the peer sends is not TLS"},
    {SSL_R_HTTP_REQUEST, REASON_TLS_FAILED, "what the peer sends is HTTP without TLS"},
    {SSL_R_HTTPS_PROXY_REQUEST, REASON_TLS_FAILED,
     "what the peer sends is an HTTP proxy request without TLS"},
};

static const struct meaning *find(const struct meaning *meanings, size_t num, int code)
{
    for (size_t i = 0; i < num; i++)
        if (meanings[i].code == code)
            return &meanings[i];
    return NULL;
}

static enum reason explain_alert(int alert, struct err *err)
{
    const struct meaning *known = find(ALERTS, sizeof(ALERTS) / sizeof(ALERTS[0]), alert);
    err_set(err, ERR_TLS, "the peer sent the alert '%s'",
            known != NULL ? known->text : SSL_alert_desc_string_long(alert));
    return known != NULL ? known->reason : REASON_TLS_FAILED;
}

static enum reason explain_finding(uint32_t code, struct err *err)
{
    const struct meaning *known =
        find(FINDINGS, sizeof(FINDINGS) / sizeof(FINDINGS[0]), ERR_GET_REASON(code));
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && known != NULL) {
        err_set(err, ERR_TLS, "%s", known->text);
        return known->reason;
    }
    if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE) { /* of any library */
        err_set(err, ERR_NOMEM, "out of memory");
        return REASON_NO_MEMORY;
    }
    const char *text = ERR_reason_error_string(code);
    err_set(err, ERR_TLS, "TLS: %s", text == NULL ? "unknown error" : text);
    return REASON_TLS_FAILED;
}

enum reason tls_alert_explain(struct err *err)
{
    /* The first is the cause; what follows says through which layers it went. */
    uint32_t code = ERR_peek_error();
    int number = ERR_GET_REASON(code);
    enum reason reason;
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && number > SSL_AD_REASON_OFFSET)
        reason = explain_alert(number - SSL_AD_REASON_OFFSET, err);
    else
        reason = explain_finding(code, err);
    ERR_clear_error();
    return reason;
}

bool tls_alert_is_leaf_refused(void)
{
    uint32_t code = ERR_peek_error();
    return ERR_GET_LIB(code) == ERR_LIB_SSL &&
           ERR_GET_REASON(code) == SSL_R_KEY_USAGE_BIT_INCORRECT;
}

uint8_t tls_alert_for(enum reason reason)
{
    static const struct {
        enum reason reason;
        uint8_t alert;
    } MAP[] = {
        {REASON_CERT_UNTRUSTED, SSL_AD_UNKNOWN_CA},
        {REASON_CERT_WRONG_TRUST_DOMAIN, SSL_AD_UNKNOWN_CA},
        {REASON_CERT_EXPIRED, SSL_AD_CERTIFICATE_EXPIRED},
        {REASON_CERT_NOT_YET_VALID, SSL_AD_CERTIFICATE_EXPIRED},
        {REASON_CERT_REVOKED, SSL_AD_CERTIFICATE_REVOKED},
        {REASON_CRL_EXPIRED, SSL_AD_CERTIFICATE_UNKNOWN},
        {REASON_CERT_KEY_USAGE, SSL_AD_UNSUPPORTED_CERTIFICATE},
        {REASON_IDENTITY_MISMATCH, SSL_AD_ACCESS_DENIED},
        {REASON_CERT_TOO_DEEP, SSL_AD_UNKNOWN_CA},
        {REASON_NO_MEMORY, SSL_AD_INTERNAL_ERROR},
    };
    for (size_t i = 0; i < sizeof(MAP) / sizeof(MAP[0]); i++)
        if (MAP[i].reason == reason)
            return MAP[i].alert;
    return SSL_AD_BAD_CERTIFICATE;
}
