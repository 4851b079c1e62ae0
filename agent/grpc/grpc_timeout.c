#include "grpc_timeout.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    VALUE_DIGITS_MAX = 8,
    VALUE_MAX = 99999999,
};

const char *grpc_timeout_format(uint64_t ms, char *out)
{
    static const struct {
        char name;
        uint64_t ms;
    } units[] = {{'m', 1}, {'S', 1000}, {'M', 60 * 1000}, {'H', 60 * 60 * 1000}};
    uint32_t value = VALUE_MAX;
    char unit = 'H';
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        uint64_t whole = ms / units[i].ms + (ms % units[i].ms != 0);
        if (whole <= VALUE_MAX) {
            value = (uint32_t)whole;
            unit = units[i].name;
            break;
        }
    }
    snprintf(out, GRPC_TIMEOUT_TEXT_MAX, "%" PRIu32 "%c", value, unit);
    return out;
}

int grpc_timeout_parse(const char *text, size_t len, uint64_t *ms)
{
    if (len < 2 || len > VALUE_DIGITS_MAX + 1)
        return -1;
    uint64_t value = 0;
    for (size_t i = 0; i < len - 1; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    switch (text[len - 1]) {
    case 'H':
        *ms = value * 60 * 60 * 1000;
        return 0;
    case 'M':
        *ms = value * 60 * 1000;
        return 0;
    case 'S':
        *ms = value * 1000;
        return 0;
    case 'm':
        *ms = value;
        return 0;
    case 'u':
        *ms = (value + 999) / 1000;
        return 0;
    case 'n':
        *ms = (value + 999999) / 1000000;
        return 0;
    default:
        return -1;
    }
}
