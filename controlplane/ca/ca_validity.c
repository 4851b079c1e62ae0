#include "ca_validity.h"

#include <inttypes.h>

#include "clock.h"

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int check_issuer(const struct ca_validity_limits *limits, int64_t now_s, struct err *err)
{
    char text[CLOCK_TEXT_MAX];
    if (now_s >= limits->issuer_not_after_s)
        return err_set(err, ERR_LIMIT, "the CA's own certificate expired at %s",
                       clock_format(limits->issuer_not_after_s * 1000, text));
    if (now_s < limits->issuer_not_before_s)
        return err_set(err, ERR_LIMIT,
                       "the CA's own certificate is not valid before %s; is the clock wrong?",
                       clock_format(limits->issuer_not_before_s * 1000, text));
    return 0;
}

int ca_validity_choose(const struct ca_validity_limits *limits, int64_t requested_s, int64_t now_ms,
                       struct ca_validity *out, struct err *err)
{
    int64_t now_s = now_ms / 1000;
    if (requested_s < 0)
        return err_set(err, ERR_INVALID, "a lifetime of %" PRId64 " s was asked for", requested_s);
    if (check_issuer(limits, now_s, err) < 0)
        return -1;
    int64_t lifetime_s = requested_s == 0 ? limits->default_s : requested_s;
    lifetime_s = smaller(lifetime_s, limits->max_s);
    lifetime_s = smaller(lifetime_s, limits->issuer_not_after_s - now_s);
    out->not_after_s = now_s + lifetime_s;
    out->not_before_s = larger(now_s - smaller(CA_VALIDITY_BACKDATE_S, lifetime_s / 2),
                               limits->issuer_not_before_s);
    return 0;
}
