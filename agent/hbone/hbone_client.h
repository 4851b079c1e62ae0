/*
 * One connection to another agent: dialed, then carrying requests until it is retired. Internal to
 * hbone; the pool decides what goes where.
 */
#ifndef REMORA_HBONE_CLIENT_H
#define REMORA_HBONE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "dial.h"
#include "hbone_options.h"
#include "hbone_stream.h"

struct hbone_client;

/* All get the client's owner. They may be called from inside HTTP/2, so they only note things. */
struct hbone_client_handler {
    /* TCP stands. */
    void (*on_connected)(void *owner, struct hbone_client *client);
    /* TLS stands: requests can be sent. */
    void (*on_open)(void *owner, struct hbone_client *client);
    /* Its room has changed. */
    void (*on_room)(void *owner, struct hbone_client *client);
    /* Last call: it could not be made, or is over. *err may be NULL. */
    void (*on_over)(void *owner, struct hbone_client *client, enum reason reason,
                    const struct err *err);
};

struct hbone_client_params {
    struct dial_params dial;
    const struct hbone_conn_options *options; /* lent until it is over */
    unsigned max_streams;
    unsigned assumed_streams; /* until the peer has said how many it permits */
};

enum hbone_client_state { HBONE_CLIENT_CONNECTING, HBONE_CLIENT_SHAKING_HANDS, HBONE_CLIENT_OPEN };

struct hbone_client {
    TAILQ_ENTRY(hbone_client) entry; /* the owner's */
    uint64_t since_ms;               /* the owner's: when it came into its state */
    enum hbone_client_state state;
    const struct hbone_client_handler *handler;
    void *owner;
    struct tls_io *io;
    struct dial *dial;       /* until it is open */
    struct hbone_conn *conn; /* from then on */
    const struct hbone_conn_options *options;
    struct peer_cert *peer; /* NULL until it is open */
    /* Wall clock: from when on the peer has surely another certificate, if it renews it at all. */
    int64_t retire_at_ms;
    uint64_t judged; /* the owner's: for which generation (hbone_pool_review) */
    unsigned max_streams;
    unsigned assumed_streams;
};

/* Starts to dial. NULL: see *err, whose reason dial_connect_reason gives. */
struct hbone_client *hbone_client_start(struct tls_io *io, const struct hbone_client_params *params,
                                        const struct hbone_client_handler *handler, void *owner,
                                        struct err *err);

/* Ends it now, without on_over. Not from inside its callbacks. NULL is ignored. */
void hbone_client_free(struct hbone_client *client);

/* No further requests; closes once its streams have ended. Only when it is open. */
void hbone_client_retire(struct hbone_client *client);

/*
 * Ends it at the end of this round, tunnels and all; then on_over(reason, err). *err is copied and
 * may be NULL. Only when it is open.
 */
void hbone_client_close(struct hbone_client *client, enum reason reason, const struct err *err);

/* Requests that may be sent now. */
unsigned hbone_client_room(const struct hbone_client *client);

/* Requests that may be under way at once, as far as is known; at least 1. */
unsigned hbone_client_max_streams(const struct hbone_client *client);

/* It carries nothing, and the peer permits nothing on it. */
bool hbone_client_is_useless(const struct hbone_client *client);

/* The peer has spoken HTTP/2 in it: it took our certificate. */
bool hbone_client_was_heard(const struct hbone_client *client);

/* The peer takes no more than there are now, whatever its SETTINGS say. */
void hbone_client_set_full(struct hbone_client *client);

/* Sends a request. NULL: out of memory. Only with room. */
struct hbone_stream *hbone_client_request(struct hbone_client *client,
                                          const struct h2_header *headers, size_t num_headers,
                                          const struct hbone_opener *opener, void *opener_owner);

#endif
