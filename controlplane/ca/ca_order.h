/*
 * What an operator has a certificate made of, out of what a request asks for. The request proposes,
 * the operator's lists decide; of extensions nothing but the alternative name is looked at.
 */
#ifndef REMORA_CA_ORDER_H
#define REMORA_CA_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ca_name.h"

enum ca_usage { CA_USAGE_CLIENT, CA_USAGE_SERVER, CA_USAGE_BOTH };

/* All of it lent. */
struct ca_order {
    const char *csr_pem;
    size_t csr_pem_len;
    struct ca_name_rules rules;
    enum ca_usage usage;
    bool keep_subject;  /* whole, once its common name is allowed; else see ca_order_decide */
    int64_t lifetime_s; /* what it is to be; the CA's own end comes first */
    int64_t now_ms;     /* wall clock */
};

#endif
