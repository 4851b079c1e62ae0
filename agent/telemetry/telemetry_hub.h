/*
 * The telemetry of the whole process: makes the workers' handles (telemetry.h), takes what the
 * control thread knows, and writes the exposition. Everything here is for the control thread, or for
 * before and after the workers run.
 */
#ifndef REMORA_TELEMETRY_HUB_H
#define REMORA_TELEMETRY_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "log.h"
#include "metrics_text.h"
#include "telemetry.h"

struct telemetry_hub;

struct telemetry_hub_options {
    bool access_log;
    enum log_format access_log_format;
    int access_log_fd; /* stays the caller's, open until telemetry_hub_free */
};

/* NULL: see *err. */
struct telemetry_hub *telemetry_hub_new(const struct telemetry_hub_options *options,
                                        struct err *err);

/* After the handles. Waits at most `flush_ms` for access-log lines that are queued. NULL is
 * ignored. */
void telemetry_hub_free(struct telemetry_hub *hub, uint64_t flush_ms);

/* A handle for one worker. NULL when out of memory. Freed before the hub; NULL is ignored. */
struct telemetry *telemetry_new(struct telemetry_hub *hub);
void telemetry_free(struct telemetry *telemetry);

/* How attempts to get a certificate ended: one of a closed list, in the list's own order. */
struct telemetry_outcome {
    const char *name; /* static storage */
    uint64_t count;
};

enum { TELEMETRY_XDS_TYPES_MAX = 4 };

/* Of one type of the control plane's resources. */
struct telemetry_xds_type {
    const char *name; /* static storage, both */
    const char *url;
    uint64_t num_messages;
    uint64_t num_bytes;
    uint64_t num_updates; /* resources that were taken, and removals */
    uint64_t num_rejected;
    size_t num_held;
};

/* How it goes with the control plane's discovery. */
struct telemetry_xds {
    bool connected;
    bool from_cache; /* what is in force was not confirmed by a server yet */
    uint64_t num_acks;
    uint64_t num_nacks;
    uint64_t num_snapshots;
    uint64_t num_asked;
    uint64_t num_expired;
    size_t num_subscribed;
    int64_t last_answer_ms;
    struct telemetry_xds_type types[TELEMETRY_XDS_TYPES_MAX];
    size_t num_types;
    const struct telemetry_outcome *ends; /* why streams ended */
    size_t num_ends;
    const struct telemetry_outcome *terminations; /* the same by Istio's reasons */
    size_t num_terminations;
};

/* Whom the agent trusts. */
struct telemetry_trust {
    size_t num_domains;          /* with a bundle: ours and federated ones */
    int64_t bundle_first_end_ms; /* when the first of all roots ends */
    size_t num_crls;
    size_t num_crls_untimely;  /* of those: expired, or not valid yet */
    int64_t crl_first_end_ms;  /* the earliest nextUpdate */
    bool certificate_revoked;  /* our own */
    size_t num_unusable_files; /* of bundles and revocation lists */
    uint64_t num_troubles;     /* parts of what a source brought that could not be used, ever */
};

/* What the control thread knows at one moment. Instants are wall clock in milliseconds, 0: never or
 * none. */
struct telemetry_control {
    bool ready;
    int64_t certificate_not_after_ms;
    int64_t certificate_not_before_ms;
    int64_t certificate_last_rotation_ms;
    struct telemetry_trust trust;
    const struct telemetry_outcome *rotation_outcomes;
    size_t num_rotation_outcomes;
    uint64_t discovery_loads_ok;
    uint64_t discovery_loads_failed;
    int64_t discovery_last_success_ms;
    size_t num_workloads;
    size_t num_services;
    size_t num_policies;
    const struct telemetry_xds *xds; /* NULL: discovery is not the control plane's */
    uint64_t log_lines_dropped;
};

/*
 * Appends all metrics to `out`; `control` is what is exposed of the control thread's part. 0, or -1
 * when out of memory.
 */
int telemetry_hub_write(struct telemetry_hub *hub, const struct telemetry_control *control,
                        enum metrics_format format, struct buf *out);

#endif
