/*
 * The X.509 messages of the SPIFFE Workload API as its client sees them: bytes to values, no I/O.
 * What the server sends is bounded and checked for form; whether certificates are any good is judged
 * later (svid_check).
 */
#ifndef REMORA_WORKLOAD_MESSAGES_H
#define REMORA_WORKLOAD_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

#include "cert_source.h"
#include "err.h"

#define WORKLOAD_MESSAGES_FETCH_PATH "/SpiffeWorkloadAPI/FetchX509SVID"

enum {
    WORKLOAD_MESSAGES_MAX = 4 * 1024 * 1024, /* bytes of one; gRPC's own default */
    WORKLOAD_MESSAGES_SVIDS_MAX = 256,       /* identities of one workload; real ones have a few */
    /* Far more than are used: too many of these hold up no certificate (trust_extras.h). */
    WORKLOAD_MESSAGES_FEDERATED_MAX = 256, /* trust domains */
    WORKLOAD_MESSAGES_CRLS_MAX = 4096,
};

/* An X509SVIDResponse: the whole state, of which one SVID is chosen. */
struct workload_messages_answer;

/* Which SVID is meant. */
struct workload_messages_choice {
    const char *hint;      /* the one with this hint, and no other; "" or NULL: not by hint */
    const char *spiffe_id; /* then the one with this ID, if there is one; "" or NULL: the first */
};

/*
 * Reads a message. NULL: *err is ERR_PROTOCOL or ERR_INVALID (what is wrong with which SVID, or
 * that none has the hint, with those that there are), ERR_LIMIT or ERR_NOMEM. Bytes
 * of keys appear in no message. The memory of the answer is cleared when it is freed.
 */
struct workload_messages_answer *
workload_messages_read_answer(const uint8_t *bytes, size_t len,
                              const struct workload_messages_choice *choice, struct err *err);

/* What it brought: lent until the answer is freed. */
const struct cert_fetched *workload_messages_fetched(const struct workload_messages_answer *answer);

/* Of all SVIDs there were, and the ID of the chosen one as the server says it; lent. */
size_t workload_messages_num_svids(const struct workload_messages_answer *answer);
const char *workload_messages_spiffe_id(const struct workload_messages_answer *answer);

/* NULL is ignored. */
void workload_messages_answer_free(struct workload_messages_answer *answer);

#endif
