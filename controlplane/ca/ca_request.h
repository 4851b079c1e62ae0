/*
 * Certificate signing requests (RFC 2986) of strangers. The only thing that is taken from one is
 * the key that its sender has proved to hold: names, extensions and attributes are not looked at,
 * because what is certified is what the caller's token stands for. Private to ca.
 */
#ifndef REMORA_CA_REQUEST_H
#define REMORA_CA_REQUEST_H

#include <openssl/base.h>
#include <stddef.h>

#include "err.h"

enum {
    CA_REQUEST_MAX = 16 * 1024, /* bytes of PEM; one with an RSA key of 8192 bits has 3,000 */
};

/*
 * Reads the request and checks it: exactly one PEM block that is a request, DER to its last byte, a
 * key that ca_key_check accepts, a signature by that key. Returns the public key, which the caller
 * frees, or NULL with *err (ERR_INVALID).
 */
EVP_PKEY *ca_request_read_key(const char *pem, size_t pem_len, struct err *err);

#endif
