#include "rng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void rng_bytes(void *out, size_t len)
{
    uint8_t *at = out;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            /* Cannot happen since Linux 3.17; going on with predictable numbers would be worse than
             * stopping. */
            abort();
        }
        at += got;
        len -= (size_t)got;
    }
}

uint64_t rng_u64(void)
{
    enum { NUM_BUFFERED = 32 };
    static _Thread_local uint64_t buffered[NUM_BUFFERED];
    static _Thread_local size_t num_left;

    if (num_left == 0) {
        rng_bytes(buffered, sizeof(buffered));
        num_left = NUM_BUFFERED;
    }
    return buffered[--num_left];
}
