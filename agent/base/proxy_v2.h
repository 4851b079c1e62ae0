/*
 * The header of the PROXY protocol, version 2 (haproxy's proxy-protocol.txt): who a connection
 * really comes from and where it was going, for a server that stands behind a proxy. Pure, and only
 * writing: nothing here believes what others write.
 */
#ifndef REMORA_PROXY_V2_H
#define REMORA_PROXY_V2_H

#include <stddef.h>
#include <stdint.h>

#include "addr.h"

enum {
    PROXY_V2_TLV_IDENTITY = 0xD0, /* the peer's SPIFFE ID; one of the custom types, as in Istio */
    PROXY_V2_IDENTITY_MAX = 2048, /* bytes (SPIFFE-ID 2.3) */
    PROXY_V2_MAX = 16 + 36 + 3 + PROXY_V2_IDENTITY_MAX, /* signature and lengths, two IPv6
                                                           addresses with ports, the identity */
};

struct proxy_v2 {
    struct addr source;
    struct addr destination;
    const char *identity; /* who the source has proved to be; NULL or "" is left out */
};

/*
 * Writes the header of a proxied TCP connection to `out` (PROXY_V2_MAX bytes) and returns its
 * length. Where one address is IPv4 and the other IPv6, the first is written as IPv4-mapped; where
 * one is missing, none is said. An identity that is too long is left out.
 */
size_t proxy_v2_write(const struct proxy_v2 *header, uint8_t *out);

#endif
