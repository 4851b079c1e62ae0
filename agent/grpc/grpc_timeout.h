/*
 * The header grpc-timeout: how long the caller is willing to wait, as up to eight digits and a
 * unit. Pure.
 */
#ifndef REMORA_GRPC_TIMEOUT_H
#define REMORA_GRPC_TIMEOUT_H

#include <stddef.h>
#include <stdint.h>

enum {
    GRPC_TIMEOUT_TEXT_MAX = 10, /* eight digits, the unit, NUL */
};

/*
 * Writes `ms` to `out` (GRPC_TIMEOUT_TEXT_MAX bytes) in the finest unit that holds it, rounded up,
 * so that the other side never gives up first; 99999999 hours at most. Returns `out`.
 */
const char *grpc_timeout_format(uint64_t ms, char *out);

/* The header's value in milliseconds, rounded up. 0, or -1 when it is not of the form. */
int grpc_timeout_parse(const char *text, size_t len, uint64_t *ms);

#endif
