/*
 * A certificate source that answers when the test says so and what the test says.
 */
#ifndef REMORA_SCRIPTED_H
#define REMORA_SCRIPTED_H

#include <stdbool.h>

#include "cert_source.h"

struct scripted {
    struct cert_source base;
    cert_source_done *done; /* of the fetch that runs */
    void *owner;
    char *csr;
    bool refuses_to_start;
    unsigned num_fetches, num_cancels;
    bool *freed;
};

struct scripted *scripted_new(bool wants_csr);

/* Ends the fetch that runs; there must be one. `key` may be NULL. */
void scripted_answer_err(struct scripted *source, enum err_kind kind);
void scripted_answer_pem(struct scripted *source, const char *key, const char *chain,
                         const char *roots);

void scripted_answer(struct scripted *source, const struct cert_fetched *fetched);

#endif
