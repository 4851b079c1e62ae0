/*
 * TLS 1.3's Certificate message (RFC 8446, 4.4.2), read only to explain a refusal that BoringSSL
 * has already made. Private to tls.
 */
#ifndef REMORA_TLS_CERT_MESSAGE_H
#define REMORA_TLS_CERT_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "peer_cert.h"

/*
 * Finds the certificates in the body of the message: at most `max` of them, pointing into `body`.
 * Returns how many; 0 when it cannot be read.
 */
size_t tls_cert_message_parse(const uint8_t *body, size_t body_len, struct peer_cert_der *ders,
                              size_t max);

#endif
