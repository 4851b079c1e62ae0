#include "proxy_v2.h"

#include <string.h>

enum {
    VERSION_2_PROXY = 0x21,
    UNSPECIFIED = 0x00, /* family and transport: unknown to the receiver, who uses what it sees */
    TCP_OVER_IPV4 = 0x11,
    TCP_OVER_IPV6 = 0x21,

    /* Of PP2_TYPE_SSL: flags, then sub-types. */
    CLIENT_SSL = 0x01,
    CLIENT_CERT_CONN = 0x02, /* in this connection */
    CLIENT_CERT_SESS = 0x04, /* in this session */
    SSL_VERSION = 0x21,
    SSL_CN = 0x22,
    SSL_CIPHER = 0x23,
};

static const uint8_t signature[12] = {0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D,
                                      0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A};

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t len)
{
    memcpy(at, bytes, len);
    return at + len;
}

static uint8_t *put_u16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

/* RFC 4291, 2.5.5.2 for an IPv4 address among IPv6 ones. */
static uint8_t *put_ipv6(uint8_t *at, const struct ip *ip)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (ip->family == IP_V6)
        return put_bytes(at, ip->bytes, 16);
    return put_bytes(put_bytes(at, mapped, sizeof(mapped)), ip->bytes, 4);
}

static uint8_t family_of(const struct proxy_v2 *header)
{
    uint8_t from = header->source.ip.family;
    uint8_t to = header->destination.ip.family;
    if (from == IP_NONE || to == IP_NONE)
        return UNSPECIFIED;
    return from == IP_V4 && to == IP_V4 ? TCP_OVER_IPV4 : TCP_OVER_IPV6;
}

static uint8_t *put_addresses(uint8_t *at, const struct proxy_v2 *header, uint8_t family)
{
    if (family == UNSPECIFIED)
        return at;
    if (family == TCP_OVER_IPV4) {
        at = put_bytes(at, header->source.ip.bytes, 4);
        at = put_bytes(at, header->destination.ip.bytes, 4);
    } else {
        at = put_ipv6(at, &header->source.ip);
        at = put_ipv6(at, &header->destination.ip);
    }
    return put_u16(put_u16(at, header->source.port), header->destination.port);
}

/* A type, a length and the text; nothing for a text that there is not, or that is too long. */
static uint8_t *put_text(uint8_t *at, uint8_t type, const char *text, size_t max)
{
    size_t len = text == NULL ? 0 : strnlen(text, max + 1);
    if (len == 0 || len > max)
        return at;
    *at++ = type;
    return put_bytes(put_u16(at, len), text, len);
}

static uint8_t client_flags(const struct proxy_v2_tls *tls)
{
    if (!tls->has_client_cert)
        return CLIENT_SSL;
    return tls->is_resumed ? CLIENT_SSL | CLIENT_CERT_SESS
                           : CLIENT_SSL | CLIENT_CERT_CONN | CLIENT_CERT_SESS;
}

static uint8_t *put_tls(uint8_t *at, const struct proxy_v2_tls *tls)
{
    /* Zero says that there was a certificate and that it was verified (proxy-protocol.txt, 2.2.6). */
    const uint8_t verify[4] = {0, 0, 0, tls->has_client_cert ? 0 : 1};
    *at++ = PROXY_V2_TLV_SSL;
    uint8_t *len_at = at;
    uint8_t *body = at + 2;
    at = body;
    *at++ = client_flags(tls);
    at = put_bytes(at, verify, sizeof(verify));
    at = put_text(at, SSL_VERSION, tls->version, PROXY_V2_TEXT_MAX);
    at = put_text(at, SSL_CN, tls->common_name, PROXY_V2_TEXT_MAX);
    at = put_text(at, SSL_CIPHER, tls->cipher, PROXY_V2_TEXT_MAX);
    put_u16(len_at, (size_t)(at - body));
    return at;
}

static uint8_t *put_attributes(uint8_t *at, const struct proxy_v2 *header)
{
    const struct proxy_v2_tls *tls = header->tls;
    at = put_text(at, PROXY_V2_TLV_AUTHORITY, header->authority, PROXY_V2_TEXT_MAX);
    if (tls != NULL) {
        at = put_text(at, PROXY_V2_TLV_ALPN, tls->alpn, PROXY_V2_TEXT_MAX);
        at = put_tls(at, tls);
    }
    return put_text(at, PROXY_V2_TLV_IDENTITY, header->identity, PROXY_V2_IDENTITY_MAX);
}

size_t proxy_v2_write(const struct proxy_v2 *header, uint8_t *out)
{
    uint8_t family = family_of(header);
    uint8_t *at = put_bytes(out, signature, sizeof(signature));
    *at++ = VERSION_2_PROXY;
    *at++ = family;
    uint8_t *len_at = at;
    uint8_t *body = at + 2;
    at = put_addresses(body, header, family);
    at = put_attributes(at, header);
    put_u16(len_at, (size_t)(at - body));
    return (size_t)(at - out);
}
