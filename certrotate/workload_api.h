/*
 * Certificates from the SPIFFE Workload API (SPIRE's agent, mostly): a store source (cert_source.h)
 * that keeps a FetchX509SVID stream open and says when a message has come. Each message is the whole
 * state: an SVID with its key, the bundles of all trust domains that count, and revocation lists.
 *
 * Exception to cert_source.h's "sources retry nothing": the stream is not a fetch, and stays open
 * between fetches. When it ends, it is opened again with growing pauses (0.1 s to 30 s, jittered),
 * for ever, except after InvalidArgument, by which the server says that trying again is of no use:
 * then only workload_api_retry does. A fetch does not wait for the end of a pause, but where the
 * server speaks and ends each time: there it fails with that, and pauses are of 5 s at most.
 * Meanwhile nobody loses what they hold. A trouble is told once, as the failure of a fetch, and
 * again for each fetch that is asked for while it lasts.
 *
 * A fetch takes the newest message. When the machine wants one more time what it has had already (a
 * rejected candidate, SIGHUP), the stream is opened anew, which brings the state again.
 */
#ifndef REMORA_WORKLOAD_API_H
#define REMORA_WORKLOAD_API_H

#include "cert_source.h"
#include "err.h"
#include "tls_io.h"

enum {
    WORKLOAD_API_RETRY_FIRST_MS = 100,
    WORKLOAD_API_RETRY_MAX_MS = 30 * 1000,
    /* After a stream that has brought something: no fetch may go past this pause, and certificates
     * may be short-lived. */
    WORKLOAD_API_RETRY_SPOKEN_MAX_MS = 5 * 1000,
};

struct workload_api_options {
    const char *endpoint;  /* "unix:///absolute/path" or "tcp://ip:port" */
    const char *hint;      /* the SVID with this hint; "" or NULL: by spiffe_id */
    const char *spiffe_id; /* the SVID with this ID if there is one, else the first; may be NULL */
    uint64_t (*random)(void); /* for jitter; NULL: rng_u64 */
};

/*
 * Whether this is an endpoint as the SPIFFE Workload Endpoint specification has it (section 4): a
 * URI of scheme unix with an absolute path and nothing else, or of scheme tcp with an IP address and
 * a port and nothing else. 0, or -1 with *err (ERR_INVALID saying what is wrong, ERR_NOMEM).
 */
int workload_api_check_endpoint(const char *endpoint, struct err *err);

/*
 * `io` and its loop outlive the source; `options` is copied. Connects with the first fetch. Freed by
 * cert_source_free. NULL: *err is ERR_INVALID (the endpoint) or ERR_NOMEM.
 *
 * Fetches fail with the kinds that cert_source.h lists (ERR_INVALID, too, when no SVID has the hint);
 * the message says where, and what.
 */
struct cert_source *workload_api_new(struct tls_io *io, const struct workload_api_options *options,
                                     struct err *err);

/* Lets a source that the server has turned away by InvalidArgument, or that pauses, try again.
 * `source` was made here. For when somebody who knows asks for it: a new configuration, SIGHUP. */
void workload_api_retry(struct cert_source *source);

#endif
