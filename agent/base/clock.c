#include "clock.h"

#include <stdio.h>
#include <time.h>

uint64_t clock_mono_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const char *clock_format(int64_t wall_ms, char *out)
{
    int64_t seconds = wall_ms / 1000;
    int64_t ms = wall_ms % 1000;
    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    /* RFC 3339 has four digits for the year. What lies outside can only be a broken certificate's
     * date or a broken clock. */
    static const int64_t first = -62167219200; /* 0000-01-01T00:00:00Z */
    static const int64_t last = 253402300799;  /* 9999-12-31T23:59:59Z */
    if (seconds < first) {
        seconds = first;
        ms = 0;
    } else if (seconds > last) {
        seconds = last;
        ms = 999;
    }
    time_t time = (time_t)seconds;
    struct tm tm = {0};
    gmtime_r(&time, &tm);
    /* strftime's %Y does not pad. */
    size_t len = (size_t)snprintf(out, CLOCK_TEXT_MAX, "%04d", tm.tm_year + 1900);
    len += strftime(out + len, CLOCK_TEXT_MAX - len, "-%m-%dT%H:%M:%S", &tm);
    snprintf(out + len, CLOCK_TEXT_MAX - len, ".%03dZ", (int)ms);
    return out;
}
