/*
 * The messages of istio.v1.auth.IstioCertificateService as the client sees them: bytes to values
 * and back, no I/O. What the server sends is not believed: everything is bounded and checked for
 * form. Whether the certificates are any good is judged later (svid_check).
 */
#ifndef REMORA_CA_MESSAGES_H
#define REMORA_CA_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

#define CA_MESSAGES_CREATE_PATH "/istio.v1.auth.IstioCertificateService/CreateCertificate"

enum {
    CA_MESSAGES_ANSWER_MAX =
        256 * 1024,             /* bytes; a chain has four thousand, large roots a hundred */
    CA_MESSAGES_CHAIN_MAX = 16, /* elements of cert_chain */
};

/* Appends an IstioCertificateRequest. 0, or -1 with *err: ERR_NOMEM. */
int ca_messages_write_request(struct buf *out, const char *csr_pem, int64_t validity_s,
                              struct err *err);

/* An IstioCertificateResponse. */
struct ca_messages_answer {
    struct buf chain_pem; /* leaf and intermediates, concatenated */
    struct buf roots_pem; /* the last element */
};

/*
 * Reads an answer of the server. The last element are the roots, so that one alone is an error (it
 * would leave us trusting nobody), and so are elements that hold no PEM certificate. 0 and *answer,
 * which the caller gives to ca_messages_answer_done; or -1 with *err (ERR_PROTOCOL, ERR_LIMIT,
 * ERR_NOMEM) and nothing to give back.
 */
int ca_messages_read_answer(const uint8_t *bytes, size_t len, struct ca_messages_answer *answer,
                            struct err *err);

/* An empty one and NULL are ignored. */
void ca_messages_answer_done(struct ca_messages_answer *answer);

#endif
