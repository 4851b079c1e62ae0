/*
 * The stream to the control plane: opens it, keeps it, opens it anew. Carries the bytes of xds_delta
 * in both directions and knows nothing of what they say. What the mesh is goes on as it was while
 * there is no stream.
 *
 * Failures are waited for with full jitter: a random time up to a bound that doubles from 10 ms to
 * 15 s, and starts again after a stream that brought answers for five seconds. When such a stream
 * ends in order, the next one is opened at once; and on GOAWAY, which servers say when a connection
 * is old, the old one serves until the new one stands.
 */
#ifndef REMORA_XDS_CLIENT_H
#define REMORA_XDS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "grpc_channel.h"
#include "tls_io.h"
#include "xds_delta.h"

enum {
    XDS_CLIENT_ANSWER_MAX = 200 * 1024 * 1024, /* bytes of one answer; as ztunnel */
    XDS_CLIENT_BACKOFF_MIN_MS = 10,
    XDS_CLIENT_BACKOFF_MAX_MS = 15 * 1000,
    XDS_CLIENT_STEADY_MS = 5 * 1000, /* a stream that lived for less counts as a failure */
};

/* Why streams have ended: as many as there are, for metrics. */
enum xds_end {
    XDS_END_CLEAN,    /* the server ended the stream in order, or its connection had grown old */
    XDS_END_CONNECT,  /* no connection: name, network, TLS, a file of ours */
    XDS_END_REFUSED,  /* the server would not have us: the token, the namespace, the request */
    XDS_END_BROKEN,   /* a stream that stood broke */
    XDS_END_PROTOCOL, /* what came was no answer */
    XDS_NUM_ENDS
};

/* "clean", "connect" ...: the metric's label. */
const char *xds_end_name(enum xds_end end);

struct xds_client_options {
    struct grpc_channel_options channel;
    const char *token_file;      /* read for each stream; NULL: no token is sent */
    const char *cluster_id;      /* sent beside the token; NULL: not sent */
    uint64_t connect_timeout_ms; /* for all of a connection, looking up the name too; 0: 20 s */
    uint64_t backoff_max_ms;     /* 0: XDS_CLIENT_BACKOFF_MAX_MS */
};

struct xds_client_handler {
    /* A stream stands: xds_delta_start was called, and its requests are on their way. */
    void (*on_connected)(void *owner);
    /* An answer was taken by xds_delta. `len`: its bytes. */
    void (*on_answer)(void *owner, const struct xds_delta_answer *answer, size_t len);
    /* A stream ended, or none could be opened; the next attempt is in `retry_ms`. *err is lent; NULL:
     * the end was in order. Not called for a stream that had a successor. */
    void (*on_disconnected)(void *owner, enum xds_end end, const struct err *err,
                            uint64_t retry_ms);
};

struct xds_client;

/*
 * Begins to connect when the loop runs. `io`, its loop and `delta` outlive the client; `handler` is
 * kept by pointer, `options` copied. The client may not be freed inside a handler. NULL: *err is
 * ERR_INVALID (the address) or ERR_NOMEM.
 */
struct xds_client *xds_client_new(struct tls_io *io, const struct xds_client_options *options,
                                  struct xds_delta *delta, const struct xds_client_handler *handler,
                                  void *owner, struct err *err);

/* No handler is called any more. NULL is ignored. */
void xds_client_free(struct xds_client *client);

/* The machine may have requests: they are sent at the end of the round. */
void xds_client_wake(struct xds_client *client);

/* Does not wait any longer: the next attempt is now. Nothing while a stream stands. */
void xds_client_retry_now(struct xds_client *client);

bool xds_client_is_connected(const struct xds_client *client);

/* Streams that ended so far, by reason. */
uint64_t xds_client_num_ends(const struct xds_client *client, enum xds_end end);

#endif
