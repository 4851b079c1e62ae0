/* The decision about an order. Private to ca. */
#ifndef REMORA_CA_ORDER_DECIDE_H
#define REMORA_CA_ORDER_DECIDE_H

#include <openssl/base.h>

#include "buf.h"
#include "ca_cert.h"
#include "ca_order.h"
#include "ca_request.h"
#include "err.h"

/* What is to be certified. Zeroed: nothing. */
struct ca_order_subject {
    struct ca_cert_subject cert; /* points into the request and to the next two */
    X509_NAME *name;
    struct ca_name own_name; /* the common name as an alternative name */
};

/*
 * Every alternative name that the request asks for has to be allowed; it is never a part of them.
 * One URI at most: SPIFFE knows no certificate with two.
 *
 * The subject is kept whole with `keep_subject`; else its common name alone, where that is allowed
 * (ca_name_is_allowed_cn), and nothing of it where not: that is no error, for most requests have
 * one that means nothing. A server's request without alternative names gets its common name as DNS
 * name, where that is allowed as one, since nobody looks for it in the subject any more (RFC 9525,
 * 6.3). It is an error when nothing remains, or, for a server, no DNS name, address or URI.
 *
 * `issuer` is whose name the subject must not have. 0 and *subject for ca_order_decide_done, and in
 * `words` a line for each thing that is certified or left out; or -1 with *err: ERR_DENIED names
 * what is not allowed and the option that would, ERR_INVALID, ERR_NOMEM.
 */
int ca_order_decide(const struct ca_order *order, const struct ca_request *request, X509 *issuer,
                    struct ca_order_subject *subject, struct buf *words, struct err *err);
void ca_order_decide_done(struct ca_order_subject *subject);

#endif
