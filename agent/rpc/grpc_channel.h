/*
 * Where gRPC calls go: one server, over TLS, or in plain text where only this machine can listen.
 * The channel connects when there is a call to make, keeps the connection while calls follow each
 * other, replaces it when it breaks or the server says GOAWAY, and closes it when nothing has
 * happened for a while. It retries nothing but what the server has certainly not seen. Calls are
 * made with grpc_call.h.
 */
#ifndef REMORA_GRPC_CHANNEL_H
#define REMORA_GRPC_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "tls_io.h"

struct grpc_channel;

struct grpc_channel_options {
    /*
     * "host:port": over TLS; brackets around IPv6; the name is looked up for each connection.
     * "unix:///absolute/path" and "tcp://ip:port": without TLS, for the SPIFFE Workload API.
     */
    const char *address;
    const char *peer; /* what the server is called in messages; NULL: "control plane" */
    /* TLS only: what the server's certificate must be for (NULL: the host), and the PEM file of the
     * roots, read again for each connection so that they can be rotated. */
    const char *server_name;
    const char *roots_file;
    uint64_t connect_timeout_ms; /* for one address; 0: 5 s */
    uint64_t tls_timeout_ms;     /* 0: 5 s */
    uint64_t idle_ms;            /* a connection without calls is closed after this; 0: 10 s */
    /*
     * A PING this often while a call is open, and how long its answer may take before the
     * connection counts as broken; 0: 30 s and 10 s, as ztunnel to its control plane. Servers of
     * gRPC turn away who asks much more often.
     */
    uint64_t keepalive_ms;
    uint64_t keepalive_timeout_ms;
};

/*
 * `io` and its loop outlive the channel; `options` is copied. Starts nothing. NULL: *err is
 * ERR_INVALID (the address) or ERR_NOMEM.
 */
struct grpc_channel *grpc_channel_new(struct tls_io *io, const struct grpc_channel_options *options,
                                      struct err *err);

/* Closes its connections at once. Every call must have ended or been cancelled. NULL is ignored. */
void grpc_channel_free(struct grpc_channel *channel);

/* The address as it was given; lent. */
const char *grpc_channel_address(const struct grpc_channel *channel);

#endif
