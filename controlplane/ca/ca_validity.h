/*
 * From when to when a certificate is valid: pure arithmetic.
 */
#ifndef REMORA_CA_VALIDITY_H
#define REMORA_CA_VALIDITY_H

#include <stdint.h>

#include "err.h"

enum {
    CA_VALIDITY_BACKDATE_S = 120, /* for clocks that are late; as istiod */
};

/* What bounds it. Instants in seconds since 1970, wall clock. */
struct ca_validity_limits {
    int64_t default_s; /* lifetime when none is asked for */
    int64_t max_s;     /* lifetime, whatever is asked for */
    int64_t issuer_not_before_s;
    int64_t issuer_not_after_s;
};

struct ca_validity {
    int64_t not_before_s;
    int64_t not_after_s;
};

/*
 * The lifetime that is asked for (0: the default), at most max_s, counted from now, and never
 * longer than the issuer lives. The start lies CA_VALIDITY_BACKDATE_S back, but never more than
 * half the lifetime: who renews at the middle of a certificate's life would else find one of a few
 * seconds past it from the beginning. 0, or -1 with *err: ERR_INVALID (negative lifetime),
 * ERR_LIMIT (the issuer has expired, or is not valid yet).
 */
int ca_validity_choose(const struct ca_validity_limits *limits, int64_t requested_s, int64_t now_ms,
                       struct ca_validity *out, struct err *err);

#endif
