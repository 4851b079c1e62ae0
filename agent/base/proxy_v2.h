/*
 * The header of the PROXY protocol, version 2 (haproxy's proxy-protocol.txt): who a connection
 * really comes from and where it was going, for a server that stands behind a proxy. Pure, and only
 * writing: nothing here believes what others write.
 */
#ifndef REMORA_PROXY_V2_H
#define REMORA_PROXY_V2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"

enum {
    PROXY_V2_TLV_ALPN = 0x01,
    PROXY_V2_TLV_AUTHORITY = 0x02,
    PROXY_V2_TLV_SSL = 0x20,
    PROXY_V2_TLV_IDENTITY = 0xD0, /* one of the custom types, as in Istio */
    PROXY_V2_IDENTITY_MAX = 2048, /* bytes (SPIFFE-ID 2.3); other names are shorter */
    PROXY_V2_TEXT_MAX = 256,      /* bytes of any other text: a common name has 64 characters */
    /* Signature and lengths, two IPv6 addresses with ports, the identity, ALPN and authority, and TLS with three texts. */
    PROXY_V2_MAX = 16 + 36 + 3 + PROXY_V2_IDENTITY_MAX + 2 * (3 + PROXY_V2_TEXT_MAX) + 3 + 5 +
                   3 * (3 + PROXY_V2_TEXT_MAX),
};

/* Of the source's connection (PP2_TYPE_SSL). Texts that are NULL, "" or too long are left out. */
struct proxy_v2_tls {
    bool has_client_cert;    /* and it was verified */
    bool is_resumed;         /* the certificate was shown on an earlier connection of the session */
    const char *version;     /* "TLSv1.3" */
    const char *cipher;      /* "TLS_AES_128_GCM_SHA256" */
    const char *alpn;        /* "h2" */
    const char *common_name; /* of the client certificate's subject */
};

struct proxy_v2 {
    struct addr source;
    struct addr destination;
    /* Who the source has proved to be: "spiffe://...", or another principal ("dns:..."); NULL or "" is left out. */
    const char *identity;
    const char *authority;          /* the server name that the source asked for (SNI); as above */
    const struct proxy_v2_tls *tls; /* NULL: it does not come by TLS */
};

/*
 * Writes the header of a proxied TCP connection to `out` (PROXY_V2_MAX bytes) and returns its
 * length. Where one address is IPv4 and the other IPv6, the first is written as IPv4-mapped; where
 * one is missing, none is said. What is too long is left out.
 */
size_t proxy_v2_write(const struct proxy_v2 *header, uint8_t *out);

#endif
