/*
 * Where certificates come from: the interface between the rotation machine (rotation.h) and a
 * source. Two kinds exist. A CA source answers a certificate signing request whose key the machine
 * has made (Istio's CA, ca_client.h). A store source brings its own key (files on disk,
 * file_source.h; the SPIFFE Workload API) and says when it has changed.
 *
 * A source only transports: whether what it brings is any good is judged by the machine
 * (svid_check), never by the source.
 *
 * Rules, the same for every implementation:
 *  - Everything happens on one control loop's thread.
 *  - At most one fetch runs at a time. The machine starts it, bounds it with a timer of its own and
 *    cancels it; a source has no timer of its own for the whole fetch.
 *  - `done` is called exactly once for a started fetch unless it was cancelled, never from inside
 *    start_fetch, and the machine may start the next fetch or free the source inside it.
 *  - Sources retry nothing and keep no back-off: the machine does, for ever.
 */
#ifndef REMORA_CERT_SOURCE_H
#define REMORA_CERT_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "cert_bytes.h"
#include "err.h"

/* The roots of a trust domain that is not ours. */
struct cert_federated {
    const char *trust_domain; /* its name, or its SPIFFE ID ("spiffe://name") */
    struct cert_bytes roots;
};

/*
 * What a fetch brought: always all that there is. What is absent is withdrawn: a federated trust
 * domain that is not named is trusted no more, a revocation list that is not there revokes nothing.
 * Every byte is lent for the duration of `done`.
 */
struct cert_fetched {
    struct cert_bytes chain; /* leaf first, then intermediates; not empty */
    struct cert_bytes roots; /* of the trust domain of the leaf; not empty */
    /* A store source's key: PEM (PKCS#8, SEC1 or PKCS#1) or DER (PKCS#8). None: the key of the
     * request. */
    struct cert_bytes key;
    const struct cert_federated *federated; /* no two of one trust domain, none of our own */
    size_t num_federated;
    const struct cert_bytes *crls; /* each holds any number of lists, of any issuer */
    size_t num_crls;
};

/*
 * How the fetch ended: `fetched` and a NULL err, or a NULL `fetched` and *err lent. The kind of the
 * error is what metrics and wording go by: ERR_DENIED (the CA refuses this token or this request),
 * ERR_TLS (the CA's own certificate), ERR_TIMEOUT, ERR_SYSTEM (not reachable, file not readable),
 * ERR_NOT_FOUND (file missing), ERR_PROTOCOL, ERR_INVALID.
 */
typedef void cert_source_done(void *owner, const struct cert_fetched *fetched,
                              const struct err *err);

struct cert_source;

/* What an implementation provides. Called through the functions below only. */
struct cert_source_ops {
    /*
     * Starts a fetch. `csr_pem` is the request with its NUL, lent for the call, NULL when the
     * source wants none (wants_csr). 0, or -1 with *err when it could not even start; `done` is
     * then not called.
     */
    int (*start_fetch)(struct cert_source *source, const char *csr_pem, cert_source_done *done,
                       void *owner, struct err *err);
    /* Ends a running fetch without calling `done`. Nothing when none runs. */
    void (*cancel)(struct cert_source *source);
    void (*free)(struct cert_source *source);
};

/* The first member of every implementation's struct; the implementation fills ops and wants_csr. */
struct cert_source {
    const struct cert_source_ops *ops;
    const char *name; /* "istio-ca", "files": for logs and metrics; static storage */
    bool wants_csr;
    /*
     * True when the source says what the trust domain's roots are, all of them: one that it brings
     * no more is withdrawn at once (SPIFFE: a bundle is the whole of it; a file is what its owner
     * wrote). False when it only brings the roots that its own certificates need, as a CA does that
     * answers a request: then former roots are trusted for a while beside the new ones (rotation.h).
     */
    bool speaks_for_trust_domain;
    /*
     * Set by the machine before the first fetch; a store source calls it (if not NULL) when what it
     * holds has changed, and the machine starts a fetch. It may be called at any time except inside
     * start_fetch, also while a fetch runs.
     */
    void (*on_changed)(void *owner);
    void *owner;
};

static inline int cert_source_start_fetch(struct cert_source *source, const char *csr_pem,
                                          cert_source_done *done, void *owner, struct err *err)
{
    return source->ops->start_fetch(source, csr_pem, done, owner, err);
}

static inline void cert_source_cancel(struct cert_source *source)
{
    source->ops->cancel(source);
}

/* Cancels and frees. NULL is ignored. */
static inline void cert_source_free(struct cert_source *source)
{
    if (source != NULL)
        source->ops->free(source);
}

#endif
