/*
 * How strict certificates are read: the one switch that the X.509-SVID rules have, and the limits.
 * Peers' certificates and our own are held to the same rules.
 */
#ifndef REMORA_CERT_RULES_H
#define REMORA_CERT_RULES_H

#include <stdbool.h>

enum {
    /* Certificates that a peer may send, and so the depth of a path; real ones have up to four. */
    CERT_CHAIN_MAX = 8,
    CERT_DER_MAX = 32 * 1024,   /* bytes of one certificate; real ones have one or two thousand */
    CERT_RSA_BITS_MIN = 2048,   /* NIST SP 800-131A; also ztunnel's floor */
    CERT_RSA_BITS_MAX = 8192,   /* more only burns our time in verifying */
    CERT_SERIAL_TEXT_MAX = 44,  /* hex of 20 bytes (RFC 5280, 4.1.2.2), a sign and its NUL */
    CERT_FINGERPRINT_TEXT = 17, /* hex of the first 8 bytes of the SHA-256, and its NUL */
};

struct cert_rules {
    /*
     * X.509-SVID 4.3 wants keyUsage present and critical. Hand-made certificates often lack the
     * extension or its critical mark; true lets those pass. What a present keyUsage forbids stays
     * forbidden. Off by default.
     */
    bool legacy_key_usage;
};

#endif
