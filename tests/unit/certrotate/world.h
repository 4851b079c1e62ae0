/*
 * A rotation machine with a scripted source, fake time, and what its handlers saw.
 */
#ifndef REMORA_ROTATION_WORLD_H
#define REMORA_ROTATION_WORLD_H

#include "cert_builder.h"
#include "rotation.h"
#include "scripted.h"

#define WORLD_ID "spiffe://td/ns/a/sa/b"

/* Milliseconds. */
enum { S = 1000, HOUR = 3600 * S };

struct world {
    struct cert_built *root, *next_root;
    struct scripted *source;
    struct rotation *rotation;
    bool source_freed;
    /* What the handlers saw. */
    struct identity *identity; /* referenced; NULL: none, or none any more */
    unsigned num_identities, num_losses, num_failures;
    struct err last_err;
    uint64_t last_retry_ms;
    unsigned num_troubles;
    struct err last_trouble;
    bool free_in_callback;
    /* How the machine is made; set before world_open. */
    const char *aliases[1];
    size_t num_aliases;
    bool crl_strict;
    bool speaks_for_trust_domain;
};

/* Set-up and tear-down of a test; the latter fails when a timer or the source was not freed. */
int world_make(void **state);
int world_free(void **state);

/* Makes the machine and starts it. `uri` may be NULL. */
void world_open(struct world *world, bool wants_csr, const char *uri);

/* Fires timers until a fetch runs. */
void world_run_to_fetch(struct world *world);

/* A certificate for `life_ms` from now, issued by `root` for the request that runs. */
void world_answer_csr(struct world *world, const struct cert_built *root, int64_t life_ms);

/* The same by an intermediate of `root`. */
void world_answer_csr_by(struct world *world, const struct cert_built *issuer,
                         const struct cert_built *root, int64_t life_ms);

struct rotation_status world_status(const struct world *world);

#endif
