/* Random numbers from the kernel, for jitter, load balancing and trace IDs. Keys come from
 * BoringSSL, not from here. */
#ifndef REMORA_RNG_H
#define REMORA_RNG_H

#include <stddef.h>
#include <stdint.h>

void rng_bytes(void *out, size_t len);
uint64_t
rng_u64(void); /* buffered: cheap enough for each connection; thread-safe (per-thread state) */

#endif
