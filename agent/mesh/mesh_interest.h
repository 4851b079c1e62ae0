/*
 * That somebody wants to know a name of the control plane's, and when it was last of use: what
 * discovery on demand subscribes to, and by which it finds out what nobody needs any more. Shared
 * by threads: workers touch it, the control thread reads it. No subscription is made here.
 */
#ifndef REMORA_MESH_INTEREST_H
#define REMORA_MESH_INTEREST_H

#include <stdint.h>

struct mesh_interest;

/*
 * With one reference, the caller's, last used at 0. `name` is copied: as on the wire, that is
 * "<network>/<ip>" (mesh_name.h), a workload's uid, or "<namespace>/<hostname>". NULL when out of
 * memory.
 */
struct mesh_interest *mesh_interest_new(const char *name);

/* Takes another reference and returns `interest`. Thread-safe. */
struct mesh_interest *mesh_interest_ref(struct mesh_interest *interest);

/* Gives a reference back; the last one frees. Thread-safe. NULL is ignored. */
void mesh_interest_unref(struct mesh_interest *interest);

/* Lives as long as the interest. */
const char *mesh_interest_name(const struct mesh_interest *interest);

/* It was of use at `now_s`, a second of a monotonic clock. Thread-safe; writes to memory at most
 * once a second. */
void mesh_interest_touch(const struct mesh_interest *interest, uint32_t now_s);

/* A connection that was decided by it lives on at `now_s`: reason not to forget it, though none to ask
 * for it anew. Else as mesh_interest_touch. */
void mesh_interest_keep(const struct mesh_interest *interest, uint32_t now_s);

/* The second of the last touch, perhaps a moment old. Thread-safe. */
uint32_t mesh_interest_last_used(const struct mesh_interest *interest);

/* The same of mesh_interest_keep. */
uint32_t mesh_interest_last_kept(const struct mesh_interest *interest);

#endif
