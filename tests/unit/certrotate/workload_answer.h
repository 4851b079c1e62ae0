/* Writes X509SVIDResponses for tests, by protobuf-c. */
#ifndef REMORA_WORKLOAD_ANSWER_H
#define REMORA_WORKLOAD_ANSWER_H

#include <stddef.h>
#include <stdint.h>

enum { WORKLOAD_ANSWER_MAX = 3 }; /* of each kind */

struct workload_answer_bytes {
    const void *bytes;
    size_t len;
};

/* One SVID; a NULL text is not written. */
struct workload_answer_svid {
    const char *spiffe_id, *hint;
    struct workload_answer_bytes chain, key, bundle;
};

struct workload_answer {
    struct workload_answer_svid svids[WORKLOAD_ANSWER_MAX];
    size_t num_svids;
    struct {
        const char *trust_domain;
        struct workload_answer_bytes bundle;
    } federated[WORKLOAD_ANSWER_MAX];
    size_t num_federated;
    struct workload_answer_bytes crls[WORKLOAD_ANSWER_MAX];
    size_t num_crls;
};

/* The caller frees the result. */
uint8_t *workload_answer_pack(const struct workload_answer *answer, size_t *len);

#endif
