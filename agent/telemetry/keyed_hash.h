/*
 * SipHash-1-3 over a list of texts (Aumasson and Bernstein, 2012; one compression round, three at
 * the end, as hash tables use it). Whoever does not know the seed cannot choose texts that collide.
 */
#ifndef REMORA_KEYED_HASH_H
#define REMORA_KEYED_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Texts are hashed with their NUL, so that ("ab", "c") and ("a", "bc") differ. */
uint64_t keyed_hash_texts(const uint64_t seed[2], const char *const *texts, size_t num_texts);

#endif
