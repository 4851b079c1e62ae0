/*
 * What a connection's first bytes are, and what a TLS ClientHello among them says (RFC 8446, 4.1.2): read, never answered, never
 * consumed. Whoever feeds the bytes keeps them and gives them to whom they are for: tls_conn, or the application.
 *
 * Copes with a hello that comes byte by byte, in many segments and split over records (RFC 8446, 5.1); post-quantum ones have more than
 * one segment. Says CLIENT_HELLO_NOT_TLS at the first byte that cannot be one's. Waits for nothing and no timer: a caller that would wait
 * for a peer that says nothing has to do something else meanwhile.
 *
 * What it says is a hint for choosing who answers. That the hello is right, only the TLS library finds out.
 */
#ifndef REMORA_CLIENT_HELLO_H
#define REMORA_CLIENT_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

enum {
    CLIENT_HELLO_MAX =
        64 * 1024, /* bytes, with the headers of the records; real ones have up to two thousand */
    CLIENT_HELLO_SNI_MAX = 253, /* bytes (RFC 1035, 2.3.4) */
};

enum client_hello_status {
    CLIENT_HELLO_MORE,    /* a ClientHello so far */
    CLIENT_HELLO_DONE,    /* whole; it can be asked */
    CLIENT_HELLO_NOT_TLS, /* something else */
    CLIENT_HELLO_BAD,     /* begins as a ClientHello and breaks its rules, or is too long */
    CLIENT_HELLO_NO_MEMORY,
};

struct client_hello {
    enum client_hello_status status;
    const char *problem; /* of CLIENT_HELLO_BAD: which rule, in words; static */
    /* private */
    uint8_t header[5]; /* of the current record */
    size_t header_len;
    size_t record_left;      /* bytes of the record's body that are to come */
    size_t fed_len;          /* bytes altogether */
    struct buf message;      /* the handshake message, with its header */
    const uint8_t *alpn;     /* the list of protocols, in `message` */
    size_t alpn_len;         /* 0: no ALPN */
    const uint8_t *versions; /* the list of versions, in `message` */
    size_t versions_len;     /* 0: none */
    uint16_t legacy_version;
    bool has_server_name;
    char sni[CLIENT_HELLO_SNI_MAX + 1];
};

void client_hello_init(struct client_hello *hello);
void client_hello_done(struct client_hello *hello);

/*
 * Looks at the next `len` bytes. Once the status is another than CLIENT_HELLO_MORE it stays, and what follows is not looked at. Returns
 * the status.
 */
enum client_hello_status client_hello_feed(struct client_hello *hello, const uint8_t *bytes,
                                           size_t len);

/* These, after CLIENT_HELLO_DONE. */

/*
 * The server name (RFC 6066, 3) in lower case; letters, digits, '-', '_' and '.' only. "" when there is none, or one that is no host
 * name, like an address. Lent until client_hello_done.
 */
const char *client_hello_sni(const struct client_hello *hello);

/* Whether the client offers ALPN, and this protocol by it (RFC 7301). */
bool client_hello_has_alpn(const struct client_hello *hello);
bool client_hello_offers_alpn(const struct client_hello *hello, const char *protocol);

/* Whether the client offers this version of TLS: 0x0303 is 1.2, 0x0304 is 1.3. */
bool client_hello_offers_version(const struct client_hello *hello, uint16_t version);

#endif
