/*
 * The load: a closed loop of requests over many connections from one thread, and what came of it.
 *
 * Closed loop means that each connection sends its next request when the last one was answered: figures are what the setup
 * can do, and latencies are those at that load, not at a chosen rate.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "endpoint.h"

#include <stdint.h>

/* What to do. Plain value. */
struct client_job {
    struct endpoint target;
    unsigned num_connections; /* kept open at once, at least 1 */
    uint64_t upload;          /* body bytes sent with each request; 0: GET */
    uint64_t wanted;          /* body bytes asked for in each response */
    bool closes;              /* a connection carries one request, and its end is awaited */
    uint64_t warmup_ns;       /* load before the measured time begins */
    uint64_t duration_ns;     /* measured time; for client_hold the time that opening may take */
};

/* What came of it. The measured time lies between warm-up and end; totals are of the whole run, for dividing CPU time by. */
struct client_result {
    double seconds;        /* measured */
    uint64_t num_requests; /* answered in the measured time */
    uint64_t num_bytes;    /* bodies, sent and received, in the measured time */
    uint64_t
        p50_ns; /* of the measured requests; with `closes` from connect() to the end of the connection */
    uint64_t p99_ns;
    uint64_t max_ns;
    uint64_t total_requests;
    uint64_t total_bytes;
    uint64_t num_failed; /* connections that failed in the whole run */
};

/*
 * Runs the job for its time. Returns 0 with the result, or -1 with errno set when the run could not be made or was given up
 * because nearly everything failed (then errno is ECONNABORTED).
 */
int client_run(const struct client_job *job, struct client_result *result);

/*
 * Opens all connections, a request over each; calls `on_held` with the number that stand, which returns when they are to go;
 * then a second request over each, and closes them. Returns how many answered the second request, or -1 with errno set.
 */
int client_hold(const struct client_job *job, void (*on_held)(unsigned num_held));

#endif
