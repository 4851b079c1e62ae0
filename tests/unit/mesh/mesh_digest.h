/* All that can be found out about a snapshot, as a few numbers: equal for snapshots of which the same is true. */
#ifndef REMORA_TEST_MESH_DIGEST_H
#define REMORA_TEST_MESH_DIGEST_H

#include "mesh_snapshot.h"

enum { DIGEST_ASPECTS = 7 };

struct mesh_digest {
    uint64_t of[DIGEST_ASPECTS];
};

/* Asks everything about the objects of the model. */
struct mesh_digest mesh_digest_of(const struct mesh_snapshot *snapshot);

/* The name of an aspect, for messages. */
const char *mesh_digest_aspect(unsigned i);

/* One aspect alone; cheap, and of all the trees: lookups by address, and draws among endpoints. */
uint64_t mesh_digest_quick(const struct mesh_snapshot *snapshot);

#endif
