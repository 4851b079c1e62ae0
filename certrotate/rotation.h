/*
 * Keeps this pod's identity fresh: drives one source on the control loop, checks each candidate
 * before it replaces anything, and publishes what passes. A valid identity is never dropped for a
 * bad candidate; when the held one expires with no successor, "no identity" is published (fail
 * closed), the back-off begins anew, and the attempts go on for ever. Not for: logging (the program does, from the
 * callbacks), transport (the source does), deciding when (rotation_plan.h).
 *
 * Roots of a source that speaks for its trust domain (cert_source.h) are taken as they come: it has
 * old and new side by side as long as both count, and what it withdraws is withdrawn at once. Roots
 * that a CA sends with its certificates are rotated with an overlap: when they change, the former ones that have not expired
 * stay trusted beside the new ones for as long as the certificate that was held at the change would
 * have lasted, at most ROTATION_OVERLAP_MAX_MS. Peers whose certificates are of the former root
 * have rotated by then. At its end an identity without them is published.
 */
#ifndef REMORA_ROTATION_H
#define REMORA_ROTATION_H

#include <stdbool.h>
#include <stdint.h>

#include "cert_rules.h"
#include "cert_source.h"
#include "err.h"
#include "identity.h"
#include "net_loop.h"
#include "trust_extras.h"

enum {
    ROTATION_OVERLAP_MAX_MS = 24 * 3600 * 1000, /* the usual life of a certificate in a mesh */
    ROTATION_FETCH_TIMEOUT_MS = 10 * 1000,      /* one attempt, unless the options say otherwise */
};

struct rotation;

struct rotation_options {
    /* The SPIFFE ID to ask for and to insist on. May be NULL with a source that wants no CSR: then
     * the ID of the first valid candidate is kept to for the life of the machine. */
    const char *identity_uri;
    struct cert_rules rules;
    const char *const *aliases; /* other names of our trust domain */
    size_t num_aliases;
    bool crl_strict;           /* see struct trust, and trust_extras_read */
    uint64_t fetch_timeout_ms; /* one attempt; 0: ROTATION_FETCH_TIMEOUT_MS */
    unsigned jitter_percent;   /* of half the lifetime, see rotation_plan.h; 0: none */
    int64_t (*wall_ms)(void);  /* NULL: clock_wall_ms; tests give their own */
    uint64_t (*random)(void);  /* NULL: rng_u64 */
};

struct rotation_handler {
    /*
     * A new identity, lent (identity_ref to keep it), or NULL: the last one has expired and none is
     * valid. Each call differs from the one before. May call rotation_free.
     */
    void (*on_identity)(void *owner, struct identity *identity);
    /*
     * An attempt failed: *err lent; the next comes in retry_ms. May call rotation_free. May be
     * NULL.
     */
    void (*on_failure)(void *owner, const struct err *err, uint64_t retry_ms);
    /*
     * Something is wrong that does not keep the certificate from being used: a part of what the
     * source brought cannot be read and the former one stays, or our own certificate is on a
     * revocation list. *err lent. May not call rotation_free; may be NULL.
     */
    void (*on_trouble)(void *owner, const struct err *err);
};

/* How attempts ended, for metrics. */
enum rotation_outcome {
    ROTATION_OK,          /* a new identity, or the source brought again what is held already */
    ROTATION_UNREACHABLE, /* the source could not be reached or read, or did not answer in time */
    ROTATION_DENIED,      /* the source refused us */
    ROTATION_REJECTED,    /* what the source brought did not pass the checks */
    ROTATION_FAILED,      /* anything else */
    NUM_ROTATION_OUTCOMES
};

/* "ok", "unreachable", "denied", "rejected", "failed": a metric label that never changes. */
const char *rotation_outcome_name(enum rotation_outcome outcome);

/* All instants are wall clock, 0 for "never" or "none". */
struct rotation_status {
    bool valid; /* an identity is published */
    uint64_t epoch;
    int64_t not_before_ms; /* of the identity held */
    int64_t not_after_ms;
    int64_t renew_at_ms;
    int64_t last_success_ms;
    int64_t last_attempt_ms;
    int64_t next_attempt_ms;
    unsigned num_failures; /* in a row */
    uint64_t attempts[NUM_ROTATION_OUTCOMES];
    bool is_revoked;       /* the certificate held, by a list that we hold */
    uint64_t num_troubles; /* ever told by on_trouble */
};

/*
 * `source` is taken on success and freed by rotation_free. Strings in `options` are copied. Starts
 * nothing. NULL: *err is ERR_INVALID (no identity_uri, or not a SPIFFE ID) or ERR_NOMEM.
 */
struct rotation *rotation_new(struct net_loop *loop, struct cert_source *source,
                              const struct rotation_options *options,
                              const struct rotation_handler *handler, void *owner, struct err *err);

/*
 * Offers what was held before this process started (cert_cache.h), before rotation_start: checked
 * like an answer of the source, and published from inside when it passes, so that there is an
 * identity while the first attempt runs. It counts as no attempt, and an ID that was not asked for
 * is not kept to. -1 with *err: it does not pass, and nothing has happened.
 */
int rotation_offer(struct rotation *rotation, const struct cert_fetched *fetched, struct err *err);

/* Starts the first attempt, on the loop (no callback from inside). Once. */
void rotation_start(struct rotation *rotation);

/*
 * What is trusted beside what the source brings, until the next call; copied. Before the first there
 * is nothing of that kind. An identity that is held is published anew, later, on the loop.
 */
void rotation_set_extras(struct rotation *rotation, const struct trust_extras *extras);

/* The identity that is published, lent until the next callback; NULL: none. */
struct identity *rotation_identity(const struct rotation *rotation);

/* The SPIFFE ID that it keeps to, lent: the one that it was told, else its first certificate's; NULL
 * before that. */
const char *rotation_identity_uri(const struct rotation *rotation);

/* Of what is trusted beside our own domain's roots, the part that the source brought; lent until the
 * next callback. */
const struct trust_extras *rotation_brought(const struct rotation *rotation);

/* Fetches now, whatever the plan says; while an attempt runs, once more after it. */
void rotation_fetch_now(struct rotation *rotation);

/* Stops, cancels what runs, drops the identity, frees the source. No callback afterwards. NULL is
 * ignored. */
void rotation_free(struct rotation *rotation);

void rotation_status_get(const struct rotation *rotation, struct rotation_status *out);

#endif
