/*
 * Keeps the heap small: an idle agent must be small, and one that was busy must become small again.
 */
#ifndef REMORA_MEMORY_H
#define REMORA_MEMORY_H

/* Before the first thread: large blocks are mapped, so that they go back at once, and threads share
 * few arenas, each of which keeps what it once had. */
void memory_limit(unsigned num_workers);

/* Gives free pages in the middle of the heap back to the kernel when there are many: a burst of
 * connections leaves them between what stays. Now and then, from any thread. */
void memory_trim(void);

#endif
