#include "memory.h"

#include <malloc.h>

enum {
    KIB = 1024,
    MMAP_THRESHOLD = 256 * KIB, /* metrics texts and other things that are made once and sent */
    TRIM_THRESHOLD = 512 * KIB, /* free bytes at the heap's end that are kept for the next burst */
    TOP_PAD = 64 * KIB,
    WORTH_TRIMMING = 1024 * KIB, /* less is not worth the lock on the arena */
};

void memory_limit(unsigned num_workers)
{
    mallopt(M_ARENA_MAX, (int)num_workers);
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD);
    mallopt(M_TOP_PAD, TOP_PAD);
}

void memory_trim(void)
{
    if (mallinfo2().fordblks > WORTH_TRIMMING)
        malloc_trim(TOP_PAD);
}
