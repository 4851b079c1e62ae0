/*
 * Certificate signing requests (RFC 2986) of strangers. Where the sender is known by a token, the
 * only thing that is taken is the key that he has proved to hold: what is certified is what the
 * token stands for. Where an operator signs, names are read too, for ca_order to decide on; other
 * extensions and attributes never count. Private to ca.
 */
#ifndef REMORA_CA_REQUEST_H
#define REMORA_CA_REQUEST_H

#include <openssl/base.h>
#include <openssl/x509.h>
#include <stddef.h>

#include "buf.h"
#include "ca_name.h"
#include "err.h"

enum {
    CA_REQUEST_NAMES_MAX =
        32, /* alternative names; certificates of websites have up to a hundred */
    CA_REQUEST_MAX = 16 * 1024, /* bytes of PEM; one with an RSA key of 8192 bits has 3,000 */
};

/*
 * Reads the request and checks it: exactly one PEM block that is a request, DER to its last byte, a
 * key that ca_key_check accepts, a signature by that key. Returns the public key, which the caller
 * frees, or NULL with *err (ERR_INVALID).
 */
EVP_PKEY *ca_request_read_key(const char *pem, size_t pem_len, struct err *err);

struct ca_request {
    EVP_PKEY *key;
    struct ca_name
        names[CA_REQUEST_NAMES_MAX]; /* those that the subject alternative name asks for */
    size_t num_names;
    struct ca_name common_name; /* its text is NULL: the subject has none */
    X509_NAME *subject;         /* whole */
    struct buf ignored;         /* what else it asks for, in words: "keyUsage, basicConstraints" */
};

/*
 * As above, with the names. An alternative name of a kind that ca_name.h does not know, one that is
 * malformed, several common names, and more than CA_REQUEST_NAMES_MAX names are errors that say
 * which. 0 and *request, which the caller gives to ca_request_done; or -1 with *err (ERR_INVALID,
 * ERR_NOMEM).
 */
int ca_request_read(const char *pem, size_t pem_len, struct ca_request *request, struct err *err);
void ca_request_done(struct ca_request *request);

#endif
