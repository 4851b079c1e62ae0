/*
 * A client with a certificate that opens one TLS 1.3 connection after another: connect, handshake, one request, answer, the
 * server's end. Every thread does so by itself, with blocking sockets, and keeps its own tickets: each is used once, for the
 * connection that follows the one it came with.
 */
#ifndef DOOR_CLIENT_H
#define DOOR_CLIENT_H

#include "endpoint.h"
#include "histogram.h"

#include <stdint.h>

struct door_job {
    struct endpoint target;
    const char *server_name; /* asked for, and verified in every full handshake */
    const char *ca_file;     /* PEM */
    const char *cert_file;   /* PEM, ours */
    const char *key_file;    /* PEM, ours */
    unsigned num_threads;    /* connections at once, 1 to DOOR_THREADS_MAX */
    uint64_t warmup_ns;
    uint64_t duration_ns; /* measured time, after the warm-up */
    bool resumes;         /* offers a ticket whenever it has one */
};

#define DOOR_THREADS_MAX 64

/* What came of it. Only the total counts what ended in the warm-up. */
struct door_result {
    uint64_t total;        /* connections that were answered */
    uint64_t num_answered; /* of them in the measured time */
    uint64_t num_resumed;  /* of those, without certificates */
    uint64_t num_failed;   /* at any time */
    struct histogram
        handshakes; /* from connect() to the end of the client's side of the handshake */
    struct histogram connections; /* from connect() to the end of the connection */
    char negotiated
        [128]; /* version, suite, group and the server's signature, of the last full handshake */
};

/* Does the job. 0; -1 when it could not begin, the reason is on standard error. */
int door_client_run(const struct door_job *job, struct door_result *result);

#endif
